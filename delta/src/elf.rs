//! The parts of an ELF executable or library, 64-bit and little-endian.

use crate::image::{Image, Part, half, is_sound, name, quad, word};
use crate::zones::{Kind, Place};

/// A section that is in memory when the program runs.
struct Section {
    name: String,
    kind: u32,
    flags: u64,
    place: Place,
}

const NO_BITS: u32 = 8;
const RELA: u32 = 4;
const SYMTAB: u32 = 2;
const DYNSYM: u32 = 11;

/// Where what is never loaded is taken to be in memory.
const NOWHERE: u64 = 1 << 46;
const WRITABLE: u64 = 1;
const LOADED: u64 = 2;
const EXECUTABLE: u64 = 4;
const COMPRESSED: u64 = 0x800;

/// No program has more, and no header is believed beyond.
const MAX_SECTIONS: u64 = 4096;

/// The parts of `bytes`, if they are ELF for a known machine.
pub(crate) fn image(bytes: &[u8]) -> Option<Image> {
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let code = match half(bytes, 18)? {
        62 => Kind::X86,
        183 => Kind::Arm64,
        _ => return None,
    };
    // Without position-independence, addresses stand in tables as they are.
    let fixed = half(bytes, 16)? == 2;
    let mut parts = Vec::new();
    let sections = sections(bytes)?;
    for section in sections {
        let mut place = section.place;
        let mut bases = Vec::new();
        let kind = if section.flags & LOADED == 0 {
            if section.kind == SYMTAB { Kind::Symbols } else { Kind::Loose }
        } else if section.kind == NO_BITS {
            Kind::Bare
        } else if section.flags & EXECUTABLE != 0 {
            code
        } else if section.kind == RELA {
            Kind::Relocations
        } else if section.kind == DYNSYM {
            Kind::Symbols
        } else if section.name == ".eh_frame" {
            Kind::Frames
        } else if section.name == ".eh_frame_hdr" && place.len > 12 {
            bases.push(place.va);
            place = Place { va: place.va + 12, at: place.at + 12, len: place.len - 12 };
            Kind::FrameIndex
        } else if section.flags & WRITABLE != 0 || fixed && section.name == ".rodata" {
            Kind::Pointers
        } else {
            Kind::Data
        };
        parts.push(Part { name: section.name, kind, place, bases });
    }
    Some(Image { parts })
}

fn sections(bytes: &[u8]) -> Option<Vec<Section>> {
    let table = quad(bytes, 40)?;
    let count = u64::from(half(bytes, 60)?).min(MAX_SECTIONS);
    let names = table.checked_add(u64::from(half(bytes, 62)?) * 64)?;
    let names =
        usize::try_from(quad(bytes, usize::try_from(names.checked_add(24)?).ok()?)?).ok()?;
    let mut sections: Vec<Section> = Vec::new();
    for index in 0..count {
        let at = usize::try_from(table.checked_add(index * 64)?).ok()?;
        let flags = quad(bytes, at.checked_add(8)?)?;
        let kind = word(bytes, at + 4)?;
        let mut place = Place {
            va: quad(bytes, at + 16)?,
            at: quad(bytes, at + 24)?,
            len: quad(bytes, at + 32)?,
        };
        let section = names.checked_add(word(bytes, at)? as usize)?;
        let section = name(bytes.get(section..)?);
        let told = kind == SYMTAB || section.starts_with(".debug_");
        if flags & LOADED == 0 {
            // Compressed ones say nothing as they stand.
            if !told || flags & COMPRESSED != 0 {
                continue;
            }
            place.va = NOWHERE.checked_add(place.at)?;
        }
        if place.len == 0 {
            continue;
        }
        let bare = if kind == NO_BITS { Kind::Bare } else { Kind::Data };
        if !is_sound(&place, bare, bytes.len()) {
            return None;
        }
        if kind == NO_BITS {
            // What is bare lies nowhere in the file.
            place.at = 0;
        }
        sections.push(Section { name: section, kind, flags, place });
    }
    // Thread-local storage lies over what follows it.
    sections.retain(|section| section.name != ".tbss");
    sections.sort_by_key(|section| section.place.va);
    Some(sections)
}
