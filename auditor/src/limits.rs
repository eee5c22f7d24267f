//! Bounds on what the fleet can make the auditor do and keep.

use std::time::Duration;

/// Logs that are asked for at one time.
pub const READINGS: usize = 8;

/// The longest pause after readings of one log failed again and again.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// How often a whole log is read again: an entry changed on a machine's disk
/// under an old checkpoint shows only then.
pub const WHOLE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Findings kept for one installation; the first ones tell the most.
pub const FINDINGS: usize = 8;

/// Characters of a reason or a line shown to people.
pub const SHOWN_CHARS: usize = 400;

/// One of the auditor's own small files.
pub const NOTE_BYTES: u64 = 1024 * 1024;

/// Installations whose logs are kept.
pub const INSTALLATIONS: usize = 100_000;

/// How often the auditor signs itself a new credential; it lives for days.
pub const RENEW_EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// How often peers are asked for newer roots at most.
pub const ROOT_EVERY: Duration = Duration::from_secs(10 * 60);
