//! Where references stand in the bytes of each kind of zone.
//!
//! Promises the same fields for the same old bytes, wherever a run begins,
//! but for the first few. What is found need not be a reference: code is not
//! disassembled, and a field that means nothing inside the image is skipped.

use crate::zones::{Kind, Zone, Zones};

/// How many classes of references there are.
pub(crate) const CLASSES: usize = 24;

/// Whether what a reference of this class leads to tells it from others.
pub(crate) fn is_telling(class: usize) -> bool {
    matches!(class, 4 | 6 | 7 | 8 | 10 | 13 | 15..=20)
}

/// A field that refers to something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Where in the run.
    pub(crate) at: usize,
    /// 4 or 8 bytes.
    pub(crate) width: usize,
    pub(crate) class: usize,
    /// What it is counted from, in the old file and in the new.
    origin: [u64; 2],
    /// Whether it is counted backwards.
    backwards: bool,
}

impl Field {
    /// What `value` meant in the old file.
    pub(crate) fn label(&self, value: u64) -> u64 {
        Self::applied(self.origin[0], value, self.backwards)
    }

    /// What `value` means in the new file.
    pub(crate) fn new_label(&self, value: u64) -> u64 {
        Self::applied(self.origin[1], value, self.backwards)
    }

    fn applied(origin: u64, value: u64, backwards: bool) -> u64 {
        if backwards { origin.wrapping_sub(value) } else { origin.wrapping_add(value) }
    }

    /// What is written in the new file to mean `va`.
    pub(crate) fn value(&self, va: u64) -> u64 {
        let value = if self.backwards {
            self.origin[1].wrapping_sub(va)
        } else {
            va.wrapping_sub(self.origin[1])
        };
        if self.width == 4 {
            i64::from((value as u32).cast_signed()).cast_unsigned()
        } else {
            value
        }
    }
}

/// A run of old bytes of one zone, and where it stands in both files.
pub(crate) struct Scan<'a> {
    pub(crate) zone: &'a Zone,
    pub(crate) zones: &'a Zones,
    pub(crate) old_va: u64,
    pub(crate) new_va: u64,
}

/// A field of a table's rows: its offset, its width, its base.
type Column = (usize, usize, Option<usize>);

