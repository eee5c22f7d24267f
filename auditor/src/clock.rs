//! The one place where the auditor reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use manifest::time::UnixTime;

/// What the system's clock says now; before 1970 counts as 1970.
#[must_use]
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_seconds(since.as_secs())
}
