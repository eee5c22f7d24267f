//! Values in as little room as their chances allow: asymmetric numeral systems
//! (rANS, after Jarek Duda), adaptive.
//!
//! Each decision has a [`Bit`] or a [`Nibble`], which learns how likely its
//! values are. What is coded is written once for both directions: a [`Writer`]
//! is told the values, a [`Reader`] gives them. Promises that a reader stops at
//! no byte and panics at none: behind the end it goes on with what it has, so
//! that whoever reads must bound how much.

use std::ops::Range;

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

    #[inline(always)]
    fn learn(&mut self, bit: bool) {
        let weight = i32::from(WEIGHTS[usize::from(self.seen)]);
        let chance = i32::from(self.chance);
        // Whatever comes, both stay possible. No branch: what is coded well
        // is what no processor can foresee.
        let goal = SURE & i32::from(bit).wrapping_neg() | RARE;
        let step = (goal - chance).wrapping_mul(weight) >> 16;
        self.chance = chance.wrapping_add(step) as u16;
        self.seen = self.seen.wrapping_add(u8::from(self.seen < self.limit));
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

/// One of sixteen values and how likely each was so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nibble {
    /// Where each value's share begins, and where the last one ends.
    starts: [u16; 17],
    /// How often it was seen, up to `NIBBLE_LIMIT`.
    seen: u16,
}

/// What the values of a nibble share, as a power of two.
const SHARE_BITS: u32 = 15;

/// The least share of a value.
const LEAST: u16 = 8;

/// After so many, an observation counts no less.
const NIBBLE_LIMIT: usize = 62;

/// How much one more observation of a nibble counts after so many, of 65536.
const NIBBLE_WEIGHTS: [i16; 64] = {
    let mut weights = [0; 64];
    let mut seen = 0;
    while seen <= NIBBLE_LIMIT {
        weights[seen] = (65536 * 2 / (2 * seen as i32 + 7)) as i16;
        seen += 1;
    }
    weights
};

/// Where shares would begin if this value alone had been seen.
const GOALS: [[u16; 16]; 16] = {
    let mut goals = [[0; 16]; 16];
    let mut value = 0;
    while value < 16 {
        let mut at = 0;
        while at < 16 {
            goals[value][at] = if at <= value {
                LEAST * at as u16
            } else {
                (1 << SHARE_BITS) - LEAST * (16 - at as u16)
            };
            at += 1;
        }
        value += 1;
    }
    goals
};

impl Nibble {
    /// All values are as likely.
    pub(crate) const fn new() -> Self {
        Self::of(16)
    }

    /// All values below `count` are as likely, others are not expected.
    pub(crate) const fn of(count: usize) -> Self {
        let mut starts = [1 << SHARE_BITS; 17];
        let mut at = 0;
        while at < 16 {
            starts[at] = GOALS[0][at];
            at += 1;
        }
        let all = (1 << SHARE_BITS) - LEAST as usize * (16 - count);
        let mut at = 1;
        while at < count {
            starts[at] = (all * at / count) as u16;
            at += 1;
        }
        Self { starts, seen: 0 }
    }

    /// Where the share of `value` begins, and how large it is.
    #[inline(always)]
    fn share(&self, value: usize) -> (u32, u32) {
        let (start, end) = (self.starts[value & 15], self.starts[(value & 15) + 1]);
        (u32::from(start), u32::from(end.wrapping_sub(start)))
    }

    /// The value in whose share `slot` lies.
    #[inline(always)]
    fn holder(&self, slot: u16) -> usize {
        let begun = self.starts[..16].iter().fold(0u16, |begun, start| {
            // Its upper bit is 1 if the share begins at the slot or before.
            begun.wrapping_add(start.wrapping_sub(slot + 1) >> 15)
        });
        usize::from(begun).wrapping_sub(1)
    }

    #[inline(always)]
    fn learn(&mut self, value: usize) {
        let seen = usize::from(self.seen);
        let weight = i32::from(NIBBLE_WEIGHTS[seen & 63]);
        let goals = &GOALS[value & 15];
        // Neighbours stay as far apart as their goals are, so no share is lost.
        // All are read before one is written: so the compiler sees that they
        // can be moved at once.
        let mut starts = [0; 16];
        starts.copy_from_slice(&self.starts[..16]);
        for (start, goal) in starts.iter_mut().zip(goals) {
            let away = i32::from(goal.wrapping_sub(*start).cast_signed());
            *start = start.wrapping_add((away.wrapping_mul(weight) >> 16) as u16);
        }
        self.starts[..16].copy_from_slice(&starts);
        self.seen = (seen + usize::from(seen < NIBBLE_LIMIT)) as u16;
    }

    /// What coding `value` would cost, in 256ths of a bit.
    #[inline]
    pub(crate) fn price(&self, value: usize) -> u32 {
        let (_, share) = self.share(value);
        u32::from(PRICES[(share >> (SHARE_BITS - 11)).min(2047) as usize])
    }
}

