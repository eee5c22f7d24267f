//! What the program asked for, and how far that has come.
//!
//! Several fetches may want one object; each is told of it. A fetch that gets
//! nothing for a while is reported as stalled, so that the program may look
//! elsewhere. Knows nothing of peers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use manifest::content::ContentId;

use crate::block::ObjectSize;

/// A fetch that got nothing for so long is stalled.
pub const STALLED_AFTER: Duration = Duration::from_secs(2);
/// A stalled fetch is reported again after so long.
const STALLED_AGAIN: Duration = Duration::from_secs(5);
/// Progress is reported at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// The number of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// What a fetch has to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Verified bytes so far, of how many.
    Progress {
        /// Bytes that came, with those of whole objects.
        done: u64,
        /// Bytes of all objects of the fetch.
        total: u64,
    },
    /// Nothing came for a while.
    Stalled {
        /// The objects that are not whole.
        missing: Vec<ContentId>,
    },
    /// Every object came.
    Finished,
}

#[derive(Debug)]
struct Fetch {
    missing: BTreeSet<ContentId>,
    done: u64,
    total: u64,
    moved: Instant,
    stalled_at: Option<Instant>,
    reported: Option<Instant>,
    news: bool,
}

/// All fetches under way.
#[derive(Debug, Default)]
pub struct Fetches {
    fetches: BTreeMap<FetchId, Fetch>,
    by_object: HashMap<ContentId, Vec<FetchId>>,
    out: VecDeque<(FetchId, Report)>,
}

impl Fetches {
    /// Begins a fetch of these objects.
    pub fn begin(&mut self, now: Instant, fetch: FetchId, wanted: &[(ContentId, ObjectSize)]) {
        let mut missing = BTreeSet::new();
        let mut total = 0;
        for (id, size) in wanted {
            if missing.insert(*id) {
                total += u64::from(size.bytes());
                self.by_object.entry(*id).or_default().push(fetch);
            }
        }
        if missing.is_empty() {
            self.out.push_back((fetch, Report::Finished));
            return;
        }
        let begun = Fetch {
            missing,
            done: 0,
            total,
            moved: now,
            stalled_at: None,
            reported: None,
            news: false,
        };
        self.fetches.insert(fetch, begun);
    }

    /// Ends a fetch; returns the objects that nobody wants any more.
    pub fn cancel(&mut self, fetch: FetchId) -> Vec<ContentId> {
        let Some(gone) = self.fetches.remove(&fetch) else { return Vec::new() };
        let mut unwanted = Vec::new();
        for id in gone.missing {
            if let Some(wanting) = self.by_object.get_mut(&id) {
                wanting.retain(|other| *other != fetch);
                if wanting.is_empty() {
                    self.by_object.remove(&id);
                    unwanted.push(id);
                }
            }
        }
        unwanted
    }

    /// A block of an object came.
    pub fn moved(&mut self, now: Instant, id: ContentId, bytes: u64) {
        for fetch in self.by_object.get(&id).into_iter().flatten() {
            if let Some(fetch) = self.fetches.get_mut(fetch) {
                fetch.done = fetch.done.saturating_add(bytes).min(fetch.total);
                (fetch.moved, fetch.stalled_at, fetch.news) = (now, None, true);
            }
        }
    }

    /// Some of an object was there from earlier. No source brought it, so it
    /// does not count as moving.
    pub fn found(&mut self, id: ContentId, bytes: u64) {
        for fetch in self.by_object.get(&id).into_iter().flatten() {
            if let Some(fetch) = self.fetches.get_mut(fetch) {
                fetch.done = fetch.done.saturating_add(bytes).min(fetch.total);
            }
        }
    }

    /// What was there of an object was thrown away.
    pub fn lost(&mut self, id: ContentId, bytes: u64) {
        for fetch in self.by_object.get(&id).into_iter().flatten() {
            if let Some(fetch) = self.fetches.get_mut(fetch) {
                fetch.done = fetch.done.saturating_sub(bytes);
                fetch.news = true;
            }
        }
    }

