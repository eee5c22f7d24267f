//! The bytes of a delta object: what it makes, from what, and its sections.
//!
//! Described byte by byte in docs/delta.md. Every length is checked against
//! `limits` here; what the sections hold is checked where it is unpacked.

use crate::limits::{MAX_OVERHEAD_BYTES, MAX_SOURCES, MAX_TARGET_BYTES};
use crate::varint::{self, BadVarint};

/// The first bytes of every delta object.
pub(crate) const MAGIC: [u8; 4] = *b"UDel";

/// The only version there is.
pub(crate) const VERSION: u8 = 1;

/// How a delta makes its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// From one stream, perhaps with old bytes as its prefix.
    Whole,
    /// From old bytes, what to add to them, and new bytes between.
    Difference,
}

impl Codec {
    fn id(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Difference => 1,
        }
    }

    fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Whole),
            1 => Some(Self::Difference),
            _ => None,
        }
    }
}

/// What a section is for. Each stands at most once, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tag {
    /// Which old ranges form the prefix.
    Ranges = 1,
    /// Where old bytes are taken, and how many.
    Control = 2,
    /// What to add to the old bytes, each by itself.
    Difference = 3,
    /// How far words that change lie apart, instead of a difference.
    Gaps = 4,
    /// What to add to each of them.
    Changes = 5,
    /// The new bytes that no old ones resemble; of a whole delta, all.
    Extra = 6,
}

impl Tag {
    fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::Ranges),
            2 => Some(Self::Control),
            3 => Some(Self::Difference),
            4 => Some(Self::Gaps),
            5 => Some(Self::Changes),
            6 => Some(Self::Extra),
            _ => None,
        }
    }
}

/// An old file that a delta reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceRef {
    /// The blake3 of the whole file.
    pub id: [u8; 32],
    /// How many bytes it has.
    pub len: u64,
}

/// What a delta makes, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How many bytes the result has.
    pub target_len: u64,
    /// The blake3 of the result.
    pub target_id: [u8; 32],
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
    /// A section stands where it must not, is unknown, or stands twice.
    #[error("section {found} of the delta is unknown or stands in the wrong place")]
    Section {
        /// The tag found.
        found: u8,
    },
}

/// A delta object, its sections not yet unpacked.
#[derive(Debug)]
pub(crate) struct Delta<'a> {
    pub(crate) codec: Codec,
    pub(crate) header: Header,
    sections: Vec<(Tag, &'a [u8])>,
}

impl<'a> Delta<'a> {
    /// Takes a delta object apart.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let (codec, header, mut rest) = parse_header(bytes)?;
        let mut sections: Vec<(Tag, &[u8])> = Vec::new();
        while !rest.is_empty() {
            let id = take(&mut rest, 1)?[0];
            let last = sections.last().map(|(tag, _)| *tag);
            let tag = Tag::from_id(id).filter(|tag| last.is_none_or(|last| last < *tag));
            let Some(tag) = tag else { return Err(FormatError::Section { found: id }) };
            let len = varint::read(&mut rest)?;
            sections.push((tag, take(&mut rest, len)?));
        }
        Ok(Self { codec, header, sections })
    }

    /// The sections there are.
    pub(crate) fn tags(&self) -> impl Iterator<Item = Tag> {
        self.sections.iter().map(|(tag, _)| *tag)
    }

    /// The bytes of a section.
    pub(crate) fn section(&self, tag: Tag) -> Option<&'a [u8]> {
        self.sections.iter().find(|(found, _)| *found == tag).map(|(_, bytes)| *bytes)
    }
}

/// What `delta` makes and which sources it reads, without unpacking anything.
///
/// # Errors
/// `FormatError` if these are not the first bytes of a delta, or declare more
/// than the limits allow.
pub fn header(delta: &[u8]) -> Result<Header, FormatError> {
    parse_header(delta).map(|(_, header, _)| header)
}

fn parse_header(bytes: &[u8]) -> Result<(Codec, Header, &[u8]), FormatError> {
    let mut rest = bytes;
    if take(&mut rest, 4).ok() != Some(&MAGIC) {
        return Err(FormatError::NotADelta);
    }
    let found = take(&mut rest, 1)?[0];
    if found != VERSION {
        return Err(FormatError::UnknownVersion { found });
    }
    let found = take(&mut rest, 1)?[0];
    let codec = Codec::from_id(found).ok_or(FormatError::UnknownCodec { found })?;
    let target_len = varint::read(&mut rest)?;
    if target_len > MAX_TARGET_BYTES {
        return Err(FormatError::TargetTooLong { declared: target_len });
    }
    let found = bytes.len() as u64;
    if found > target_len + MAX_OVERHEAD_BYTES {
        return Err(FormatError::DeltaTooLong { found, target_len });
    }
    let target_id = take_id(&mut rest)?;
    let declared = varint::read(&mut rest)?;
    if declared > MAX_SOURCES as u64 {
        return Err(FormatError::TooManySources { declared });
    }
    let mut sources = Vec::with_capacity(MAX_SOURCES);
    let mut all = 0u64;
    for _ in 0..declared {
        let source = SourceRef { id: take_id(&mut rest)?, len: varint::read(&mut rest)? };
        all = all.checked_add(source.len).ok_or(FormatError::SourcesTooLong)?;
        sources.push(source);
    }
    if all > i64::MAX as u64 {
        return Err(FormatError::SourcesTooLong);
    }
    Ok((codec, Header { target_len, target_id, sources }, rest))
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], FormatError> {
    let len = usize::try_from(len).map_err(|_| FormatError::CutShort)?;
    let (taken, left) = rest.split_at_checked(len).ok_or(FormatError::CutShort)?;
    *rest = left;
    Ok(taken)
}

fn take_id(rest: &mut &[u8]) -> Result<[u8; 32], FormatError> {
    let (id, left) = rest.split_first_chunk().ok_or(FormatError::CutShort)?;
    *rest = left;
    Ok(*id)
}

/// Writes a delta object.
pub(crate) fn write(codec: Codec, header: &Header, sections: &[(Tag, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.push(codec.id());
    varint::write(&mut out, header.target_len);
    out.extend_from_slice(&header.target_id);
    varint::write(&mut out, header.sources.len() as u64);
    for source in &header.sources {
        out.extend_from_slice(&source.id);
        varint::write(&mut out, source.len);
    }
    for (tag, bytes) in sections {
        out.push(*tag as u8);
        varint::write(&mut out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
    out
}
