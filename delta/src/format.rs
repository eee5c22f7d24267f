//! The first bytes of a delta object: what it makes, and from what.
//!
//! Described byte by byte in docs/delta.md. Every length is checked against
//! `limits` here; what the body holds is checked where it is read.

use crate::limits::{MAX_OVERHEAD_BYTES, MAX_SOURCES, MAX_TARGET_BYTES};
use crate::varint::{self, BadVarint};

/// The first bytes of every delta object.
pub(crate) const MAGIC: [u8; 2] = *b"UD";

/// The only version there is.
pub(crate) const VERSION: u8 = 2;

/// The first bytes of a blake3.
///
/// Enough to notice a mistake, and to tell the files of one release apart. It
/// protects from nobody: that is for whoever names the delta and its result.
pub type Mark = [u8; 8];

/// The mark of what has this blake3.
#[must_use]
pub fn mark(id: &[u8; 32]) -> Mark {
    let [mark @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *id;
    mark
}

/// How a delta makes its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Its body is the target.
    Whole,
    /// From old bytes, corrections of them, and new bytes between.
    Coded,
}

impl Codec {
    fn id(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Coded => 1,
        }
    }

    fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Whole),
            1 => Some(Self::Coded),
            _ => None,
        }
    }
}

/// An old file that a delta reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceRef {
    /// The mark of the whole file.
    pub mark: Mark,
    /// How many bytes it has.
    pub len: u64,
}

/// What a delta makes, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How many bytes the result has.
    pub target_len: u64,
    /// The mark of the result.
    pub target_mark: Mark,
    /// The old files it reads, at most 16, in the order `apply` takes them.
    pub sources: Vec<SourceRef>,
}

/// Bytes that are not a delta object, or one beyond the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It does not begin as a delta does.
    #[error("not a delta: it does not begin with {MAGIC:02x?}")]
    NotADelta,
    /// It is of a version this program does not know.
    #[error("delta of version {found}, known is {VERSION}")]
    UnknownVersion {
        /// The version it names.
        found: u8,
    },
    /// It is made in a way this program does not know.
    #[error("delta of the unknown codec {found}")]
    UnknownCodec {
        /// The codec it names.
        found: u8,
    },
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
        declared: u64,
    },
    /// Its sources together are longer than any number can tell.
    #[error("the sources of the delta are too long")]
    SourcesTooLong,
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
        if take(&mut rest).ok() != Some(MAGIC) {
            return Err(FormatError::NotADelta);
        }
        let [found] = take(&mut rest)?;
        if found != VERSION {
            return Err(FormatError::UnknownVersion { found });
        }
        let [found] = take(&mut rest)?;
        let codec = Codec::from_id(found).ok_or(FormatError::UnknownCodec { found })?;
        let target_len = varint::read(&mut rest)?;
        if target_len > MAX_TARGET_BYTES {
            return Err(FormatError::TargetTooLong { declared: target_len });
        }
        let found = bytes.len() as u64;
        if found > target_len + MAX_OVERHEAD_BYTES {
            return Err(FormatError::DeltaTooLong { found, target_len });
        }
        let target_mark = take(&mut rest)?;
        let declared = varint::read(&mut rest)?;
        if declared > MAX_SOURCES as u64 {
            return Err(FormatError::TooManySources { declared });
        }
        let mut sources = Vec::with_capacity(MAX_SOURCES);
        let mut all = 0u64;
        for _ in 0..declared {
            let source = SourceRef { mark: take(&mut rest)?, len: varint::read(&mut rest)? };
            all = all.checked_add(source.len).ok_or(FormatError::SourcesTooLong)?;
            sources.push(source);
        }
        // Room is left for whatever is counted from the end of the sources.
        if all >= 1 << 62 {
            return Err(FormatError::SourcesTooLong);
        }
        Ok(Self { codec, header: Header { target_len, target_mark, sources }, body: rest })
    }
}

/// What `delta` makes and which sources it reads, without reading its body.
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
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.push(codec.id());
    varint::write(&mut out, header.target_len);
    out.extend_from_slice(&header.target_mark);
    varint::write(&mut out, header.sources.len() as u64);
    for source in &header.sources {
        out.extend_from_slice(&source.mark);
        varint::write(&mut out, source.len);
    }
    out.extend_from_slice(body);
    out
}
