//! Which blocks to ask for next: the rarest first, ties at random.
//!
//! Among equally rare blocks those of an object that this peer already sends
//! come first, so that objects are finished and read whole. Knows nothing of
//! time or of how many may be asked for; see `flight`.

use std::collections::BinaryHeap;

use crate::dice::Dice;
use crate::wire::WantIndex;

/// A block that may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The object.
    pub index: WantIndex,
    /// Which block.
    pub block: u32,
    /// How many peers hold it.
    pub holders: u16,
    /// Whether the peer is already asked for blocks of this object.
    pub near: bool,
}

/// What is drawn by lot among blocks that are equally good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lots {
    /// Each block: whoever picks next picks others.
    Blocks,
    /// Objects, then blocks within them: what is read is read whole.
    Objects,
}

/// Holders, whether the object is far, and the object's lot: less is better.
type Rank = (u16, bool, u64);

/// The `most` best of `candidates`, best first. Those of one object come in a
/// row.
pub fn rarest(
    candidates: impl Iterator<Item = Candidate>,
    most: usize,
    lots: Lots,
    dice: &mut Dice,
) -> Vec<(WantIndex, u32)> {
    // The heap holds the best so far, the worst of them on top.
    let mut best: BinaryHeap<(Rank, u64, WantIndex, u32)> =
        BinaryHeap::with_capacity(most.saturating_add(1));
    let mut drawn: Option<(WantIndex, u64)> = None;
    for candidate in candidates {
        let lot = match drawn {
            _ if lots == Lots::Blocks => 0,
            Some((index, lot)) if index == candidate.index => lot,
            _ => dice.roll(),
        };
        drawn = Some((candidate.index, lot));
        let rank = (candidate.holders, !candidate.near, lot);
        if best.len() == most && best.peek().is_none_or(|worst| rank > worst.0) {
            continue;
        }
        best.push((rank, dice.roll(), candidate.index, candidate.block));
        if best.len() > most {
            best.pop();
        }
    }
    best.into_sorted_vec().into_iter().map(|(_, _, index, block)| (index, block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(block: u32, holders: u16, near: bool) -> Candidate {
        Candidate { index: 1, block, holders, near }
    }

    #[test]
    fn the_rarest_come_first() {
        let blocks = [5, 3, 9, 1, 3].into_iter().zip(0..).map(|(h, b)| candidate(b, h, false));
        let picked = rarest(blocks, 3, Lots::Blocks, &mut Dice::new(1));
        assert_eq!(picked[0], (1, 3));
        assert_eq!(picked[1].1 + picked[2].1, 1 + 4);
    }

    #[test]
    fn near_objects_win_among_equals_only() {
        let blocks = [candidate(0, 2, false), candidate(1, 2, true), candidate(2, 1, false)];
        assert_eq!(
            rarest(blocks.into_iter(), 2, Lots::Blocks, &mut Dice::new(1)),
            [(1, 2), (1, 1)]
        );
    }

    #[test]
    fn among_equals_an_object_is_picked_whole() {
        let blocks =
            |index| (0..32).map(move |block| Candidate { index, ..candidate(block, 1, false) });
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let picked = rarest((0..8).flat_map(blocks), 48, Lots::Objects, &mut Dice::new(seed));
            let (first, second) = (picked[0].0, picked[32].0);
            assert!(picked[..32].iter().all(|(index, _)| *index == first), "seed {seed}");
            assert!(picked[32..].iter().all(|(index, _)| *index == second), "seed {seed}");
            firsts.insert(first);
        }
        assert!(firsts.len() > 3, "not always the same one");
    }

    #[test]
    fn ties_are_broken_differently_by_different_seeds() {
        let pick = |seed| {
            rarest(
                (0..1_000).map(|b| candidate(b, 1, false)),
                8,
                Lots::Blocks,
                &mut Dice::new(seed),
            )
        };
        assert_eq!(pick(1), pick(1));
        assert_ne!(pick(1), pick(2));
        assert!(pick(1).iter().any(|(_, block)| *block > 100), "not merely the first ones");
    }

    #[test]
    fn nothing_from_nothing() {
        assert!(rarest(std::iter::empty(), 5, Lots::Blocks, &mut Dice::new(1)).is_empty());
        assert!(
            rarest((0..9).map(|b| candidate(b, 1, true)), 0, Lots::Objects, &mut Dice::new(1))
                .is_empty()
        );
    }
}
