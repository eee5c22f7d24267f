//! How large the parts of a delta may be.
//!
//! An encoder keeps to these, a decoder refuses what exceeds them before it
//! takes memory. Together they hold a worker that applies deltas of 1 MiB
//! pieces under 16 MiB: 8 of prefix, 1 of result, at most 1 each of control,
//! difference, extra and packed stream, and the decompressor's own.

/// The sources one delta may name.
pub const MAX_SOURCES: usize = 16;

/// The bytes one delta may make.
pub const MAX_TARGET_BYTES: u64 = 64 << 20;

/// The old bytes gathered as a prefix for the decompressor.
pub const MAX_PREFIX_BYTES: usize = 8 << 20;

/// The unpacked list of ranges from which a prefix is gathered.
pub const MAX_RANGES_BYTES: usize = 64 << 10;

/// The bytes over which one suffix array is built.
pub const MAX_WINDOW_BYTES: usize = 1 << 30;

/// How much longer than its target a delta may be: its header and, at worst,
/// the target as it is.
pub const MAX_OVERHEAD_BYTES: u64 = 1024;

/// The segments that a target of `target_len` bytes may be made of.
///
/// Each costs a read of a source: without a bound a delta of 1-byte segments
/// would turn 1 MiB into a million reads.
#[must_use]
pub const fn max_segments(target_len: u64) -> u64 {
    target_len / 32 + 16
}
