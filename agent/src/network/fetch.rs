//! Fetches objects from peers, and from mirrors where peers do not help.
//!
//! Promises that every object that is kept hashes to its id, and that one
//! source that lies, lags or leaves costs time and nothing else.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::release::plan::Wanted;
use store::disk::DiskError;
use store::objects::ObjectError;
use tokio::task::JoinSet;

use crate::limits::{MIRROR_JOBS, MIRROR_TRIES, REASONS};
use crate::mirror::MirrorError;
use crate::network::Network;
use crate::network::fallback::Fallback;
use crate::network::peers::{Arrival, Arrivals, NoRoute};
use crate::network::progress::Progress;

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

/// What a mirror, by its place in the list, answered to one question.
type Answer = (Wanted, usize, Result<(Vec<u8>, u64), MirrorError>);

/// A transfer under way.
struct Transfer<'a> {
    network: &'a Network,
    progress: &'a Progress,
    missing: HashMap<ContentId, u64>,
    arrivals: Box<dyn Arrivals>,
    fallback: Fallback,
    /// Objects to ask mirrors for, and how often each was asked for.
    queue: VecDeque<(Wanted, usize)>,
    asked: HashMap<ContentId, usize>,
    /// Mirrors that were not worth waiting for; asked when no other is left.
    tiresome: HashSet<usize>,
    jobs: JoinSet<Answer>,
    reasons: VecDeque<String>,
}

impl Network {
    /// Fetches whatever of `wanted` is not here, and keeps it.
    ///
    /// # Errors
    /// [`FetchError`]; what came is kept, so that the next try goes on.
    pub async fn fetch(&self, wanted: &[Wanted]) -> Result<(), FetchError> {
        self.fetch_with(wanted, &self.progress).await
    }

    /// One object, fetched if it is not here. Not counted as progress.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn object(&self, wanted: Wanted) -> Result<Vec<u8>, FetchError> {
        for _ in 0..2 {
            self.fetch_with(&[wanted], &Progress::default()).await?;
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

    async fn fetch_with(&self, wanted: &[Wanted], progress: &Progress) -> Result<(), FetchError> {
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
            missing: missing.iter().map(|wanted| (wanted.id, wanted.len)).collect(),
            arrivals: self.peers.fetch(missing.clone()),
            fallback: self.fallback(),
            queue: missing.into_iter().map(|wanted| (wanted, 0)).collect(),
            asked: HashMap::new(),
            tiresome: HashSet::new(),
            jobs: JoinSet::new(),
            reasons: VecDeque::new(),
        };
        transfer.run(wanted.len()).await
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
            let now = Instant::now();
            if self.fallback.lets_mirrors(now) {
                self.ask_mirrors();
            }
            let asking = !self.jobs.is_empty() || !self.queue.is_empty();
            let mirrors = asking && !self.network.mirrors.is_empty();
            let alone = self.network.peers.connected().is_empty();
            if !mirrors && self.fallback.is_hopeless(now, alone) {
                return Err(self.failure(wanted));
            }
            let deadline = self.fallback.next_deadline(now);
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
                Some(answer) = self.jobs.join_next() => {
                    self.answered(answer.expect("asking a mirror does not panic")).await?;
                }
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
        Ok(())
    }

    /// Keeps mirrors busy with objects that are still missing.
    fn ask_mirrors(&mut self) {
        let mirrors = &self.network.mirrors;
        while self.jobs.len() < MIRROR_JOBS && !mirrors.is_empty() {
            let Some((wanted, tries)) = self.queue.pop_front() else { break };
            if !self.missing.contains_key(&wanted.id) {
                continue;
            }
            self.asked.insert(wanted.id, tries + 1);
            // Objects begin at different mirrors, and go on to the next.
            let first = usize::from(wanted.id.as_bytes()[0]);
            let good = (0..mirrors.len()).filter(|place| !self.tiresome.contains(place));
            let good: Vec<usize> = good.collect();
            let place = match good.len() {
                0 => (first + tries) % mirrors.len(),
                some => good[(first + tries) % some],
            };
            let mirror = mirrors[place].clone();
            self.jobs.spawn(async move { (wanted, place, mirror.object(wanted).await) });
        }
    }

    async fn answered(&mut self, (wanted, place, answer): Answer) -> Result<(), FetchError> {
        match answer {
            Ok((bytes, wire)) => {
                self.network.meter.add_mirror(wire);
                self.fallback.mirror_brought(Instant::now());
                let bytes = Bytes::from(bytes);
                self.arrivals.provide(wanted.id, bytes.clone());
                self.keep(wanted.id, bytes).await
            }
            Err(error) => {
                self.tell(cause(&error));
                if matches!(error, MirrorError::TooSlow { .. } | MirrorError::Fetch { .. }) {
                    self.tiresome.insert(place);
                }
                let tries = self.asked.get(&wanted.id).copied().unwrap_or(0);
                if tries < self.network.mirrors.len() * MIRROR_TRIES {
                    self.queue.push_back((wanted, tries));
                }
                Ok(())
            }
        }
    }

    async fn keep(&mut self, id: ContentId, bytes: Bytes) -> Result<(), FetchError> {
        if !self.missing.contains_key(&id) {
            return Ok(());
        }
        let (shelf, len) = (Arc::clone(&self.network.shelf), bytes.len() as u64);
        let kept = tokio::task::spawn_blocking(move || shelf.put(id, &bytes)).await;
        match kept.expect("keeping an object does not panic") {
            Ok(()) => {
                self.missing.remove(&id);
                self.progress.arrived(id);
                self.network.peers.hold_more(vec![(id, len)]).await;
                Ok(())
            }
            Err(ObjectError::Disk(error)) => Err(error.into()),
            Err(error @ ObjectError::Mismatch { .. }) => {
                self.tell(error.to_string());
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
