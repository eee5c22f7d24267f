//! Runs a seeder: joins the swarm as origin, and follows the repository.
//!
//! One loop: what the swarm asks is answered from the offer and the shelf;
//! what `release` publishes meanwhile is seen by the timestamp's file and
//! announced; what expires is signed anew while the keys are here. Another
//! publisher at work is never waited for.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use manifest::content::ContentId;
use manifest::time::UnixTime;
use manifest::trust::author::lifetimes::Lifetimes;
use store::atomic;
use store::disk::DiskError;
use store::repository::RepositoryError;
use store::steps::Steps;
use swarm::ask::Topic;
use swarm::blotter::Blotter;
use swarm::event::Event;
use swarm::handle::{Handle, ObjectError, PublishError as AnnounceError, Stopped, Verdict};
use swarm::options::{Options as SwarmOptions, Role, StartError};
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::now;
use crate::home::{Home, HomeError};
use crate::keys::Keys;
use crate::publish::{PublishError, Session};
use crate::renew;
use crate::seed::addresses::{mirror_urls, worth_noting};
use crate::seed::credential::{SeederCredentialError, seeder_credential};
use crate::seed::mirror;
use crate::seed::offer::{Offer, OfferError};
use crate::seed::shelf::Shelf;

/// How often it is looked whether the repository has something new: who waits
/// for a release waits for half of this.
const LOOK: Duration = Duration::from_millis(25);

/// How often our own addresses are looked at.
const NOTE: Duration = Duration::from_millis(250);

/// How often it is asked what expires.
const RENEW: Duration = Duration::from_secs(60);

/// How a seeder runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Where to serve the repository over HTTP.
    pub http: Option<SocketAddr>,
    /// Bytes a second sent to peers at most.
    pub upload_bytes_per_second: Option<u64>,
    /// Whether to be found on the local network.
    pub dns_sd: bool,
}

/// What a seeder tells whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It can be met here, with `/p2p/…`.
    Listening(String),
    /// It serves the repository here.
    Mirror(String),
    /// It offers this: timestamp version, and how many objects.
    Offering {
        /// The timestamp's version.
        timestamp: u64,
        /// Objects that it serves.
        objects: usize,
    },
    /// These roles were signed anew.
    Renewed(Vec<String>),
}

