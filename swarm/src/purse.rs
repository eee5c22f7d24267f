//! Two budgets for one direction: one for everybody, and within it one for
//! those beyond the local network.

use std::time::Instant;

use crate::budget::Budget;

/// What may be spent in one direction.
#[derive(Debug, Clone)]
pub struct Purse {
    all: Budget,
    far: Budget,
}

impl Purse {
    /// At most so many bytes a second with everybody.
    #[must_use]
    pub const fn new(all: Option<u64>) -> Self {
        Self { all: Budget::new(all), far: Budget::new(None) }
    }

    /// Keeps to other rates from now on, with everybody and with those far
    /// away; `None` is without limit, zero is nothing.
    pub fn set_rates(&mut self, now: Instant, all: Option<u64>, far: Option<u64>) {
        self.all.set_rate(now, all);
        self.far.set_rate(now, far);
    }

    /// The bytes a second that may be spent on everybody.
    #[must_use]
    pub const fn rate_of_all(&self) -> Option<u64> {
        self.all.rate()
    }

    /// Whether anything may be spent on anybody now.
    #[must_use]
    pub fn has_any_room(&self, now: Instant) -> bool {
        self.all.has_room(now)
    }

    /// Whether anything may be spent on a peer now.
    #[must_use]
    pub fn has_room(&self, now: Instant, near: bool) -> bool {
        self.all.has_room(now) && (near || self.far.has_room(now))
    }

    /// When something may be spent on a peer again; `None` if now, or only
    /// once the rates are others.
    #[must_use]
    pub fn waits_until(&self, now: Instant, near: bool) -> Option<Instant> {
        if self.is_closed(near) {
            return None;
        }
        let far = if near { None } else { self.far.waits_until(now) };
        self.all.waits_until(now).max(far)
    }

    /// Whether nothing is ever spent on a peer, at these rates.
    #[must_use]
    pub const fn is_closed(&self, near: bool) -> bool {
        self.all.is_closed() || (!near && self.far.is_closed())
    }

    /// Whether there is a limit for a peer at all.
    #[must_use]
    pub const fn is_limited(&self, near: bool) -> bool {
        self.all.is_limited() || (!near && self.far.is_limited())
    }

    /// Takes note of bytes spent on a peer.
    pub fn spend(&mut self, now: Instant, near: bool, bytes: u64) {
        self.all.spend(now, bytes);
        if !near {
            self.far.spend(now, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::epoch;

    #[test]
    fn what_is_spent_nearby_leaves_the_far_budget_alone() {
        let now = epoch();
        let mut purse = Purse::new(None);
        purse.set_rates(now, None, Some(100_000));
        purse.spend(now, true, 10_000_000);
        assert!(purse.has_room(now, false) && !purse.is_limited(true));
        purse.spend(now, false, 105_000);
        assert!(purse.has_room(now, true) && !purse.has_room(now, false));
        assert_eq!(purse.waits_until(now, false), Some(now + Duration::from_secs(1)));
        assert_eq!(purse.waits_until(now, true), None);
    }

    #[test]
    fn what_is_spent_far_away_counts_in_the_budget_for_all() {
        let now = epoch();
        let mut purse = Purse::new(Some(100_000));
        purse.spend(now, false, 105_000);
        assert!(!purse.has_room(now, true) && !purse.has_any_room(now));
        purse.set_rates(now, None, Some(0));
        assert!(purse.is_closed(false) && !purse.is_closed(true));
        assert_eq!(purse.waits_until(now, false), None);
    }
}
