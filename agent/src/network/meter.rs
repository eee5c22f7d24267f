//! Where the bytes of an update came from, counted as they come.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use manifest::audit::event::{PeerBytes, Traffic};
use manifest::key::PublicKey;

/// Counts bytes by source; shared by everything that fetches.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    origin: u64,
    peers: u64,
    mirror: u64,
    disk: u64,
    by_peer: BTreeMap<PublicKey, u64>,
}

impl Meter {
    fn with<R>(&self, change: impl FnOnce(&mut Counts) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `bytes` came from a peer; `is_origin` if it is one of the vendor's.
    pub fn add_peer(&self, peer: PublicKey, is_origin: bool, bytes: u64) {
        self.with(|counts| {
            let sum = if is_origin { &mut counts.origin } else { &mut counts.peers };
            *sum = sum.saturating_add(bytes);
            // A hostile crowd must not fill memory; the sums stay right.
            if counts.by_peer.len() < crate::limits::METERED_PEERS
                || counts.by_peer.contains_key(&peer)
            {
                let sent = counts.by_peer.entry(peer).or_default();
                *sent = sent.saturating_add(bytes);
            }
        });
    }

    /// `bytes` came from an HTTP mirror.
    pub fn add_mirror(&self, bytes: u64) {
        self.with(|counts| counts.mirror = counts.mirror.saturating_add(bytes));
    }

    /// `bytes` of the release are on this disk already.
    pub fn set_disk(&self, bytes: u64) {
        self.with(|counts| counts.disk = bytes);
    }

    /// Begins to count from nothing.
    pub fn reset(&self) {
        self.with(|counts| *counts = Counts::default());
    }

    /// What was counted since.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.with(|counts| {
            let by_peer = counts.by_peer.iter();
            let by_peer = by_peer.map(|(&peer, &bytes)| PeerBytes { peer, bytes }).collect();
            let Counts { origin, peers, mirror, disk, .. } = *counts;
            Traffic { origin, peers, mirror, disk, by_peer: Vec::new() }.with_peers(by_peer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_by_source_and_peer() {
        let meter = Meter::default();
        let key = |n| PublicKey::from_bytes([n; 32]);
        meter.add_peer(key(1), true, 10);
        meter.add_peer(key(2), false, 5);
        meter.add_peer(key(2), false, 5);
        meter.add_mirror(7);
        meter.set_disk(100);
        let traffic = meter.traffic();
        let sums = (traffic.origin, traffic.peers, traffic.mirror, traffic.disk);
        assert_eq!(sums, (10, 10, 7, 100));
        assert_eq!(traffic.by_peer.len(), 2);
        meter.reset();
        assert_eq!(meter.traffic(), Traffic::default());
    }
}
