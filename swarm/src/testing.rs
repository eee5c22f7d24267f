//! What the tests of the machines share: a beginning of time, seeds, bytes.

use std::time::Instant;

use crate::dice::Dice;

/// Some instant to count from. Machines are handed times, they read no clock;
/// std makes an `Instant` in no other way.
#[expect(clippy::disallowed_methods, reason = "tests need one instant to count from")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// The seed of a randomised test: `SEED` from the environment, or `otherwise`.
/// Printed, so that a failure can be repeated.
#[expect(clippy::disallowed_methods, reason = "seeds come from outside")]
pub(crate) fn seed(otherwise: u64) -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(otherwise);
    println!("seed {seed}");
    seed
}

/// Bytes that do not compress.
pub(crate) fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| dice.roll().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}
