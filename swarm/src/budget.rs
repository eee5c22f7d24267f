//! A rate that is kept on average: a token bucket.
//!
//! Bytes are spent after the fact, so that the bucket may go into debt by one
//! block; it then waits until the debt is paid.

use std::time::{Duration, Instant};

/// Bytes that may be spent at once after a pause, in time at the full rate.
const BURST: Duration = Duration::from_millis(50);

/// A debt from a time of higher rates is forgiven beyond this.
const LONGEST_DEBT: Duration = Duration::from_secs(5);

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

    /// Keeps to another rate from now on. Debt stays as many bytes as it was.
    pub fn set_rate(&mut self, now: Instant, bytes_per_second: Option<u64>) {
        if self.rate == bytes_per_second {
            return;
        }
        let debt = self.paid_until.map(|at| at.saturating_duration_since(now));
        let rate = bytes_per_second.filter(|rate| *rate > 0);
        self.paid_until = match (debt, self.rate.filter(|rate| *rate > 0), rate) {
            (Some(debt), Some(old), Some(new)) => {
                Some(now + debt.mul_f64(old as f64 / new as f64).min(LONGEST_DEBT))
            }
            (Some(_), None, Some(_)) => Some(now),
            _ => None,
        };
        self.rate = bytes_per_second;
    }

    /// The bytes a second that are kept to; `None` is without limit.
    #[must_use]
    pub const fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// Whether bytes may be spent now.
    #[must_use]
    pub fn has_room(&self, now: Instant) -> bool {
        !self.is_closed() && self.waits_until(now).is_none()
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
    fn a_debt_is_paid_at_the_new_rate_and_a_closed_budget_opens_again() {
        let now = epoch();
        let mut budget = Budget::new(Some(1_000_000));
        budget.spend(now, 150_000);
        assert_eq!(budget.waits_until(now), Some(now + Duration::from_millis(100)));
        budget.set_rate(now, Some(100_000));
        assert_eq!(budget.waits_until(now), Some(now + Duration::from_secs(1)));
        // What was owed at a hundred times the rate is not owed for ever.
        budget.set_rate(now, Some(1_000));
        assert_eq!(budget.waits_until(now), Some(now + LONGEST_DEBT));
        budget.set_rate(now, Some(0));
        assert!(budget.is_closed() && !budget.has_room(now));
        budget.set_rate(now, None);
        assert!(budget.has_room(now) && !budget.is_limited());
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