/// Why a seeder cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// What was interrupted cannot be finished, or what expired not signed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The repository offers nothing that verifies.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The repository's objects cannot be listed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// It has no credential to show.
    #[error(transparent)]
    Credential(#[from] SeederCredentialError),
    /// The swarm cannot be joined.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The swarm has stopped by itself.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The swarm does not take our objects.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The swarm does not take our announcement.
    #[error(transparent)]
    Announce(#[from] AnnounceError),
    /// The mirror cannot listen.
    #[error("cannot serve HTTP on {address}")]
    Http {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A thread of our own panicked.
    #[error("a task of the seeder failed")]
    Task(#[from] JoinError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A seeder under way.
struct Seeder<T> {
    home: Home,
    keys: Keys,
    offer: Offer,
    shelf: Arc<Shelf>,
    handle: Handle,
    tell: T,
    http: Option<SocketAddr>,
    /// What was offered to the swarm.
    held: HashSet<ContentId>,
    /// What the log tells of those who do wrong.
    blotter: Blotter,
    announcement: Vec<u8>,
    listening: Vec<String>,
    /// The timestamp's file as it was last taken.
    seen: Option<(u64, i64, i64)>,
    note_at: Instant,
    renew_at: Instant,
    credential_at: UnixTime,
}

/// Seeds the repository of `home` until `stop` ends.
///
/// # Errors
/// [`SeedError`] where it cannot begin, or the swarm stops by itself. What
/// goes wrong in between is logged, and what was offered is offered on.
pub async fn run(
    home: Home,
    keys: Keys,
    options: Options,
    tell: impl FnMut(Told),
    stop: impl Future<Output = ()>,
) -> Result<(), SeedError> {
    let renewed = renew_now(&home, &keys, true).await?;
    let offer = Offer::new(
        home.repository(Steps::free())?,
        home.channel_roles(),
        keys.allows_example_keys(),
    )?;
    let credential = seeder_credential(&home, &keys, now())?;
    let credential_at = halfway(now(), credential.expires);
    let shelf = Arc::new(Shelf::new(home.repository(Steps::free())?));
    let mut swarm_options =
        SwarmOptions::new(credential.peer_key, credential.chain, offer.workgroup()?);
    swarm_options.guide = offer.guide();
    swarm_options.listen = options.listen;
    swarm_options.dns_sd = options.dns_sd;
    swarm_options.upload_bytes_per_second = options.upload_bytes_per_second;
    swarm_options.role = Role::Origin;
    let (handle, mut events) = swarm::start(swarm_options)?;

    let (stop_http, http_stopped) = tokio::sync::oneshot::channel::<()>();
    let http = match options.http {
        None => None,
        Some(address) => {
            let stopped = async move {
                let _ = http_stopped.await;
            };
            let (bound, serving) = mirror::serve(&home.repository_dir(), address, stopped)
                .await
                .map_err(|source| SeedError::Http { address, source })?;
            tokio::spawn(serving);
            Some(bound)
        }
    };
    let mut seeder = Seeder {
        home,
        keys,
        offer,
        shelf,
        handle,
        tell,
        http,
        held: HashSet::new(),
        blotter: Blotter::default(),
        announcement: Vec::new(),
        listening: Vec::new(),
        seen: None,
        note_at: Instant::now(),
        renew_at: Instant::now() + RENEW,
        credential_at,
    };
    seeder.tell_renewed(renewed);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            event = events.next() => seeder.answer(event.ok_or(Stopped)?).await?,
            _ = look.tick() => seeder.look().await?,
        }
    }
    drop(stop_http);
    Ok(())
}

impl<T: FnMut(Told)> Seeder<T> {
    /// Gives the swarm what it asks for.
    async fn answer(&mut self, event: Event) -> Result<(), SeedError> {
        if let Some(line) = self.blotter.line(Instant::now().into_std(), &event) {
            tracing::warn!("{line}");
        }
        match event {
            Event::Serve { object, offset, len, reply } => {
                let shelf = Arc::clone(&self.shelf);
                tokio::task::spawn_blocking(move || {
                    let read = shelf.read(object, offset, len).unwrap_or_else(|error| {
                        tracing::warn!("cannot serve: {error}");
                        None
                    });
                    reply.send(read);
                });
            }
            Event::Asked { peer, topic: Topic::Metadata, request, reply, .. } => {
                match self.offer.answer(&request) {
                    Ok(answer) => reply.send(answer),
                    Err(error) => tracing::info!(%peer, "a question that is none: {error}"),
                }
            }
            // A seeder keeps no log, and nobody knows more of root than it.
            Event::Asked { .. } | Event::Guided { .. } => {}
            Event::Announcement { id, bytes, .. } => {
                // Nobody knows of anything newer than the one who signs it.
                let ours = bytes == self.announcement;
                let verdict = if ours { Verdict::Accept } else { Verdict::Ignore };
                self.handle.verdict(id, verdict).await?;
            }
            // Nothing is fetched here.
            Event::Keep { .. } | Event::Recall { .. } => {}
            Event::Withdrawn { object } => {
                self.held.remove(&object);
                let shelf = Arc::clone(&self.shelf);
                tokio::task::spawn_blocking(move || {
                    let why = shelf.why_not(object);
                    tracing::warn!(%object, "is not served any more: {why}");
                });
            }
            Event::Admitted { peer, member } => {
                tracing::info!(%peer, installation = member.installation.short(), "admitted");
            }
            Event::Refused { address, why, .. } => tracing::debug!(address, "refused: {why}"),
            Event::Gone { peer } => tracing::info!(%peer, "gone"),
            Event::Misbehaved { .. } | Event::LetGo { .. } => {}
        }
        Ok(())
    }

    /// Looks at the repository, at the clock, and at where we listen.
    async fn look(&mut self) -> Result<(), SeedError> {
        if Instant::now() >= self.note_at {
            self.note_at = Instant::now() + NOTE;
            self.note_addresses().await?;
        }
        let path = self.home.repository_dir().join("metadata/timestamp.json");
        let found = std::fs::metadata(path).ok();
        let found = found.map(|file| (file.ino(), file.mtime(), file.mtime_nsec()));
        if found != self.seen {
            self.take_new().await?;
            self.seen = found;
        }
        if Instant::now() >= self.renew_at {
            self.renew_at = Instant::now() + RENEW;
            self.renew().await?;
        }
        Ok(())
    }

    /// Offers what the repository has now.
    async fn take_new(&mut self) -> Result<(), SeedError> {
        let before = (self.offer.workgroup()?, self.offer.trusted().root().version);
        if let Err(error) = self.offer.refresh(now()) {
            tracing::warn!("the repository is not offered as it is: {error}");
        }
        let trust = self.offer.workgroup()?;
        if (&trust, self.offer.trusted().root().version) != (&before.0, before.1) {
            self.handle.set_trust(trust, self.offer.guide()).await?;
            self.renew_credential().await?;
        }
        let shelf = Arc::clone(&self.shelf);
        let all = match tokio::task::spawn_blocking(move || shelf.all()).await? {
            Err(error) if !self.held.is_empty() => {
                tracing::warn!("what is new is not served: {error}");
                return Ok(());
            }
            all => all?,
        };
        let new: Vec<_> = all.into_iter().filter(|(id, _)| !self.held.contains(id)).collect();
        self.held.extend(new.iter().map(|(id, _)| *id));
        // Objects first: whoever hears of a release shall find it here.
        self.handle.hold(new).await?;
        if let Some(announcement) = self.offer.announcement()
            && announcement != self.announcement
        {
            self.announcement.clone_from(&announcement);
            self.handle.publish(announcement).await?;
            let timestamp = self.offer.timestamp_version().map_or(0, |version| version.get());
            (self.tell)(Told::Offering { timestamp, objects: self.held.len() });
        }
        Ok(())
    }

    /// Signs anew what is due; a failure is logged and tried again later.
    async fn renew(&mut self) -> Result<(), SeedError> {
        if now() >= self.credential_at {
            self.renew_credential().await?;
        }
        if self.due() {
            match renew_now(&self.home, &self.keys, false).await {
                Ok(renewed) => self.tell_renewed(renewed),
                Err(error) => tracing::warn!("what expires is not signed anew: {error}"),
            }
        }
        Ok(())
    }

    /// Shows a new credential, by whatever speaks for the seeders now.
    async fn renew_credential(&mut self) -> Result<(), SeedError> {
        match seeder_credential(&self.home, &self.keys, now()) {
            Ok(credential) => {
                self.credential_at = halfway(now(), credential.expires);
                self.handle.set_chain(credential.chain).await?;
            }
            Err(error) => tracing::warn!("the seeder's credential is not renewed: {error}"),
        }
        Ok(())
    }

    /// Whether the timestamp, which outlives nothing else, is due.
    fn due(&self) -> bool {
        let timestamp = self.offer.trusted().timestamp();
        timestamp.is_none_or(|timestamp| {
            now() >= timestamp.expires.before(Lifetimes::default().timestamp / renew::DUE_FRACTION)
        })
    }

    fn tell_renewed(&mut self, renewed: Vec<String>) {
        if !renewed.is_empty() {
            (self.tell)(Told::Renewed(renewed));
        }
    }

    /// Notes where we can be met, for tickets, when that has changed.
    async fn note_addresses(&mut self) -> Result<(), SeedError> {
        let listening = self.handle.listen_addresses().await?;
        if listening == self.listening || listening.is_empty() {
            return Ok(());
        }
        let mirrors = self.http.map_or_else(Vec::new, |bound| mirror_urls(bound, &listening));
        if self.listening.is_empty() {
            mirrors.iter().for_each(|url| (self.tell)(Told::Mirror(url.clone())));
        }
        for address in listening.iter().filter(|address| !self.listening.contains(address)) {
            (self.tell)(Told::Listening(address.clone()));
        }
        let lines: Vec<String> = worth_noting(&listening).into_iter().chain(mirrors).collect();
        let text = lines.join("\n") + "\n";
        atomic::write(&self.home.addresses_path(), text.as_bytes(), 0o644, &Steps::free())?;
        self.listening = listening;
        Ok(())
    }
}

/// Finishes what was interrupted and signs what is due, off the loop; gives
/// the roles. If another publisher is at work, `wait` says whether to wait.
async fn renew_now(home: &Home, keys: &Keys, wait: bool) -> Result<Vec<String>, SeedError> {
    let (home, keys) = (home.clone(), keys.clone());
    let renewed = tokio::task::spawn_blocking(move || {
        let session = match wait {
            true => Some(Session::open(&home, &keys, &Steps::free())?),
            false => Session::try_open(&home, &keys, &Steps::free())?,
        };
        session.map_or(Ok(Vec::new()), |mut session| renew::renew(&mut session, &[], now()))
    });
    let renewed: Result<_, PublishError> = renewed.await?;
    Ok(renewed?.iter().map(ToString::to_string).collect())
}

fn halfway(from: UnixTime, to: UnixTime) -> UnixTime {
    from.after(to.since(from) / 2)
}
