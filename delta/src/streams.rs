//! A piece as old bytes, what to add to them, and new bytes between.
//!
//! Control holds, for each segment, how many new bytes come before it, how
//! far its shift lies from the last one's, and its length. The old bytes of
//! all segments, one behind the other, are then changed into the new ones.
//! New bytes between segments are extra; what is left of them comes last.

use crate::limits::max_segments;
use crate::segment::Segment;
use crate::varint::{self, BadVarint};

/// The streams of a difference delta, before they are packed.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) control: Vec<u8>,
    /// The old bytes of all segments.
    pub(crate) old: Vec<u8>,
    /// What they become.
    pub(crate) new: Vec<u8>,
    pub(crate) extra: Vec<u8>,
}

impl Streams {
    /// Splits `piece` along `segments`, whose old bytes stand in `old`.
    ///
    /// `address` tells where in the delta's sources a segment's old bytes stand.
    pub(crate) fn new(
        piece: &[u8],
        segments: &[Segment],
        old: &[u8],
        address: impl Fn(usize) -> u64,
    ) -> Self {
        let mut streams = Self::default();
        let (mut made, mut last_shift) = (0, 0);
        for segment in segments {
            let shift = address(segment.old) as i64 - segment.new as i64;
            varint::write(&mut streams.control, (segment.new - made) as u64);
            varint::write_signed(&mut streams.control, shift - last_shift);
            varint::write(&mut streams.control, segment.len as u64);
            streams.extra.extend_from_slice(&piece[made..segment.new]);
            streams.old.extend_from_slice(&old[segment.old..segment.old_end()]);
            streams.new.extend_from_slice(&piece[segment.new..segment.new_end()]);
            made = segment.new_end();
            last_shift = shift;
        }
        streams.extra.extend_from_slice(&piece[made..]);
        streams
    }

    /// What to add to the old bytes, each by itself, modulo 256.
    pub(crate) fn difference(&self) -> Vec<u8> {
        self.new.iter().zip(&self.old).map(|(new, old)| new.wrapping_sub(*old)).collect()
    }
}

/// Old bytes to take, checked against the lengths of the delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copy {
    /// How many new bytes come before.
    pub(crate) extra: usize,
    /// Where they stand in the delta's sources.
    pub(crate) address: u64,
    /// How many are taken.
    pub(crate) len: usize,
}

/// Control that leads outside the target or its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A number is not written as numbers are.
    #[error(transparent)]
    Number(#[from] BadVarint),
    /// More segments than a target of this length may have.
    #[error("the delta has more than {allowed} segments")]
    TooMany {
        /// How many are allowed.
        allowed: u64,
    },
    /// The segments are longer than the target.
    #[error("the segments of the delta are longer than its target of {target_len} bytes")]
    BeyondTarget {
        /// The length the delta declares.
        target_len: u64,
    },
    /// A segment reads outside the sources.
    #[error("a segment of the delta reads outside its sources of {sources_len} bytes")]
    BeyondSources {
        /// The bytes of all sources.
        sources_len: u64,
    },
}

/// Reads control of a target of `target_len` bytes from sources of `sources_len`.
///
/// The copies together with their extra bytes are no longer than the target.
pub(crate) fn read_control(
    mut bytes: &[u8],
    target_len: u64,
    sources_len: u64,
) -> Result<Vec<Copy>, ControlError> {
    let beyond_target = ControlError::BeyondTarget { target_len };
    let beyond_sources = ControlError::BeyondSources { sources_len };
    let allowed = max_segments(target_len);
    let mut copies = Vec::new();
    let (mut made, mut shift) = (0u64, 0i64);
    while !bytes.is_empty() {
        if copies.len() as u64 == allowed {
            return Err(ControlError::TooMany { allowed });
        }
        let extra = varint::read(&mut bytes)?;
        let turn = varint::read_signed(&mut bytes)?;
        let len = varint::read(&mut bytes)?;
        let new = made.checked_add(extra).ok_or(beyond_target)?;
        made = new.checked_add(len).filter(|end| *end <= target_len).ok_or(beyond_target)?;
        shift = shift.checked_add(turn).ok_or(beyond_sources)?;
        let address = new.checked_add_signed(shift).ok_or(beyond_sources)?;
        let inside = |end: &u64| *end <= sources_len;
        address.checked_add(len).filter(inside).ok_or(beyond_sources)?;
        // Both are at most `target_len`, which fits memory.
        copies.push(Copy { extra: extra as usize, address, len: len as usize });
    }
    Ok(copies)
}
