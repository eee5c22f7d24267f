//! How new bytes are told: one by one, or as repetitions of earlier ones.
//!
//! An [`Op`] is one step. What is likely depends on the steps before; the
//! model learns it in the same order on both sides. Knows neither how steps
//! are chosen (`parser`) nor what they make (`extra`).

use crate::coder::{Bit, Coder};
use crate::numbers::{Number, symbol, symbol_price, to_front};

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
    /// The last distances, none twice in a row.
    pub(crate) distances: [u32; REMEMBERED],
    /// The kinds of the last two steps: 0 literal, 1 again, 2 repeat.
    kinds: u8,
}

impl Past {
    pub(crate) fn new() -> Self {
        Self { distances: [1; REMEMBERED], kinds: 0 }
    }

    /// Two distances at which the next bytes may well go on.
    pub(crate) fn expecting(self, first: u32, second: u32) -> Self {
        let [one, two, ..] = self.distances;
        Self { distances: [first, second, one, two], kinds: 1 }
    }

    /// Whether the last step was a repetition, or one is expected.
    #[inline]
    fn repeated(self) -> bool {
        !self.kinds.is_multiple_of(3)
    }

    #[inline]
    pub(crate) fn after(mut self, op: Op) -> Self {
        let kind = match op {
            Op::Literal(_) => 0,
            Op::Again { which, .. } => {
                to_front(&mut self.distances, which);
                1
            }
            Op::Repeat { distance, .. } => {
                to_front(&mut self.distances, REMEMBERED - 1);
                self.distances[0] = distance as u32;
                2
            }
        };
        self.kinds = self.kinds % 3 * 3 + kind;
        self
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
        let back = at.checked_sub(past.distances[0] as usize).filter(|_| past.repeated());
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
    bytes: Vec<[Bit; 256]>,
    /// Whether bits of a literal are those of the byte a repetition would bring.
    alike: [[Bit; 8]; 2],
}

impl Literals {
    pub(crate) fn new() -> Self {
        Self {
            repeats: [Bit::QUICK; 9],
            again: [Bit::QUICK; 9],
            which: [[Bit::QUICK; REMEMBERED]; 3],
            again_len: [const { Number::new(Bit::QUICK) }; 2],
            repeat_len: Number::new(Bit::QUICK),
            distance: [const { Number::new(Bit::QUICK) }; 4],
            bytes: vec![[Bit::QUICK; 256]; 256],
            alike: [[Bit::QUICK; 8]; 2],
        }
    }

    /// Codes one step behind `past`.
    #[inline]
    pub(crate) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        past: Past,
        around: Around,
        op: Op,
    ) -> Op {
        let kinds = usize::from(past.kinds);
        if !coder.bit(&mut self.repeats[kinds], !matches!(op, Op::Literal(_))) {
            let byte = if let Op::Literal(byte) = op { byte } else { 0 };
            return Op::Literal(self.literal(coder, around, byte));
        }
        if coder.bit(&mut self.again[kinds], matches!(op, Op::Again { .. })) {
            let (which, len) =
                if let Op::Again { which, len } = op { (which, len) } else { (0, 1) };
            let which = symbol(coder, &mut self.which[kinds % 3], 2, which as u32) as usize;
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

    #[inline]
    fn literal<C: Coder>(&mut self, coder: &mut C, around: Around, byte: u8) -> u8 {
        let bits = &mut self.bytes[usize::from(around.before)];
        let mut node = 1usize;
        let mut at = 8;
        if let Some(expected) = around.expected {
            // As long as its bits are those expected, they are told as such.
            while at > 0 {
                at -= 1;
                let bit = expected >> at & 1;
                let model = &mut self.alike[usize::from(bit)][at as usize];
                let alike = coder.bit(model, byte >> at & 1 == bit);
                node = node << 1 | usize::from(if alike { bit } else { 1 - bit });
                if !alike {
                    break;
                }
            }
        }
        while at > 0 {
            at -= 1;
            let bit = coder.bit(&mut bits[node], byte >> at & 1 == 1);
            node = node << 1 | usize::from(bit);
        }
        node as u8
    }

    /// What a literal would cost, in 256ths of a bit.
    pub(crate) fn literal_price(&self, past: Past, around: Around, byte: u8) -> u32 {
        let bits = &self.bytes[usize::from(around.before)];
        let mut price = self.repeats[usize::from(past.kinds)].price(false);
        let mut node = 1usize;
        let mut at = 8;
        if let Some(expected) = around.expected {
            while at > 0 {
                at -= 1;
                let bit = expected >> at & 1;
                let alike = byte >> at & 1 == bit;
                price += self.alike[usize::from(bit)][at as usize].price(alike);
                node = node << 1 | usize::from(byte >> at & 1);
                if !alike {
                    break;
                }
            }
        }
        while at > 0 {
            at -= 1;
            let bit = byte >> at & 1 == 1;
            price += bits[node].price(bit);
            node = node << 1 | usize::from(bit);
        }
        price
    }

    /// What it costs to say that a remembered distance is taken, and which.
    pub(crate) fn again_price(&self, past: Past, which: usize) -> u32 {
        let kinds = usize::from(past.kinds);
        self.repeats[kinds].price(true)
            + self.again[kinds].price(true)
            + symbol_price(&self.which[kinds % 3], 2, which as u32)
    }

    /// What the length of such a repetition costs.
    pub(crate) fn again_len_price(&self, which: usize, len: usize) -> u32 {
        self.again_len[usize::from(which > 0)].price(len as u64 - 1)
    }

    /// What it costs to say that there is a repetition at a distance of its own.
    pub(crate) fn repeat_price(&self, past: Past) -> u32 {
        let kinds = usize::from(past.kinds);
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
