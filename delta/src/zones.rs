//! What an executable's bytes are: where code, tables and data lie, in the
//! old file and in the new.
//!
//! A zone is the same part of both. Whoever reads a delta learns them from
//! it, so that no decoder has to understand any format of executables.

use crate::coder::{Bit, Coder, Nibble};
use crate::limits::MAX_ZONES;
use crate::numbers::{Number, Signed};

/// No place in a file or in memory is beyond.
const MAX_PLACE: u64 = 1 << 48;

/// What the bytes of a zone are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Whatever may be referred to.
    Data = 0,
    /// As `Data`, but without bytes in the file.
    Bare = 1,
    /// x86-64 instructions.
    X86 = 2,
    /// Addresses of 8 bytes.
    Pointers = 3,
    /// ELF relocations with addends.
    Relocations = 4,
    /// ELF symbols.
    Symbols = 5,
    /// DWARF call frames as in `.eh_frame`.
    Frames = 6,
    /// Pairs of 4-byte distances, as in `.eh_frame_hdr`.
    FrameIndex = 7,
    /// Go's table of functions.
    GoIndex = 8,
    /// What Go knows of each function.
    GoFunctions = 9,
    /// AArch64 instructions.
    Arm64 = 10,
    /// Rows of three 4-byte distances, as in PE's `.pdata`.
    Triples = 11,
    /// Addresses of 8 bytes anywhere among other things, as in DWARF.
    Loose = 12,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Data,
        Self::Bare,
        Self::X86,
        Self::Pointers,
        Self::Relocations,
        Self::Symbols,
        Self::Frames,
        Self::FrameIndex,
        Self::GoIndex,
        Self::GoFunctions,
        Self::Arm64,
        Self::Triples,
        Self::Loose,
    ];

    /// Whether it is instructions.
    pub(crate) fn is_code(self) -> bool {
        matches!(self, Self::X86 | Self::Arm64)
    }

    /// How many bases the distances in such a zone are counted from.
    pub(crate) fn bases(self) -> usize {
        match self {
            Self::FrameIndex | Self::Triples => 1,
            Self::GoIndex => 2,
            Self::GoFunctions => 4,
            _ => 0,
        }
    }
}

/// Where a zone lies in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The address of its first byte in memory.
    pub(crate) va: u64,
    /// Where its first byte is: in the delta's sources, or in the new file.
    pub(crate) at: u64,
    pub(crate) len: u64,
}

impl Place {
    /// The address in memory of the byte at `at`.
    #[inline]
    pub(crate) fn va_of(&self, at: u64) -> Option<u64> {
        let offset = at.checked_sub(self.at).filter(|offset| *offset < self.len)?;
        Some(self.va + offset)
    }

    /// Whether `va` is in it; its end counts.
    #[inline]
    pub(crate) fn holds(&self, va: u64) -> bool {
        va.wrapping_sub(self.va) <= self.len
    }
}

/// A part of an executable, in both files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) kind: Kind,
    pub(crate) old: Place,
    pub(crate) new: Place,
    /// What distances in it are counted from, in the old file and in the new.
    pub(crate) bases: Vec<[u64; 2]>,
}

/// All zones of a target, and where in its file it begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Zones {
    pub(crate) list: Vec<Zone>,
    /// Where in the new file the target begins.
    pub(crate) start: u64,
    /// Where zones begin in the old memory, in order, and which.
    by_va: Vec<(u64, usize)>,
    /// How many of these begin before each page of the old memory.
    pages: Vec<u8>,
    /// How many bits an address has within a page.
    page_bits: u32,
    /// Where the last one ends.
    end: u64,
}

/// How many pages the old memory has at most, as a power of two.
const PAGES_BITS: u32 = 11;

/// Zones that are not sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// More than a delta may have.
    #[error("the delta has {found} zones, at most {MAX_ZONES} are allowed")]
    TooMany {
        /// The number declared.
        found: u64,
    },
    /// A kind that this program does not know.
    #[error("a zone of the delta is of the unknown kind {found}")]
    UnknownKind {
        /// The kind named.
        found: u32,
    },
    /// A zone lies where no file reaches.
    #[error("a zone of the delta lies beyond all places")]
    TooFar,
}

