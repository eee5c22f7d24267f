//! Runs what may panic, and says nothing of it.
//!
//! preflate-rs panics on corrections that it did not write. They are verified
//! before they get here, so that is a vendor's fault; it must neither end the
//! program nor fill its log.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// What `work` gives; `None` if it panicked.
///
/// Panics of other threads, and of this one outside of `work`, are told as
/// ever: the hook that was there is called for them.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                told(info);
            }
        }));
    });
    QUIET.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained() {
        assert_eq!(contained(|| 1), Some(1));
        let empty: Vec<u8> = Vec::new();
        assert_eq!(contained(|| empty[0]), None);
        assert!(!QUIET.get());
        assert_eq!(contained(|| 2), Some(2));
    }
}
