//! What is encoded comes back, whatever was edited.

use updraft_delta::{Encoder, Options, ReadAt, Source, Target, apply, header};

/// A small generator of numbers, so that a seed tells a whole test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize, kinds: u8) -> Vec<u8> {
        (0..len).map(|_| (self.next() % u64::from(kinds)) as u8).collect()
    }
}

/// `old` with insertions, deletions, moves and single bytes changed.
fn edited(old: &[u8], random: &mut Random) -> Vec<u8> {
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

fn source(bytes: &[u8]) -> Source<'_> {
    Source { id: *blake3::hash(bytes).as_bytes(), bytes }
}

#[test]
fn random_edits_come_back() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let kinds = [2, 4, 60, 255][random.below(4)];
        let olds: Vec<Vec<u8>> = (0..1 + random.below(20))
            .map(|_| {
                let len = random.below(20_000);
                random.bytes(len, kinds)
            })
            .collect();
        let all = olds.concat();
        let new = edited(&all, &mut random);
        let mut ends: Vec<usize> = (0..random.below(4)).map(|_| random.below(new.len())).collect();
        ends.push(new.len());
        ends.sort_unstable();
        let options = Options { level: 3 };
        let encoder = Encoder::new(olds.iter().map(|old| source(old)).collect(), &options).unwrap();
        let targets = [Target { bytes: &new, piece_ends: &ends }];
        let deltas = &encoder.encode(&targets, &|_| ())[0];
        let mut start = 0;
        for (delta, &end) in deltas.iter().zip(&ends) {
            let named = header(delta).unwrap();
            let given: Vec<&dyn ReadAt> = named
                .sources
                .iter()
                .map(|named| {
                    let old = olds.iter().find(|old| source(old).id == named.id);
                    old.expect("only sources that were given are named") as &dyn ReadAt
                })
                .collect();
            let mut out = Vec::new();
            apply(delta, &given, (end - start) as u64, &mut out).unwrap();
            assert!(out == new[start..end], "seed {seed}, piece {start}..{end}");
            start = end;
        }
    }
}
