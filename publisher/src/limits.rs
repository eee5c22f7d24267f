//! How much the publisher holds at once, and what it takes from strangers.

/// Pieces that are read before they are packed, 1 MiB each at most.
pub const PIECE_BATCH: usize = 64;

/// Old bytes that one encoder reads; it needs about six times as much memory.
pub const WINDOW_BYTES: u64 = 512 << 20;

/// New bytes that are held while their deltas are made.
pub const TARGET_BATCH_BYTES: u64 = 128 << 20;

/// An executable that is longer than a window, and yet held as a whole, so that
/// its references are foreseen, in bytes.
pub const WHOLE_EXECUTABLE_BYTES: u64 = 2 << 30;

/// A piece of a long file whose delta from one of its parts is no more than this
/// share of it is not made from the other parts as well.
pub const SETTLED_SHARE: usize = 256;

/// Small old files that deltas read together, in bytes.
pub const SOURCE_PACK_BYTES: u64 = 1 << 20;

/// Earlier releases that deltas may be made from.
pub const BASES: usize = 32;

/// Patches that stay offered for machines further behind: each costs every
/// machine some 300 bytes of metadata.
pub const CHAINED: usize = 4;

/// A JSON file of the home, in bytes.
pub const NOTE_BYTES: u64 = 16 << 20;

/// Unpacked objects that a seeder keeps at hand, in bytes.
pub const CACHE_BYTES: usize = 64 << 20;

/// Unpacked objects that a seeder keeps at hand.
pub const CACHE_OBJECTS: usize = 1024;

/// Bytes of a file that holds a passphrase.
pub const PASSPHRASE_BYTES: u64 = 4096;

/// How much of a file shows whether it may be opened, in bytes.
pub const HEAD_BYTES: u64 = 4096;
