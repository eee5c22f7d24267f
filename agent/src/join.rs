//! Joining: a ticket becomes an installation, without a network.
//!
//! Order: keys, ticket, credential, root, configuration, the log's first
//! entry, and last the state file, which says that all of it is there.
//! Interrupted, it is simply done again.

use std::path::{Path, PathBuf};

use manifest::admission::chain::Member;
use manifest::admission::credential::Role;
use manifest::admission::limits::TICKET_BYTES;
use manifest::admission::ticket::{Ticket, TicketError};
use manifest::admission::workgroup::{NoWorkgroup, WorkgroupId, WorkgroupTrust};
use manifest::audit::entry::Actor;
use manifest::audit::event::Event;
use manifest::example_keys::{self, ExampleKey};
use manifest::key::SigningKey;
use manifest::name::{ChannelName, Platform};
use manifest::time::UnixTime;
use manifest::trust::key::Key;
use manifest::trust::root::Root;
use manifest::trust::rules::TrustError;
use manifest::trust::trusted::TrustedSet;
use store::atomic;
use store::disk::{DiskError, create_dirs, read_bounded};
use store::journal::{Journal, JournalError};
use store::keyfile::{self, KeyFileError};
use store::lock::{HomeLock, LockError};
use store::slots::{SlotError, Slots};
use store::steps::Steps;
use store::trusted::TrustedFiles;

use crate::audit::{AuditError, AuditLog};
use crate::clock;
use crate::config::{ConfigError, Written, first_config};
use crate::home::Home;
use crate::identity::IdentityError;
use crate::update::state::Remembered;

/// What to join with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The ticket's file.
    pub ticket: PathBuf,
    /// The directory of the installation.
    pub into: PathBuf,
    /// The root that the owner expects, in hex.
    pub root_fingerprint: Option<String>,
    /// The line of releases to follow.
    pub channel: Option<ChannelName>,
    /// What releases must run on.
    pub platform: Platform,
    /// Whether keys that everyone has are welcome.
    pub allow_example_keys: bool,
}

/// What was joined.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The blake3 of root version 1, which is the workgroup's id.
    pub fingerprint: WorkgroupId,
    /// Who the installation is now.
    pub member: Member,
    /// Whether it had joined before.
    pub again: bool,
}

