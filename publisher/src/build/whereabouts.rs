//! In which parts of a long old file stands what its new pieces are made from.
//!
//! A file longer than a window is read part by part, and a piece finds in most
//! of them nothing, slowly. Samples of the bytes, which are the same wherever a
//! run of bytes stands, tell before where to look. Promises at least one part
//! for every piece. Memory is bounded: the longer the file, the rarer samples.

use std::collections::HashMap;

use delta::samples::samples;

/// About so many samples are kept of a file.
const KEPT: u64 = 1 << 21;

/// The least rarity of samples, as a power of two.
const LEAST_RARITY: u32 = 8;

/// A part is looked at if it has at least this share of the samples of the best.
const SHARE: usize = 8;

/// Samples of all parts of an old file.
pub(super) struct Whereabouts {
    /// One place in so many begins a sample, as a power of two.
    rarity: u32,
    /// The first part that has a sample.
    parts: HashMap<u64, usize>,
    /// The part that most of the last piece was in.
    last: usize,
}

impl Whereabouts {
    /// Of a file of so many bytes, of which none is known yet.
    pub(super) fn new(len: u64) -> Self {
        let rarity = LEAST_RARITY.max((len / KEPT).max(1).ilog2() + 1);
        Self { rarity, parts: HashMap::new(), last: 0 }
    }

    /// Learns the bytes of a part.
    pub(super) fn learn(&mut self, part: usize, bytes: &[u8]) {
        for sample in samples(bytes, self.rarity) {
            self.parts.entry(sample.long).or_insert(part);
        }
    }

    /// The parts that a piece is to be made from; pieces are asked for in their
    /// order. Of what nothing is known, that of the piece before.
    pub(super) fn of(&mut self, piece: &[u8]) -> Vec<usize> {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        let known = samples(piece, self.rarity).filter_map(|sample| self.parts.get(&sample.long));
        for part in known {
            *counts.entry(*part).or_default() += 1;
        }
        let best = counts.iter().map(|(part, count)| (*count, std::cmp::Reverse(*part))).max();
        let Some((most, std::cmp::Reverse(best))) = best else { return vec![self.last] };
        self.last = best;
        let worth = counts.into_iter().filter(|(_, count)| count * SHARE >= most);
        let mut parts: Vec<usize> = worth.map(|(part, _)| part).collect();
        parts.sort_unstable();
        parts
    }
}

#[cfg(test)]
mod tests {
    use store::testing::noise;

    use super::*;

    fn of_two(len: usize) -> (Whereabouts, [Vec<u8>; 2]) {
        let parts = [noise(1, len), noise(2, len)];
        let mut whereabouts = Whereabouts::new(2 * len as u64);
        parts.iter().enumerate().for_each(|(part, bytes)| whereabouts.learn(part, bytes));
        (whereabouts, parts)
    }

    #[test]
    fn a_piece_is_made_from_the_parts_that_have_its_bytes() {
        let (mut whereabouts, [first, second]) = of_two(200_000);
        assert_eq!(whereabouts.of(&second[50_001..120_000]), [1]);
        assert_eq!(whereabouts.of(&first[3..100_000]), [0]);
        let both = [&first[100_000..150_000], &second[..50_000]].concat();
        assert_eq!(whereabouts.of(&both), [0, 1]);
        let little = [&first[100_000..198_000], &second[..2000]].concat();
        assert_eq!(whereabouts.of(&little), [0]);
    }

    #[test]
    fn what_nobody_knows_is_looked_for_where_the_piece_before_was() {
        let (mut whereabouts, [_, second]) = of_two(200_000);
        assert_eq!(whereabouts.of(&noise(3, 100_000)), [0]);
        assert_eq!(whereabouts.of(&second[..100_000]), [1]);
        assert_eq!(whereabouts.of(&noise(3, 100_000)), [1]);
        assert_eq!(whereabouts.of(&[]), [1]);
    }

    #[test]
    fn samples_are_rarer_in_a_longer_file() {
        let rarity = |len| Whereabouts::new(len).rarity;
        assert_eq!([rarity(0), rarity(1 << 28), rarity(1 << 33)], [8, 8, 13]);
    }
}
