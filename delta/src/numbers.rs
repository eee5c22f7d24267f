//! Models of what is coded: symbols of a few bits, numbers of either sign.

use crate::coder::{Bit, Coder, Nibble};

/// Codes one of `N` symbols, a power of two.
#[inline(always)]
pub(crate) fn symbol<C: Coder, const N: usize>(
    coder: &mut C,
    bits: &mut [Bit; N],
    value: u32,
) -> u32 {
    let mut node = 1usize;
    for at in (0..N.ilog2()).rev() {
        // The mask changes nothing, and shows that the place is inside.
        let bit = coder.bit(&mut bits[node & (N - 1)], value >> at & 1 == 1);
        node = node << 1 | usize::from(bit);
    }
    node as u32 - N as u32
}

/// What coding a symbol would cost, in 256ths of a bit.
pub(crate) fn symbol_price<const N: usize>(bits: &[Bit; N], value: u32) -> u32 {
    let mut node = 1usize;
    let mut price = 0;
    for at in (0..N.ilog2()).rev() {
        let bit = value >> at & 1 == 1;
        price += bits[node & (N - 1)].price(bit);
        node = node << 1 | usize::from(bit);
    }
    price
}

/// Puts what stands at `place` first, and moves what stood before it back.
#[inline]
pub(crate) fn to_front<T: Copy>(list: &mut [T], place: usize) {
    let first = list[place];
    for at in (0..place).rev() {
        list[at + 1] = list[at];
    }
    list[0] = first;
}

/// How many bits of a number are learned, behind its highest.
const LEARNED: u32 = 4;

/// So many bits and more behind the highest are told in a second step.
const WIDE: u32 = 15;

/// And of so many, in a third.
const WIDEST: u32 = 30;

/// Whole numbers, small ones being likelier than large ones.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    /// How many bits there are behind the highest, one being added to the
    /// number, in two steps.
    widths: [Nibble; 2],
    /// The highest of these bits, for each width.
    high: [Nibble; 64],
}

impl Number {
    pub(crate) const fn new() -> Self {
        let mut high = [Nibble::new(); 64];
        let mut width = 0;
        while width < LEARNED as usize {
            high[width] = Nibble::of(1 << width);
            width += 1;
        }
        Self { widths: [Nibble::new(); 2], high }
    }

    /// Codes `value`, which is less than `u64::MAX`.
    #[inline(always)]
    pub(crate) fn code<C: Coder>(&mut self, coder: &mut C, value: u64) -> u64 {
        let more = if C::WRITES { value + 1 } else { 1 };
        let width = self.width(coder, more.ilog2());
        if width == 0 {
            return 0;
        }
        let mut left = width - width.min(LEARNED);
        let high = (more >> left) as u32 & ((1 << width.min(LEARNED)) - 1);
        let high = coder.nibble(&mut self.high[width as usize & 63], high);
        // Only a stream that nobody wrote has a higher one.
        let mut made = 1 << width.min(LEARNED) | u64::from(high) & ((1 << width.min(LEARNED)) - 1);
        while left > 0 {
            let count = left.min(16);
            left -= count;
            let bits = (more >> left) as u32 & ((1 << count) - 1);
            made = made << count | u64::from(coder.even(count, bits));
        }
        made - 1
    }

    #[inline(always)]
    fn width<C: Coder>(&mut self, coder: &mut C, width: u32) -> u32 {
        let few = coder.nibble(&mut self.widths[0], width.min(WIDE));
        if few < WIDE {
            return few;
        }
        let more = coder.nibble(&mut self.widths[1], width.min(WIDEST).wrapping_sub(WIDE) & 15);
        if more < WIDEST - WIDE {
            return more + WIDE;
        }
        coder.even(6, width)
    }

    /// What coding `value` would cost, in 256ths of a bit.
    pub(crate) fn price(&self, value: u64) -> u32 {
        let more = value + 1;
        let width = more.ilog2();
        let learned = width.min(LEARNED);
        let mut price = self.widths[0].price(width.min(WIDE) as usize) + (width - learned) * 256;
        if width >= WIDE {
            price += self.widths[1].price((width.min(WIDEST) - WIDE) as usize);
        }
        if width >= WIDEST {
            price += 6 * 256;
        }
        if width > 0 {
            let high = more >> (width - learned) & ((1 << learned) - 1);
            price += self.high[width as usize].price(high as usize);
        }
        price
    }
}

