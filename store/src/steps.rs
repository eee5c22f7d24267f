//! The named steps of everything durable, at which a test may cut it short.
//!
//! A driver announces a step before it takes it. In production every step is
//! allowed; a test's watcher may refuse one, as if the power had failed there,
//! or write them down to hold their order.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::DiskError;

/// Who is told of a step before it is taken, and may refuse it.
type Watcher = dyn Fn(&'static str) -> io::Result<()> + Send + Sync;

/// Whether steps are taken freely or under a test's eyes.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<Watcher>>);

impl Steps {
    /// Every step is taken.
    #[must_use]
    pub const fn free() -> Self {
        Self(None)
    }

    /// `watcher` is told of each step before it is taken; where it fails, the
    /// step and all that would follow are not taken.
    pub fn watched(
        watcher: impl Fn(&'static str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(watcher)))
    }

    /// All steps until the first named `cut`, which fails and all after it:
    /// what a process killed there leaves on disk.
    #[must_use]
    pub fn until(cut: &'static str) -> Self {
        let dead = Mutex::new(false);
        Self::watched(move |step| {
            let mut dead = dead.lock().unwrap_or_else(PoisonError::into_inner);
            *dead |= step == cut;
            if *dead { Err(io::Error::other(format!("cut at {cut}"))) } else { Ok(()) }
        })
    }

    /// All steps, each written down; the second value reads the list.
    pub fn recorded() -> (Self, impl Fn() -> Vec<&'static str>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&seen);
        let steps = Self::watched(move |step| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(step);
            Ok(())
        });
        (steps, move || written.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Announces `step`.
    ///
    /// # Errors
    /// [`DiskError`] if a test cuts here.
    pub fn reach(&self, step: &'static str) -> Result<(), DiskError> {
        match &self.0 {
            None => Ok(()),
            Some(watcher) => {
                watcher(step).map_err(|error| DiskError::new("take step", step, error))
            }
        }
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Steps(watched)" } else { "Steps(free)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_after_a_cut() {
        let steps = Steps::until("b");
        assert!(steps.reach("a").is_ok());
        assert!(steps.reach("b").is_err());
        assert!(steps.reach("a").is_err());
    }
}
