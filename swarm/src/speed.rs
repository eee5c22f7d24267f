//! How many bytes a second passed of late.

use std::time::{Duration, Instant};

/// Over about how long.
const SPAN: Duration = Duration::from_secs(2);

/// Bytes of this span and of the one before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speed {
    began: Option<Instant>,
    now: u64,
    before: u64,
}

impl Speed {
    /// Takes note of bytes that passed.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        self.turn(now);
        self.now = self.now.saturating_add(bytes);
    }

    /// The bytes a second of the last span and a little.
    #[must_use]
    pub fn rate(mut self, now: Instant) -> u64 {
        self.turn(now);
        let Some(began) = self.began else { return 0 };
        let spans = if self.before == 0 { 0.0 } else { SPAN.as_secs_f64() };
        let seconds = now.saturating_duration_since(began).as_secs_f64() + spans;
        let bytes = self.now.saturating_add(self.before);
        (bytes as f64 / seconds.max(1.0)) as u64
    }

    fn turn(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let passed = now.saturating_duration_since(began);
        if passed >= SPAN {
            self.before = if passed < SPAN * 2 { self.now } else { 0 };
            (self.began, self.now) = (Some(now), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    #[test]
    fn a_steady_flow_is_told_and_its_end_is_seen_within_two_spans() {
        let mut now = epoch();
        let mut speed = Speed::default();
        assert_eq!(speed.rate(now), 0);
        for _ in 0..100 {
            now += Duration::from_millis(100);
            speed.add(now, 10_000);
        }
        let rate = speed.rate(now);
        assert!((90_000..115_000).contains(&rate), "{rate}");
        assert!(speed.rate(now + SPAN) < rate);
        assert_eq!(speed.rate(now + SPAN * 3), 0);
    }
}
