//! What tests of this and higher floors share: a peer that says whatever it is
//! told to, and one that lies; for the machines a beginning of time, seeds, bytes.

pub mod liar;
pub mod raw;
pub mod tape;

use std::time::{Instant, SystemTime};

use manifest::admission::credential::Role;
use manifest::admission::installation::InstallationId;
use manifest::admission::ticket::Ticket;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::key::SigningKey;
use manifest::time::UnixTime;
use manifest::trust::trusted::TrustedSet;

use crate::dice::Dice;
use crate::options::Options;

/// Some instant to count from. Machines are handed times, they read no clock;
/// std makes an `Instant` in no other way.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests need one instant to count from")]
pub fn epoch() -> Instant {
    Instant::now()
}

/// The time of day, for credentials.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "credentials are dated")]
pub fn unix_now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixTime::from_seconds(since.unwrap_or_default().as_secs())
}

/// Joins installation number `who` with a ticket, at `now`: what it needs to
/// come, and its name.
///
/// # Panics
/// If the ticket holds no more, or never did.
#[must_use]
pub fn join(ticket: &Ticket, who: u64, now: UnixTime) -> (Options, InstallationId) {
    let root = TrustedSet::from_root(&ticket.root).expect("a ticket holds a root");
    let trust = WorkgroupTrust::of(ticket.workgroup(), &root).expect("it names its keys");
    let key = |kind: u64| {
        let mut seed = [0xBA; 32];
        seed[..8].copy_from_slice(&(2 * who + kind).to_be_bytes());
        SigningKey::from_seed(&seed)
    };
    let (peer_key, log_key) = (key(0), key(1));
    let chain = ticket.admit(&trust, Role::Member, &log_key, &peer_key, now);
    let chain = chain.expect("the ticket is good").encode().expect("it is short");
    (Options::new(peer_key, chain, trust), InstallationId::of(&log_key.public()))
}

/// The seed of a randomised test: `SEED` from the environment, or `otherwise`.
/// Printed, so that a failure can be repeated.
#[expect(clippy::disallowed_methods, reason = "seeds come from outside")]
#[must_use]
pub fn seed(otherwise: u64) -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(otherwise);
    println!("seed {seed}");
    seed
}

/// Bytes that do not compress.
#[must_use]
pub fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| dice.roll().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}
