//! How new bytes are told: one by one, or as repetitions of earlier ones.
//!
//! An [`Op`] is one step. What is likely depends on the steps before; the
//! model learns it in the same order on both sides. Knows neither how steps
//! are chosen (`parser`) nor what they make (`extra`).

use crate::coder::{Bit, Coder};
use crate::numbers::{Byte, Number, symbol, symbol_price};

/// The shortest repetition at a distance of its own.
pub(crate) const MIN_REPEAT: usize = 3;

/// How many distances are remembered.
pub(crate) const REMEMBERED: usize = 4;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// One new byte.
    Literal(u8),
    /// Bytes at one of the remembered distances, at least one.
    Again { which: usize, len: usize },
    /// Bytes from so far back, at least `MIN_REPEAT`.
    Repeat { distance: usize, len: usize },
}

/// What the next step depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    /// The last distances, 32 bits each, the newest lowest.
    distances: u128,
    /// The kinds of the last two steps: 0 literal, 1 again, 2 repeat.
    older: u8,
    newer: u8,
}

impl Past {
    pub(crate) fn new() -> Self {
        Self { distances: 1 << 96 | 1 << 64 | 1 << 32 | 1, older: 0, newer: 0 }
    }

    /// Two distances at which the next bytes may well go on.
    pub(crate) fn expecting(self, first: u32, second: u32) -> Self {
        let front = u128::from(second) << 32 | u128::from(first);
        Self { distances: self.distances << 64 | front, older: 0, newer: 1 }
    }

    /// Whether the last step was a repetition, or one is expected.
    #[inline]
    fn repeated(self) -> bool {
        self.newer > 0
    }

    /// One of the remembered distances.
    #[inline(always)]
    pub(crate) fn distance(self, which: usize) -> usize {
        (self.distances >> (32 * (which & 3))) as u32 as usize
    }

    /// Which of nine kinds the last two steps are together.
    #[inline(always)]
    fn kinds(self) -> usize {
        usize::from(self.older & 3) * 3 + usize::from(self.newer & 3)
    }

    /// After a step of this kind.
    #[inline(always)]
    fn then(self, kind: u8, distances: u128) -> Self {
        Self { distances, older: self.newer, newer: kind }
    }

    #[inline(always)]
    pub(crate) fn after(self, op: Op) -> Self {
        match op {
            Op::Literal(_) => self.then(0, self.distances),
            Op::Again { which, .. } => {
                // Those before it move back by one place; what is behind stays.
                let before = (1u128 << (32 * (which & 3))) - 1;
                let behind = self.distances & !(before << 32 | 0xffff_ffff);
                let moved = (self.distances & before) << 32;
                self.then(1, behind | moved | self.distance(which) as u128)
            }
            Op::Repeat { distance, .. } => {
                self.then(2, self.distances << 32 | u128::from(distance as u32))
            }
        }
    }
}

/// What stands around the byte that the next step makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around {
    /// The byte before.
    before: u8,
    /// The byte that another repetition would bring, if one is expected.
    expected: Option<u8>,
}

impl Around {
    #[inline]
    pub(crate) fn new(bytes: &[u8], at: usize, past: Past) -> Self {
        let before = if at > 0 { bytes[at - 1] } else { 0 };
        let back = at.checked_sub(past.distance(0)).filter(|_| past.repeated());
        Self { before, expected: back.map(|back| bytes[back]) }
    }
}

/// What is likely.
pub(crate) struct Literals {
    /// Whether the next step is a repetition.
    repeats: [Bit; 9],
    /// Whether it is at a remembered distance.
    again: [Bit; 9],
    which: [[Bit; REMEMBERED]; 3],
    again_len: [Number; 2],
    repeat_len: Number,
    distance: [Number; 4],
    /// Literals, by the byte before.
    bytes: Vec<Byte>,
    /// The bits of the byte before by which they are told apart.
    apart: u8,
    /// Literals, by the byte that a repetition would bring: their upper half,
    /// and their lower one if the upper is the same.
    instead: Vec<Byte>,
}

/// In how many ways new bytes may be told apart by the byte before.
pub(crate) const WAYS_APART: u32 = 4;

/// The bits of a byte by which those behind it are told apart: as a rule (way
/// 0), where there are few, there is little to learn each kind from.
fn apart(way: u32, count: usize) -> u8 {
    match (way, count) {
        (1, _) | (0, ..1024) => 0,
        (2, _) | (0, 1024..8192) => 0xe0,
        _ => 0xff,
    }
}

