//! `run`: the collector's driver, between the swarm, the clock and the disk.
//!
//! Disk work happens on blocking threads, one piece at a time, so that no
//! record is written by two hands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use manifest::admission::chain::Member;
use manifest::admission::credential::Role;
use manifest::admission::guide::statement_in;
use manifest::admission::installation::InstallationId;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::audit::exchange::{LogAnswer, LogRequest};
use manifest::key::PublicKey;
use manifest::trust::bundle::Bundle;
use manifest::trust::exchange::Announcement;
use manifest::trust::limits::BUNDLE_BYTES;
use swarm::ask::Topic;
use swarm::blotter::Blotter;
use swarm::event::{Event, Events};
use swarm::handle::{AskError, Handle, Stopped, Verdict};
use swarm::options::{Options as SwarmOptions, Role as SwarmRole, StartError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::clock;
use crate::collect::{Collector, Input, Outcome, Output, Reading};
use crate::home::{Home, HomeError};
use crate::intake;
use crate::limits::{RENEW_EVERY, ROOT_EVERY};
use crate::record::{Record, Standing};
use crate::roots;
use crate::vault::{Vault, VaultError};

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses of members, beside those of the ticket.
    pub peers: Vec<String>,
    /// Whether to look for members on the local network.
    pub dns_sd: bool,
    /// Between two readings of one log.
    pub pause: Duration,
    /// When to end by itself.
    pub once: Option<Once>,
}

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// At the latest.
    pub wait: Duration,
    /// As soon as this many logs were read.
    pub expect: Option<usize>,
}

/// What a run that ended had read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Every installation whose log was read, and what it was like.
    pub read: BTreeMap<InstallationId, Standing>,
}

impl Summary {
    /// How many of the logs read are not what was signed.
    #[must_use]
    pub fn tampered_count(&self) -> usize {
        let is_tampered = |standing: &&Standing| matches!(standing, Standing::Tampered { .. });
        self.read.values().filter(is_tampered).count()
    }
}

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The swarm cannot be joined.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The swarm ended by itself.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The system does not tell us of signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// Joins the swarm and reads logs until a signal, or as `options` say.
///
/// # Errors
/// [`RunError`].
pub async fn run(home: Home, options: Options) -> Result<Summary, RunError> {
    let _lock = home.lock()?;
    let admission = home.admission(clock::now())?;
    let mut bootstrap = admission.addresses;
    bootstrap.extend(options.peers.iter().cloned());
    let (handle, events) = swarm::start(SwarmOptions {
        listen: options.listen.clone(),
        bootstrap,
        dns_sd: options.dns_sd,
        role: SwarmRole::Auditor,
        guide: roots::guide(&home)?,
        // It holds no objects.
        upload_bytes_per_second: Some(0),
        ..SwarmOptions::new(
            admission.peer_key,
            admission.chain.encode().map_err(HomeError::from)?,
            admission.trust,
        )
    })?;
    info!("auditor of {} for {}", admission.member.organisation, admission.member.product);
    let vault = home.vault()?;
    let now = Instant::now();
    let daemon = Daemon {
        collector: Collector::new(options.pause),
        disk: Arc::new(Mutex::new(vault)),
        home: Arc::new(home),
        handle,
        blotter: Blotter::default(),
        tasks: JoinSet::new(),
        summary: Summary::default(),
        once: options.once,
        began: now,
        renew_at: now + RENEW_EVERY,
        roots_at: now,
    };
    daemon.run(events).await
}

struct Daemon {
    collector: Collector,
    disk: Arc<Mutex<Vault>>,
    home: Arc<Home>,
    handle: Handle,
    /// What the log tells of those who do wrong.
    blotter: Blotter,
    tasks: JoinSet<Done>,
    summary: Summary,
    once: Option<Once>,
    began: Instant,
    /// When the credential is renewed next.
    renew_at: Instant,
    /// From when on a peer that comes is asked for newer roots.
    roots_at: Instant,
}

/// A piece of work that ended.
enum Done {
    Met { member: Member, kept: Result<u64, VaultError> },
    Answered { installation: InstallationId, answer: LogAnswer },
    Failed { installation: InstallationId },
    Judged { installation: InstallationId, judged: Result<Judged, VaultError> },
    Followed(Result<Option<WorkgroupTrust>, HomeError>),
}

/// What a reading led to, and the record as it is now.
type Judged = (Outcome, Option<Record>);

