//! The first bytes of a delta object: what it makes, and from what.
//!
//! Described byte by byte in docs/delta.md. Every length is checked against
//! `limits` here; what the body holds is checked where it is read.

use crate::limits::{MAX_OVERHEAD_BYTES, MAX_SOURCES, MAX_TARGET_BYTES};
use crate::varint::{self, BadVarint};

/// The upper half of every delta object's first byte; the lower is its version.
const MAGIC: u8 = 0xd0;

/// The only version there is.
const VERSION: u8 = 5;

/// In the second byte: how many sources there are, and what else is so.
const SOURCES: u8 = 0x1f;
const CODED: u8 = 0x20;
const BARE: u8 = 0x40;
const FULL: u8 = 0x80;

/// What a full target has, as most have: then its length is not told.
const FULL_BYTES: u64 = 1 << 20;

/// The first bytes of a blake3.
///
/// Enough to notice a mistake. It protects from nobody: that is for whoever
/// names the delta and its result.
pub type Mark = [u8; 4];

/// The mark of what has this blake3.
pub(crate) fn mark(id: &blake3::Hash) -> Mark {
    let [a, b, c, d, ..] = *id.as_bytes();
    [a, b, c, d]
}

/// How a delta makes its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Its body is the target.
    Whole,
    /// From old bytes, corrections of them, and new bytes between.
    Coded {
        /// Whether some of the new bytes stand as they are.
        bare: bool,
    },
}

/// What a delta makes, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How many bytes the result has.
    pub target_len: u64,
    /// The mark of the result.
    pub target_mark: Mark,
    /// How many sources it reads, at most 16. Which, whoever has it must know.
    pub source_count: usize,
}

/// Bytes that are not a delta object, or one beyond the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It does not begin as a delta does.
    #[error("not a delta: it does not begin as one")]
    NotADelta,
    /// It is of a version this program does not know.
    #[error("delta of version {found}, known is {VERSION}")]
    UnknownVersion {
        /// The version it names.
        found: u8,
    },
    /// It is whole, and yet has bare bytes or sources.
    #[error("the delta is whole and says how it is coded")]
    Contradiction,
    /// It ends before it is complete.
    #[error("the delta is cut short")]
    CutShort,
    /// A number is not written as numbers are.
    #[error(transparent)]
    Number(#[from] BadVarint),
    /// It declares more than any delta may make.
    #[error("the delta declares {declared} bytes, at most {MAX_TARGET_BYTES} are allowed")]
    TargetTooLong {
        /// The length it declares.
        declared: u64,
    },
    /// It is longer than what it makes could need.
    #[error("the delta has {found} bytes for a target of {target_len}")]
    DeltaTooLong {
        /// Its own length.
        found: u64,
        /// The length it declares for its target.
        target_len: u64,
    },
    /// It names more sources than a delta may.
    #[error("the delta names {declared} sources, at most {MAX_SOURCES} are allowed")]
    TooManySources {
        /// The number it declares.
        declared: usize,
    },
}

/// A delta object, its body not yet read.
#[derive(Debug)]
pub(crate) struct Delta<'a> {
    pub(crate) codec: Codec,
    pub(crate) header: Header,
    pub(crate) body: &'a [u8],
}

impl<'a> Delta<'a> {
    /// Reads the first bytes of a delta object.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut rest = bytes;
        let [first] = take(&mut rest).map_err(|_| FormatError::NotADelta)?;
        if first & 0xf0 != MAGIC {
            return Err(FormatError::NotADelta);
        }
        if first != MAGIC | VERSION {
            return Err(FormatError::UnknownVersion { found: first & 0x0f });
        }
        let [what] = take(&mut rest)?;
        let source_count = usize::from(what & SOURCES);
        if source_count > MAX_SOURCES {
            return Err(FormatError::TooManySources { declared: source_count });
        }
        let codec = match what & (CODED | BARE) {
            0 if source_count == 0 => Codec::Whole,
            CODED => Codec::Coded { bare: false },
            both if both == CODED | BARE => Codec::Coded { bare: true },
            _ => return Err(FormatError::Contradiction),
        };
        let target_len = if what & FULL != 0 { FULL_BYTES } else { varint::read(&mut rest)? };
        if target_len > MAX_TARGET_BYTES {
            return Err(FormatError::TargetTooLong { declared: target_len });
        }
        let found = bytes.len() as u64;
        if found > target_len + MAX_OVERHEAD_BYTES {
            return Err(FormatError::DeltaTooLong { found, target_len });
        }
        let target_mark = take(&mut rest)?;
        Ok(Self { codec, header: Header { target_len, target_mark, source_count }, body: rest })
    }
}

/// What `delta` makes and how many sources it reads, without reading its body.
///
/// # Errors
/// `FormatError` if these are not the first bytes of a delta, or declare more
/// than the limits allow.
pub fn header(delta: &[u8]) -> Result<Header, FormatError> {
    Delta::parse(delta).map(|delta| delta.header)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], FormatError> {
    let (taken, left) = rest.split_first_chunk().ok_or(FormatError::CutShort)?;
    *rest = left;
    Ok(*taken)
}

/// Writes a delta object.
pub(crate) fn write(codec: Codec, header: &Header, body: &[u8]) -> Vec<u8> {
    let coded = match codec {
        Codec::Whole => 0,
        Codec::Coded { bare: false } => CODED,
        Codec::Coded { bare: true } => CODED | BARE,
    };
    let full = if header.target_len == FULL_BYTES { FULL } else { 0 };
    let mut out = vec![MAGIC | VERSION, header.source_count as u8 | coded | full];
    if full == 0 {
        varint::write(&mut out, header.target_len);
    }
    out.extend_from_slice(&header.target_mark);
    out.extend_from_slice(body);
    out
}
