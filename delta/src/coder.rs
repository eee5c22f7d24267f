//! Bits in as little room as their chances allow: an adaptive binary range coder.
//!
//! Each decision has a [`Bit`], which learns how likely it is. What is coded is
//! written once for both directions: a [`Writer`] is told the values, a
//! [`Reader`] gives them. Promises that a reader stops at no byte and panics at
//! none: what is not there reads as zeros, so that whoever reads must bound how
//! much.

/// One decision and how likely it was so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bit {
    /// The chance of `true`, of 65536.
    chance: u16,
    /// How often it was seen, up to `limit`.
    seen: u8,
    /// The larger, the more of the past it remembers.
    limit: u8,
}

/// How much one more observation counts after so many, of 65536.
const WEIGHTS: [u16; 256] = {
    let mut weights = [0; 256];
    let mut seen = 0;
    while seen < 256 {
        weights[seen] = (65536 * 2 / (2 * seen + 3)) as u16;
        seen += 1;
    }
    weights
};

/// The least chance, of 65536.
const RARE: i32 = 1 << 5;

/// With `RARE` added, the highest chance.
const SURE: i32 = 0xffff & !(2 * RARE - 1);

impl Bit {
    /// A decision that changes its character as it goes.
    pub(crate) const QUICK: Self = Self::remembering(24);
    /// A decision that stays much the same.
    pub(crate) const STEADY: Self = Self::remembering(120);

    const fn remembering(limit: u8) -> Self {
        Self { chance: 1 << 15, seen: 0, limit }
    }

    #[inline]
    fn learn(&mut self, bit: bool) {
        let weight = i32::from(WEIGHTS[usize::from(self.seen)]);
        let chance = i32::from(self.chance);
        // Whatever comes, both stay possible. No branch: what is coded well
        // is what no processor can foresee.
        let goal = SURE & i32::from(bit).wrapping_neg() | RARE;
        self.chance = (chance + (((goal - chance) * weight) >> 16)) as u16;
        self.seen += u8::from(self.seen < self.limit);
    }

    /// What coding `bit` would cost, in 256ths of a bit.
    #[inline]
    pub(crate) fn price(&self, bit: bool) -> u32 {
        let chance = if bit { self.chance } else { self.chance.wrapping_neg() };
        // A chance of a half negates to itself.
        u32::from(PRICES[usize::from(chance >> 5)])
    }
}

/// What chances cost, by their upper 11 bits, in 256ths of a bit.
const PRICES: [u16; 2048] = {
    let mut prices = [0; 2048];
    let mut index = 0;
    while index < 2048 {
        // log2 of the middle of the step, by squaring: 8 digits after the point.
        let mut value = (2 * index as u64 + 1) << 31;
        let mut log = 0u32;
        let mut whole = 0;
        while value >= 1 << 32 {
            value >>= 1;
            whole += 1;
        }
        let mut digit = 0;
        while digit < 8 {
            value = (value * value) >> 31;
            log <<= 1;
            if value >= 1 << 32 {
                value >>= 1;
                log |= 1;
            }
            digit += 1;
        }
        prices[index] = (12 * 256 - (whole * 256 + log)) as u16;
        index += 1;
    }
    prices
};

/// Codes decisions, in either direction.
pub(crate) trait Coder {
    /// Whether values are taken from whoever calls; else they are given.
    const WRITES: bool;

    /// Codes one decision; a reader ignores `bit`.
    fn bit(&mut self, model: &mut Bit, bit: bool) -> bool;

    /// Codes `count` bits, at most 16, that are as likely as not.
    fn even(&mut self, count: u32, value: u32) -> u32;
}

/// Below this, a range is renewed from the next four bytes.
const SMALL: u64 = 1 << 32;

/// Takes decisions, and gives bytes.
#[derive(Debug)]
pub(crate) struct Writer {
    low: u64,
    range: u64,
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { low: 0, range: u64::MAX, out: Vec::new() }
    }

    fn raise(&mut self, by: u64) {
        let (low, carry) = self.low.overflowing_add(by);
        self.low = low;
        if carry {
            for byte in self.out.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }

    fn renew(&mut self) {
        if self.range < SMALL {
            self.out.extend_from_slice(&((self.low >> 32) as u32).to_be_bytes());
            self.low <<= 32;
            self.range <<= 32;
        }
    }

    /// The bytes of all decisions; zeros at the end are left out.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        // Of all numbers in range, the one with most zeros at its end.
        let zeros = (0..64).rev().find(|zeros| {
            let mask = (1u64 << zeros) - 1;
            let up = (self.low.wrapping_neg()) & mask;
            up < self.range
        });
        let mask = (1u64 << zeros.unwrap_or(0)) - 1;
        let up = self.low.wrapping_neg() & mask;
        self.raise(up);
        self.out.extend_from_slice(&self.low.to_be_bytes());
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }
}