impl Literals {
    /// For so many bytes that may be literals, told apart in this way.
    pub(crate) fn new(way: u32, count: usize) -> Self {
        Self {
            repeats: [Bit::QUICK; 9],
            again: [Bit::QUICK; 9],
            which: [[Bit::QUICK; REMEMBERED]; 3],
            again_len: [const { Number::new() }; 2],
            repeat_len: Number::new(),
            distance: [const { Number::new() }; 4],
            bytes: vec![Byte::new(); 256],
            apart: apart(way, count),
            instead: vec![Byte::new(); 16],
        }
    }

    /// Codes one step behind `past`.
    #[inline(always)]
    pub(crate) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        past: Past,
        around: Around,
        op: Op,
    ) -> Op {
        let kinds = past.kinds();
        if !coder.bit(&mut self.repeats[kinds], !matches!(op, Op::Literal(_))) {
            let byte = if let Op::Literal(byte) = op { byte } else { 0 };
            return Op::Literal(self.literal(coder, around, byte));
        }
        if coder.bit(&mut self.again[kinds], matches!(op, Op::Again { .. })) {
            let (which, len) =
                if let Op::Again { which, len } = op { (which, len) } else { (0, 1) };
            let which =
                symbol(coder, &mut self.which[usize::from(past.newer & 3)], which as u32) as usize;
            let len = self.again_len[usize::from(which > 0)].code(coder, len as u64 - 1);
            return Op::Again {
                which,
                len: usize::try_from(len).unwrap_or(usize::MAX).saturating_add(1),
            };
        }
        let (distance, len) =
            if let Op::Repeat { distance, len } = op { (distance, len) } else { (1, MIN_REPEAT) };
        let over = self.repeat_len.code(coder, (len - MIN_REPEAT) as u64);
        let class = over.min(3) as usize;
        let distance = self.distance[class].code(coder, distance as u64 - 1);
        let saturating = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Op::Repeat {
            distance: saturating(distance).saturating_add(1),
            len: saturating(over).saturating_add(MIN_REPEAT),
        }
    }

    #[inline(always)]
    fn literal<C: Coder>(&mut self, coder: &mut C, around: Around, byte: u8) -> u8 {
        let bytes = &mut self.bytes[usize::from(around.before & self.apart)];
        let Some(expected) = around.expected else {
            return bytes.code(coder, byte);
        };
        let instead = &mut self.instead[usize::from(expected >> 4)];
        let high = instead.high(coder, byte);
        if high == expected >> 4 {
            return high << 4 | instead.low(coder, expected & 15, byte);
        }
        high << 4 | bytes.low(coder, high, byte)
    }

    /// What a literal would cost, in 256ths of a bit.
    pub(crate) fn literal_price(&self, past: Past, around: Around, byte: u8) -> u32 {
        let told = self.repeats[past.kinds()].price(false);
        let bytes = &self.bytes[usize::from(around.before & self.apart)];
        let [high, low] = bytes.prices(byte);
        let Some(expected) = around.expected else { return told + high + low };
        let instead = &self.instead[usize::from(expected >> 4)];
        let [high, _] = instead.prices(byte);
        if byte >> 4 == expected >> 4 {
            return told + high + instead.low_price(expected & 15, byte);
        }
        told + high + low
    }

    /// What it costs to say that a remembered distance is taken, and which.
    pub(crate) fn again_price(&self, past: Past, which: usize) -> u32 {
        let kinds = past.kinds();
        self.repeats[kinds].price(true)
            + self.again[kinds].price(true)
            + symbol_price(&self.which[usize::from(past.newer & 3)], which as u32)
    }

    /// What the length of such a repetition costs.
    pub(crate) fn again_len_price(&self, which: usize, len: usize) -> u32 {
        self.again_len[usize::from(which > 0)].price(len as u64 - 1)
    }

    /// What it costs to say that there is a repetition at a distance of its own.
    pub(crate) fn repeat_price(&self, past: Past) -> u32 {
        let kinds = past.kinds();
        self.repeats[kinds].price(true) + self.again[kinds].price(false)
    }

    /// What its length costs.
    pub(crate) fn repeat_len_price(&self, len: usize) -> u32 {
        self.repeat_len.price((len - MIN_REPEAT) as u64)
    }

    /// What its distance costs.
    pub(crate) fn distance_price(&self, len: usize, distance: usize) -> u32 {
        self.distance[(len - MIN_REPEAT).min(3)].price(distance as u64 - 1)
    }
}
