//! Models of what is coded: symbols of a few bits, numbers of either sign.

use crate::coder::{Bit, Coder};

/// Codes a symbol of `count` bits; `bits` has 2^count decisions.
#[inline]
pub(crate) fn symbol<C: Coder>(coder: &mut C, bits: &mut [Bit], count: u32, value: u32) -> u32 {
    let mut node = 1usize;
    for at in (0..count).rev() {
        let bit = coder.bit(&mut bits[node], value >> at & 1 == 1);
        node = node << 1 | usize::from(bit);
    }
    node as u32 - (1 << count)
}

/// What coding a symbol would cost, in 256ths of a bit.
pub(crate) fn symbol_price(bits: &[Bit], count: u32, value: u32) -> u32 {
    let mut node = 1usize;
    let mut price = 0;
    for at in (0..count).rev() {
        let bit = value >> at & 1 == 1;
        price += bits[node].price(bit);
        node = node << 1 | usize::from(bit);
    }
    price
}

/// Numbers of so many bits and more are told apart first.
const NARROW: u32 = 8;

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
const LEARNED: u32 = 3;

/// Whole numbers, small ones being likelier than large ones.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    /// Whether the number, one being added to it, has more than `NARROW` bits
    /// behind its highest.
    wide: Bit,
    /// How many it has, of narrow and of wide ones.
    widths: [[Bit; 64]; 2],
    /// Its highest bits, for each width.
    high: [[Bit; 1 << LEARNED]; 64],
}

impl Number {
    pub(crate) const fn new(bit: Bit) -> Self {
        Self { wide: bit, widths: [[bit; 64]; 2], high: [[bit; 1 << LEARNED]; 64] }
    }

    /// Codes `value`, which is less than `u64::MAX`.
    pub(crate) fn code<C: Coder>(&mut self, coder: &mut C, value: u64) -> u64 {
        let more = if C::WRITES { value + 1 } else { 1 };
        let width = more.ilog2();
        let wide = coder.bit(&mut self.wide, width >= NARROW);
        let count = if wide { 6 } else { 3 };
        let width = symbol(coder, &mut self.widths[usize::from(wide)], count, width);
        let high = &mut self.high[width as usize];
        let mut made = 1u64;
        let mut left = width;
        for _ in 0..width.min(LEARNED) {
            left -= 1;
            let bit = coder.bit(&mut high[made as usize], more >> left & 1 == 1);
            made = made << 1 | u64::from(bit);
        }
        while left > 0 {
            let count = left.min(16);
            left -= count;
            let bits = (more >> left) as u32 & ((1 << count) - 1);
            made = made << count | u64::from(coder.even(count, bits));
        }
        made - 1
    }

    /// What coding `value` would cost, in 256ths of a bit.
    pub(crate) fn price(&self, value: u64) -> u32 {
        let more = value + 1;
        let width = more.ilog2();
        let learned = width.min(LEARNED);
        let wide = width >= NARROW;
        let count = if wide { 6 } else { 3 };
        let mut price = self.wide.price(wide) + (width - learned) * 256;
        price += symbol_price(&self.widths[usize::from(wide)], count, width);
        let mut node = 1usize;
        for at in 0..learned {
            let bit = more >> (width - 1 - at) & 1 == 1;
            price += self.high[width as usize][node].price(bit);
            node = node << 1 | usize::from(bit);
        }
        price
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
        Self { zero: bit, negative: bit, magnitude: Number::new(bit) }
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
        let mut number = Number::new(Bit::QUICK);
        values.iter().for_each(|value| assert_eq!(number.code(&mut writer, *value), *value));
        number.code(&mut writer, u64::MAX - 1);
        let bytes = writer.finish();
        let (mut reader, mut number) = (Reader::new(&bytes), Number::new(Bit::QUICK));
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
        let mut number = Number::new(Bit::STEADY);
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