impl Coder for Writer {
    const WRITES: bool = true;

    #[inline]
    fn bit(&mut self, model: &mut Bit, bit: bool) -> bool {
        let bound = (self.range >> 16) * u64::from(model.chance);
        if bit {
            self.range = bound;
        } else {
            self.raise(bound);
            self.range -= bound;
        }
        model.learn(bit);
        self.renew();
        bit
    }

    fn even(&mut self, count: u32, value: u32) -> u32 {
        let unit = self.range >> count;
        self.raise(unit * u64::from(value));
        self.range = unit;
        self.renew();
        value
    }
}

/// Gives the decisions that were taken.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    code: u64,
    range: u64,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self { code: 0, range: u64::MAX, rest: bytes };
        reader.code = u64::from(reader.next()) << 32;
        reader.code |= u64::from(reader.next());
        reader
    }

    #[inline]
    fn next(&mut self) -> u32 {
        if let Some((bytes, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return u32::from_be_bytes(*bytes);
        }
        let mut last = [0; 4];
        last[..self.rest.len()].copy_from_slice(self.rest);
        self.rest = &[];
        u32::from_be_bytes(last)
    }

    #[inline]
    fn renew(&mut self) {
        if self.range < SMALL {
            self.range <<= 32;
            self.code = self.code << 32 | u64::from(self.next());
        }
    }
}

impl Coder for Reader<'_> {
    const WRITES: bool = false;

    #[inline]
    fn bit(&mut self, model: &mut Bit, _: bool) -> bool {
        let bound = (self.range >> 16) * u64::from(model.chance);
        let bit = self.code < bound;
        let other = u64::from(bit).wrapping_sub(1);
        self.code -= bound & other;
        self.range = bound & !other | (self.range - bound) & other;
        model.learn(bit);
        self.renew();
        bit
    }

    fn even(&mut self, count: u32, _: u32) -> u32 {
        let unit = self.range >> count;
        // Only a stream that nobody wrote leads beyond the last value.
        let value = (self.code / unit).min((1 << count) - 1);
        self.code -= value * unit;
        self.range = unit;
        self.renew();
        value as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decisions of changing chances, mixed with even ones.
    fn session<C: Coder>(coder: &mut C, seed: u32) -> Vec<u32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
            state >> 16
        };
        let mut bits = [Bit::QUICK, Bit::STEADY, Bit::QUICK];
        let mut given = Vec::new();
        for at in 0..5000 {
            let skew = [60, 60_000, 65_400][at / 1700];
            let bit = next() % 65_536 < skew;
            given.push(u32::from(coder.bit(&mut bits[at % 3], bit)));
            let count = next() % 17;
            let value = next() & ((1 << count) - 1);
            if at % 5 == 0 {
                given.push(coder.even(count, value));
            }
        }
        given
    }

    #[test]
    fn what_is_written_is_read() {
        for seed in 0..50 {
            let mut writer = Writer::new();
            let written = session(&mut writer, seed);
            let bytes = writer.finish();
            assert_eq!(session(&mut Reader::new(&bytes), seed), written, "seed {seed}");
        }
    }

    #[test]
    fn what_is_likely_costs_little() {
        let mut writer = Writer::new();
        let mut bit = Bit::STEADY;
        (0..10_000).for_each(|_| assert!(writer.bit(&mut bit, true)));
        let bytes = writer.finish();
        assert!(bytes.len() < 24, "{} bytes", bytes.len());
        assert!(bit.price(true) < 6 && bit.price(false) > 5 * 256);
    }

    #[test]
    fn prices_are_logarithms() {
        for (chance, bits) in
            [(1u16 << 15, 1.0f64), (1 << 14, 2.0), (3 << 14, 0.415), (1 << 9, 7.0)]
        {
            let bit = Bit { chance, seen: 0, limit: 9 };
            let price = f64::from(bit.price(true)) / 256.0;
            assert!((price - bits).abs() < 0.05, "{chance}: {price}");
        }
    }

    #[test]
    fn nothing_is_written_in_no_bytes() {
        assert!(Writer::new().finish().is_empty());
        let mut reader = Reader::new(&[]);
        (0..1000).for_each(|_| assert!(reader.bit(&mut Bit::QUICK.clone(), false)));
        assert_eq!(reader.even(16, 0), 0);
    }
}
