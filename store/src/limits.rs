//! How large and how many the things on disk may be.

use std::time::Duration;

/// Longest private key file, in bytes.
pub const KEY_FILE_BYTES: u64 = 16 << 10;

/// Longest object, in bytes: a manifest; pieces and deltas are far shorter.
pub const OBJECT_BYTES: u64 = 64 << 20;

/// Bytes of a block of an object, the unit in which peers send them.
pub const BLOCK_BYTES: u64 = 32 << 10;

/// Most files that broke off and are kept.
pub const HEADS: usize = 64;

/// Longest metadata file in the trusted directory or a repository, in bytes.
pub const METADATA_BYTES: u64 = 8 << 20;

/// Most files in a trusted directory.
pub const TRUSTED_FILES: usize = 4096;

/// Longest target file of a repository, in bytes.
pub const TARGET_BYTES: u64 = 64 << 20;

/// Most entries of a tree.
pub const TREE_ENTRIES: usize = 1 << 20;

/// Deepest directory of a tree.
pub const TREE_DEPTH: usize = 128;

/// Largest zstd window, as a power of two: 1 MiB.
pub const FRAME_WINDOW_LOG: u32 = 20;

/// Most unknown paths that an inspection lists.
pub const EXTRA_PATHS: usize = 1000;

/// Longest state file of an agent, in bytes.
pub const STATE_BYTES: u64 = 16 << 20;

/// Longest audit log that is read whole, in bytes.
pub const LOG_BYTES: u64 = 64 << 20;

/// Longest line of an audit log, in bytes, without its newline.
pub const LOG_LINE_BYTES: usize = 64 << 10;

/// Longest checkpoint file, in bytes.
pub const CHECKPOINT_BYTES: u64 = 64 << 10;

/// Memory that opening an encrypted key may take.
pub const SCRYPT_BYTES: u64 = 256 << 20;

/// Memory of a process that takes streams apart: the plain text of one, what
/// reconstructs it, which is twelve times as much, and the program itself.
pub const APART_MEMORY_BYTES: u64 = 1 << 30;

/// Shorter plain texts are given as much time as one of this length, in bytes.
pub const LEAST_WORTH_BYTES: u64 = 16 << 10;

/// Processor time for each mebibyte of plain text while a patch is made.
pub const PATIENCE_MAKING: Duration = Duration::from_secs(1);

/// The same while one is followed.
pub const PATIENCE_FOLLOWING: Duration = Duration::from_secs(4);
