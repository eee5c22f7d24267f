//! The parts of an ELF executable or library, 64-bit and little-endian.

use crate::image::{Image, Part};
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
const DYNSYM: u32 = 11;
const WRITABLE: u64 = 1;
const LOADED: u64 = 2;
const EXECUTABLE: u64 = 4;

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
    let text = sections.iter().find(|section| section.name == ".text").map(|text| text.place.va);
    for section in sections {
        if section.name.contains("gopclntab")
            && let Some(text) = text
            && let Some(tables) = go_tables(bytes, section.place, text)
        {
            parts.extend(tables);
            continue;
        }
        let mut place = section.place;
        let mut bases = Vec::new();
        let kind = if section.kind == NO_BITS {
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
        let place = Place {
            va: quad(bytes, at + 16)?,
            at: quad(bytes, at + 24)?,
            len: quad(bytes, at + 32)?,
        };
        if flags & LOADED == 0 || place.len == 0 {
            continue;
        }
        let sound = place.va < 1 << 47 && place.len < 1 << 40;
        let inside = place.at.checked_add(place.len).is_some_and(|end| end <= bytes.len() as u64);
        if !sound || kind != NO_BITS && !inside {
            return None;
        }
        let name = names.checked_add(word(bytes, at)? as usize)?;
        let name = bytes.get(name..)?.split(|byte| *byte == 0).next()?;
        let name = String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned();
        // What is bare lies nowhere in the file.
        let place = if kind == NO_BITS { Place { at: 0, ..place } } else { place };
        sections.push(Section { name, kind, flags, place });
    }
    // Thread-local storage lies over what follows it.
    sections.retain(|section| section.name != ".tbss");
    sections.sort_by_key(|section| section.place.va);
    Some(sections)
}

/// What Go (1.20 and later) tells of its functions at run time.
fn go_tables(bytes: &[u8], section: Place, text: u64) -> Option<Vec<Part>> {
    const MAGIC: u32 = 0xffff_fff1;
    let at = usize::try_from(section.at).ok()?;
    if word(bytes, at)? != MAGIC || *bytes.get(at + 7)? != 8 {
        return None;
    }
    let functions = quad(bytes, at + 8)?;
    let start = quad(bytes, at + 24)?;
    let text = if start == 0 { text } else { start };
    let mut ends = [0; 5];
    for (index, end) in ends.iter_mut().enumerate() {
        *end = quad(bytes, at + 32 + 8 * index)?;
    }
    let [names, units, files, counters, index] = ends;
    let entries = index.checked_add(functions.checked_mul(8)?.checked_add(4)?)?;
    let bounds = [names, units, files, counters, index, entries, section.len];
    if !bounds.is_sorted() {
        return None;
    }
    let va = |offset: u64| section.va + offset;
    let part = |name: &str, kind: Kind, from: u64, to: u64, bases: Vec<u64>| Part {
        name: format!("go {name}"),
        kind,
        place: Place { va: va(from), at: section.at + from, len: to - from },
        bases,
    };
    // Where function data is counted from is not told here; any place will do.
    let bases = vec![text, va(names), va(counters), 0];
    let parts = vec![
        part("names", Kind::Data, names, units, Vec::new()),
        part("files", Kind::Data, units, counters, Vec::new()),
        part("counters", Kind::Data, counters, index, Vec::new()),
        part("index", Kind::GoIndex, index, entries, vec![text, va(index)]),
        part("functions", Kind::GoFunctions, entries, section.len, bases),
    ];
    Some(parts.into_iter().filter(|part| part.place.len > 0).collect())
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn quad(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}
