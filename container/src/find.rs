//! Where the deflate streams of a gzip or zip file lie.
//!
//! What it finds follows from the file's bytes alone, as docs/container.md
//! says: whoever made a delta and whoever applies it find the same.

use std::convert::Infallible;
use std::ops::Range;

use crate::inflate::inflate;
use crate::limits::{FILE_BYTES, STREAMS, VAIN_BYTES, VIEW_BYTES};

const GZIP: [u8; 3] = [0x1F, 0x8B, 8];
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";

/// The end of a zip file without its comment, in bytes.
const END_BYTES: usize = 22;

/// A deflate stream within a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Where it lies.
    pub place: Range<usize>,
    /// Its plain text.
    pub plain: Vec<u8>,
}

/// Whether a file that begins with `head` and has `len` bytes may have
/// streams: a first look, before it is read whole.
#[must_use]
pub fn may_have_streams(head: &[u8], len: u64) -> bool {
    len <= FILE_BYTES && (head.starts_with(&GZIP) || head.starts_with(&LOCAL))
}

/// The streams of `file` in ascending order, none overlapping another.
///
/// Whatever cannot be inflated, or would make the view longer than
/// [`VIEW_BYTES`], is no stream.
#[must_use]
pub fn streams(file: &[u8]) -> Vec<Stream> {
    let mut streams = Vec::new();
    let visited = each_stream(file, &mut |stream| {
        streams.push(stream);
        Ok::<_, Infallible>(())
    });
    match visited {
        Ok(()) => streams,
    }
}

/// Gives the streams of `file` to `visit`, as [`streams`] has them, each as
/// soon as it is found: only one plain text is held at a time.
///
/// # Errors
/// What `visit` says; then the search ends.
pub(crate) fn each_stream<E>(
    file: &[u8],
    visit: &mut dyn FnMut(Stream) -> Result<(), E>,
) -> Result<(), E> {
    if !may_have_streams(file, file.len() as u64) {
        return Ok(());
    }
    let mut found = Found { file, visit, count: 0, view_bytes: file.len() as u64 };
    if file.starts_with(&GZIP) { found.gzip() } else { found.zip() }
}

struct Found<'a, E> {
    file: &'a [u8],
    visit: &'a mut dyn FnMut(Stream) -> Result<(), E>,
    /// How many were found.
    count: usize,
    /// The view's length, if nothing more were found.
    view_bytes: u64,
}

impl<E> Found<'_, E> {
    /// Members that follow each other: RFC 1952.
    fn gzip(&mut self) -> Result<(), E> {
        let mut at = 0;
        while let Some(start) = self.file.get(at..).and_then(gzip_header) {
            let start = at + start;
            let Some(stream) = self.stream(start..self.file.len(), u64::MAX) else { break };
            // The check sum and the length of the plain text.
            at = stream.place.end.saturating_add(8);
            self.take(stream)?;
        }
        Ok(())
    }

    /// The entries of the central directory, in the order of their places.
    fn zip(&mut self) -> Result<(), E> {
        let Some(mut entries) = zip_entries(self.file) else { return Ok(()) };
        entries.sort_by_key(|entry| entry.place.start);
        let (mut free, mut vain) = (0, 0u64);
        for entry in entries {
            let Range { start, end } = entry.place;
            if start < free {
                continue;
            }
            let whole = |stream: &Stream| {
                stream.place.end == end && stream.plain.len() as u64 == entry.plain_len
            };
            match self.stream(start..end, entry.plain_len).filter(whole) {
                Some(stream) => {
                    free = end;
                    self.take(stream)?;
                }
                // Entries may all name the same bytes, each with another length.
                None => {
                    vain += (end - start) as u64 + entry.plain_len;
                    if vain > VAIN_BYTES {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The stream that begins where `within` does, if its plain text has at
    /// most `longest` bytes.
    fn stream(&self, within: Range<usize>, longest: u64) -> Option<Stream> {
        if self.count == STREAMS {
            return None;
        }
        let room = usize::try_from(longest.min(VIEW_BYTES - self.view_bytes)).ok()?;
        let inflated = inflate(self.file.get(within.clone())?, room)?;
        let place = within.start..within.start + inflated.len;
        Some(Stream { place, plain: inflated.plain })
    }

    fn take(&mut self, stream: Stream) -> Result<(), E> {
        // At most the room there was, and a file is no longer than a view may be.
        self.view_bytes += stream.plain.len() as u64;
        self.view_bytes -= stream.place.len() as u64;
        self.count += 1;
        (self.visit)(stream)
    }
}

/// How long the header at the start of `bytes` is, if it is one.
fn gzip_header(bytes: &[u8]) -> Option<usize> {
    let fixed = bytes.get(..10)?;
    if !fixed.starts_with(&GZIP) {
        return None;
    }
    let flags = fixed[3];
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(u16_at(bytes, at)?);
    }
    for text in [8, 16] {
        if flags & text != 0 {
            at += 1 + bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// A deflated entry of a zip file.
struct Entry {
    place: Range<usize>,
    plain_len: u64,
}

/// The deflated entries that the central directory names: APPNOTE 6.3, 4.3.
/// Without zip64: what is that large stays closed.
fn zip_entries(file: &[u8]) -> Option<Vec<Entry>> {
    let last = file.len().checked_sub(END_BYTES)?;
    // A comment has at most 65,535 bytes.
    let first = last.saturating_sub(usize::from(u16::MAX));
    let end = (first..=last).rev().find(|at| file[*at..].starts_with(&END))?;
    let count = usize::from(u16_at(file, end + 10)?);
    let mut at = usize::try_from(u32_at(file, end + 16)?).ok()?;
    let mut entries = Vec::with_capacity(count.min(file.len() / 46));
    for _ in 0..count {
        if !file.get(at..)?.starts_with(&CENTRAL) {
            return None;
        }
        let method = u16_at(file, at + 10)?;
        let packed = usize::try_from(u32_at(file, at + 20)?).ok()?;
        let plain_len = u64::from(u32_at(file, at + 24)?);
        let local = usize::try_from(u32_at(file, at + 42)?).ok()?;
        if method == 8 && file.get(local..).is_some_and(|bytes| bytes.starts_with(&LOCAL)) {
            let (name, extra) = (u16_at(file, local + 26)?, u16_at(file, local + 28)?);
            let start = local + 30 + usize::from(name) + usize::from(extra);
            let place = start..start.checked_add(packed)?;
            if place.end <= file.len() {
                entries.push(Entry { place, plain_len });
            }
        }
        let lens = [28, 30, 32].map(|field| u16_at(file, at + field));
        for len in lens {
            at += usize::from(len?);
        }
        at += 46;
    }
    Some(entries)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
