//! Makes a piece from old bytes and a delta that anyone may have written.
//!
//! Promises at most `max_len` bytes, under 16 MiB of memory for a piece of
//! 1 MiB whatever the delta says, and no result but the one its header names.

use std::io;

use crate::format::{Codec, Delta, FormatError, Header, Tag};
use crate::limits::MAX_RANGES_BYTES;
use crate::packed::{Packed, UnpackError};
use crate::ranges::{self, RangesError};
use crate::read_at::ReadAt;
use crate::streams::{self, ControlError};
use crate::words::{self, WordsError};

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
    /// It was made from other files than those given.
    #[error(
        "source {index} of the delta has {expected:?} bytes, the one given {found:?}",
        expected = .expected.map_or_else(|| "no".to_owned(), |len| len.to_string()),
        found = .found.map_or_else(|| "none".to_owned(), |len| len.to_string())
    )]
    WrongSource {
        /// Which of the sources.
        index: usize,
        /// The length the delta names, if it names so many sources.
        expected: Option<u64>,
        /// The length of the one given, if so many were given.
        found: Option<u64>,
    },
    /// One of its streams does not unpack.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The ranges of its prefix are not sound.
    #[error(transparent)]
    Ranges(#[from] RangesError),
    /// Its control is not sound.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Its words are not sound.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// Its streams are not as long as its control says.
    #[error("{stream} of the delta has {found} bytes, its control asks for {expected}")]
    StreamLength {
        /// Which stream.
        stream: &'static str,
        /// The length that control leads to.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// A section is missing, or one too many.
    #[error("the delta's sections do not fit its codec")]
    Sections,
    /// A source could not be read.
    #[error("source {index} of the delta cannot be read at {offset}")]
    Read {
        /// Which of the sources.
        index: usize,
        /// Where in it.
        offset: u64,
        /// What reading met.
        source: io::Error,
    },
    /// It made other bytes than it names: a source was changed, or the delta is false.
    #[error("the delta made {found}, expected was {expected}: a source or the delta was changed")]
    WrongResult {
        /// The blake3 that the delta names.
        expected: blake3::Hash,
        /// The blake3 of what it made.
        found: blake3::Hash,
    },
}

/// Makes the target of `delta` from the `sources` that its header names, in their order.
///
/// `out` is replaced by the result, at most `max_len` bytes; it is empty after
/// an error. Beside `out`, memory stays under 16 MiB for targets of at most
/// 1 MiB, whatever the delta says, and under 8 MiB and five times the target for
/// larger ones.
///
/// # Errors
/// `TooLong`, before anything is read, if the result would exceed `max_len`.
/// `WrongSource` if a source has another length than the header names,
/// `WrongResult` if it has other bytes.
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
    match delta.codec {
        Codec::Whole => make_whole(&delta, &old, out)?,
        Codec::Difference => make_from_difference(&delta, &old, out)?,
    }
    let expected = blake3::Hash::from_bytes(delta.header.target_id);
    let found = blake3::hash(out);
    if found != expected {
        return Err(ApplyError::WrongResult { expected, found });
    }
    Ok(())
}

fn make_whole(delta: &Delta<'_>, old: &Old<'_>, out: &mut Vec<u8>) -> Result<(), ApplyError> {
    if delta.tags().any(|tag| !matches!(tag, Tag::Ranges | Tag::Extra)) {
        return Err(ApplyError::Sections);
    }
    let packed = delta.section(Tag::Extra).ok_or(ApplyError::Sections)?;
    let packed = Packed::parse(packed, delta.header.target_len)?;
    expect_length("extra", delta.header.target_len, packed.len)?;
    *out = packed.unpack(&prefix(delta, old)?)?;
    Ok(())
}

