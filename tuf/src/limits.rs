//! How long a repository may keep a client waiting. How much it may send is
//! said by `manifest::trust::limits` and by the metadata.

use std::time::Duration;

/// How long a repository may take to accept a connection.
pub const CONNECT: Duration = Duration::from_secs(10);

/// How long a repository may send nothing.
pub const SILENCE: Duration = Duration::from_secs(20);

/// How long a file may take beside its bytes.
pub const GRACE: Duration = Duration::from_secs(60);

/// Bytes a second below which a repository is given up, once the grace is over.
pub const SLOWEST: u64 = 4096;

/// How long another process may hold the metadata directory.
pub const LOCK: Duration = Duration::from_secs(60);

/// Bytes of a file's name that Linux allows.
pub const FILE_NAME_BYTES: usize = 255;

/// Addresses at which one target is looked for.
pub const ADDRESSES: usize = 12;