/// A byte, in two halves.
#[derive(Debug, Clone)]
pub(crate) struct Byte {
    high: Nibble,
    low: [Nibble; 16],
}

impl Byte {
    pub(crate) const fn new() -> Self {
        Self { high: Nibble::new(), low: [Nibble::new(); 16] }
    }

    #[inline(always)]
    pub(crate) fn code<C: Coder>(&mut self, coder: &mut C, value: u8) -> u8 {
        let high = self.high(coder, value);
        high << 4 | self.low(coder, high, value)
    }

    /// Codes the upper half of `value`.
    #[inline(always)]
    pub(crate) fn high<C: Coder>(&mut self, coder: &mut C, value: u8) -> u8 {
        coder.nibble(&mut self.high, u32::from(value >> 4)) as u8
    }

    /// Codes the lower half of `value`, behind the upper.
    #[inline(always)]
    pub(crate) fn low<C: Coder>(&mut self, coder: &mut C, high: u8, value: u8) -> u8 {
        coder.nibble(&mut self.low[usize::from(high & 15)], u32::from(value & 15)) as u8
    }

    /// What coding the lower half of `value` would cost.
    pub(crate) fn low_price(&self, high: u8, value: u8) -> u32 {
        self.low[usize::from(high & 15)].price(usize::from(value & 15))
    }

    /// What coding the halves of `value` would cost, in 256ths of a bit.
    pub(crate) fn prices(&self, value: u8) -> [u32; 2] {
        let (high, low) = (usize::from(value >> 4), usize::from(value & 15));
        [self.high.price(high), self.low[high].price(low)]
    }
}

/// Whole numbers of either sign.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    zero: Bit,
    negative: Bit,
    magnitude: Number,
}

impl Signed {
    pub(crate) const fn new(bit: Bit) -> Self {
        Self { zero: bit, negative: bit, magnitude: Number::new() }
    }

    pub(crate) fn code<C: Coder>(&mut self, coder: &mut C, value: i64) -> i64 {
        if coder.bit(&mut self.zero, value == 0) {
            return 0;
        }
        let negative = coder.bit(&mut self.negative, value < 0);
        let magnitude = self.magnitude.code(coder, value.unsigned_abs().wrapping_sub(1));
        // Only a stream that nobody wrote holds more than 63 bits.
        let magnitude = magnitude.wrapping_add(1).cast_signed();
        if negative { magnitude.wrapping_neg() } else { magnitude }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coder::{Reader, Writer};

    #[test]
    fn numbers_come_back() {
        let values: Vec<u64> =
            (0..63).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 77]).collect();
        let mut writer = Writer::new();
        let mut number = Number::new();
        values.iter().for_each(|value| assert_eq!(number.code(&mut writer, *value), *value));
        number.code(&mut writer, u64::MAX - 1);
        let bytes = writer.finish();
        let (mut reader, mut number) = (Reader::new(&bytes), Number::new());
        for value in values {
            assert_eq!(number.code(&mut reader, 0), value);
        }
        assert_eq!(number.code(&mut reader, 0), u64::MAX - 1);
    }

    #[test]
    fn signs_come_back() {
        let values = [0, 1, -1, 5, -300, i64::MAX, i64::MIN + 1, 0, -7];
        let mut writer = Writer::new();
        let mut signed = Signed::new(Bit::STEADY);
        values.iter().for_each(|value| assert_eq!(signed.code(&mut writer, *value), *value));
        let bytes = writer.finish();
        let (mut reader, mut signed) = (Reader::new(&bytes), Signed::new(Bit::STEADY));
        for value in values {
            assert_eq!(signed.code(&mut reader, 0), value);
        }
    }

    #[test]
    fn a_price_is_what_coding_costs() {
        let mut number = Number::new();
        let mut writer = Writer::new();
        let mut price = 0;
        for value in 0..4000u64 {
            let value = value * value % 1000;
            price += number.price(value);
            number.code(&mut writer, value);
        }
        let cost = writer.finish().len() * 8;
        let price = price as usize / 256;
        assert!(price.abs_diff(cost) < cost / 100, "{price} {cost}");
    }
}
