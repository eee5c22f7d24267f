//! Which pieces of the new files are best made from others of them.
//!
//! Bytes that no source has, and yet several pieces have, need be told only
//! once. Each piece is on a *level*: what is on a higher one may be made from
//! those on lower ones. Promises levels up to `limits::MAX_LEVEL`, and that a
//! piece is on a higher one only for the sake of pieces before it. Knows only
//! samples of the bytes, which are the same wherever a run of bytes stands.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use rayon::prelude::*;

use crate::limits::MAX_LEVEL;
use crate::samples::{SAMPLED, samples};

/// One in so many places begins a sample, as a power of two.
const RARITY: u32 = 6;

/// Old bytes are looked through in runs of this length.
const RUN: usize = 1 << 20;

/// So much in common makes it worth to read another piece.
const WORTH: usize = 64;

/// How much a sample in common counts: a long one is copied, and stands for
/// its length; a short one may save half of its bytes.
fn weight(key: u64) -> usize {
    if is_long(key) { 3 } else { 1 }
}

/// With fewer long samples in common there is little to copy.
const FEW: usize = 12;

/// Whether it is the key of a long sample.
fn is_long(key: u64) -> bool {
    key & 1 == 1
}

/// The levels of all pieces, and what stands on the lower ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinship {
    /// The level of each piece.
    pub(crate) levels: Vec<usize>,
    /// Whether it has runs that others of lower levels have too, and not short
    /// ones only.
    pub(crate) copies: Vec<bool>,
    /// Which pieces of each level others are made from; of the last, none.
    pub(crate) read: [Vec<usize>; MAX_LEVEL],
}

/// Keys are as random as any hash of them.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers")
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type Keys<V> = HashMap<u64, V, BuildHasherDefault<AsItIs>>;

impl Kinship {
    /// Of `pieces`, in their order, beside what is in `old`.
    pub(crate) fn of(old: &[u8], pieces: &[&[u8]]) -> Self {
        let mut levels = vec![0; pieces.len()];
        let mut copies = vec![false; pieces.len()];
        let sampled: Vec<Vec<u64>> = pieces.par_iter().map(|piece| distinct(piece)).collect();
        let mut left: Keys<u32> = Keys::default();
        sampled.iter().flatten().for_each(|key| *left.entry(*key).or_default() += 1);
        left.retain(|_, left| *left > 1);
        if left.is_empty() {
            return Self { levels, copies, read: Default::default() };
        }
        let starts: Vec<usize> = (0..old.len()).step_by(RUN).collect();
        let known = starts.par_iter().map(|start| {
            let mut known = keys(&old[*start..(start + RUN + SAMPLED - 1).min(old.len())]);
            known.retain(|key| left.contains_key(key));
            known
        });
        for key in known.collect::<Vec<_>>().concat() {
            left.remove(&key);
        }
        let mut home: Keys<usize> = Keys::default();
        let mut read = <[HashSet<usize>; MAX_LEVEL]>::default();
        for (piece, keys) in sampled.iter().enumerate() {
            let shared: Vec<u64> =
                keys.iter().filter(|key| left.contains_key(key)).copied().collect();
            shared.iter().for_each(|key| *left.entry(*key).or_default() -= 1);
            // How many others have on each level, and how many are new here:
            // what is made on the highest level is of use to no other piece.
            let mut below = [0; MAX_LEVEL];
            let mut long = [0; MAX_LEVEL];
            let mut fresh = 0;
            for key in &shared {
                match home.get(key) {
                    Some(home) => {
                        below[levels[*home]] += weight(*key);
                        long[levels[*home]] += usize::from(is_long(*key));
                    }
                    None if left[key] > 0 => fresh += weight(*key),
                    None => {}
                }
            }
            let (mut level, mut all, mut gained) = (0, 0usize, 0);
            for (lower, count) in below.iter().enumerate() {
                all += count;
                let is_last = lower + 1 == MAX_LEVEL;
                let gain = if is_last { all.saturating_sub(fresh) } else { all };
                if gain >= gained + WORTH.max(gained / 4) {
                    (level, gained) = (lower + 1, gain);
                }
            }
            levels[piece] = level;
            copies[piece] = long[..level].iter().sum::<usize>() >= FEW;
            for key in shared {
                match home.get(&key) {
                    Some(home) if levels[*home] < level => {
                        read[levels[*home]].insert(*home);
                    }
                    Some(_) => {}
                    None if level < MAX_LEVEL => {
                        home.insert(key, piece);
                    }
                    None => {}
                }
            }
        }
        let read = read.map(|pieces| {
            let mut pieces: Vec<usize> = pieces.into_iter().collect();
            pieces.sort_unstable();
            pieces
        });
        Self { levels, copies, read }
    }
}

/// The samples of a piece, each once.
fn distinct(piece: &[u8]) -> Vec<u64> {
    let mut keys = keys(piece);
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The keys of samples, short and long ones.
fn keys(bytes: &[u8]) -> Vec<u64> {
    samples(bytes, RARITY).flat_map(|sample| [sample.short & !1, sample.long | 1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::noise;

    fn levels(old: &[u8], pieces: &[&[u8]]) -> (Vec<usize>, [Vec<usize>; MAX_LEVEL]) {
        let Kinship { levels, read, .. } = Kinship::of(old, pieces);
        (levels, read)
    }

    #[test]
    fn what_is_old_is_no_reason_to_read_a_piece() {
        let text = noise(1, 100_000);
        assert_eq!(levels(&text, &[&text, &text]), (vec![0, 0], [vec![], vec![]]));
        assert_eq!(levels(&[], &[&text, &text]), (vec![0, 1], [vec![0], vec![]]));
        assert_eq!(levels(&[], &[&text, &noise(2, 100_000)]).0, [0, 0]);
    }

    #[test]
    fn short_runs_are_read_but_not_copied() {
        let hashes = noise(1, 80_000);
        let (words, _) = hashes.as_chunks::<8>();
        let mut words = words.to_vec();
        words.sort_unstable();
        let sorted = words.concat();
        let found = Kinship::of(&[], &[&hashes, &sorted]);
        assert_eq!((found.levels, found.copies), (vec![0, 1], vec![false, false]));
        let found = Kinship::of(&[], &[&hashes, &hashes]);
        assert_eq!((found.levels, found.copies), (vec![0, 1], vec![false, true]));
        let few = words[..1000].concat();
        assert_eq!(levels(&[], &[&hashes, &few]).0, [0, 0]);
    }

    #[test]
    fn a_piece_that_much_is_made_from_stays_low() {
        let [a, b, c] = [noise(1, 20_000), noise(2, 90_000), noise(3, 30_000)];
        let both = [&a[..], &b].concat();
        let all = [&a[..], &b, &c].concat();
        // The second has little of the first, and much that the third wants;
        // what that has anew, the fourth has too.
        let found = levels(&[], &[&a, &both, &all, &c]);
        assert_eq!(found, (vec![0, 1, 2, 0], [vec![0], vec![1]]));
        assert_eq!(levels(&[], &[&a, &a, &a, &a]), (vec![0, 1, 1, 1], [vec![0], vec![]]));
    }
}
