//! Files and edits of them, all from a seed.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod executable;

/// The seeds of a randomised test, each printed as its turn comes, so that the
/// last one printed is the one that failed; `SEED=n` runs that one alone.
#[expect(clippy::disallowed_methods, reason = "a failed seed is taken back from the environment")]
pub(crate) fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seeds = only.map_or(0..count, |seed: u64| seed..seed + 1);
    seeds.inspect(|seed| println!("SEED={seed}"))
}

/// Numbers from a seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// `len` bytes, of so many `kinds`.
    pub(crate) fn bytes(&mut self, len: usize, kinds: u8) -> Vec<u8> {
        (0..len).map(|_| (self.next() % u64::from(kinds)) as u8).collect()
    }
}

/// `old` with insertions, deletions, moves and bytes changed.
pub(crate) fn edited(old: &[u8], random: &mut Random) -> Vec<u8> {
    let mut new = old.to_vec();
    for _ in 0..random.below(12) {
        let at = random.below(new.len());
        let end = (at + random.below(3000)).min(new.len());
        match random.below(5) {
            0 => drop(new.drain(at..end)),
            1 => {
                let len = random.below(500);
                let inserted = random.bytes(len, 255);
                new.splice(at..at, inserted);
            }
            2 => {
                let moved: Vec<u8> = new.drain(at..end).collect();
                let to = random.below(new.len());
                new.splice(to..to, moved);
            }
            3 => (at..end).step_by(23).for_each(|at| new[at] = new[at].wrapping_add(3)),
            _ => (at..end).for_each(|at| new[at] = random.next() as u8),
        }
    }
    new
}

/// Something like a program: code whose calls hold how far away their target
/// lies, so that what is inserted at `grown` changes all calls across it.
pub(crate) fn program(len: usize, grown: usize, by: usize) -> Vec<u8> {
    let mut random = Random(7);
    let mut code = Vec::new();
    while code.len() < len {
        if code.len() / 1000 == grown / 1000 && code.len() % 1000 < 16 {
            code.extend_from_slice(&Random(code.len() as u64).bytes(by, 255));
        }
        let target = random.below(len);
        let moved = |place: usize| if place < grown { place } else { place + by };
        let here = code.len();
        code.extend_from_slice(&[0x48, 0x89, 0xe5, 0xe8]);
        code.extend_from_slice(&(moved(target).wrapping_sub(here) as u32).to_le_bytes());
        let filler = random.below(12);
        code.extend_from_slice(&[0x0f, 0x1f, 0x44, 0, 0x5d, 0xc3, 0x90, 1, 2, 3, 4, 5][..filler]);
    }
    code.truncate(len);
    code
}
