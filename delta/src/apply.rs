//! Makes a piece from old bytes and a delta that anyone may have written.
//!
//! Promises at most `max_len` bytes, under 16 MiB of memory for a piece of
//! 1 MiB whatever the delta says, and no result but the one its header names.

use crate::body::{self, BodyError};
use crate::format::{Codec, Delta, FormatError, Mark, mark};
use crate::old::{Old, OldError};
use crate::read_at::ReadAt;

/// Why a delta did not make its target.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It is not a delta, or one beyond the limits.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It makes more than the caller takes.
    #[error("the delta makes {declared} bytes, at most {max_len} are wanted")]
    TooLong {
        /// The length it declares.
        declared: u64,
        /// The most the caller takes.
        max_len: u64,
    },
    /// Its sources are not to be had.
    #[error(transparent)]
    Old(#[from] OldError),
    /// Its body is not sound.
    #[error(transparent)]
    Body(BodyError),
    /// It holds another number of bytes than it declares.
    #[error("the delta holds {found} bytes and declares {declared}")]
    Length {
        /// The length it declares.
        declared: u64,
        /// How many it holds.
        found: u64,
    },
    /// It made other bytes than it names: a source was changed, or the delta is false.
    #[error(
        "the delta made {found:02x?}, expected was {expected:02x?}: a source or the delta was changed"
    )]
    WrongResult {
        /// The mark that the delta names.
        expected: Mark,
        /// The mark of what it made.
        found: Mark,
    },
}

impl From<BodyError> for ApplyError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Old(error) => Self::Old(error),
            other => Self::Body(other),
        }
    }
}

/// Makes the target of `delta` from the `sources` it was made from, in their order.
///
/// `out` is replaced by the result, at most `max_len` bytes; it is empty after
/// an error. Beside `out`, memory stays under 16 MiB for targets of at most
/// 1 MiB, whatever the delta says, and under 10 MiB and four times the target for
/// larger ones.
///
/// # Errors
/// `TooLong`, before anything is read, if the result would exceed `max_len`.
/// `WrongResult` or that of its body if a source has other bytes than the
/// delta was made from.
pub fn apply(
    delta: &[u8],
    sources: &[&dyn ReadAt],
    max_len: u64,
    out: &mut Vec<u8>,
) -> Result<(), ApplyError> {
    out.clear();
    let made = make(delta, sources, max_len, out);
    if made.is_err() {
        out.clear();
    }
    made
}

fn make(
    delta: &[u8],
    sources: &[&dyn ReadAt],
    max_len: u64,
    out: &mut Vec<u8>,
) -> Result<(), ApplyError> {
    let delta = Delta::parse(delta)?;
    let declared = delta.header.target_len;
    if declared > max_len {
        return Err(ApplyError::TooLong { declared, max_len });
    }
    let old = Old::new(&delta.header, sources)?;
    // A target is at most `MAX_TARGET_BYTES` long, which fits memory.
    let target_len = declared as usize;
    match delta.codec {
        Codec::Whole => {
            if delta.body.len() != target_len {
                let found = delta.body.len() as u64;
                return Err(ApplyError::Length { declared, found });
            }
            out.extend_from_slice(delta.body);
        }
        Codec::Coded { bare } => body::read(delta.body, bare, &old, target_len, out)?,
    }
    let expected = delta.header.target_mark;
    let found = mark(&blake3::hash(out));
    if found != expected {
        return Err(ApplyError::WrongResult { expected, found });
    }
    Ok(())
}
