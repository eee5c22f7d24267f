//! When to look again: a period, and after failures longer and longer waits,
//! each with jitter so that a fleet does not ask all at once.

use std::time::Duration;

use crate::limits::{FIRST_RETRY, LAST_RETRY};

/// Waits that grow from a seed.
#[derive(Debug, Clone)]
pub struct Schedule {
    period: Duration,
    seed: u64,
    failures: u32,
}

impl Schedule {
    /// Waits of about `period`; the same `seed` gives the same waits.
    #[must_use]
    pub const fn new(period: Duration, seed: u64) -> Self {
        Self { period, seed, failures: 0 }
    }

    /// The wait after all went well: the period, give or take a sixth.
    pub fn after_success(&mut self) -> Duration {
        self.failures = 0;
        self.meanwhile()
    }

    /// The wait for a look beside something else, which may still fail.
    pub fn meanwhile(&mut self) -> Duration {
        self.period.mul_f64(5.0 / 6.0 + self.fraction() / 3.0)
    }

    /// The wait after a failure: doubling from [`FIRST_RETRY`], or from the
    /// period where that is shorter, up to [`LAST_RETRY`]; half of it is
    /// jitter.
    pub fn after_failure(&mut self) -> Duration {
        let first = FIRST_RETRY.min(self.period);
        let wait = first.saturating_mul(1 << self.failures.min(16)).min(LAST_RETRY);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(0.5 + self.fraction() / 2.0)
    }

    /// How many failures there were since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// The next number of SplitMix64, as a fraction below 1.
    fn fraction(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let high = u32::try_from((z ^ (z >> 31)) >> 32).expect("32 bits are left");
        f64::from(high) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_and_longer_up_to_a_bound() {
        for seed in 0..50 {
            let mut schedule = Schedule::new(Duration::from_secs(3600), seed);
            let waits: Vec<_> = (0..40).map(|_| schedule.after_failure()).collect();
            assert!(waits[0] >= FIRST_RETRY / 2 && waits[0] <= FIRST_RETRY, "seed {seed}");
            assert!(waits[39] >= LAST_RETRY / 2 && waits[39] <= LAST_RETRY, "seed {seed}");
            assert!(
                waits.windows(2).all(|w| w[1] > w[0] || w[1] > LAST_RETRY / 2 || w[1] * 4 > w[0])
            );
            schedule.after_success();
            assert!(schedule.after_failure() <= FIRST_RETRY, "seed {seed}");
        }
    }

    #[test]
    fn waits_differ_between_machines_and_repeat_for_a_seed() {
        let wait = |seed| Schedule::new(Duration::from_secs(600), seed).after_success();
        assert_eq!(wait(7), wait(7));
        assert_ne!(wait(7), wait(8));
        for seed in 0..100 {
            assert!((500..=700).contains(&wait(seed).as_secs()), "seed {seed}");
        }
    }
}
