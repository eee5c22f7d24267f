//! How long a repository may keep a client waiting. How much it may send is
//! said by `manifest::trust::limits` and by the metadata.

use std::time::Duration;

use web::body::Patience;

/// How long a repository may keep a client waiting.
pub const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    silence: Duration::from_secs(20),
    grace: Duration::from_secs(60),
    slowest: 4096,
};

/// How long another process may hold the metadata directory.
pub const LOCK: Duration = Duration::from_secs(60);

/// Bytes of a file's name that Linux allows.
pub const FILE_NAME_BYTES: usize = 255;

/// Addresses at which one target is looked for.
pub const ADDRESSES: usize = 12;
