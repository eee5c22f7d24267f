//! How much the agent takes from others, holds and remembers.

use std::time::Duration;

/// Releases that are remembered as bad.
pub const BAD_RELEASES: usize = 64;

/// Restarts in the midst of one update before it is given up: an update that
/// brings the agent or the machine down must not do so for ever.
pub const RESUMES: u32 = 20;

/// Restarts while a new release is being probed before it is left: what brings
/// the machine down is not well.
pub const PROBE_RESUMES: u32 = 3;

/// Failed attempts at a switch before what ran before is restored.
pub const SWITCH_TRIES: u32 = 5;

/// The first wait after a failure; it doubles from there.
pub const FIRST_RETRY: Duration = Duration::from_secs(5);

/// The longest wait after a failure.
pub const LAST_RETRY: Duration = Duration::from_secs(3600);

/// Bytes of a configuration file.
pub const CONFIG_BYTES: u64 = 64 << 10;
