//! Fetches objects from peers, and from mirrors where peers do not help.
//!
//! Promises that every object that is kept hashes to its id, and that one
//! source that lies, lags or leaves costs time and nothing else.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::release::plan::Wanted;
use store::disk::DiskError;
use store::objects::{Checked, Mismatch};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::limits::{MIRROR_NEWS, REASONS};
use crate::mirror::MirrorError;
use crate::network::Network;
use crate::network::ahead::Ahead;
use crate::network::errand::{Errand, Moved, fault};
use crate::network::fallback::Fallback;
use crate::network::peers::{Arrival, Arrivals, NoRoute};
use crate::network::progress::Progress;
use crate::network::roster::{End, Job, Output, Roster};

/// What keeps objects from being had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is nobody to ask.
    #[error("{0}")]
    NoRoute(NoRoute),
    /// Those who were asked did not help.
    #[error("{missing} of {wanted} objects could not be had{}", told(reasons))]
    Unavailable {
        /// How many are missing.
        missing: usize,
        /// How many were wanted.
        wanted: usize,
        /// What those who were asked said, the last few.
        reasons: Vec<String>,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn told(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}

/// What a mirror answered to one question.
type Answer = (Job, ContentId, Result<Vec<u8>, MirrorError>);

/// A transfer under way.
struct Transfer<'a> {
    network: &'a Network,
    progress: &'a Progress,
    ahead: Option<&'a Arc<Ahead>>,
    missing: HashMap<ContentId, u64>,
    arrivals: Box<dyn Arrivals>,
    fallback: Fallback,
    roster: Roster,
    jobs: JoinSet<Answer>,
    /// Dropping one stops the question.
    stops: HashMap<Job, oneshot::Sender<()>>,
    news: (mpsc::Sender<Moved>, mpsc::Receiver<Moved>),
    reasons: VecDeque<String>,
}

impl Network {
    /// Fetches whatever of `wanted` is not here, and keeps it; `ahead` is
    /// handed what comes.
    ///
    /// # Errors
    /// [`FetchError`]; what came is kept, so that the next try goes on.
    pub async fn fetch(
        &self,
        wanted: &[Wanted],
        ahead: Option<&Arc<Ahead>>,
    ) -> Result<(), FetchError> {
        self.fetch_with(wanted, &self.progress, ahead).await
    }

    /// One object, fetched if it is not here. Not counted as progress.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn object(&self, wanted: Wanted) -> Result<Vec<u8>, FetchError> {
        for _ in 0..2 {
            self.fetch_with(&[wanted], &Progress::default(), None).await?;
            let shelf = Arc::clone(&self.shelf);
            let read = tokio::task::spawn_blocking(move || shelf.object(wanted.id));
            // One that was damaged on disk is fetched a second time.
            if let Some(bytes) = read.await.expect("reading an object does not panic")? {
                return Ok(bytes);
            }
        }
        let reasons = vec!["what was kept was damaged at once".to_owned()];
        Err(FetchError::Unavailable { missing: 1, wanted: 1, reasons })
    }

    async fn fetch_with(
        &self,
        wanted: &[Wanted],
        progress: &Progress,
        ahead: Option<&Arc<Ahead>>,
    ) -> Result<(), FetchError> {
        progress.begin(wanted, |wanted| self.shelf.has_object(wanted.id));
        let missing: Vec<Wanted> =
            wanted.iter().filter(|wanted| !self.shelf.has_object(wanted.id)).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        // What is missing cannot be served either: damaged files are no source.
        self.peers.withdraw(missing.iter().map(|wanted| wanted.id).collect()).await;
        let mut transfer = Transfer {
            network: self,
            progress,
            ahead,
            missing: missing.iter().map(|wanted| (wanted.id, wanted.len)).collect(),
            arrivals: self.peers.fetch(missing.clone()),
            fallback: self.fallback(),
            roster: Roster::new(self.mirrors.len(), lock(&self.standings).clone(), &missing),
            jobs: JoinSet::new(),
            stops: HashMap::new(),
            news: mpsc::channel(MIRROR_NEWS),
            reasons: VecDeque::new(),
        };
        let fetched = transfer.run(wanted.len()).await;
        *lock(&self.standings) = transfer.roster.standings();
        fetched
    }

    fn fallback(&self) -> Fallback {
        let now = Instant::now();
        match self.peers.connected().is_empty() {
            true => Fallback::alone(now, self.began),
            false => Fallback::new(now),
        }
    }
}

