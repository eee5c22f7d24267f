//! Where references stand in the bytes of each kind of zone.
//!
//! Promises the same fields for the same old bytes, wherever a run begins,
//! but for the first few. What is found need not be a reference: code is not
//! disassembled, and a field that means nothing inside the image is skipped.

use crate::field::{Field, Form, quad, word};
use crate::zones::{Kind, Zone, Zones};

/// How many classes of references there are.
pub(crate) const CLASSES: usize = 26;

/// Whether what a reference of this class leads to tells it from others.
pub(crate) fn is_telling(class: usize) -> bool {
    matches!(class, 4 | 6 | 7 | 8 | 10 | 13 | 15..=20 | 22 | 23)
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
            Kind::Arm64 => self.words(bytes, with),
            Kind::Triples => {
                let columns = [(0, 4, Some(0)), (4, 4, Some(0)), (8, 4, Some(0))];
                self.rows(bytes, 12, &columns, 23, with);
            }
            Kind::Loose => self.loose(bytes, with),
        }
    }

    /// Whether a field refers to something of the old file.
    #[inline]
    fn refers(&self, bytes: &[u8], field: &Field) -> bool {
        self.zones.of_old(field.label(field.value(bytes))).is_some()
    }

    /// The fields of x86-64 code.
    fn code(&self, bytes: &mut [u8], mut with: impl FnMut(&mut [u8], Field)) {
        let end = bytes.len().saturating_sub(5);
        let mut next = 0;
        for start in (0..end).step_by(OPCODES_AT_ONCE) {
            let mut left = opcodes(&bytes[start..]) & lowest(end - start);
            // What stands in a field begins nothing.
            left &= !lowest(next.max(start) - start);
            while left != 0 {
                let at = start + left.trailing_zeros() as usize;
                left &= left - 1;
                let (site, class) = match bytes[at] {
                    0xe8 | 0xe9 => (at + 1, 0),
                    0x0f => (at + 2, 1),
                    _ => (at + 1, 2),
                };
                let origin = [self.old_va + site as u64 + 4, self.new_va + site as u64 + 4];
                let field = Field { at: site, width: 4, class, form: Form::Plain, origin };
                let label = field.label(field.value(bytes));
                let within = self.zone.old.holds(label)
                    || self
                        .zones
                        .of_old(label)
                        .is_some_and(|zone| class == 2 || zone.kind == Kind::X86);
                if within {
                    with(bytes, field);
                    next = site + 4;
                    left &= !lowest(next - start);
                }
            }
        }
    }

    /// The fields of AArch64 code.
    fn words(&self, bytes: &mut [u8], mut with: impl FnMut(&mut [u8], Field)) {
        let mut at = ((4 - self.old_va % 4) % 4) as usize;
        while at + 4 <= bytes.len() {
            let first = word(bytes, at);
            let origin = [self.old_va + at as u64, self.new_va + at as u64];
            let field = if first & 0x7c00_0000 == 0x1400_0000 {
                Some(Field { at, width: 4, class: 0, form: Form::Branch, origin })
            } else if first & 0x9f00_0000 == 0x9000_0000 && at + 8 <= bytes.len() {
                let second = word(bytes, at + 4);
                let form = lower_bits(second).map(Form::Page);
                let form = form.filter(|_| second >> 5 & 31 == first & 31);
                form.map(|form| Field { at, width: 8, class: 2, form, origin })
            } else {
                None
            };
            match field.filter(|field| self.refers(bytes, field)) {
                Some(field) => {
                    with(bytes, field);
                    at += field.width;
                }
                None => at += 4,
            }
        }
    }

    /// Addresses of code, wherever they stand.
    fn loose(&self, bytes: &mut [u8], mut with: impl FnMut(&mut [u8], Field)) {
        let mut at = 0;
        while at + 8 <= bytes.len() {
            let label = quad(bytes, at);
            let likely = label >> 12 != 0 && label >> 40 == 0;
            if likely && self.zones.of_old(label).is_some_and(|zone| zone.kind.is_code()) {
                with(bytes, Field { at, width: 8, class: 22, form: Form::Plain, origin: [0; 2] });
                at += 8;
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
                let class = class + column;
                let field = Field { at, width, class, form: Form::Plain, origin };
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
            let field = |offset: usize, class: usize, form: Form| Field {
                at: at + offset,
                width: 4,
                class,
                form,
                origin: origin(offset),
            };
            let (head, function) = (field(4, 12, Form::Backwards), field(8, 13, Form::Plain));
            let sound =
                (12..4096).contains(&len) && len.is_multiple_of(4) && word(bytes, at + 4) != 0;
            let head_label = head.label(head.value(bytes));
            let label = function.label(function.value(bytes));
            let into_code = self.zones.of_old(label).is_some_and(|zone| zone.kind.is_code());
            if !sound || !into_code || !self.zone.old.holds(head_label) {
                at += 4;
                continue;
            }
            with(bytes, head);
            with(bytes, function);
            let table = field(17, 14, Form::Plain);
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
                form: Form::Plain,
                origin,
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

/// So many bytes are looked at together, one for each bit of a number.
const OPCODES_AT_ONCE: usize = 64;

/// Which of the first bytes begin an instruction that may refer to something:
/// e8 and e9; 0f before 80 to 8f; 05, 0d, 15 and so on to 3d.
#[inline(always)]
fn opcodes(bytes: &[u8]) -> u64 {
    let mut window = [0; OPCODES_AT_ONCE + 1];
    match bytes.first_chunk() {
        Some(all) => window = *all,
        None => window[..bytes.len()].copy_from_slice(bytes),
    }
    let mut flags = [0u8; OPCODES_AT_ONCE];
    for (at, flag) in flags.iter_mut().enumerate() {
        let (byte, second) = (window[at], window[at + 1]);
        let near = byte & 0xfe == 0xe8;
        let beside = byte & 0xc7 == 0x05;
        let two = (byte == 0x0f) & (second & 0xf0 == 0x80);
        *flag = u8::from(near | beside | two);
    }
    let (words, _) = flags.as_chunks::<8>();
    words.iter().rev().fold(0, |bits, word| {
        // Eight flags of a byte each, as the upper byte's bits.
        bits << 8 | u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

/// A number whose lowest `count` bits are set.
#[inline(always)]
fn lowest(count: usize) -> u64 {
    if count < OPCODES_AT_ONCE { (1 << count) - 1 } else { u64::MAX }
}

/// By which power of two an AArch64 instruction multiplies the 12 bits that
/// it adds to a register: additions, loads and stores.
fn lower_bits(instruction: u32) -> Option<u32> {
    if instruction & 0xffc0_0000 == 0x9100_0000 {
        Some(0)
    } else if instruction & 0x3f00_0000 == 0x3900_0000 {
        Some(instruction >> 30)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zones::Place;

    /// A zone of `kind` at 0x10000 that moved to 0x18000, and data that did
    /// not move, in the files as in memory.
    fn zones(kind: Kind) -> Zones {
        let place = |va: u64| Place { va, at: va, len: 0x4000 };
        let bases = vec![[0x10000, 0x18000]; kind.bases()];
        let moved = Zone { kind, old: place(0x10000), new: place(0x18000), bases };
        let data =
            Zone { kind: Kind::Data, old: place(0x40000), new: place(0x40000), bases: Vec::new() };
        Zones::new(vec![moved, data], 0)
    }

    /// The fields of `bytes` at the begin of such a zone: place, class, label;
    /// each is rewritten, and means the same where it stands now.
    fn fields(kind: Kind, bytes: &[u8]) -> Vec<(usize, usize, u64)> {
        let zones = zones(kind);
        let scan = Scan { zone: &zones.list[0], zones: &zones, old_va: 0x10000, new_va: 0x18000 };
        let mut found = Vec::new();
        scan.each(&mut bytes.to_vec(), |bytes, field| {
            let label = field.label(field.value(bytes));
            found.push((field.at, field.class, label));
            let moved = if label < 0x20000 { label + 0x8000 } else { label };
            field.put(bytes, field.new_value(moved));
            assert_eq!(field.new_label(field.value(bytes)), moved);
        });
        found
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn x86_calls_jumps_and_data_are_found() {
        let code = [
            &[0x90, 0xe8, 0xf6, 0x0f, 0, 0][..],
            &[0x0f, 0x84, 0xf4, 0xff, 0xff, 0xff],
            &[0x48, 0x8d, 0x05, 0xfd, 0xff, 0x02, 0],
            // A call that leads nowhere, and one cut short.
            &[0xe8, 0, 0, 0, 0x70, 0xe8, 0, 0],
        ];
        let found = fields(Kind::X86, &code.concat());
        assert_eq!(found, [(2, 0, 0x10ffc), (8, 1, 0x10000), (15, 2, 0x40010)]);
    }

    #[test]
    fn arm_branches_and_pages_are_found() {
        let code = words(&[
            0x9400_0400, // bl, 0x1000 onward
            0x17ff_ffff, // b, to the one before
            0xd000_0180, // adrp x0, 0x32 pages onward
            0x9100_4000, // add x0, x0, 16
            0xd000_0181, // adrp x1
            0xf940_0822, // ldr x2, [x1, 16]
            0xd000_0183, // adrp x3, used by another register
            0x9100_4000,
        ]);
        let found = fields(Kind::Arm64, &code);
        assert_eq!(found, [(0, 0, 0x11000), (4, 0, 0x10000), (8, 2, 0x42010), (16, 2, 0x42010)]);
    }

    #[test]
    fn rows_of_tables_are_found() {
        let pointers: Vec<u8> =
            [0u64, 0x10010, 7, 0x40000].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(fields(Kind::Pointers, &pointers), [(8, 4, 0x10010), (24, 4, 0x40000)]);
        let relocation: Vec<u8> =
            [0x40008u64, 8, 0x10020].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(fields(Kind::Relocations, &relocation), [(0, 5, 0x40008), (16, 6, 0x10020)]);
        let rows = words(&[0x10, 0x20, 0x30, 0x40, 0x7000_0000, 0x60]);
        let found = fields(Kind::Triples, &rows);
        let expected = [
            (0, 23, 0x10010),
            (4, 24, 0x10020),
            (8, 25, 0x10030),
            (12, 23, 0x10040),
            (20, 25, 0x10060),
        ];
        assert_eq!(found, expected);
    }
}
