//! The parts of a macOS executable or library, 64-bit, of one architecture or
//! of several in one file.

use crate::image::{Image, Part, is_sound, name, quad, word};
use crate::zones::{Kind, Place};

/// A command that describes a segment.
const SEGMENT: u32 = 0x19;

/// Sections with instructions only, and with some.
const INSTRUCTIONS: u32 = 0x8000_0400;

/// The bytes of a section's description.
const ROW: usize = 80;

/// The most architectures of one file; Java's classes begin with the same four
/// bytes, and then with a larger number.
const SLICES: usize = 4;

/// The bytes of an architecture's description.
const SLICE_ROW: usize = 20;

/// Architectures lie in the same places in memory. They are told apart by these
/// bits of an address, which no real one has.
const APART_BITS: u32 = 44;

/// The parts of `bytes`, if they are Mach-O for known machines.
pub(crate) fn image(bytes: &[u8]) -> Option<Image> {
    let big = |at: usize| word(bytes, at).map(|word| word.swap_bytes() as usize);
    if big(0)? != 0xcafe_babe {
        return slice(bytes);
    }
    let count = big(4).filter(|count| *count <= SLICES)?;
    let mut parts = Vec::new();
    for index in 0..count {
        let row = 8 + index * SLICE_ROW;
        let (start, len) = (big(row + 8)?, big(row + 12)?);
        let Some(found) = slice(bytes.get(start..start.checked_add(len)?)?) else { continue };
        parts.extend(found.parts.into_iter().map(|part| {
            let Place { va, at, len } = part.place;
            let va = va + ((index as u64) << APART_BITS);
            let place = Place { va, at: at + start as u64, len };
            // What pointers hold has no such bits.
            let known = index == 0 || part.kind != Kind::Pointers;
            let kind = if known { part.kind } else { Kind::Data };
            Part { name: format!("{index} {}", part.name), kind, place, ..part }
        }));
    }
    Some(Image { parts }).filter(|image| image.parts.iter().all(|part| part.place.va < 1 << 47))
}

/// The parts of `bytes`, if they are Mach-O for one known machine.
fn slice(bytes: &[u8]) -> Option<Image> {
    if word(bytes, 0)? != 0xfeed_facf {
        return None;
    }
    let code = match word(bytes, 4)? {
        0x0100_0007 => Kind::X86,
        0x0100_000c => Kind::Arm64,
        _ => return None,
    };
    let mut parts = Vec::new();
    let mut at = 32usize;
    for _ in 0..word(bytes, 16)? {
        let len = word(bytes, at.checked_add(4)?)? as usize;
        let command = bytes.get(at..at.checked_add(len)?)?;
        if len < 8 {
            return None;
        }
        at += len;
        if word(command, 0)? != SEGMENT {
            continue;
        }
        for section in 0..word(command, 64)? as usize {
            let row = command.get(72 + section * ROW..72 + (section + 1) * ROW)?;
            parts.extend(part(row, code, bytes.len())?);
        }
    }
    Some(Image { parts })
}

/// The part that `row` describes, if it has bytes.
fn part(row: &[u8], code: Kind, file_len: usize) -> Option<Option<Part>> {
    let flags = word(row, 64)?;
    let place = Place { va: quad(row, 32)?, at: u64::from(word(row, 48)?), len: quad(row, 40)? };
    let segment = name(&row[16..32]);
    // Filled with zeros, some of them for each thread.
    let bare = matches!(flags & 0xff, 1 | 12 | 18);
    let kind = if bare {
        Kind::Bare
    } else if flags & INSTRUCTIONS != 0 {
        code
    } else if segment.starts_with("__DATA") {
        Kind::Pointers
    } else {
        Kind::Data
    };
    if !is_sound(&place, kind, file_len) {
        return None;
    }
    let place = if bare { Place { at: 0, ..place } } else { place };
    let part = Part { name: name(&row[..16]), kind, place, bases: Vec::new() };
    Some(Some(part).filter(|part| part.place.len > 0))
}
