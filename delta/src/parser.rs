//! Which steps make new bytes at the least cost.
//!
//! The cheapest way to each byte is known before the next is looked at; what
//! steps cost is what the model has learned so far.

use crate::chains::{Chains, Earlier, LONG};
use crate::index::common_bytes;
use crate::literals::{Around, Literals, MIN_REPEAT, Op, Past, REMEMBERED};

/// Lengths whose prices are known; longer ones cost as much as the last.
const PRICED: usize = LONG + 1;

/// After so many steps, prices of lengths are looked up anew.
const STALE_AFTER: usize = 512;

/// The cheapest way found to one byte.
#[derive(Debug, Clone, Copy)]
struct Node {
    price: u32,
    /// The step that leads here.
    op: Op,
    past: Past,
}

/// Chooses steps.
pub(crate) struct Parser<'a> {
    bytes: &'a [u8],
    chains: Chains<'a>,
    nodes: Vec<Node>,
    found: Vec<Earlier>,
    again_lens: [Vec<u32>; 2],
    repeat_lens: Vec<u32>,
    /// Steps since the lengths' prices were looked up.
    age: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(bytes: &'a [u8], depth: usize) -> Self {
        Self {
            bytes,
            chains: Chains::new(bytes, depth),
            nodes: Vec::new(),
            found: Vec::new(),
            again_lens: [Vec::new(), Vec::new()],
            repeat_lens: Vec::new(),
            age: STALE_AFTER,
        }
    }

    /// The steps that make the bytes from `start` to `end`, and their price in
    /// 256ths of a bit.
    pub(crate) fn steps(
        &mut self,
        model: &Literals,
        past: Past,
        start: usize,
        end: usize,
    ) -> (Vec<Op>, u64) {
        self.refresh(model);
        let unreached = Node { price: u32::MAX, op: Op::Literal(0), past };
        self.nodes.clear();
        self.nodes.resize(end - start + 1, unreached);
        self.nodes[0].price = 0;
        let mut at = start;
        while at < end {
            let node = self.nodes[at - start];
            let around = Around::new(self.bytes, at, node.past);
            let byte = self.bytes[at];
            let price = node.price + model.literal_price(node.past, around, byte);
            self.reach(start, at + 1, price, Op::Literal(byte), node.past);
            let again = self.try_again(model, node, start, at, end);
            let repeat = self.try_repeats(model, node, start, at, end);
            // Inside a long repetition nothing better is looked for.
            let longest = again.max(repeat);
            at += if longest >= LONG { longest } else { 1 };
        }
        let mut ops = Vec::new();
        let mut back = end - start;
        while back > 0 {
            let op = self.nodes[back].op;
            ops.push(op);
            back -= match op {
                Op::Literal(_) => 1,
                Op::Again { len, .. } | Op::Repeat { len, .. } => len,
            };
        }
        ops.reverse();
        self.age += ops.len();
        (ops, u64::from(self.nodes[end - start].price))
    }

    /// Tries the remembered distances; gives the longest repetition.
    fn try_again(
        &mut self,
        model: &Literals,
        node: Node,
        start: usize,
        at: usize,
        end: usize,
    ) -> usize {
        let mut longest = 0;
        for which in 0..REMEMBERED {
            let distance = node.past.distance(which);
            if distance > at || (0..which).any(|other| node.past.distance(other) == distance) {
                continue;
            }
            let len = common_bytes(&self.bytes[at - distance..], &self.bytes[at..end], 0);
            if len == 0 {
                continue;
            }
            longest = longest.max(len);
            let price = node.price + model.again_price(node.past, which);
            let shortest = if len >= LONG { len } else { 1 };
            for len in shortest..=len {
                let priced = len.min(PRICED - 1);
                let price = price + self.again_lens[usize::from(which > 0)][priced];
                self.reach(start, at + len, price, Op::Again { which, len }, node.past);
            }
        }
        longest
    }

    /// Tries what stood before; gives the longest repetition.
    fn try_repeats(
        &mut self,
        model: &Literals,
        node: Node,
        start: usize,
        at: usize,
        end: usize,
    ) -> usize {
        let mut found = std::mem::take(&mut self.found);
        self.chains.find(at, end, &mut found);
        let price = node.price + model.repeat_price(node.past);
        let mut done = MIN_REPEAT - 1;
        for &Earlier { distance, len: longest } in &found {
            let shortest = if longest >= LONG { longest } else { done + 1 };
            let mut class = usize::MAX;
            let mut distance_price = 0;
            for len in shortest..=longest {
                if class != len.min(MIN_REPEAT + 3) {
                    class = len.min(MIN_REPEAT + 3);
                    distance_price = model.distance_price(len, distance);
                }
                let price = price + distance_price + self.repeat_lens[len.min(PRICED - 1)];
                self.reach(start, at + len, price, Op::Repeat { distance, len }, node.past);
            }
            done = longest;
        }
        self.found = found;
        if done < MIN_REPEAT { 0 } else { done }
    }

    #[inline]
    fn reach(&mut self, start: usize, to: usize, price: u32, op: Op, past: Past) {
        let node = &mut self.nodes[to - start];
        if price < node.price {
            *node = Node { price, op, past: past.after(op) };
        }
    }

    fn refresh(&mut self, model: &Literals) {
        if self.age < STALE_AFTER {
            return;
        }
        self.age = 0;
        for (which, prices) in self.again_lens.iter_mut().enumerate() {
            prices.clear();
            prices.push(0);
            prices.extend((1..PRICED).map(|len| model.again_len_price(which, len)));
        }
        self.repeat_lens.clear();
        self.repeat_lens.resize(MIN_REPEAT, 0);
        self.repeat_lens.extend((MIN_REPEAT..PRICED).map(|len| model.repeat_len_price(len)));
    }
}