/// What keeps an installation from joining.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is no such file.
    #[error("there is no ticket at {}", path.display())]
    NoTicket {
        /// Where it should be.
        path: PathBuf,
    },
    /// The ticket cannot be used.
    #[error("{}: {source}", path.display())]
    Ticket {
        /// The ticket's file.
        path: PathBuf,
        /// What is wrong with it.
        source: TicketError,
    },
    /// The ticket's root cannot be believed even by itself.
    #[error("the ticket's root is refused: {0}")]
    Root(#[source] TrustError),
    /// The ticket rests on a key that everyone has.
    #[error("the ticket cannot be trusted: {0}")]
    Example(#[from] ExampleKey),
    /// The ticket's root is not the one that the owner expects.
    #[error("the ticket's root has the fingerprint {found}, expected {expected}")]
    Fingerprint {
        /// What the owner said.
        expected: String,
        /// The ticket's.
        found: WorkgroupId,
    },
    /// The home belongs to another workgroup.
    #[error("{} has joined the workgroup {here}, the ticket is for {found}", home.display())]
    OtherRoot {
        /// The home.
        home: PathBuf,
        /// The workgroup it has joined.
        here: WorkgroupId,
        /// The ticket's.
        found: WorkgroupId,
    },
    /// The home keeps another installation.
    #[error("{} keeps the installation in {}, not {}", home.display(), here.display(), found.display())]
    OtherDirectory {
        /// The home.
        home: PathBuf,
        /// The directory it keeps.
        here: PathBuf,
        /// The directory that was asked for.
        found: PathBuf,
    },
    /// The home is in use, or cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory cannot hold an installation.
    #[error(transparent)]
    Slots(#[from] SlotError),
    /// The identity cannot be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The configuration that is there cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log cannot be begun.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The state cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The system gives no randomness for keys.
    #[error("the system gives no randomness: {0}")]
    Random(getrandom::Error),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Reads the ticket in the file at `path`.
///
/// # Errors
/// [`JoinError::NoTicket`], [`JoinError::Ticket`].
pub fn read_ticket(path: &Path) -> Result<Ticket, JoinError> {
    let bytes = read_bounded(path, TICKET_BYTES as u64)?;
    let bytes = bytes.ok_or_else(|| JoinError::NoTicket { path: path.to_owned() })?;
    let wrong = |source| JoinError::Ticket { path: path.to_owned(), source };
    Ticket::parse(&bytes).map_err(wrong)
}

/// Joins `home` to the workgroup of a ticket, at `now`.
///
/// # Errors
/// [`JoinError`]; an installation that had joined before is unchanged.
pub fn join(home: &Home, options: &Options, now: UnixTime) -> Result<Joined, JoinError> {
    let ticket = read_ticket(&options.ticket)?;
    let fingerprint = ticket.workgroup();
    if let Some(expected) = &options.root_fingerprint
        && !expected.trim().eq_ignore_ascii_case(&fingerprint.to_string())
    {
        let expected = expected.chars().take(80).collect();
        return Err(JoinError::Fingerprint { expected, found: fingerprint });
    }
    let first_root = TrustedSet::from_root(&ticket.root).map_err(JoinError::Root)?;
    if !options.allow_example_keys {
        refuse_example_keys(&ticket, first_root.root())?;
    }
    let into = std::path::absolute(&options.into)
        .map_err(|error| DiskError::new("find", &options.into, error))?;

    create_dirs(home.dir(), 0o700)?;
    let _lock = HomeLock::take(&home.lock())?;
    let files = TrustedFiles::open(&home.trusted(), Steps::free())?;
    let here = files.get("1.root.json")?.map(|root| WorkgroupId::of_first_root(&root));
    if let Some(here) = here.filter(|here| *here != fingerprint) {
        let home = home.dir().to_owned();
        return Err(JoinError::OtherRoot { home, here, found: fingerprint });
    }
    let written = Written::read(&home.config())?;
    if let Some(here) = written.into.filter(|here| *here != into) {
        let home = home.dir().to_owned();
        return Err(JoinError::OtherDirectory { home, here, found: into });
    }
    // Whoever joined before may have learned of newer workgroup keys.
    let known = files.load()?;
    let trusted = if known.contains_key("root.json") {
        TrustedSet::load(&known).map_err(JoinError::Root)?
    } else {
        first_root
    };
    let trust = WorkgroupTrust::of(fingerprint, &trusted)
        .map_err(IdentityError::from)?
        .with_example_keys(options.allow_example_keys);
    let wrong = |source| JoinError::Ticket { path: options.ticket.clone(), source };
    ticket.verify(&trust, Role::Member, now).map_err(wrong)?;
    // What stands in the way is found before anything is written.
    Slots::open(&into, Steps::free())?;

    create_dirs(&home.keys(), 0o700)?;
    let peer_key = key(&home.peer_key())?;
    let log_key = key(&home.log_key())?;
    let chain = ticket.admit(&trust, Role::Member, &log_key, &peer_key, now).map_err(wrong)?;
    let admitted = |source| IdentityError::Credential { path: home.credential(), source };
    let member = chain.verify(&trust, &peer_key.public(), now).map_err(admitted)?;
    let encoded = ticket.encode().map_err(wrong)?;
    atomic::write(&home.ticket(), encoded.as_bytes(), 0o600, &Steps::free())?;
    let encoded = chain.encode().map_err(admitted)?;
    atomic::write(&home.credential(), &encoded, 0o600, &Steps::free())?;
    for name in ["1.root.json", "root.json"] {
        if !known.contains_key(name) {
            files.persist(name, &ticket.root)?;
        }
    }
    if !home.config().exists() {
        let text = first_config(
            &into,
            options.channel.as_ref(),
            &options.platform,
            options.allow_example_keys,
        );
        atomic::write(&home.config(), text.as_bytes(), 0o644, &Steps::free())?;
    }

    let again = home.is_joined();
    let mut log = AuditLog::open(&home.log(), log_key, Steps::free())?;
    if log.size() == 0 {
        let event = Event::Joined {
            workgroup: fingerprint,
            product: ticket.product.clone(),
            channel: written
                .channel
                .or_else(|| options.channel.clone())
                .unwrap_or_else(|| "stable".parse().expect("a plain name")),
            platform: options.platform.clone(),
            host: host().into(),
            organisation: member.organisation.as_str().into(),
            issuer: member.issuer,
            peer_key: peer_key.public(),
        };
        let by = Actor::Owner { uid: rustix::process::getuid().as_raw() };
        log.append(by, clock::moment(), event)?;
    }
    if !again {
        Journal::at(&home.state(), Steps::free()).keep(&Remembered::default())?;
    }
    Ok(Joined { fingerprint, member, again })
}

/// Refuses a ticket that rests on a key that everyone has.
fn refuse_example_keys(ticket: &Ticket, root: &Root) -> Result<(), JoinError> {
    let workgroup =
        root.workgroup_keys().map_err(NoWorkgroup::from).map_err(IdentityError::from)?;
    let issuer = ticket.issuer_key.public();
    let signing = root.keys.values().filter_map(Key::material);
    let signing = signing.filter_map(|material| material.ed25519());
    let mut keys = signing.chain(workgroup).chain([issuer]);
    Ok(keys.try_for_each(|key| example_keys::refuse(&key))?)
}

/// The machine's own name.
#[must_use]
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The key at `path`, made if it is missing.
fn key(path: &Path) -> Result<SigningKey, JoinError> {
    match keyfile::read(path) {
        Err(KeyFileError::Missing { .. }) => {
            let mut seed = zeroize::Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut_slice()).map_err(JoinError::Random)?;
            let key = SigningKey::from_seed(&seed);
            keyfile::create(path, &key)?;
            Ok(key)
        }
        key => Ok(key?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::testing::Vendor;

    struct Machine {
        dir: tempfile::TempDir,
        home: Home,
        options: Options,
    }

    fn machine(vendor: &Vendor) -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(&dir.path().join("home"));
        let ticket = dir.path().join("ticket.json");
        std::fs::write(&ticket, vendor.ticket().encode().unwrap()).unwrap();
        let options = Options {
            ticket,
            into: dir.path().join("into"),
            root_fingerprint: None,
            channel: None,
            platform: "linux-x86_64".parse().unwrap(),
            allow_example_keys: false,
        };
        Machine { dir, home, options }
    }

    #[test]
    fn a_ticket_makes_a_member_and_a_first_entry() {
        let vendor = Vendor::new();
        let Machine { home, options, dir: _dir } = machine(&vendor);
        let joined = join(&home, &options, clock::wall()).unwrap();
        assert_eq!(joined.fingerprint, vendor.ticket().workgroup());
        assert!(!joined.again);
        let identity = Identity::open(&home).unwrap();
        assert_eq!(identity.installation(), joined.member.installation);
        let log = store::log::read(&home.log()).unwrap();
        assert!(String::from_utf8(log.text).unwrap().contains("\"joined\""));
        // Doing it again keeps the keys and does not tell it again.
        let again = join(&home, &options, clock::wall()).unwrap();
        assert!(again.again);
        assert_eq!(again.member.installation, joined.member.installation);
        let log = store::log::read(&home.log()).unwrap();
        assert_eq!(log.text.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn another_root_than_expected_is_refused() {
        let Machine { home, mut options, dir: _dir } = machine(&Vendor::new());
        options.root_fingerprint = Some("00".repeat(32));
        let refused = join(&home, &options, clock::wall());
        assert!(matches!(refused, Err(JoinError::Fingerprint { .. })));
        assert!(!home.dir().exists());
        let right = read_ticket(&options.ticket).unwrap().workgroup().to_string();
        options.root_fingerprint = Some(right.to_uppercase());
        join(&home, &options, clock::wall()).unwrap();
    }

    #[test]
    fn a_joined_home_refuses_another_root_and_another_directory() {
        let Machine { home, mut options, dir } = machine(&Vendor::new());
        join(&home, &options, clock::wall()).unwrap();
        let before = std::fs::read(home.ticket()).unwrap();
        let stranger = machine(&Vendor::with_seed(9));
        let other = Options { ticket: stranger.options.ticket, ..options.clone() };
        assert!(matches!(join(&home, &other, clock::wall()), Err(JoinError::OtherRoot { .. })));
        options.into = dir.path().join("elsewhere");
        assert!(matches!(
            join(&home, &options, clock::wall()),
            Err(JoinError::OtherDirectory { .. })
        ));
        assert_eq!(std::fs::read(home.ticket()).unwrap(), before);
    }

    #[test]
    fn tampered_expired_and_absent_tickets_are_refused_and_nothing_is_written() {
        let vendor = Vendor::new();
        let Machine { home, options, dir: _dir } = machine(&vendor);
        let good = std::fs::read_to_string(&options.ticket).unwrap();
        let far = clock::wall().after(std::time::Duration::from_secs(100 * 365 * 86_400));
        assert!(matches!(join(&home, &options, far), Err(JoinError::Ticket { .. })));
        for (from, to) in [
            ("\"hello\"", "\"jello\""),
            ("issuer_key\": \"", "issuer_key\": \"00"),
            ("{", "["),
            ("workgroup_keys", "workgroup_quays"),
        ] {
            std::fs::write(&options.ticket, good.replacen(from, to, 1)).unwrap();
            let refused = join(&home, &options, clock::wall());
            assert!(refused.is_err(), "{from} -> {to}");
            assert!(!home.is_joined());
            assert!(!home.keys().exists(), "{from} -> {to}");
        }
        std::fs::remove_file(&options.ticket).unwrap();
        let refused = join(&home, &options, clock::wall());
        assert!(matches!(refused, Err(JoinError::NoTicket { .. })));
    }

    #[test]
    fn keys_that_everyone_has_are_refused_unless_welcome() {
        let Machine { home, mut options, dir: _dir } = machine(&Vendor::new());
        let mut ticket = read_ticket(&options.ticket).unwrap();
        let (_, example) = example_keys::all().next().unwrap();
        ticket.issuer_key = example;
        std::fs::write(&options.ticket, ticket.encode().unwrap()).unwrap();
        let refused = join(&home, &options, clock::wall());
        assert!(matches!(refused, Err(JoinError::Example(_))));
        options.allow_example_keys = true;
        // Welcome or not, it is not the key that the issuer's statement names.
        let refused = join(&home, &options, clock::wall());
        assert!(matches!(refused, Err(JoinError::Ticket { .. })));
    }

    #[test]
    fn a_home_in_use_is_refused() {
        let Machine { home, options, dir: _dir } = machine(&Vendor::new());
        create_dirs(home.dir(), 0o700).unwrap();
        let _held = HomeLock::take(&home.lock()).unwrap();
        assert!(matches!(join(&home, &options, clock::wall()), Err(JoinError::Lock(_))));
    }
}
