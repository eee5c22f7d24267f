//! An executable as the parts that refer to each other.
//!
//! Only encoders look into executables. What they find is told to decoders as
//! zones; a wrong reading costs bytes, and never a wrong result.

use std::borrow::Cow;

use crate::elf;
use crate::field::Field;
use crate::go;
use crate::limits::MAX_ZONES;
use crate::macho;
use crate::pe;
use crate::sites::{self, Scan};
use crate::zones::{Kind, Place, Zone, Zones};

/// Whether a file that begins like this may be an executable whose references
/// are foreseen, if all of it is at hand.
#[must_use]
pub fn may_be_executable(head: &[u8]) -> bool {
    const HEADS: [&[u8]; 4] = [b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"];
    HEADS.iter().any(|known| head.starts_with(known))
}

/// The bytes of a label that tell it from others.
const TELLING: usize = 16;

/// A part of an executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// What distances in it are counted from.
    pub(crate) bases: Vec<u64>,
}

/// The parts of an executable, none overlapping another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Image {
    pub(crate) parts: Vec<Part>,
}

impl Image {
    /// The parts of `bytes`, if they are an executable of a known kind.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let found = elf::image(bytes).or_else(|| pe::image(bytes)).or_else(|| macho::image(bytes));
        let mut image = go::opened(found?, bytes);
        image.parts.truncate(MAX_ZONES);
        let useful = |part: &Part| !matches!(part.kind, Kind::Data | Kind::Bare);
        image.parts.iter().any(useful).then_some(image)
    }

    /// The zones that lead from this image, `address` bytes into a delta's
    /// sources, to `new`.
    pub(crate) fn zones(&self, address: u64, new: &Self) -> Vec<Zone> {
        let pair = |part: &Part| {
            let same = |other: &&Part| other.name == part.name && other.kind == part.kind;
            let other = new.parts.iter().find(same)?;
            let bases = part.bases.iter().zip(&other.bases).map(|(old, new)| [*old, *new]);
            let old = Place { at: part.place.at + address, ..part.place };
            Some(Zone { kind: part.kind, old, new: other.place, bases: bases.collect() })
        };
        self.parts.iter().filter_map(pair).collect()
    }

    /// The `bytes` of this image with references made equal wherever they
    /// mean the same: in code they vanish, in tables what they lead to stands
    /// for them.
    pub(crate) fn masked<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let zones = Zones::new(self.zones(0, self), 0);
        let mut masked = bytes.to_vec();
        // Tables are told apart by the code they lead to, so that comes first.
        for code in [true, false] {
            for zone in &zones.list {
                if zone.kind == Kind::Bare || zone.kind.is_code() != code {
                    continue;
                }
                let (at, len) = (zone.old.at as usize, zone.old.len as usize);
                let mut part = masked[at..at + len].to_vec();
                let scan = Scan { zone, zones: &zones, old_va: zone.old.va, new_va: zone.new.va };
                scan.each(&mut part, |part, field| {
                    let mask = if sites::is_telling(field.class) {
                        telling(&masked, &zones, field, part)
                    } else {
                        0
                    };
                    field.put(part, u64::from(mask));
                });
                masked[at..at + len].copy_from_slice(&part);
            }
        }
        Cow::Owned(masked)
    }
}

/// A number that stands for what `field` leads to.
fn telling(masked: &[u8], zones: &Zones, field: Field, part: &[u8]) -> u32 {
    let label = field.label(field.value(part));
    let zone = zones.of_old(label).filter(|zone| zone.kind != Kind::Bare);
    let Some(zone) = zone else { return 1 };
    let at = (zone.old.at + (label - zone.old.va)) as usize;
    let bytes = &masked[at.min(masked.len())..(at + TELLING).min(masked.len())];
    let mut hash = 0u32;
    for &byte in bytes {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193).rotate_left(5);
    }
    hash
}

/// Two bytes, little-endian.
pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

/// Four bytes, little-endian.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

/// Eight bytes, little-endian.
pub(crate) fn quad(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The text up to the first zero of `bytes`, of a section's name.
pub(crate) fn name(bytes: &[u8]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned()
}

/// Whether `place` can be: in the file, unless it is bare, and in memory.
pub(crate) fn is_sound(place: &Place, kind: Kind, file_len: usize) -> bool {
    let inside = place.at.checked_add(place.len).is_some_and(|end| end <= file_len as u64);
    place.va < 1 << 47 && place.len < 1 << 40 && (inside || kind == Kind::Bare)
}