/// Codes decisions, in either direction.
pub(crate) trait Coder {
    /// Whether values are taken from whoever calls; else they are given.
    const WRITES: bool;

    /// Codes one decision; a reader ignores `bit`.
    fn bit(&mut self, model: &mut Bit, bit: bool) -> bool;

    /// Codes one of sixteen values; a reader ignores `value`.
    fn nibble(&mut self, model: &mut Nibble, value: u32) -> u32;

    /// Codes `count` bits, at most 16, that are as likely as not.
    fn even(&mut self, count: u32, value: u32) -> u32;

    /// Hears which byte of the target the next decisions are about.
    #[inline(always)]
    fn about(&mut self, _place: usize) {}
}

/// A state below this takes four more bytes.
const SMALL: u64 = 1 << 31;

/// What was coded: a share of 2^`bits`.
#[derive(Debug, Clone, Copy)]
struct Share {
    start: u32,
    len: u32,
    bits: u32,
}

impl Share {
    /// What it costs, in 256ths of a bit.
    fn price(self) -> u32 {
        if self.len == 1 {
            return self.bits * 256;
        }
        u32::from(PRICES[(self.len << (16 - self.bits) >> 5).min(2047) as usize])
    }
}

/// Takes decisions, and gives bytes.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// The last is coded first.
    shares: Vec<Share>,
    topics: Vec<Topic>,
}

/// What some decisions are about.
#[derive(Debug, Clone, Copy)]
struct Topic {
    /// A byte of the target.
    place: usize,
    /// How many decisions came before.
    begin: usize,
    /// How many bytes stand beside the stream.
    beside: usize,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// What the decisions about each byte of the target cost, in 256ths of a
    /// bit, in the order in which they were taken.
    pub(crate) fn costs(&self) -> impl Iterator<Item = (usize, u64)> {
        let ends = self.topics.iter().skip(1).map(|next| next.begin);
        let ends = ends.chain([self.shares.len()]);
        self.topics.iter().zip(ends).map(|(topic, end)| {
            let prices = self.shares[topic.begin..end].iter().map(|share| u64::from(share.price()));
            (topic.place, prices.sum::<u64>() + topic.beside as u64 * 8 * 256)
        })
    }

    /// Says that these bytes of the target are left beside the stream.
    pub(crate) fn leave(&mut self, place: Range<usize>) {
        let begin = self.shares.len();
        self.topics.extend(place.map(|place| Topic { place, begin, beside: 1 }));
    }

    /// The bytes of all decisions.
    pub(crate) fn finish(&self) -> Vec<u8> {
        let (states, words) = self.coded([0]);
        let [state] = states;
        let zeros = state.leading_zeros() as usize / 8;
        let zeros = if words.is_empty() { zeros } else { zeros.min(8 - MIN_STATE_BYTES) };
        let one = [&state.to_be_bytes()[zeros..], &words].concat();
        if one.len() < LONG_STREAM_BYTES {
            return one;
        }
        // A reader has two decisions under way at once.
        let (states, words) = self.coded([SMALL; 2]);
        let mut two = [&states.map(u64::to_be_bytes).concat()[..], &words].concat();
        two.resize(two.len().max(LONG_STREAM_BYTES), 0);
        two
    }

    /// What is left in the states, which take turns, and the words before.
    fn coded<const STATES: usize>(&self, mut states: [u64; STATES]) -> ([u64; STATES], Vec<u8>) {
        let mut words = Vec::new();
        for (turn, Share { start, len, bits }) in self.shares.iter().enumerate().rev() {
            let state = &mut states[turn % STATES];
            let len = u64::from(*len);
            if *state >= len << (63 - bits) {
                words.push(*state as u32);
                *state >>= 32;
            }
            *state = ((*state / len) << bits) + *state % len + u64::from(*start);
        }
        (states, words.iter().rev().flat_map(|word| word.to_be_bytes()).collect())
    }
}

/// Streams of so many bytes have two states.
pub(crate) const LONG_STREAM_BYTES: usize = 16 << 10;

/// With words behind it, the first state has at least so many bytes.
const MIN_STATE_BYTES: usize = 5;

impl Coder for Writer {
    const WRITES: bool = true;

    #[inline]
    fn bit(&mut self, model: &mut Bit, bit: bool) -> bool {
        let chance = u32::from(model.chance);
        let (start, len) = if bit { (0, chance) } else { (chance, (1 << 16) - chance) };
        self.shares.push(Share { start, len, bits: 16 });
        model.learn(bit);
        bit
    }

    #[inline]
    fn nibble(&mut self, model: &mut Nibble, value: u32) -> u32 {
        let (start, len) = model.share(value as usize);
        self.shares.push(Share { start, len, bits: SHARE_BITS });
        model.learn(value as usize);
        value
    }

    fn even(&mut self, count: u32, value: u32) -> u32 {
        self.shares.push(Share { start: value, len: 1, bits: count });
        value
    }

