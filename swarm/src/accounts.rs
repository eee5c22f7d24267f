//! What was exchanged with each peer, and how fast of late.

use std::collections::HashMap;
use std::time::Instant;

use manifest::key::PublicKey;

use crate::speed::Speed;

/// The bytes exchanged with one peer on all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Frames of `pieces/1` that came.
    pub bytes_in: u64,
    /// Frames of `pieces/1` that went out.
    pub bytes_out: u64,
}

#[derive(Debug, Default)]
struct Ledger {
    account: Account,
    speed_in: Speed,
    speed_out: Speed,
}

impl Ledger {
    fn pace(&self, now: Instant) -> (u64, u64) {
        (self.speed_in.rate(now), self.speed_out.rate(now))
    }
}

/// One account for each peer that was met.
#[derive(Debug, Default)]
pub struct Accounts(HashMap<PublicKey, Ledger>);

impl Accounts {
    /// Takes note of bytes that came.
    pub fn came(&mut self, now: Instant, peer: PublicKey, bytes: usize) {
        let ledger = self.0.entry(peer).or_default();
        ledger.account.bytes_in += bytes as u64;
        ledger.speed_in.add(now, bytes as u64);
    }

    /// Takes note of bytes that went out.
    pub fn went(&mut self, now: Instant, peer: PublicKey, bytes: usize) {
        let ledger = self.0.entry(peer).or_default();
        ledger.account.bytes_out += bytes as u64;
        ledger.speed_out.add(now, bytes as u64);
    }

    /// What was exchanged with a peer.
    #[must_use]
    pub fn of(&self, peer: &PublicKey) -> Account {
        self.0.get(peer).map(|ledger| ledger.account).unwrap_or_default()
    }

    /// What is exchanged with a peer of late: bytes a second that come, and
    /// that go out.
    #[must_use]
    pub fn pace(&self, now: Instant, peer: &PublicKey) -> (u64, u64) {
        self.0.get(peer).map(|ledger| ledger.pace(now)).unwrap_or_default()
    }

    /// The same with everybody.
    #[must_use]
    pub fn pace_of_all(&self, now: Instant) -> (u64, u64) {
        self.0.values().fold((0, 0), |(down, up), ledger| {
            let pace = ledger.pace(now);
            (down + pace.0, up + pace.1)
        })
    }
}