impl Transfer<'_> {
    async fn run(&mut self, wanted: usize) -> Result<(), FetchError> {
        while !self.missing.is_empty() {
            if !self.network.permit.lets_fetch() {
                self.network.permit.granted().await;
                // Nobody could bring anything meanwhile.
                self.fallback = self.network.fallback();
            }
            let now = Instant::now();
            self.ask_mirrors(now);
            if !self.roster.is_asking() {
                let alone = self.network.peers.connected().is_empty();
                if self.fallback.is_hopeless(now, alone) {
                    return Err(self.failure(wanted));
                }
            }
            let deadlines =
                [Some(self.fallback.next_deadline(now)), self.roster.next_deadline(now)];
            let deadline = deadlines.into_iter().flatten().min().expect("there is always one");
            tokio::select! {
                arrival = self.arrivals.next(), if !self.fallback.are_peers_over() => match arrival {
                    Some(Arrival::Object { id, bytes, from }) => {
                        let now = Instant::now();
                        for (peer, sent) in from {
                            self.network.meter.add_peer(peer.key, peer.is_origin, sent);
                        }
                        self.fallback.peers_brought(now);
                        self.keep(id, bytes).await?;
                    }
                    Some(Arrival::Blocks) => self.fallback.peers_brought(Instant::now()),
                    Some(Arrival::Stalled) => self.fallback.peers_stalled(),
                    None => self.fallback.peers_are_over(),
                },
                Some(moved) = self.news.1.recv() => self.moved(moved),
                Some(answer) = self.jobs.join_next() => {
                    self.answered(answer.expect("asking a mirror does not panic")).await?;
                }
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
        Ok(())
    }

    /// Does what the roster says.
    fn ask_mirrors(&mut self, now: Instant) {
        let lets = self.fallback.lets_mirrors(now);
        while let Some(output) = match lets {
            true => self.roster.poll(now),
            false => self.roster.poll_stops(now),
        } {
            match output {
                Output::Stop(job) => drop(self.stops.remove(&job)),
                Output::Ask { job, place, wanted } => {
                    let (sender, stop) = oneshot::channel();
                    self.stops.insert(job, sender);
                    let mirror = self.network.mirrors[place].clone();
                    let (shelf, news) = (Arc::clone(&self.network.shelf), self.news.0.clone());
                    let errand = Errand { job, mirror, wanted, shelf, news, stop };
                    self.jobs.spawn(async move { (job, wanted.id, errand.run().await) });
                }
            }
        }
    }

    fn moved(&mut self, Moved { job, bytes, reached }: Moved) {
        let now = Instant::now();
        self.network.meter.add_mirror(bytes);
        if self.roster.moved(now, job, bytes, reached) {
            self.fallback.mirror_brought(now);
        }
    }

    async fn answered(&mut self, (job, id, answer): Answer) -> Result<(), FetchError> {
        // What it told before it ended comes first.
        while let Ok(moved) = self.news.1.try_recv() {
            self.moved(moved);
        }
        self.stops.remove(&job);
        let now = Instant::now();
        match answer {
            Ok(bytes) => {
                self.roster.ended(now, job, End::Whole);
                self.fallback.mirror_brought(now);
                let bytes = Bytes::from(bytes);
                self.arrivals.provide(id, bytes.clone());
                self.keep(id, bytes).await
            }
            Err(error) => {
                let end = match fault(&error) {
                    None => End::Stopped,
                    Some(fault) => {
                        self.tell(cause(&error));
                        End::Failed(fault)
                    }
                };
                self.roster.ended(now, job, end);
                Ok(())
            }
        }
    }

    async fn keep(&mut self, id: ContentId, bytes: Bytes) -> Result<(), FetchError> {
        if !self.missing.contains_key(&id) {
            return Ok(());
        }
        let (shelf, len) = (Arc::clone(&self.network.shelf), bytes.len() as u64);
        let ahead = self.ahead.cloned();
        let kept = tokio::task::spawn_blocking(move || {
            let put = shelf.put(Checked::check(id, &bytes)?);
            if let (Ok(()), Some(ahead)) = (&put, ahead) {
                ahead.arrived(id, &bytes);
            }
            Ok::<_, Mismatch>(put)
        })
        .await;
        match kept.expect("keeping an object does not panic") {
            Ok(Ok(())) => {
                self.missing.remove(&id);
                self.roster.arrived(id);
                self.progress.arrived(id);
                self.network.peers.hold_more(vec![(id, len)]).await;
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(mismatch) => {
                self.tell(mismatch.to_string());
                Ok(())
            }
        }
    }

    fn tell(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push_back(reason);
        }
        if self.reasons.len() > REASONS {
            self.reasons.pop_front();
        }
    }

    fn failure(&self, wanted: usize) -> FetchError {
        let nobody = self.network.mirrors.is_empty() && self.network.peers.connected().is_empty();
        if nobody {
            return FetchError::NoRoute(NoRoute::new(&*self.network.peers));
        }
        let (missing, reasons) = (self.missing.len(), self.reasons.iter().cloned().collect());
        FetchError::Unavailable { missing, wanted, reasons }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error with its causes, on one line.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}
