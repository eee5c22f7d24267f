//! A rate that is kept on average: a token bucket.
//!
//! Bytes are spent after the fact, so that the bucket may go into debt by one
//! block; it then waits until the debt is paid.

use std::time::{Duration, Instant};

/// Bytes that may be spent at once after a pause, in time at the full rate.
const BURST: Duration = Duration::from_millis(50);

/// A budget of bytes a second, or none.
#[derive(Debug, Clone)]
pub struct Budget {
    rate: Option<u64>,
    /// When the bucket will have been empty of debt, if nothing more is spent.
    paid_until: Option<Instant>,
}

impl Budget {
    /// At most `bytes_per_second` on average; `None` is without limit.
    #[must_use]
    pub const fn new(bytes_per_second: Option<u64>) -> Self {
        Self { rate: bytes_per_second, paid_until: None }
    }

    /// Whether nothing may ever be spent.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.rate, Some(0))
    }

    /// Whether there is a limit at all.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// Takes note of `bytes` spent at `now`.
    pub fn spend(&mut self, now: Instant, bytes: u64) {
        let Some(rate) = self.rate.filter(|rate| *rate > 0) else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let from = match self.paid_until {
            // What was saved up is never more than a burst.
            Some(at) => at.max(now.checked_sub(BURST).unwrap_or(now)),
            None => now.checked_sub(BURST).unwrap_or(now),
        };
        self.paid_until = Some(from + cost);
    }

    /// When bytes may be spent again; `None` if now.
    #[must_use]
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.paid_until.filter(|at| *at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    #[test]
    fn the_average_keeps_to_the_rate() {
        let start = epoch();
        let mut budget = Budget::new(Some(1_000_000));
        let (mut now, mut spent) = (start, 0_u64);
        while now < start + Duration::from_secs(10) {
            match budget.waits_until(now) {
                Some(at) => now = at,
                None => {
                    budget.spend(now, 32_768);
                    spent += 32_768;
                }
            }
        }
        assert!((9_900_000..10_150_000).contains(&spent), "{spent}");
    }

    #[test]
    fn a_pause_saves_up_no_more_than_a_burst() {
        let start = epoch();
        let mut budget = Budget::new(Some(1_000_000));
        budget.spend(start, 1);
        let later = start + Duration::from_secs(3_600);
        let mut spent = 0;
        while budget.waits_until(later).is_none() {
            budget.spend(later, 10_000);
            spent += 10_000;
        }
        assert!(spent <= 70_000, "{spent}");
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let now = epoch();
        let mut budget = Budget::new(None);
        budget.spend(now, u64::MAX);
        assert_eq!(budget.waits_until(now), None);
        assert!(Budget::new(Some(0)).is_closed());
    }
}