impl Scan<'_> {
    /// Calls `with` for each field of the run, from its first byte to its last.
    pub(crate) fn each(&self, bytes: &mut [u8], mut with: impl FnMut(&mut [u8], Field)) {
        match self.zone.kind {
            Kind::Data | Kind::Bare => {}
            Kind::X86 => self.code(bytes, with),
            Kind::Pointers => self.rows(bytes, 8, &[(0, 8, None)], 4, with),
            Kind::Relocations => {
                self.rows(bytes, 24, &[(0, 8, None), (16, 8, None)], 5, with);
            }
            Kind::Symbols => self.rows(bytes, 24, &[(8, 8, None)], 7, with),
            Kind::FrameIndex => self.rows(bytes, 8, &[(0, 4, Some(0)), (4, 4, Some(0))], 8, with),
            Kind::GoIndex => self.rows(bytes, 8, &[(0, 4, Some(0)), (4, 4, Some(1))], 10, with),
            Kind::Frames => self.frames(bytes, &mut with),
            Kind::GoFunctions => self.functions(bytes, &mut with),
            Kind::Arm64 => {}
        }
    }

    /// Whether a field refers to something of the old file.
    fn refers(&self, bytes: &[u8], field: &Field) -> bool {
        let value =
            if field.width == 4 { long(word(bytes, field.at)) } else { quad(bytes, field.at) };
        self.zones.of_old(field.label(value)).is_some()
    }

    fn code(&self, bytes: &mut [u8], mut with: impl FnMut(&mut [u8], Field)) {
        let mut at = 0;
        while at + 6 <= bytes.len() {
            let (site, class) = match OPCODES[usize::from(bytes[at])] {
                CALL => (at + 1, 0),
                TWO_BYTES if bytes[at + 1] & 0xf0 == 0x80 => (at + 2, 1),
                BESIDE => (at + 1, 2),
                _ => {
                    at += 1;
                    continue;
                }
            };
            let origin = [self.old_va + site as u64 + 4, self.new_va + site as u64 + 4];
            let field = Field { at: site, width: 4, class, origin, backwards: false };
            let label = field.label(long(word(bytes, site)));
            let within = self.zone.old.holds(label)
                || self
                    .zones
                    .of_old(label)
                    .is_some_and(|zone| class == 2 || zone.kind == Kind::X86);
            if within {
                with(bytes, field);
                at = site + 4;
            } else {
                at += 1;
            }
        }
    }

    /// The fields of a table with rows of `stride` bytes.
    fn rows(
        &self,
        bytes: &mut [u8],
        stride: usize,
        columns: &[Column],
        class: usize,
        mut with: impl FnMut(&mut [u8], Field),
    ) {
        let before = (self.old_va - self.zone.old.va) % stride as u64;
        // The first row may have begun before the run.
        for row in 0..(before as usize + bytes.len()).div_ceil(stride) {
            for (column, &(offset, width, base)) in columns.iter().enumerate() {
                let Some(at) = (row * stride + offset).checked_sub(before as usize) else {
                    continue;
                };
                if at + width > bytes.len() {
                    return;
                }
                let origin = base.map_or([0; 2], |base| self.zone.bases[base]);
                let field = Field { at, width, class: class + column, origin, backwards: false };
                if self.refers(bytes, &field) && (width == 4 || quad(bytes, at) != 0) {
                    with(bytes, field);
                }
            }
        }
    }

    /// The fields of call frames: their table's head, their function, its table.
    fn frames(&self, bytes: &mut [u8], with: &mut impl FnMut(&mut [u8], Field)) {
        let before = (self.old_va - self.zone.old.va) % 4;
        let mut at = (4 - before as usize) % 4;
        while at + 17 <= bytes.len() {
            let len = word(bytes, at) as usize;
            let origin = |offset: usize| {
                let place = (at + offset) as u64;
                [self.old_va + place, self.new_va + place]
            };
            let field = |offset: usize, class: usize, backwards: bool| Field {
                at: at + offset,
                width: 4,
                class,
                origin: origin(offset),
                backwards,
            };
            let (head, function) = (field(4, 12, true), field(8, 13, false));
            let sound =
                (12..4096).contains(&len) && len.is_multiple_of(4) && word(bytes, at + 4) != 0;
            let head_label = head.label(long(word(bytes, at + 4)));
            let label = function.label(long(word(bytes, at + 8)));
            let into_code = self.zones.of_old(label).is_some_and(|zone| zone.kind == Kind::X86);
            if !sound || !into_code || !self.zone.old.holds(head_label) {
                at += 4;
                continue;
            }
            with(bytes, head);
            with(bytes, function);
            let table = field(17, 14, false);
            if bytes[at + 16] == 4 && at + 21 <= bytes.len() && self.refers(bytes, &table) {
                with(bytes, table);
            }
            at += len + 4;
        }
    }

    /// The fields of what Go knows of its functions.
    fn functions(&self, bytes: &mut [u8], with: &mut impl FnMut(&mut [u8], Field)) {
        let before = (self.old_va - self.zone.old.va) % 4;
        let mut at = (4 - before as usize) % 4;
        let mut sure = false;
        while at + 44 <= bytes.len() {
            let tables = word(bytes, at + 28) as usize;
            let data = usize::from(bytes[at + 43]);
            let len = 44 + 4 * (tables + data);
            let [text, names, counters, functions] = [0, 1, 2, 3].map(|base| self.zone.bases[base]);
            let field = |offset: usize, class: usize, origin: [u64; 2]| Field {
                at: at + offset,
                width: 4,
                class,
                origin,
                backwards: false,
            };
            let entry = field(0, 15, text);
            let sound = tables <= 16
                && data <= 32
                && bytes[at + 41] < 4
                && bytes[at + 42] == 0
                && self.refers(bytes, &entry)
                && word(bytes, at + 4) < 1 << 26
                && word(bytes, at + 16) < 1 << 28
                && (sure || word(bytes, at + 16) > 0);
            if !sound || at + len > bytes.len() {
                sure = false;
                at += 4;
                continue;
            }
            sure = true;
            with(bytes, entry);
            with(bytes, field(4, 16, names));
            for (index, offset) in [16, 20, 24].into_iter().enumerate() {
                if word(bytes, at + offset) != 0 {
                    with(bytes, field(offset, 17 + index, counters));
                }
            }
            for index in 0..tables {
                if word(bytes, at + 44 + 4 * index) != 0 {
                    with(bytes, field(44 + 4 * index, 20, counters));
                }
            }
            for index in tables..tables + data {
                if word(bytes, at + 44 + 4 * index) != u32::MAX {
                    with(bytes, field(44 + 4 * index, 21, functions));
                }
            }
            at += len;
        }
    }
}

/// A call or a jump: a distance follows.
const CALL: u8 = 1;

/// The first byte of opcodes of two bytes; 80 to 8f are conditional jumps.
const TWO_BYTES: u8 = 2;

/// What says, in most instructions, that data lie at a distance from the code.
const BESIDE: u8 = 3;

/// What x86-64 code may mean by a byte.
const OPCODES: [u8; 256] = {
    let mut opcodes = [0; 256];
    let mut byte = 0x05;
    while byte < 0x40 {
        opcodes[byte] = BESIDE;
        byte += 8;
    }
    opcodes[0x0f] = TWO_BYTES;
    opcodes[0xe8] = CALL;
    opcodes[0xe9] = CALL;
    opcodes
};

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn quad(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// Four or eight bytes as a number, of four the sign being kept.
pub(crate) fn value(bytes: &[u8]) -> u64 {
    if bytes.len() == 4 { long(word(bytes, 0)) } else { quad(bytes, 0) }
}

/// A distance of 4 bytes.
fn long(word: u32) -> u64 {
    i64::from(word.cast_signed()).cast_unsigned()
}
