//! The agent at work: builds all parts from what was decided, and turns their
//! events into inputs of the one machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use container::Codec;
use manifest::admission::guide::statement_in;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::audit::entry::Actor;
use manifest::audit::event::{Event, Traffic};
use manifest::trust::bundle::Bundle;
use manifest::trust::role::MetadataVersion;
use store::disk::DiskError;
use store::heads::Heads;
use store::installed::Report;
use store::lock::{HomeLock, LockError};
use store::objects::Objects;
use store::partials::Partials;
use store::steps::Steps;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::applier::authority::Authority;
use crate::applier::metadata::MetadataError;
use crate::applier::{Applier, ApplyError};
use crate::clock;
use crate::config::Config;
use crate::control::api::{Bytes, CheckRequest, Expiries, Refusal, Status, TransferView, Verified};
use crate::control::server::{self, Command};
use crate::home::Home;
use crate::identity::{Identity, IdentityError};
use crate::join::host;
use crate::limits::{AUTHORITIES_BYTES, COMMANDS, HEADS_BYTES, ONCE_PATIENCE, PARTIAL_BYTES};
use crate::mirror::{Mirror, MirrorError};
use crate::network::Network;
use crate::network::fetch::cause;
use crate::network::shelf::Shelf;
use crate::rest::{self, Rest};
use crate::swarming::{self, News, Swarming};
use crate::update::decision::Subject;
use crate::update::driver::{Driver, decide, show_installed};
use crate::update::machine::{Machine, RollBackError};
use crate::update::messages::Input;
use crate::update::schedule::Schedule;
use crate::update::state::{InSlot, Outcome, Remembered};

