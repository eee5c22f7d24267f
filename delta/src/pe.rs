//! The parts of a Windows executable or library, 64-bit.

use crate::image::{Image, Part, half, is_sound, name, quad, word};
use crate::zones::{Kind, Place};

const EXECUTABLE: u32 = 0x2000_0000;

/// The bytes of a row in the table of sections.
const ROW: usize = 40;

/// The parts of `bytes`, if they are PE for a known machine.
pub(crate) fn image(bytes: &[u8]) -> Option<Image> {
    if bytes.get(..2)? != b"MZ" {
        return None;
    }
    let head = word(bytes, 0x3c)? as usize;
    if bytes.get(head..head.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let code = match half(bytes, head + 4)? {
        0x8664 => Kind::X86,
        0xaa64 => Kind::Arm64,
        _ => return None,
    };
    let optional = head + 24;
    // PE32+.
    if half(bytes, optional)? != 0x20b {
        return None;
    }
    let base = quad(bytes, optional + 24)?;
    let table = optional + usize::from(half(bytes, head + 20)?);
    let mut parts = Vec::new();
    for index in 0..usize::from(half(bytes, head + 6)?) {
        let row = bytes.get(table + index * ROW..table + (index + 1) * ROW)?;
        let (in_memory, in_file) = (word(row, 8)?, word(row, 16)?);
        let place = Place {
            va: base.checked_add(u64::from(word(row, 12)?))?,
            at: u64::from(word(row, 20)?),
            len: u64::from(in_memory.min(in_file)),
        };
        if place.len == 0 {
            continue;
        }
        if !is_sound(&place, Kind::Data, bytes.len()) {
            return None;
        }
        let name = name(&row[..8]);
        let kind = if word(row, 36)? & EXECUTABLE != 0 {
            code
        } else if name == ".pdata" && code == Kind::X86 {
            Kind::Triples
        } else if name == ".rsrc" || name == ".reloc" {
            Kind::Data
        } else {
            Kind::Pointers
        };
        let bases = vec![base; kind.bases()];
        parts.push(Part { name, kind, place, bases });
    }
    Some(Image { parts })
}
