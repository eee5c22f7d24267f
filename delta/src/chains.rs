//! Where the next bytes stood before: chains of places with equal hashes.

use crate::index::common_bytes;
use crate::literals::MIN_REPEAT;

/// No place.
const NONE: u32 = u32::MAX;

/// A repetition that is this long is not compared with others.
pub(crate) const LONG: usize = 192;

/// The bytes that a chain's places have in common, but for collisions.
const CHAINED: usize = 4;

/// Places in a buffer, by what begins there.
pub(crate) struct Chains<'a> {
    bytes: &'a [u8],
    depth: usize,
    bits: u32,
    /// The last place of each hash of `CHAINED` bytes, and of `MIN_REPEAT`.
    heads: Vec<u32>,
    short: Vec<u32>,
    /// The place before, with the same hash.
    before: Vec<u32>,
    /// How many places are known.
    known: usize,
}

/// Bytes that stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Earlier {
    pub(crate) distance: usize,
    pub(crate) len: usize,
}

impl<'a> Chains<'a> {
    /// Looks at `depth` places of a chain.
    pub(crate) fn new(bytes: &'a [u8], depth: usize) -> Self {
        let bits = (bytes.len().max(2).ilog2() + 1).clamp(10, 20);
        Self {
            bytes,
            depth,
            bits,
            heads: vec![NONE; 1 << bits],
            short: vec![NONE; 1 << 14],
            before: vec![NONE; bytes.len()],
            known: 0,
        }
    }

    /// Learns all places before `end`.
    pub(crate) fn learn(&mut self, end: usize) {
        while self.known < end {
            let at = self.known;
            self.known += 1;
            let Some((long, short)) = self.hashes(at) else { continue };
            self.before[at] = self.heads[long];
            self.heads[long] = at as u32;
            self.short[short] = at as u32;
        }
    }

    /// The hashes at `at`, unless the buffer ends before.
    #[inline]
    fn hashes(&self, at: usize) -> Option<(usize, usize)> {
        let next: [u8; CHAINED] = *self.bytes.get(at..)?.first_chunk()?;
        let word = u32::from_le_bytes(next);
        let long = word.wrapping_mul(0x9e37_79b1) >> (32 - self.bits);
        let short = (word << 8).wrapping_mul(0x85eb_ca6b) >> (32 - 14);
        Some((long as usize, short as usize))
    }

    /// Gives to `found` ever longer repetitions of what begins at `at`, up to
    /// `end`, each as near as any of its length that was seen.
    pub(crate) fn find(&mut self, at: usize, end: usize, found: &mut Vec<Earlier>) {
        found.clear();
        self.learn(at);
        let Some((long, short)) = self.hashes(at) else { return };
        let here = &self.bytes[at..end];
        let mut best = MIN_REPEAT - 1;
        let near = self.short[short];
        if near != NONE {
            let len = common_bytes(&self.bytes[near as usize..], here, 0);
            if len > best {
                best = len;
                found.push(Earlier { distance: at - near as usize, len });
            }
        }
        let mut place = self.heads[long];
        for _ in 0..self.depth {
            if place == NONE || best >= LONG.min(here.len()) {
                break;
            }
            let there = &self.bytes[place as usize..];
            if there[best] == here[best] {
                let len = common_bytes(there, here, 0);
                if len > best {
                    best = len;
                    found.push(Earlier { distance: at - place as usize, len });
                }
            }
            place = self.before[place as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_repetitions_are_farther() {
        let bytes = b"abcdefgh-abcdxx-abcyy-abcdefzz";
        let mut chains = Chains::new(bytes, 100);
        let mut found = Vec::new();
        chains.find(22, bytes.len(), &mut found);
        let lens: Vec<_> = found.iter().map(|one| (one.distance, one.len)).collect();
        assert_eq!(lens, [(6, 3), (13, 4), (22, 6)]);
    }

    #[test]
    fn a_repetition_ends_where_it_is_told_to() {
        let bytes = [7; 100];
        let mut chains = Chains::new(&bytes, 100);
        let mut found = Vec::new();
        chains.find(10, 30, &mut found);
        assert_eq!(found, [Earlier { distance: 1, len: 20 }]);
        chains.find(98, 100, &mut found);
        assert_eq!(found, []);
    }
}