    /// An object is whole; returns the fetches that should have it.
    pub fn complete(&mut self, now: Instant, id: ContentId) -> Vec<FetchId> {
        let wanting = self.by_object.remove(&id).unwrap_or_default();
        for number in &wanting {
            let Some(fetch) = self.fetches.get_mut(number) else { continue };
            fetch.missing.remove(&id);
            (fetch.moved, fetch.stalled_at, fetch.news) = (now, None, true);
            if fetch.missing.is_empty() {
                self.fetches.remove(number);
                self.out.push_back((*number, Report::Finished));
            }
        }
        wanting
    }

    /// The next report.
    pub fn poll(&mut self, now: Instant) -> Option<(FetchId, Report)> {
        if let Some(report) = self.out.pop_front() {
            return Some(report);
        }
        for (number, fetch) in &mut self.fetches {
            if fetch.news && fetch.reported.is_none_or(|at| now >= at + PROGRESS_EVERY) {
                (fetch.news, fetch.reported) = (false, Some(now));
                return Some((*number, Report::Progress { done: fetch.done, total: fetch.total }));
            }
            if now >= fetch.stalls_at() {
                fetch.stalled_at = Some(now);
                let missing = fetch.missing.iter().copied().collect();
                return Some((*number, Report::Stalled { missing }));
            }
        }
        None
    }

    /// When `poll` should be called even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let fetches = self.fetches.values();
        fetches
            .flat_map(|fetch| {
                let news = fetch.news.then(|| fetch.reported.map(|at| at + PROGRESS_EVERY));
                [Some(fetch.stalls_at()), news.flatten()]
            })
            .flatten()
            .min()
    }
}

impl Fetch {
    fn stalls_at(&self) -> Instant {
        match self.stalled_at {
            Some(at) => at + STALLED_AGAIN,
            None => self.moved + STALLED_AFTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn object(n: u8) -> (ContentId, ObjectSize) {
        (ContentId::from([n; 32]), ObjectSize::new(100).unwrap())
    }

    #[test]
    fn an_object_goes_to_every_fetch_that_wants_it() {
        let now = epoch();
        let mut fetches = Fetches::default();
        fetches.begin(now, FetchId(1), &[object(1), object(1)]);
        fetches.begin(now, FetchId(2), &[object(1), object(2)]);
        assert_eq!(fetches.complete(now, object(1).0), [FetchId(1), FetchId(2)]);
        assert_eq!(fetches.poll(now), Some((FetchId(1), Report::Finished)));
        assert!(fetches.complete(now, object(1).0).is_empty());
        assert_eq!(fetches.cancel(FetchId(2)), [object(2).0]);
        assert_eq!(fetches.next_deadline(), None);
    }

    #[test]
    fn an_object_that_another_fetch_wants_survives_a_cancel() {
        let now = epoch();
        let mut fetches = Fetches::default();
        fetches.begin(now, FetchId(1), &[object(1)]);
        fetches.begin(now, FetchId(2), &[object(1)]);
        assert!(fetches.cancel(FetchId(1)).is_empty());
        assert_eq!(fetches.cancel(FetchId(2)), [object(1).0]);
    }

    #[test]
    fn a_fetch_that_gets_nothing_is_stalled_and_told_again_later() {
        let mut now = epoch();
        let mut fetches = Fetches::default();
        fetches.begin(now, FetchId(1), &[object(1)]);
        assert_eq!(fetches.poll(now), None);
        now += STALLED_AFTER;
        assert_eq!(fetches.next_deadline(), Some(now));
        let stalled = Some((FetchId(1), Report::Stalled { missing: vec![object(1).0] }));
        assert_eq!(fetches.poll(now), stalled);
        assert_eq!(fetches.poll(now), None);
        now += STALLED_AGAIN;
        assert_eq!(fetches.poll(now), stalled);
        fetches.moved(now, object(1).0, 10);
        assert_eq!(
            fetches.poll(now),
            Some((FetchId(1), Report::Progress { done: 10, total: 100 }))
        );
        assert_eq!(fetches.next_deadline(), Some(now + STALLED_AFTER));
    }

    #[test]
    fn an_empty_fetch_is_finished_at_once() {
        let mut fetches = Fetches::default();
        fetches.begin(epoch(), FetchId(1), &[]);
        assert_eq!(fetches.poll(epoch()), Some((FetchId(1), Report::Finished)));
    }
}
