//! The applier as the rest of the program reaches it: one question at a time,
//! on a thread where it may wait for the disk.

use std::sync::{Arc, Mutex, PoisonError};

use crate::applier::Applier;

/// A handle on the applier.
#[derive(Clone)]
pub struct Authority(Arc<Mutex<Applier>>);

impl Authority {
    /// A handle on `applier`.
    #[must_use]
    pub fn new(applier: Applier) -> Self {
        Self(Arc::new(Mutex::new(applier)))
    }

    /// Asks the applier something.
    ///
    /// # Panics
    /// If the question does.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Applier) -> R + Send + 'static,
    ) -> R {
        let applier = Arc::clone(&self.0);
        let answer = tokio::task::spawn_blocking(move || {
            question(&mut applier.lock().unwrap_or_else(PoisonError::into_inner))
        });
        answer.await.expect("a question to the applier does not panic")
    }

    /// Asks on a thread that may wait.
    pub fn ask_blocking<R>(&self, question: impl FnOnce(&mut Applier) -> R) -> R {
        question(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
