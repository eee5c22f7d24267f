//! What came of a run, in numbers.

use std::time::Duration;

/// One member's part in it; the first is the vendor's seeder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// How long it was on from the publication until it had all of the update;
    /// nothing if it never had.
    pub took: Option<Duration>,
    /// What it sent since the publication.
    pub parcels: u64,
    /// See `parcels`; packet headers counted.
    pub bytes: u64,
    /// Of `bytes`, those of blocks, without packet headers.
    pub blocks: u64,
    /// The most peers it had at one time.
    pub peers: usize,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Bytes of the update.
    pub payload: usize,
    /// The seeder's part, and each member's.
    pub shares: Vec<Share>,
    /// Events that happened.
    pub events: u64,
    /// The least time in which so many lines could spread it.
    pub bound: Duration,
}

impl Outcome {
    /// How long each member took that has the update, the fastest first.
    #[must_use]
    pub fn took(&self) -> Vec<Duration> {
        let mut took: Vec<_> = self.shares[1..].iter().filter_map(|share| share.took).collect();
        took.sort_unstable();
        took
    }

    /// The time after which `percent` of all members have it, if so many do.
    #[must_use]
    pub fn after(&self, percent: usize) -> Option<Duration> {
        let took = self.took();
        let nth = ((self.shares.len() - 1) * percent).div_ceil(100).max(1);
        took.get(nth - 1).copied()
    }

    /// What the seeder sent, in payloads.
    #[must_use]
    pub fn egress(&self) -> f64 {
        self.shares[0].bytes as f64 / self.payload as f64
    }

    /// What of it was the update itself; the rest tells of members and news.
    #[must_use]
    pub fn egress_in_blocks(&self) -> f64 {
        self.shares[0].blocks as f64 / self.payload as f64
    }

    /// Median and highest of what members show.
    #[must_use]
    pub fn typical(&self, of: impl Fn(&Share) -> u64) -> (u64, u64) {
        let mut all: Vec<u64> = self.shares[1..].iter().map(of).collect();
        all.sort_unstable();
        (all[all.len() / 2], all[all.len() - 1])
    }
}

/// The seeder has to send the update once, and all uplinks together once to
/// each member.
pub(crate) fn bound(bytes: usize, up: &[u64]) -> Duration {
    let (bytes, members) = (bytes as f64, (up.len() - 1) as f64);
    let together: u64 = up.iter().sum();
    let once = bytes / up[0] as f64;
    Duration::from_secs_f64(once.max(bytes * members / together as f64))
}
