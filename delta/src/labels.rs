//! Where what is referred to has gone.
//!
//! A label is an address of the old file. What became of it is told by the
//! copy that holds it, by what was referred to before, and failing both, by
//! what became of its neighbours.

use crate::control::Copy;
use crate::zones::{Kind, Zones};

/// How many ways there are to guess.
pub(crate) const WAYS: usize = 6;

/// Labels seen before that are kept, as a power of two.
const SEEN_BITS: u32 = 13;

/// Neighbours of a label, as powers of two: nearer ones know better.
const NEAR: [u32; 2] = [6, 11];

/// How far from a copy a label is still expected to move with it.
const BESIDE: u64 = 4096;

/// A run of old addresses that moved together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    va: u64,
    end: u64,
    shift: u64,
}

impl Run {
    /// `len` bytes that moved from one address to another.
    pub(crate) fn new(old_va: u64, new_va: u64, len: u64) -> Self {
        Self { va: old_va, end: old_va + len, shift: new_va.wrapping_sub(old_va) }
    }

    #[inline]
    fn holds(&self, label: u64) -> bool {
        self.va <= label && label < self.end
    }
}

/// How many parts of all addresses are told apart, as a power of two.
const PART_BITS: u32 = 12;

/// Runs in the order of their addresses, quick to find.
struct Runs {
    sorted: Vec<Run>,
    first: u64,
    /// How many bits an address has within a part.
    part: u32,
    /// The first run of each part.
    parts: Vec<u32>,
}

impl Runs {
    fn new(mut sorted: Vec<Run>) -> Self {
        sorted.sort_unstable_by_key(|run| (run.va, run.end, run.shift));
        let first = sorted.first().map_or(0, |run| run.va);
        let span = sorted.last().map_or(0, |run| run.va) - first;
        let part = (u64::BITS - span.leading_zeros()).saturating_sub(PART_BITS);
        let mut before = 0;
        let parts = (0..=(span >> part) + 1).map(|at| {
            let left = sorted[before..].iter();
            before += left.take_while(|run| (run.va - first) >> part < at).count();
            before as u32
        });
        let parts = parts.collect();
        Self { sorted, first, part, parts }
    }

    /// The last run that begins at `label` or before, and the one behind it.
    #[inline]
    fn around(&self, label: u64) -> (Option<&Run>, Option<&Run>) {
        let Some(offset) = label.checked_sub(self.first) else {
            return (None, self.sorted.first());
        };
        let part = usize::try_from(offset >> self.part).unwrap_or(usize::MAX);
        let next = match self.parts.get(part..part.saturating_add(2)) {
            Some(&[from, to]) => {
                let (from, to) = (from as usize, to as usize);
                from + self.sorted[from..to].partition_point(|run| run.va <= label)
            }
            _ => self.sorted.len(),
        };
        (next.checked_sub(1).map(|before| &self.sorted[before]), self.sorted.get(next))
    }
}

/// A label that is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup {
    pub(crate) label: u64,
    /// The run that refers to it.
    pub(crate) here: Run,
    /// By how much the last one of its class moved.
    pub(crate) last: u64,
}

/// By how much keys moved, the last one of each place.
///
/// 32 bits of either are kept, so that processors keep all of it at hand: whose
/// key or shift has more is taken for another, which costs a guess.
struct Memory(Vec<(u32, i32)>);

impl Memory {
    fn new() -> Self {
        Self(vec![(u32::MAX, 0); 1 << SEEN_BITS])
    }

    #[inline(always)]
    fn place(key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SEEN_BITS)) as usize
    }

    #[inline(always)]
    fn recall(&self, key: u64) -> Option<u64> {
        let (known, shift) = self.0[Self::place(key)];
        (known == key as u32).then_some(i64::from(shift).cast_unsigned())
    }

    #[inline(always)]
    fn learn(&mut self, key: u64, shift: u64) {
        self.0[Self::place(key)] = (key as u32, shift as i32);
    }
}

/// Labels and what became of them.
pub(crate) struct Labels<'a> {
    zones: &'a Zones,
    runs: Runs,
    seen: Memory,
    near: [Memory; 2],
}

impl<'a> Labels<'a> {
    /// Knows what `copies` tell.
    pub(crate) fn new(zones: &'a Zones, copies: &[Copy]) -> Self {
        let mut runs = Vec::with_capacity(copies.len());
        let mut new = zones.start;
        for copy in copies {
            new += copy.extra as u64;
            let (address, end) = (copy.address, copy.address + copy.len as u64);
            for zone in zones.list.iter().filter(|zone| zone.kind != Kind::Bare) {
                let from = address.max(zone.old.at);
                let to = end.min(zone.old.at + zone.old.len);
                if from >= to {
                    continue;
                }
                let va = zone.old.va + (from - zone.old.at);
                if let Some(new_va) = zones.new_va(new + (from - address)) {
                    runs.push(Run::new(va, new_va, to - from));
                }
            }
            new += copy.len as u64;
        }
        let runs = Runs::new(runs);
        Self { zones, runs, seen: Memory::new(), near: [Memory::new(), Memory::new()] }
    }

    /// By how much a label moved, as guessed in one of the `WAYS`, the first
    /// being the likeliest.
    #[inline(always)]
    pub(crate) fn guess(&self, way: usize, lookup: &Lookup) -> Option<u64> {
        let Lookup { label, here, last } = *lookup;
        match way {
            0 => self.seen.recall(label),
            1 if here.holds(label) => Some(here.shift),
            1 => self.runs.around(label).0.filter(|run| run.holds(label)).map(|run| run.shift),
            2 => {
                let [nearest, near] = &self.near;
                nearest.recall(label >> NEAR[0]).or_else(|| near.recall(label >> NEAR[1]))
            }
            3 => {
                let (before, after) = self.runs.around(label);
                let beside = |run: &&Run| label >= run.end && label - run.end < BESIDE;
                let after = after.filter(|run| run.va - label < BESIDE);
                before.filter(beside).or(after).map(|run| run.shift)
            }
            4 => Some(last),
            _ => self.zones.of_old(label).map(|zone| zone.new.va.wrapping_sub(zone.old.va)),
        }
    }

    /// Learns that `label` went to `va`.
    pub(crate) fn learn(&mut self, label: u64, va: u64) {
        let shift = va.wrapping_sub(label);
        self.seen.learn(label, shift);
        for (bits, near) in NEAR.iter().zip(&mut self.near) {
            near.learn(label >> bits, shift);
        }
    }
}