/// What keeps the agent from running.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another agent runs for this home.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The installation's identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Something that the home keeps cannot be used.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A mirror's address cannot be used.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The swarm cannot be joined.
    #[error(transparent)]
    Swarm(#[from] swarming::SwarmError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The certificates that mirrors may show one of, as PEM, beside the machine's.
fn authorities(config: &Config) -> Result<Vec<u8>, DiskError> {
    let Some(file) = &config.authorities else { return Ok(Vec::new()) };
    let missing = || DiskError::new("open", file, std::io::ErrorKind::NotFound);
    store::disk::read_bounded(file, AUTHORITIES_BYTES)?.ok_or_else(missing)
}

/// Who asked for a comparison of the installed files; nobody if it is our own.
type Verifier = Option<oneshot::Sender<Result<Verified, Refusal>>>;

/// A comparison of the installed files that has ended.
struct Inspection {
    installed: InSlot,
    dir: PathBuf,
    report: Report,
    reply: Verifier,
}

/// The running agent of one home.
pub struct Daemon {
    home: Home,
    into: PathBuf,
    subject: Subject,
    identity: Identity,
    trust: WorkgroupTrust,
    allow_example_keys: bool,
    /// What was told to have ended.
    told_expired: Vec<&'static str>,
    /// The root that others are led to.
    root: MetadataVersion,
    network: Arc<Network>,
    swarm: Swarming,
    machine: Machine,
    driver: Driver,
    commands: mpsc::Receiver<Command>,
    verifying: JoinSet<Inspection>,
    checks: u64,
    once: bool,
    rest: Rest,
    _lock: HomeLock,
}

impl Daemon {
    /// Builds the agent of `home`, where `codec` makes the streams of what
    /// patches opened; with `once` it ends when it first rests.
    ///
    /// # Errors
    /// [`DaemonError`] naming what cannot be used.
    pub async fn start(
        home: Home,
        config: Config,
        codec: Arc<dyn Codec>,
        once: bool,
    ) -> Result<Self, DaemonError> {
        let mut identity = Identity::open(&home)?;
        let lock = HomeLock::take(&home.lock())?;
        let subject = Subject {
            product: identity.ticket.product.clone(),
            channel: config.channel.clone(),
            platform: config.platform.clone(),
        };
        let into = config.into.clone();
        let (mut applier, kept) =
            Applier::open(&home, &into, subject.clone(), &identity, Steps::free())?;
        let trust = WorkgroupTrust::of(identity.workgroup(), applier.trusted())
            .map_err(IdentityError::from)?
            .with_example_keys(config.allow_example_keys);
        applier.allow_example_keys(config.allow_example_keys);
        tell_unread(&trust);
        let guide = applier.guide();
        let root = guide.version();
        // A credential that cannot be renewed keeps us out of the swarm, not
        // from mirrors.
        let renewed = identity.renew(&trust, clock::wall());
        let renewed = renewed.unwrap_or_else(|error| {
            tracing::warn!(error = %cause(&error), "the credential cannot be renewed");
            None
        });
        let current = applier.current()?;
        let release = kept.installed.as_ref().map(InSlot::release);
        let agent = env!("CARGO_PKG_VERSION").into();
        if let Some(why) = applier.closed_log() {
            // It serves on, and shows the log to auditors as it is.
            tracing::error!(%why, "nothing is installed until the log is looked at");
        } else {
            applier.record(Actor::Agent, Event::Started { agent, host: host().into(), release })?;
            if let Some(member) = renewed {
                applier.record(Actor::Agent, swarming::renewal(&member))?;
            }
        }
        let authority = Authority::new(applier);
        let objects = Objects::open(&home.objects(), config.cache_bytes)?;
        let partials = Partials::open(&home.partials(), PARTIAL_BYTES)?;
        let heads = Heads::open(&home.heads(), HEADS_BYTES)?;
        let shelf = Arc::new(Shelf::new(authority.clone(), objects, partials, heads));
        let throttle = Arc::default();
        let swarm = Swarming::start(&home, &config, &identity, (&trust, guide), &throttle)?;
        let mirrors = config.mirrors.iter().chain(&identity.ticket.mirrors);
        let authorities = authorities(&config)?;
        let mirrors = mirrors
            .map(|base| Mirror::with(base, &authorities).map(|mirror| mirror.at_pace(&throttle)));
        let mirrors = mirrors.collect::<Result<Vec<_>, _>>()?;
        let places = (into.clone(), home.dir().to_owned());
        let mut network =
            Network::new(authority, shelf, swarm.peers(), mirrors, subject.role(), places, codec);
        network.permit = swarm.permit();
        let network = Arc::new(network);
        show_installed(&network, &kept).await;
        let mut swarm = swarm;
        swarm.answer(Arc::clone(&network), &home, &identity, &trust);

        let listener = server::listen(&home.socket())?;
        let (sender, commands) = mpsc::channel(COMMANDS);
        tokio::spawn(server::serve(listener, sender));
        let mut seed = [0; 8];
        // Without randomness machines would only ask at the same time.
        let _ = getrandom::fill(&mut seed);
        let schedule = Schedule::new(config.poll, u64::from_le_bytes(seed));
        let machine =
            Machine::start(kept, current.as_ref(), schedule, Instant::now(), clock::wall());
        let driver = Driver::new(Arc::clone(&network));
        let (verifying, checks) = Default::default();
        Ok(Self {
            home,
            into,
            subject,
            identity,
            trust,
            allow_example_keys: config.allow_example_keys,
            told_expired: Vec::new(),
            root,
            network,
            swarm,
            machine,
            driver,
            commands,
            verifying,
            checks,
            once,
            rest: Rest::after_start(Instant::now()),
            _lock: lock,
        })
    }

    /// Works until `stop` completes, or once if that was asked for; gives, if
    /// it was, why the newest release does not run.
    ///
    /// # Errors
    /// [`DaemonError`] if the end cannot be told.
    pub async fn run(
        mut self,
        stop: impl Future<Output = &'static str>,
    ) -> Result<Option<String>, DaemonError> {
        tokio::pin!(stop);
        let begun = Instant::now();
        self.network.permit.set_urgent(self.machine.is_urgent());
        let reason = loop {
            self.driver.act(&mut self.machine).await;
            if self.once && self.has_done_its_work(begun) {
                break "asked to run once";
            }
            let deadline =
                self.machine.next_deadline().into_iter().chain(self.rest.deadline()).min();
            let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                reason = &mut stop => break reason,
                done = self.driver.done() => {
                    if let Some(floors) = done.floors {
                        self.machine.set_floors(floors);
                    }
                    self.input(done.input).await;
                }
                Some(command) = self.commands.recv() => self.command(command).await,
                Some(news) = self.swarm.news() => self.heard(news).await,
                Some(verified) = self.verifying.join_next() => {
                    if let Ok(inspection) = verified {
                        self.verified(inspection).await;
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    if self.rest.is_due(Instant::now()) {
                        tokio::task::spawn_blocking(rest::give_back);
                    }
                    self.input(Input::Tick).await;
                }
            }
        };
        let event = Event::Stopped { reason: reason.into() };
        self.network.authority.ask(move |applier| applier.record(Actor::Agent, event)).await?;
        let _ = store::disk::remove_file(&self.home.socket());
        let waits = self.waits();
        let short = || waits.or_else(|| shortcoming(self.machine.remembered()));
        Ok(if self.once { short() } else { None })
    }

    /// Whether a look for releases has come to its end; members have a while
    /// to be met before nobody is taken for an answer.
    fn has_done_its_work(&self, begun: Instant) -> bool {
        if self.waits().is_some() {
            return true;
        }
        let looked = self.checks > 0 && self.machine.state_name() == "idle";
        let check = self.machine.remembered().last_check;
        let answered = check.is_some_and(|check| check.ok) || !self.network.mirrors.is_empty();
        looked && (answered || begun.elapsed() >= ONCE_PATIENCE)
    }

    /// Why the release under way is not fetched now, if it is not.
    fn waits(&self) -> Option<String> {
        let permit = &self.network.permit;
        let fetches = matches!(self.machine.state_name(), "planning" | "transferring");
        let waits = fetches && !permit.lets_fetch();
        waits.then(|| permit.leave().why.unwrap_or_default())
    }

    async fn input(&mut self, input: Input) {
        let before = self.machine.state_name();
        self.machine.handle(Instant::now(), clock::wall(), input);
        let after = self.machine.state_name();
        self.network.permit.set_urgent(self.machine.is_urgent());
        if before == "refreshing" && after != before {
            self.checks += 1;
            self.renew().await;
            self.tell_expired().await;
            self.swarm.remember(&self.home).await;
        }
        if before != after {
            tracing::info!(from = before, to = after, "the update went on");
            self.rest.work(Instant::now(), after == "idle");
        }
        if after == "idle" {
            self.network.shelf.rest();
        }
        if before == "rolling-back" && after == "idle" {
            // Nobody has looked at these files since the release was left.
            self.verify(None).await;
        }
    }

    /// Follows what is signed about the workgroup's keys, its issuers and the
    /// revoked, and renews the credential in time.
    async fn renew(&mut self) {
        let workgroup = self.identity.workgroup();
        let asked = self.network.authority.ask(move |applier| {
            let root = applier.trusted().root().version;
            (WorkgroupTrust::of(workgroup, applier.trusted()), root)
        });
        match asked.await {
            (Ok(trust), root) => {
                let trust = trust.with_example_keys(self.allow_example_keys);
                if (&trust, root) != (&self.trust, self.root) {
                    tell_unread(&trust);
                    let guide = self.network.authority.ask(|applier| applier.guide()).await;
                    self.root = guide.version();
                    self.swarm.set_trust(trust.clone(), guide).await;
                    self.trust = trust;
                }
            }
            (Err(error), _) => {
                tracing::warn!(error = %cause(&error), "root's workgroup is not followed")
            }
        }
        match self.identity.renew(&self.trust, clock::wall()) {
            Ok(None) => {}
            Ok(Some(member)) => {
                self.swarm.set_chain(&self.identity).await;
                let event = swarming::renewal(&member);
                let told = self.network.authority.ask(|a| a.record(Actor::Agent, event)).await;
                if let Err(error) = told {
                    tracing::error!(error = %cause(&error), "the renewal could not be told");
                }
            }
            Err(error) => {
                tracing::warn!(error = %cause(&error), "the credential cannot be renewed")
            }
        }
    }

    /// Tells the log, once, of what has ended and was not renewed by anybody.
    async fn tell_expired(&mut self) {
        let over = self.expiries().await.over(clock::wall());
        if over == self.told_expired {
            return;
        }
        self.told_expired.clone_from(&over);
        if over.is_empty() {
            return;
        }
        let what = over.join(", ");
        tracing::error!(what, "expired; what is installed runs on, and nothing new is begun");
        let event = Event::Expired { what: what.into() };
        let told = self.network.authority.ask(|a| a.record(Actor::Agent, event)).await;
        if let Err(error) = told {
            tracing::error!(error = %cause(&error), "the expiry could not be told");
        }
    }

    /// When what vouches for this installation ends.
    async fn expiries(&self) -> Expiries {
        let credential = self.identity.member(&self.trust, clock::wall()).ok();
        let (subject, credential) = (self.subject.clone(), credential.map(|member| member.expires));
        let of = move |applier: &mut Applier| Expiries::of(applier.trusted(), &subject, credential);
        self.network.authority.ask(of).await
    }

    async fn heard(&mut self, news: News) {
        match news {
            News::Metadata => {
                let done = decide(&self.network, self.machine.remembered()).await;
                if let Some(floors) = done.floors {
                    self.machine.set_floors(floors);
                }
                self.input(done.input).await;
                self.renew().await;
            }
            News::Met => {
                // Whoever could ask nobody asks now.
                let asked = self.machine.remembered().last_check.is_some_and(|check| check.ok);
                if !asked && self.machine.state_name() == "idle" {
                    self.input(Input::Check).await;
                }
            }
            News::Guided(files) => self.guided(files).await,
            News::Behind => self.input(Input::Check).await,
            News::Damaged => self.input(Input::Damaged).await,
        }
    }

    /// Follows roots that somebody handed over who could not be admitted, and
    /// what the vendor says now of our issuer: with both we are let in again.
    async fn guided(&mut self, files: Bundle) {
        let statement = statement_in(&files);
        let now = clock::wall();
        let taken = self.network.authority.ask(move |applier| applier.take_metadata(&files, now));
        match taken.await {
            // There is nothing but roots in it, so the refresh stops behind them.
            Ok(_) | Err(MetadataError::Refresh(_)) => {}
            Err(error) => tracing::warn!(error = %cause(&error), "newer roots cannot be taken"),
        }
        self.renew().await;
        let Some(statement) = statement else { return };
        match self.identity.take_statement(statement, &self.trust, now) {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!("the vendor's newer word on our issuer was taken");
                self.renew().await;
            }
            Err(error) => {
                tracing::warn!(error = %cause(&error), "the newer ticket cannot be kept")
            }
        }
    }

    async fn command(&mut self, command: Command) {
        // Whoever asked may have gone; that is no fault of ours.
        match command {
            Command::Status(reply) => {
                let _ = reply.send(self.status().await);
            }
            Command::Transfer(reply) => {
                let partial = self.swarm.partial().await;
                let (progress, objects) = self.network.progress.view(partial);
                let _ = reply.send(TransferView { progress, objects });
            }
            Command::Peers(reply) => {
                let _ = reply.send(self.swarm.view().await);
            }
            Command::Check(CheckRequest { retry }, reply) => {
                let status = self.status().await;
                if retry {
                    self.machine.pardon_all();
                }
                self.input(Input::Check).await;
                let _ = reply.send(status);
            }
            Command::RollBack { uid, reply } => {
                let begun = self.machine.roll_back_for_owner(clock::wall(), uid);
                let answer = match begun {
                    Ok(()) => Ok(self.status().await),
                    Err(error) => Err(refusal(&error)),
                };
                let _ = reply.send(answer);
            }
            Command::Verify(reply) => self.verify(Some(reply)).await,
        }
    }

    async fn verify(&mut self, reply: Verifier) {
        let Some(slot) = self.machine.remembered().installed else {
            tell(reply, Err(Refusal::new("nothing-to-do", "no release is installed")));
            return;
        };
        let asked = slot.clone();
        let opened = self.network.authority.ask(move |applier| applier.installed(&asked)).await;
        match opened {
            Ok(installed) => {
                self.verifying.spawn_blocking(move || {
                    let (dir, report) = (installed.dir().to_owned(), installed.inspect());
                    Inspection { installed: slot, dir, report, reply }
                });
            }
            Err(error) => {
                tell(reply, Err(Refusal::new("failed", cause(&error))));
            }
        }
    }

    async fn verified(&mut self, inspection: Inspection) {
        let Inspection { installed, dir, report, reply } = inspection;
        let damaged = report.damaged.len() as u64;
        let event = Event::Checked { release: installed.release(), damaged };
        let told = self.network.authority.ask(|a| a.record(Actor::Agent, event)).await;
        if let Err(error) = told {
            tracing::error!(error = %cause(&error), "the check could not be told");
        }
        let is_intact = report.is_intact();
        tell(reply, Ok(Verified::new(&installed, dir, report)));
        if !is_intact {
            self.input(Input::Damaged).await;
        }
    }

    async fn status(&self) -> Status {
        let kept: Remembered = self.machine.remembered();
        let (subject, installation) = (self.subject.clone(), self.identity.installation());
        let expires = self.expiries().await;
        let closed_log = self.network.authority.ask(|applier| applier.closed_log()).await;
        let live: Traffic = self.network.meter.traffic();
        let idle = self.machine.state_name() == "idle";
        let bytes = if idle { Bytes::from(&kept.traffic) } else { Bytes::from(&live) };
        let at_rest = Status::at_rest(subject, installation, self.into.clone(), kept, expires);
        Status {
            daemon: true,
            state: self.machine.state_name().to_owned(),
            under_way: self.machine.under_way().cloned(),
            progress: self.network.progress.summary(),
            bytes,
            peers: self.network.peers.connected().len(),
            pace: self.swarm.pace().await,
            addresses: self.swarm.addresses().await,
            checks: self.checks,
            closed_log,
            ..at_rest
        }
    }
}

/// Says so if some of what was signed about members is beyond this program.
fn tell_unread(trust: &WorkgroupTrust) {
    if let Some(why) = trust.unread() {
        tracing::warn!(why, "not all that is signed about members is understood");
    }
}

/// Answers whoever asked, unless it has gone.
fn tell(reply: Verifier, answer: Result<Verified, Refusal>) {
    if let Some(reply) = reply {
        let _ = reply.send(answer);
    }
}

/// Why the newest release does not run, if it does not.
fn shortcoming(kept: Remembered) -> Option<String> {
    if let Some(check) = kept.last_check
        && !check.ok
    {
        return Some(check.outcome);
    }
    let last = kept.last_update.filter(|last| last.outcome != Outcome::Committed)?;
    let reason = last.reason.unwrap_or_default();
    let how = if last.outcome == Outcome::RolledBack { "rolled back" } else { "not installed" };
    Some(format!("{} was {how}: {reason}", last.release))
}

fn refusal(error: &RollBackError) -> Refusal {
    let code = match error {
        RollBackError::NoPrevious => "nothing-to-do",
        RollBackError::Busy { .. } => "busy",
    };
    Refusal::new(code, error.to_string())
}
