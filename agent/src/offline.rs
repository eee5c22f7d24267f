//! What can be done without a daemon: looking, and going back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manifest::admission::workgroup::WorkgroupTrust;
use manifest::audit::verify::{self, Fault, Verified as VerifiedLog};
use manifest::key::PublicKey;
use manifest::time::UnixTime;
use manifest::trust::rules::TrustError;
use manifest::trust::trusted::TrustedSet;
use store::disk::DiskError;
use store::journal::{Journal, JournalError};
use store::lock::{HomeLock, LockError};
use store::steps::Steps;
use store::trusted::TrustedFiles;

use crate::applier::{Applier, ApplyError};
use crate::config::Config;
use crate::control::api::{Expiries, Status, Verified};
use crate::home::Home;
use crate::identity::{Identity, IdentityError};
use crate::limits::ACCOUNT_BYTES;
use crate::network::account::Account;
use crate::update::decision::Subject;
use crate::update::machine::{Machine, RollBackError};
use crate::update::messages::{Input, Output};
use crate::update::schedule::Schedule;
use crate::update::state::Remembered;

/// What cannot be done without a daemon, or at all.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The state cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is believed cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The applier refused.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// An agent is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is nothing to go back to, or an update is not finished.
    #[error(transparent)]
    RollBack(#[from] RollBackError),
    /// No release is installed.
    #[error("no release is installed")]
    NothingInstalled,
    /// There is no log.
    #[error("there is no log in {}", dir.display())]
    NoLog {
        /// Where it should be.
        dir: PathBuf,
    },
    /// The log is not what was sealed.
    #[error("the log in {} is not what was sealed: {fault}", dir.display())]
    Log {
        /// The log's directory.
        dir: PathBuf,
        /// The first fault.
        fault: Fault,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn subject(config: &Config, identity: &Identity) -> Subject {
    Subject {
        product: identity.ticket.product.clone(),
        channel: config.channel.clone(),
        platform: config.platform.clone(),
    }
}

/// The status as the files tell it.
///
/// # Errors
/// [`OfflineError`].
pub fn status(home: &Home, config: &Config, now: UnixTime) -> Result<Status, OfflineError> {
    let identity = Identity::open(home)?;
    let subject = subject(config, &identity);
    let kept: Remembered = Journal::at(&home.state(), Steps::free()).load()?.unwrap_or_default();
    let files = TrustedFiles::open(&home.trusted(), Steps::free())?.load()?;
    let trusted = TrustedSet::load(&files)?;
    let trust = WorkgroupTrust::of(identity.workgroup(), &trusted)
        .map_err(IdentityError::from)?
        .with_example_keys(config.allow_example_keys);
    let credential = identity.member(&trust, now).ok().map(|member| member.expires);
    let expires = Expiries::of(&trusted, &subject, credential);
    Ok(Status::at_rest(subject, identity.installation(), config.into.clone(), kept, expires))
}

/// Compares the installed files with their signed manifest.
///
/// # Errors
/// [`OfflineError`].
pub fn verify_files(home: &Home, config: &Config) -> Result<Verified, OfflineError> {
    let identity = Identity::open(home)?;
    let _lock = HomeLock::take(&home.lock())?;
    let subject = subject(config, &identity);
    let (mut applier, kept) = Applier::open(home, &config.into, subject, &identity, Steps::free())?;
    let slot = kept.installed.ok_or(OfflineError::NothingInstalled)?;
    let installed = applier.installed(&slot)?;
    Ok(Verified::new(&slot, installed.dir().to_owned(), installed.inspect()))
}

/// Goes back to the release before, as the daemon would.
///
/// # Errors
/// [`OfflineError`].
pub fn roll_back(home: &Home, config: &Config, now: UnixTime) -> Result<Status, OfflineError> {
    let identity = Identity::open(home)?;
    let lock = HomeLock::take(&home.lock())?;
    let subject = subject(config, &identity);
    let (mut applier, kept) = Applier::open(home, &config.into, subject, &identity, Steps::free())?;
    let current = applier.current()?;
    // The wait between two looks plays no part: nothing is looked for.
    let schedule = Schedule::new(Duration::from_secs(3600), 0);
    let mut machine = Machine::start(kept, current.as_ref(), schedule, Instant::now(), now);
    let uid = rustix::process::getuid().as_raw();
    machine.roll_back_for_owner(now, uid)?;
    while let Some(output) = machine.poll() {
        match output {
            Output::Keep(kept) => applier.keep(&kept)?,
            Output::Record { by, event } => applier.record(by, event)?,
            Output::Switch { entry, by, to } => {
                applier.switch(by, entry, to.as_ref())?;
                machine.handle(Instant::now(), now, Input::RolledBack);
            }
            Output::Prune { keep } => applier.prune(&keep, &machine.remembered())?,
            // Everything else belongs to an update, and none was begun.
            Output::Refresh
            | Output::Look
            | Output::Plan { .. }
            | Output::Fetch
            | Output::Stage
            | Output::Probe(_)
            | Output::Discard => {}
        }
    }
    drop((applier, lock));
    status(home, config, now)
}

/// Reads a log and checks it: every entry, every link, and the seal.
///
/// # Errors
/// [`OfflineError::NoLog`], [`OfflineError::Log`] naming the first fault.
pub fn verify_log(dir: &Path, log_key: &PublicKey) -> Result<VerifiedLog, OfflineError> {
    let log = store::log::read(dir)?;
    let no_log = || OfflineError::NoLog { dir: dir.to_owned() };
    let checkpoint = log.checkpoint.ok_or_else(no_log)?;
    verify::verify(&log.text, &checkpoint, log_key)
        .map_err(|fault| OfflineError::Log { dir: dir.to_owned(), fault })
}

/// What the last plan of `home` came to, if one was made.
///
/// # Errors
/// [`OfflineError::Disk`] if it cannot be read.
pub fn last_plan(home: &Home) -> Result<Option<Account>, OfflineError> {
    let text = store::disk::read_bounded(&home.plan(), ACCOUNT_BYTES)?;
    // One that an older agent wrote may read otherwise; it tells nothing then.
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}
