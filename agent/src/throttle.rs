//! How fast bytes come from mirrors: counted, and held back where the line is
//! somebody else's.
//!
//! Who reads slowly is sent slowly: what is not read fills the receive buffer,
//! and the sender waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use swarm::budget::Budget;

/// How long a reader sleeps before it looks whether it may read faster.
const NAP: Duration = Duration::from_millis(500);

/// The pace of all mirrors together.
#[derive(Debug)]
pub struct Throttle {
    received: AtomicU64,
    budget: Mutex<Budget>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { received: AtomicU64::new(0), budget: Mutex::new(Budget::new(None)) }
    }
}

impl Throttle {
    /// Bytes that came since the start.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Reads no more than so many bytes a second from now on.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.budget().set_rate(Instant::now(), rate);
    }

    /// Takes note of bytes that came, and waits until more may.
    pub async fn take(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.budget().spend(Instant::now(), bytes as u64);
        loop {
            let now = Instant::now();
            let until = {
                let budget = self.budget();
                if budget.has_room(now) {
                    return;
                }
                budget.waits_until(now).unwrap_or(now + NAP)
            };
            tokio::time::sleep_until(until.min(now + NAP).into()).await;
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_counted_and_come_no_faster_than_they_may() {
        let throttle = Throttle::default();
        throttle.take(1_000_000).await;
        throttle.set_rate(Some(100_000));
        let begun = Instant::now();
        for _ in 0..5 {
            throttle.take(5_000).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
        assert_eq!(throttle.received(), 1_025_000);
    }
}
