//! How large what is opened may be.
//!
//! Whoever opens keeps to these; whoever closes refuses what exceeds them
//! before memory is taken.

/// A file that is opened, in bytes.
pub const FILE_BYTES: u64 = 64 << 20;

/// A view: the file with the plain text in place of its streams.
pub const VIEW_BYTES: u64 = 64 << 20;

/// The plain text of a stream that is closed again. What reconstructs streams
/// holds some twelve bytes for each byte of it, at worst.
pub const PLAIN_BYTES: u64 = 16 << 20;

/// Corrections of one stream, in bytes.
pub const CORRECTIONS_BYTES: u64 = 1 << 20;

/// A stream that is made, in bytes: a little more than a file may have.
pub const STREAM_BYTES: u64 = FILE_BYTES + (1 << 20);

/// Streams of one file.
pub const STREAMS: usize = 65_536;

/// What entries of a zip file that turn out to be no streams may announce, all
/// together, packed and plain, before no more are looked at.
pub const VAIN_BYTES: u64 = 128 << 20;

/// A list of hashes, in bytes.
pub const LIST_BYTES: u64 = 16 << 20;

/// How many directories above its own the paths of a list begin.
pub const LIST_ABOVE: u64 = 64;

/// Files whose recipes stand together.
pub const RECIPES: usize = 65_536;

/// Recipes that stand together, in bytes.
pub const RECIPES_BYTES: u64 = 64 << 20;

/// Streams shorter than this stay closed: their corrections alone would
/// outweigh them.
pub const SHORTEST_STREAM: usize = 64;