fn make_from_difference(
    delta: &Delta<'_>,
    old: &Old<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ApplyError> {
    let target_len = delta.header.target_len;
    let control = delta.section(Tag::Control).ok_or(ApplyError::Sections)?;
    let control = Packed::parse(control, target_len)?.unpack(&[])?;
    let copies = streams::read_control(&control, target_len, old.len)?;
    drop(control);
    // They are not longer than the target: `read_control` has seen to that.
    let copied: usize = copies.iter().map(|copy| copy.len).sum();
    let left = target_len - copied as u64;
    let extra = extra(delta, old, left)?;

    let mut resembling = vec![0; copied];
    let mut rest = &mut resembling[..];
    for copy in &copies {
        let (here, after) = rest.split_at_mut(copy.len);
        old.read(copy.address, here)?;
        rest = after;
    }
    change(delta, &mut resembling)?;

    out.reserve_exact(resembling.len() + extra.len());
    let (mut resembling, mut extra) = (&resembling[..], &extra[..]);
    for copy in copies {
        let (new, after) = extra.split_at(copy.extra);
        let (changed, others) = resembling.split_at(copy.len);
        out.extend_from_slice(new);
        out.extend_from_slice(changed);
        (extra, resembling) = (after, others);
    }
    out.extend_from_slice(extra);
    Ok(())
}

/// The new bytes between segments, `expected` of them.
fn extra(delta: &Delta<'_>, old: &Old<'_>, expected: u64) -> Result<Vec<u8>, ApplyError> {
    let Some(packed) = delta.section(Tag::Extra) else {
        expect_length("extra", expected, 0)?;
        return Ok(Vec::new());
    };
    let packed = Packed::parse(packed, expected)?;
    expect_length("extra", expected, packed.len)?;
    Ok(packed.unpack(&prefix(delta, old)?)?)
}

/// Changes old bytes into the new ones that resemble them.
fn change(delta: &Delta<'_>, bytes: &mut [u8]) -> Result<(), ApplyError> {
    let sections = [Tag::Difference, Tag::Gaps, Tag::Changes].map(|tag| delta.section(tag));
    match sections {
        [None, None, None] => {}
        [Some(packed), None, None] => {
            let packed = Packed::parse(packed, bytes.len() as u64)?;
            expect_length("difference", bytes.len() as u64, packed.len)?;
            for (byte, added) in bytes.iter_mut().zip(packed.unpack(&[])?) {
                *byte = byte.wrapping_add(added);
            }
        }
        [None, Some(gaps), Some(changes)] => {
            let gaps = Packed::parse(gaps, delta.header.target_len)?.unpack(&[])?;
            let changes = Packed::parse(changes, delta.header.target_len)?.unpack(&[])?;
            words::change(bytes, &gaps, &changes)?;
        }
        _ => return Err(ApplyError::Sections),
    }
    Ok(())
}

/// The old bytes that go before a stream.
fn prefix(delta: &Delta<'_>, old: &Old<'_>) -> Result<Vec<u8>, ApplyError> {
    let Some(packed) = delta.section(Tag::Ranges) else { return Ok(Vec::new()) };
    let list = Packed::parse(packed, MAX_RANGES_BYTES as u64)?.unpack(&[])?;
    let ranges = ranges::read(&list, old.len)?;
    let len = |range: &std::ops::Range<u64>| (range.end - range.start) as usize;
    let mut prefix = vec![0; ranges.iter().map(len).sum()];
    let mut rest = &mut prefix[..];
    for range in ranges {
        let (place, left) = rest.split_at_mut(len(&range));
        old.read(range.start, place)?;
        rest = left;
    }
    Ok(prefix)
}

fn expect_length(stream: &'static str, expected: u64, found: u64) -> Result<(), ApplyError> {
    if expected == found {
        return Ok(());
    }
    Err(ApplyError::StreamLength { stream, expected, found })
}

/// All sources of a delta, one after the other.
struct Old<'a> {
    sources: &'a [&'a dyn ReadAt],
    /// Where each begins in the delta's addresses.
    starts: Vec<u64>,
    len: u64,
}

impl<'a> Old<'a> {
    fn new(header: &Header, sources: &'a [&'a dyn ReadAt]) -> Result<Self, ApplyError> {
        let mut starts = Vec::with_capacity(header.sources.len());
        let mut len = 0;
        for index in 0..header.sources.len().max(sources.len()) {
            let expected = header.sources.get(index).map(|source| source.len);
            let found = sources.get(index).map(|source| source.len());
            if expected != found {
                return Err(ApplyError::WrongSource { index, expected, found });
            }
            starts.push(len);
            // The header was refused if its sources are longer than a number tells.
            len += expected.unwrap_or(0);
        }
        Ok(Self { sources, starts, len })
    }

    /// Fills `out` with the old bytes from `address` on, of several sources if need be.
    fn read(&self, mut address: u64, mut out: &mut [u8]) -> Result<(), ApplyError> {
        while !out.is_empty() {
            // Of several that begin here, all but the last are empty.
            let index = self.starts.partition_point(|start| *start <= address) - 1;
            let offset = address - self.starts[index];
            let there = self.sources[index].len().saturating_sub(offset);
            let len = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
            let (here, rest) = out.split_at_mut(len);
            let read = if len == 0 {
                // It was longer when it was counted.
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                self.sources[index].read_at(offset, here)
            };
            read.map_err(|source| ApplyError::Read { index, offset, source })?;
            address += len as u64;
            out = rest;
        }
        Ok(())
    }
}
