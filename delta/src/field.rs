//! A field that refers to something: what it says, and what that means.

/// How a field holds what it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a number of 4 bytes with a sign, or of 8.
    Plain,
    /// As `Plain`, counted backwards.
    Backwards,
    /// AArch64 `b` and `bl`: 26 bits, in units of 4 bytes.
    Branch,
    /// AArch64 `adrp`, and behind it what adds the lower 12 bits in units of
    /// so many, as a power of two.
    Page(u32),
}

/// A field that refers to something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Where in the run.
    pub(crate) at: usize,
    /// 4 or 8 bytes.
    pub(crate) width: usize,
    pub(crate) class: usize,
    pub(crate) form: Form,
    /// What it is counted from, in the old file and in the new.
    pub(crate) origin: [u64; 2],
}

/// The bits of `adrp` that hold its distance in pages.
const PAGE_BITS: u32 = 0x60ff_ffe0;

impl Field {
    /// What the bytes of the field say.
    #[inline(always)]
    pub(crate) fn value(&self, bytes: &[u8]) -> u64 {
        match self.form {
            Form::Plain | Form::Backwards if self.width == 4 => long(word(bytes, self.at)),
            Form::Plain | Form::Backwards => quad(bytes, self.at),
            Form::Branch => u64::from(word(bytes, self.at) & 0x03ff_ffff),
            Form::Page(_) => {
                let first = word(bytes, self.at);
                let pages = first >> 29 & 3 | first >> 3 & 0x1f_fffc;
                u64::from(pages) | u64::from(word(bytes, self.at + 4) >> 10 & 0xfff) << 21
            }
        }
    }

    /// Makes the bytes say `value`.
    #[inline(always)]
    pub(crate) fn put(&self, bytes: &mut [u8], value: u64) {
        match self.form {
            Form::Plain | Form::Backwards => {
                let value = value.to_le_bytes();
                bytes[self.at..self.at + self.width].copy_from_slice(&value[..self.width]);
            }
            Form::Branch => {
                let kept = word(bytes, self.at) & !0x03ff_ffff;
                bytes[self.at..self.at + 4]
                    .copy_from_slice(&(kept | value as u32 & 0x03ff_ffff).to_le_bytes());
            }
            Form::Page(_) => {
                let words = [word(bytes, self.at), word(bytes, self.at + 4)];
                let pages = value as u32 & 0x1f_ffff;
                let bits = (pages & 3) << 29 | (pages & 0x1f_fffc) << 3;
                let low = (value >> 21) as u32 & 0xfff;
                let mut put = |at: usize, word: u32| {
                    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
                };
                put(self.at, words[0] & !PAGE_BITS | bits);
                put(self.at + 4, words[1] & !(0xfff << 10) | low << 10);
            }
        }
    }

    /// What `value` means in the old file.
    #[inline(always)]
    pub(crate) fn label(&self, value: u64) -> u64 {
        self.meaning(self.origin[0], value)
    }

    /// What `value` means in the new file.
    #[inline(always)]
    pub(crate) fn new_label(&self, value: u64) -> u64 {
        self.meaning(self.origin[1], value)
    }

    #[inline(always)]
    fn meaning(&self, origin: u64, value: u64) -> u64 {
        match self.form {
            Form::Plain => origin.wrapping_add(value),
            Form::Backwards => origin.wrapping_sub(value),
            Form::Branch => origin.wrapping_add(signed(value, 26) << 2),
            Form::Page(scale) => {
                let pages = signed(value & 0x1f_ffff, 21) << 12;
                (origin & !0xfff).wrapping_add(pages).wrapping_add((value >> 21 & 0xfff) << scale)
            }
        }
    }

    /// What is said in the new file to mean `va`.
    #[inline(always)]
    pub(crate) fn new_value(&self, va: u64) -> u64 {
        let origin = self.origin[1];
        match self.form {
            Form::Plain if self.width == 4 => long(va.wrapping_sub(origin) as u32),
            Form::Plain => va.wrapping_sub(origin),
            Form::Backwards => long(origin.wrapping_sub(va) as u32),
            Form::Branch => va.wrapping_sub(origin) >> 2 & 0x03ff_ffff,
            Form::Page(scale) => {
                let pages = (va >> 12).wrapping_sub(origin >> 12) & 0x1f_ffff;
                pages | (va & 0xfff) >> scale << 21
            }
        }
    }
}

/// The lowest `bits` of `value`, the highest of them being its sign.
#[inline(always)]
fn signed(value: u64, bits: u32) -> u64 {
    let up = 64 - bits;
    ((value << up).cast_signed() >> up).cast_unsigned()
}

/// Four bytes as a number, little-endian.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Eight bytes as a number, little-endian.
#[inline(always)]
pub(crate) fn quad(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// A distance of 4 bytes.
#[inline(always)]
fn long(word: u32) -> u64 {
    i64::from(word.cast_signed()).cast_unsigned()
}