impl Daemon {
    async fn run(mut self, mut events: Events) -> Result<Summary, RunError> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
        loop {
            while let Some(output) = self.collector.poll(Instant::now()) {
                self.act(output);
            }
            if self.is_done() {
                break;
            }
            let deadline = tokio::time::Instant::from_std(self.next_deadline());
            tokio::select! {
                event = events.next() => self.happened(event.ok_or(Stopped)?).await?,
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.done(done).await?,
                    Err(panic) => error!("a piece of work was lost: {panic}"),
                },
                () = tokio::time::sleep_until(deadline) => self.renew_if_due().await?,
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            }
        }
        // Whatever is being written is written whole before the home's lock goes.
        drop(self.disk.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(self.summary)
    }

    fn is_done(&self) -> bool {
        let Some(once) = self.once else { return false };
        let enough = once.expect.is_some_and(|expect| self.summary.read.len() >= expect);
        enough || self.began.elapsed() >= once.wait
    }

    fn next_deadline(&self) -> Instant {
        let end = self.once.map(|once| self.began + once.wait);
        [self.collector.next_deadline(), end, Some(self.renew_at)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.renew_at)
    }

    async fn happened(&mut self, event: Event) -> Result<(), Stopped> {
        if let Some(line) = self.blotter.line(Instant::now(), &event) {
            warn!("{line}");
        }
        match event {
            Event::Admitted { peer, member } => {
                self.follow_roots(peer);
                // Seeders and other auditors keep no log for us.
                if member.has(Role::Member) {
                    self.meet(member);
                }
            }
            Event::Gone { peer } => {
                self.collector.handle(Instant::now(), Input::Went { peer });
            }
            Event::Announcement { id, from, bytes } => {
                // We keep no channel's metadata, so we cannot vouch for it.
                self.handle.verdict(id, Verdict::Ignore).await?;
                if Announcement::decode(&bytes).is_ok() {
                    self.follow_roots(from);
                }
            }
            Event::Guided { files } => {
                self.tasks.spawn(follow(Arc::clone(&self.home), files));
            }
            Event::Refused { address, why, .. } => debug!("{address}: {why}"),
            Event::Misbehaved { .. } | Event::LetGo { .. } => {}
            // Dropping the reply refuses: an auditor answers nothing.
            Event::Asked { .. }
            | Event::Serve { .. }
            | Event::Withdrawn { .. }
            | Event::Keep { .. }
            | Event::Recall { .. } => {}
        }
        Ok(())
    }

    async fn done(&mut self, done: Done) -> Result<(), Stopped> {
        let now = Instant::now();
        match done {
            Done::Met { member, kept } => match kept {
                Ok(kept) => self.collector.handle(
                    now,
                    Input::Came {
                        peer: member.peer_key,
                        installation: member.installation,
                        log_key: member.log_key,
                        kept,
                    },
                ),
                Err(error) => error!("{}: {}", member.installation, told(&error)),
            },
            Done::Answered { installation, answer } => {
                self.collector.handle(now, Input::Answered { installation, answer });
            }
            Done::Failed { installation } => {
                self.collector.handle(now, Input::Failed { installation });
            }
            Done::Judged { installation, judged } => self.judged(now, installation, judged),
            Done::Followed(Ok(None)) => {}
            Done::Followed(Ok(Some(trust))) => {
                info!("newer word on the workgroup is believed");
                match roots::guide(&self.home) {
                    Ok(guide) => self.handle.set_trust(trust, guide).await?,
                    Err(error) => error!("cannot follow the workgroup's root: {error}"),
                }
                self.renew().await?;
            }
            Done::Followed(Err(error)) => error!("cannot follow the workgroup's root: {error}"),
        }
        Ok(())
    }

    fn judged(
        &mut self,
        now: Instant,
        installation: InstallationId,
        judged: Result<Judged, VaultError>,
    ) {
        let (outcome, record) = judged.unwrap_or_else(|error| {
            error!("{installation}: {}", told(&error));
            (Outcome::Unjudged, None)
        });
        self.collector.handle(now, Input::Judged { installation, outcome });
        if !matches!(outcome, Outcome::Kept { .. } | Outcome::Accused) {
            return;
        }
        let Some(record) = record else { return };
        let name = installation.short();
        let before = self.summary.read.insert(installation, record.standing.clone());
        if before.as_ref() != Some(&record.standing) {
            match (&record.standing, outcome) {
                (Standing::Tampered { sentence }, _) => {
                    error!("{name}: TAMPERED: {sentence}");
                }
                (_, Outcome::Kept { size }) => info!("{name}: intact, {size} entries"),
                _ => {}
            }
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Ask { peer, installation, request } => self.ask(peer, installation, request),
            Output::Judge { installation, reading } => self.judge(installation, reading),
        }
    }

    fn meet(&mut self, member: Member) {
        let disk = Arc::clone(&self.disk);
        self.tasks.spawn_blocking(move || {
            let vault = disk.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = intake::meet(&vault, &member, clock::now());
            Done::Met { member, kept }
        });
    }

    fn ask(&mut self, peer: PublicKey, installation: InstallationId, request: LogRequest) {
        let (handle, disk) = (self.handle.clone(), Arc::clone(&self.disk));
        self.tasks.spawn(async move {
            let answer = handle.ask(peer, Topic::Log, request.encode()).await;
            let why = match answer {
                Ok(bytes) => match LogAnswer::decode(&bytes) {
                    Ok(answer) => return Done::Answered { installation, answer },
                    Err(error) => error.to_string(),
                },
                Err(AskError::Refused(_)) => "the machine does not give it to us".to_owned(),
                // Whoever goes while asked is asked when it comes again.
                Err(AskError::NotConnected(_) | AskError::Stopped(_)) => {
                    return Done::Failed { installation };
                }
                Err(error) => error.to_string(),
            };
            debug!("{installation}: {why}");
            let noted = tokio::task::spawn_blocking(move || {
                let vault = disk.lock().unwrap_or_else(PoisonError::into_inner);
                intake::could_not_read(&vault, &installation, &why)
            });
            if let Ok(Err(error)) = noted.await {
                error!("{installation}: {}", told(&error));
            }
            Done::Failed { installation }
        });
    }

    fn judge(&mut self, installation: InstallationId, reading: Reading) {
        let disk = Arc::clone(&self.disk);
        self.tasks.spawn_blocking(move || {
            let vault = disk.lock().unwrap_or_else(PoisonError::into_inner);
            let judged = intake::take_in(&vault, &installation, reading, clock::now())
                .and_then(|outcome| Ok((outcome, vault.record(&installation)?)));
            Done::Judged { installation, judged }
        });
    }

    /// Asks a peer for roots newer than ours, now and then.
    fn follow_roots(&mut self, peer: PublicKey) {
        if Instant::now() < self.roots_at {
            return;
        }
        self.roots_at = Instant::now() + ROOT_EVERY;
        let (handle, home) = (self.handle.clone(), Arc::clone(&self.home));
        self.tasks.spawn(async move {
            let asked = Arc::clone(&home);
            let request = tokio::task::spawn_blocking(move || roots::request(&asked)).await;
            let request = match request {
                Ok(Ok(request)) => request,
                Ok(Err(error)) => return Done::Followed(Err(error)),
                Err(_) => return Done::Followed(Ok(None)),
            };
            let Ok(answer) = handle.ask(peer, Topic::Metadata, request).await else {
                return Done::Followed(Ok(None));
            };
            match Bundle::decode(&answer, BUNDLE_BYTES) {
                Ok(files) => follow(home, files).await,
                Err(_) => Done::Followed(Ok(None)),
            }
        });
    }

    async fn renew_if_due(&mut self) -> Result<(), Stopped> {
        if Instant::now() >= self.renew_at {
            self.renew().await?;
        }
        Ok(())
    }

    /// Shows a credential signed anew.
    async fn renew(&mut self) -> Result<(), Stopped> {
        self.renew_at = Instant::now() + RENEW_EVERY;
        let renewed = self.home.admission(clock::now());
        match renewed.and_then(|admission| Ok(admission.chain.encode()?)) {
            Ok(chain) => self.handle.set_chain(chain).await,
            Err(error) => {
                error!("the credential cannot be renewed: {error}");
                Ok(())
            }
        }
    }
}

/// Believes what can be believed of `files`, and of the word on our issuer.
async fn follow(home: Arc<Home>, files: Bundle) -> Done {
    let followed = tokio::task::spawn_blocking(move || {
        let newer = roots::follow(&home, &files, clock::now())?;
        let taken = match statement_in(&files) {
            Some(statement) => home.take_statement(statement, clock::now())?,
            None => false,
        };
        if taken && newer.is_none() { home.trust().map(Some) } else { Ok(newer) }
    });
    Done::Followed(followed.await.unwrap_or(Ok(None)))
}

/// An error and its causes in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
