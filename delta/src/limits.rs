//! How large the parts of a delta may be.
//!
//! An encoder keeps to these, a decoder refuses what exceeds them before it
//! takes memory. Together they hold a worker that applies deltas of 1 MiB
//! pieces under 16 MiB: 8 of gathered old bytes, 1 each of copied bytes and
//! target, 1 of copies, and what is learned of each kind of bytes.

/// The sources one delta may name.
pub const MAX_SOURCES: usize = 16;

/// How many deltas stand behind each other at most: one may read what another
/// makes, and that one what a third makes from old bytes alone.
pub const MAX_LEVEL: usize = 2;

/// The bytes one delta may make.
pub const MAX_TARGET_BYTES: u64 = 64 << 20;

/// The old bytes gathered around copies, for new ones to repeat.
pub const MAX_GATHERED_BYTES: usize = 8 << 20;

/// How far from a copy old bytes are gathered, at most.
pub const AROUND_BYTES: usize = MAX_GATHERED_BYTES / 2;

/// The zones that one delta may have.
pub const MAX_ZONES: usize = 64;

/// The bytes over which one suffix array is built.
pub const MAX_WINDOW_BYTES: usize = 1 << 30;

/// How much longer than its target a delta may be: its header and, at worst,
/// the target as it is.
pub const MAX_OVERHEAD_BYTES: u64 = 1024;

/// The copies that a target of `target_len` bytes may be made of.
///
/// Each costs a read of a source: without a bound a delta of 1-byte copies
/// would turn 1 MiB into a million reads.
#[must_use]
pub const fn max_copies(target_len: u64) -> u64 {
    target_len / 32 + 16
}
