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

/// The shortest time between two looks for releases.
pub const SHORTEST_POLL: Duration = Duration::from_millis(100);

/// Bytes of the file that keeps a credential with its issuer's statement.
pub const CREDENTIAL_FILE_BYTES: u64 = 16 << 10;

/// A credential is renewed when it has less than this left.
pub const RENEW_BEFORE: Duration = Duration::from_secs(10 * 86_400);

/// Peers whose bytes are told apart during one update.
pub const METERED_PEERS: usize = 1024;

/// Bytes of objects that were served just now and stay in memory.
pub const SERVED_BYTES: usize = 8 << 20;

/// Threads that make a release's bytes at once.
pub const ASSEMBLY_THREADS: usize = 4;