    #[inline]
    fn about(&mut self, place: usize) {
        self.topics.push(Topic { place, begin: self.shares.len(), beside: 0 });
    }
}

/// Gives the decisions that were taken; with two states, of long streams.
#[derive(Debug, Default)]
pub(crate) struct Reader<'a, const TWO: bool = false> {
    state: u64,
    /// Takes turns with `state`, if there are two.
    other: u64,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let first = if bytes.len() <= 8 {
            bytes.len()
        } else {
            MIN_STATE_BYTES + (bytes.len() - MIN_STATE_BYTES) % 4
        };
        let (first, rest) = bytes.split_at(first);
        let state = first.iter().fold(0, |state, byte| state << 8 | u64::from(*byte));
        Self { state, other: 0, rest }
    }

    /// Of a stream that is long enough for two states.
    pub(crate) fn of_long(bytes: &'a [u8]) -> Option<Reader<'a, true>> {
        let (state, rest) = bytes.split_first_chunk()?;
        let (other, rest) = rest.split_first_chunk()?;
        let [state, other] = [*state, *other].map(u64::from_be_bytes);
        (bytes.len() >= LONG_STREAM_BYTES).then_some(Reader { state, other, rest })
    }
}

impl<const TWO: bool> Reader<'_, TWO> {
    /// Goes on to the next decision.
    #[inline(always)]
    fn renew(&mut self) {
        if self.state < SMALL
            && let Some((bytes, rest)) = self.rest.split_first_chunk()
        {
            self.state = self.state << 32 | u64::from(u32::from_be_bytes(*bytes));
            self.rest = rest;
        }
        if TWO {
            std::mem::swap(&mut self.state, &mut self.other);
        }
    }
}

impl<const TWO: bool> Coder for Reader<'_, TWO> {
    const WRITES: bool = false;

    #[inline(always)]
    fn bit(&mut self, model: &mut Bit, _: bool) -> bool {
        let chance = u64::from(model.chance);
        let (above, slot) = (self.state >> 16, self.state & 0xffff);
        let bit = slot < chance;
        // Both are made, so that no processor has to foresee which it is.
        let taken = above.wrapping_mul(chance).wrapping_add(slot);
        let other = self.state.wrapping_sub(above.wrapping_mul(chance)).wrapping_sub(chance);
        self.state = if bit { taken } else { other };
        model.learn(bit);
        self.renew();
        bit
    }

    #[inline(always)]
    fn nibble(&mut self, model: &mut Nibble, _: u32) -> u32 {
        let slot = self.state & ((1 << SHARE_BITS) - 1);
        let value = model.holder(slot as u16);
        let (start, len) = model.share(value);
        let above = (self.state >> SHARE_BITS).wrapping_mul(u64::from(len));
        self.state = above.wrapping_add(slot).wrapping_sub(u64::from(start));
        model.learn(value);
        self.renew();
        value as u32
    }

    #[inline(always)]
    fn even(&mut self, count: u32, _: u32) -> u32 {
        let value = self.state as u32 & ((1 << count) - 1);
        self.state >>= count;
        self.renew();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decisions of changing chances, mixed with even ones.
    fn session<C: Coder>(coder: &mut C, seed: u32, len: usize) -> Vec<u32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
            state >> 16
        };
        let mut bits = [Bit::QUICK, Bit::STEADY, Bit::QUICK];
        let mut nibble = Nibble::new();
        let mut given = Vec::new();
        for at in 0..len {
            let skew = [60, 60_000, 65_400][at / 1700 % 3];
            let bit = next() % 65_536 < skew;
            given.push(u32::from(coder.bit(&mut bits[at % 3], bit)));
            let count = next() % 17;
            let value = next() & ((1 << count) - 1);
            given.push(coder.nibble(&mut nibble, value & 15 & next()));
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
            let written = session(&mut writer, seed, 5000);
            let bytes = writer.finish();
            assert!(Reader::of_long(&bytes).is_none(), "{}", bytes.len());
            assert_eq!(session(&mut Reader::new(&bytes), seed, 5000), written, "seed {seed}");
        }
    }

    #[test]
    fn long_streams_have_two_states() {
        let mut long = 0;
        for len in (5000..45_000).step_by(1999) {
            let mut writer = Writer::new();
            let written = session(&mut writer, 3, len);
            let bytes = writer.finish();
            match Reader::of_long(&bytes) {
                Some(mut reader) => {
                    long += 1;
                    assert_eq!(session(&mut reader, 3, len), written, "{len}");
                }
                None => assert_eq!(session(&mut Reader::new(&bytes), 3, len), written, "{len}"),
            }
        }
        assert!((1..20).contains(&long), "{long} of 21 are long");
        assert!(Reader::of_long(&[0xff; LONG_STREAM_BYTES - 1]).is_none());
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
        assert_eq!(reader.nibble(&mut Nibble::new(), 7), 0);
        assert_eq!(reader.even(16, 0), 0);
    }
}
