//! Whether a release may be fetched now, as whoever fetches sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::leave::Leave;

/// What may move now, and whether what is wanted closes a hole.
#[derive(Debug, Clone)]
pub struct Permit {
    leave: watch::Receiver<Leave>,
    urgent: Arc<AtomicBool>,
}

impl Default for Permit {
    /// Everything may move, always.
    fn default() -> Self {
        Self::new(watch::channel(Leave::default()).1)
    }
}

impl Permit {
    /// A permit that follows what may move.
    #[must_use]
    pub fn new(leave: watch::Receiver<Leave>) -> Self {
        Self { leave, urgent: Arc::default() }
    }

    /// Says whether the release under way closes a hole.
    pub fn set_urgent(&self, urgent: bool) {
        self.urgent.store(urgent, Ordering::Relaxed);
    }

    /// Whether the release under way closes a hole.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed)
    }

    /// What may move now.
    #[must_use]
    pub fn leave(&self) -> Leave {
        self.leave.borrow().clone()
    }

    /// Whether the release under way may be fetched now.
    #[must_use]
    pub fn lets_fetch(&self) -> bool {
        self.leave.borrow().lets_fetch(self.is_urgent())
    }

    /// Waits until the release under way may be fetched.
    pub async fn granted(&self) {
        let mut leave = self.leave.clone();
        while !self.lets_fetch() {
            // Nobody says any more what may move: then it stays as it is.
            if leave.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leave::Moves;

    #[tokio::test]
    async fn whoever_fetches_waits_until_it_may() {
        let security = Leave { moves: Moves::Security, limit: None, why: Some("quiet".into()) };
        let (sender, leave) = watch::channel(security);
        let permit = Permit::new(leave);
        assert!(!permit.lets_fetch());
        permit.set_urgent(true);
        permit.granted().await;
        permit.set_urgent(false);
        let waiting = tokio::spawn({
            let permit = permit.clone();
            async move { permit.granted().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        sender.send_replace(Leave::default());
        waiting.await.unwrap();
    }
}