impl Zones {
    pub(crate) fn new(list: Vec<Zone>, start: u64) -> Self {
        let mut by_va: Vec<(u64, usize)> =
            list.iter().enumerate().map(|(index, zone)| (zone.old.va, index)).collect();
        by_va.sort_unstable();
        let end = list.iter().map(|zone| zone.old.va + zone.old.len).max().unwrap_or(0);
        let page_bits = (u64::BITS - end.leading_zeros()).saturating_sub(PAGES_BITS);
        let begun = |page: u64| by_va.partition_point(|(va, _)| *va < page << page_bits);
        // There are at most `MAX_ZONES` in what a decoder reads.
        let pages = (0..=end >> page_bits).map(|page| begun(page).min(255) as u8).collect();
        Self { list, start, by_va, pages, page_bits, end }
    }

    /// Codes all zones; a reader ignores `self`.
    pub(crate) fn code<C: Coder>(&self, coder: &mut C) -> Result<Self, ZoneError> {
        let found = Number::new().code(coder, self.list.len() as u64);
        if found > MAX_ZONES as u64 {
            return Err(ZoneError::TooMany { found });
        }
        let mut made = Vec::new();
        if found == 0 {
            return Ok(Self::default());
        }
        let start = Number::new().code(coder, self.start);
        let mut kinds = Nibble::new();
        let mut near = Signed::new(Bit::QUICK);
        let mut lens = Number::new();
        // Zones mostly follow each other, and all moved alike.
        let (mut end, mut lift, mut shift, mut lift_change) = (0u64, 0u64, 0u64, 0u64);
        let mut value = |coder: &mut C, told: u64, expected: u64| {
            let away = near.code(coder, told.wrapping_sub(expected).cast_signed());
            expected.wrapping_add(away.cast_unsigned())
        };
        let none = Zone {
            kind: Kind::Data,
            old: Place::default(),
            new: Place::default(),
            bases: vec![[0; 2]; 4],
        };
        for index in 0..found as usize {
            let told = self.list.get(index).unwrap_or(&none);
            let id = coder.nibble(&mut kinds, told.kind as u32);
            let kind = Kind::ALL.get(id as usize).copied();
            let kind = kind.ok_or(ZoneError::UnknownKind { found: id })?;
            let mut old = Place::default();
            let mut new = Place::default();
            old.at = value(coder, told.old.at, end);
            old.len = lens.code(coder, told.old.len);
            old.va = value(coder, told.old.va, old.at.wrapping_add(lift));
            lift = old.va.wrapping_sub(old.at);
            new.at = value(coder, told.new.at, old.at.wrapping_add(shift));
            shift = new.at.wrapping_sub(old.at);
            new.len = value(coder, told.new.len, old.len);
            let expected = new.at.wrapping_add(lift).wrapping_add(lift_change);
            new.va = value(coder, told.new.va, expected);
            lift_change = new.va.wrapping_sub(new.at).wrapping_sub(lift);
            end = old.at.wrapping_add(old.len);
            if [old.at, old.len, old.va, new.at, new.len, new.va].iter().any(|n| *n > MAX_PLACE) {
                return Err(ZoneError::TooFar);
            }
            let mut bases = Vec::new();
            for base in 0..kind.bases() {
                let [told_old, told_new] = told.bases.get(base).copied().unwrap_or_default();
                let old_base = value(coder, told_old, old.va);
                let new_base = value(coder, told_new, old_base);
                bases.push([old_base, new_base]);
            }
            made.push(Zone { kind, old, new, bases });
        }
        Ok(Self::new(made, start))
    }

    /// The zone in whose old place `va` is; its end counts.
    #[inline]
    pub(crate) fn of_old(&self, va: u64) -> Option<&Zone> {
        // Most of what only looks like a reference leads nowhere near.
        if va > self.end {
            return None;
        }
        let begun = usize::from(*self.pages.get((va >> self.page_bits) as usize)?);
        let here = self.by_va.get(begun..)?.iter().take_while(|(start, _)| *start <= va).count();
        let (_, index) = *self.by_va.get((begun + here).checked_sub(1)?)?;
        self.list.get(index).filter(|zone| zone.old.holds(va))
    }

    /// Whether something of the new file is at `va`.
    pub(crate) fn is_new(&self, va: u64) -> bool {
        self.list.iter().any(|zone| zone.new.holds(va))
    }

    /// The address in memory of a byte of the new file.
    #[inline]
    pub(crate) fn new_va(&self, at: u64) -> Option<u64> {
        self.list.iter().filter(|zone| zone.kind != Kind::Bare).find_map(|zone| zone.new.va_of(at))
    }
}
