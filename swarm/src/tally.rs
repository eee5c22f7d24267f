//! How often each peer does what costs us something, whatever comes of it.
//!
//! Counts within a window of time, and forgets all of it when the next one
//! begins. Decides nothing: whoever counts knows how much is too much.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::limits::MAX_RECORDS;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// A question on any topic.
    Question,
    /// A question whose end did not come.
    Unfinished,
    /// An announcement that told nothing new.
    Announcement,
    /// A circuit asked for.
    Circuit,
}

/// The counts of one window.
#[derive(Debug)]
pub struct Tally {
    window: Duration,
    began: Instant,
    counts: HashMap<(PeerId, Deed), u32>,
}

impl Tally {
    /// Nothing counted yet, in windows of this length.
    #[must_use]
    pub fn new(now: Instant, window: Duration) -> Self {
        Self { window, began: now, counts: HashMap::new() }
    }

    /// Counts one more; how many those are in this window.
    pub fn note(&mut self, now: Instant, peer: PeerId, deed: Deed) -> u32 {
        if now.saturating_duration_since(self.began) >= self.window {
            self.began = now;
            self.counts.clear();
        }
        // More peers than can be connected come in no window; if they do, those
        // that are counted already still are.
        let full = self.counts.len() >= MAX_RECORDS && !self.counts.contains_key(&(peer, deed));
        if full {
            return 1;
        }
        let count = self.counts.entry((peer, deed)).or_default();
        *count = count.saturating_add(1);
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn each_peer_and_deed_is_counted_by_itself_and_forgotten_in_time() {
        let now = epoch();
        let mut tally = Tally::new(now, MINUTE);
        let [a, b] = [PeerId::random(), PeerId::random()];
        assert_eq!(tally.note(now, a, Deed::Question), 1);
        assert_eq!(tally.note(now + MINUTE / 2, a, Deed::Question), 2);
        assert_eq!(tally.note(now, a, Deed::Circuit), 1);
        assert_eq!(tally.note(now, b, Deed::Question), 1);
        assert_eq!(tally.note(now + MINUTE, a, Deed::Question), 1);
    }

    #[test]
    fn counts_stay_bounded() {
        let now = epoch();
        let mut tally = Tally::new(now, MINUTE);
        let known = PeerId::random();
        tally.note(now, known, Deed::Question);
        for _ in 0..2 * MAX_RECORDS {
            assert_eq!(tally.note(now, PeerId::random(), Deed::Question), 1);
        }
        assert!(tally.counts.len() <= MAX_RECORDS);
        assert_eq!(tally.note(now, known, Deed::Question), 2);
    }
}
