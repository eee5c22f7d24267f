//! A set of blocks of one object.
//!
//! Knows how many blocks the object has; blocks beyond are never in the set.

/// Which blocks of an object are held, asked for, or told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMap {
    words: Vec<u64>,
    blocks: u32,
    held: u32,
}

impl BlockMap {
    /// The empty set of an object with `blocks` blocks.
    #[must_use]
    pub fn new(blocks: u32) -> Self {
        Self { words: vec![0; blocks.div_ceil(64) as usize], blocks, held: 0 }
    }

    /// All `blocks` blocks.
    #[must_use]
    pub fn full(blocks: u32) -> Self {
        let mut map = Self::new(blocks);
        map.insert_run(0, blocks);
        map
    }

    /// How many blocks are in the set.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.held
    }

    /// How many blocks the object has.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Whether every block is in the set.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.held == self.blocks
    }

    /// Whether no block is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Whether `block` is in the set.
    #[must_use]
    pub fn contains(&self, block: u32) -> bool {
        self.words.get(block as usize / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// Adds `block`; whether it was new.
    pub fn insert(&mut self, block: u32) -> bool {
        if block >= self.blocks || self.contains(block) {
            return false;
        }
        self.words[block as usize / 64] |= 1 << (block % 64);
        self.held += 1;
        true
    }

    /// Adds the blocks of a run as far as the object goes.
    pub fn insert_run(&mut self, first: u32, count: u32) {
        for block in first..first.saturating_add(count).min(self.blocks) {
            self.insert(block);
        }
    }

    /// Takes `block` out; whether it was there.
    pub fn remove(&mut self, block: u32) -> bool {
        if !self.contains(block) {
            return false;
        }
        self.words[block as usize / 64] &= !(1 << (block % 64));
        self.held -= 1;
        true
    }

    /// The blocks in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        bits(self.words.iter().copied())
    }

    /// The blocks that are in this set and in none of `others`, ascending.
    pub fn minus<'a>(&'a self, others: [&'a Self; 2]) -> impl Iterator<Item = u32> + 'a {
        let [a, b] = others.map(|map| &map.words);
        let word = |words: &Vec<u64>, i: usize| words.get(i).copied().unwrap_or(0);
        bits(self.words.iter().enumerate().map(move |(i, w)| w & !word(a, i) & !word(b, i)))
    }

    /// The set as runs of neighbours: first block and count, ascending.
    #[must_use]
    pub fn runs(&self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for block in self.iter() {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == block => *count += 1,
                _ => runs.push((block, 1)),
            }
        }
        runs
    }
}

/// The numbers of the bits that are set, ascending.
fn bits(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u32> {
    words.zip((0..).step_by(64)).flat_map(|(mut word, base)| {
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros())?;
            word &= word - 1;
            Some(base + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_beyond_the_object_are_never_held() {
        let mut map = BlockMap::new(70);
        map.insert_run(60, u32::MAX);
        assert_eq!(map.count(), 10);
        assert!(!map.insert(70) && !map.contains(70) && !map.contains(u32::MAX));
        assert!(BlockMap::full(0).is_full() && BlockMap::new(0).is_empty());
    }

    #[test]
    fn runs_join_neighbours_across_words() {
        let mut map = BlockMap::new(200);
        map.insert_run(3, 2);
        map.insert_run(60, 10);
        map.insert(199);
        assert_eq!(map.runs(), [(3, 2), (60, 10), (199, 1)]);
        assert!(map.remove(64) && !map.remove(64));
        assert_eq!(map.runs(), [(3, 2), (60, 4), (65, 5), (199, 1)]);
        assert_eq!(map.iter().count() as u32, map.count());
    }

    #[test]
    fn minus_leaves_what_no_other_has() {
        let all = BlockMap::full(130);
        let (mut a, mut b) = (BlockMap::new(130), BlockMap::new(130));
        a.insert_run(0, 64);
        b.insert_run(65, 64);
        assert_eq!(all.minus([&a, &b]).collect::<Vec<_>>(), [64, 129]);
    }
}
