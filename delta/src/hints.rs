//! Where old bytes stand that new ones repeat in runs too short to be copied.
//!
//! What is new may repeat only what was gathered, and that stands around
//! copies. A *hint* is a copy of nothing: it has old bytes gathered where no
//! other copy does. Promises hints in the order of the old bytes, each within
//! a source. Knows what they should save, not what they will.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::control::Copy;
use crate::costs::Costs;
use crate::gathered::{FEW_COPIES, Gathered, MARGIN, WIDE_MARGIN, margin};
use crate::index::Index;
use crate::limits::MAX_SOURCES;
use crate::segment::Segment;

/// What a repetition from afar costs, in 256ths of a bit.
const REPETITION: u64 = 28 * 256;

/// What it costs to name a hint.
const HINT: u64 = 2 * 8 * 256;

/// What it costs to name a source.
const SOURCE: u64 = 40 * 8 * 256;

/// The shortest run that may be worth it.
const SHORTEST: usize = 5;

/// Bytes of which the cost tells whether it is worth to look for them.
const LOOKED_AT: usize = 8;

/// More new bytes than these are looked through only if a part of them, one
/// in `SAMPLED` blocks, says that it may be worth it.
const MANY: usize = 32 << 10;
const BLOCK: usize = 1 << 10;
const SAMPLED: usize = 8;

/// Hints for a `piece` made from `segments` at these `costs`, and how many
/// bytes they should save, if that is not less than `least`.
pub(crate) fn hints(
    index: &Index<'_>,
    piece: &[u8],
    segments: &[Segment],
    costs: &Costs,
    least: usize,
) -> Option<(Vec<Segment>, usize)> {
    let least = least as u64 * 8 * 256;
    let missing = piece.len() - segments.iter().map(|segment| segment.len).sum::<usize>();
    let search = Search::new(index, piece, segments, costs, missing);
    if missing > MANY {
        let sampled = search.gains(|at| (at / BLOCK).is_multiple_of(SAMPLED));
        // A part of the whole has many hints that do not pay.
        if sampled.values().sum::<u64>() * (SAMPLED as u64) < least {
            return None;
        }
    }
    let mut gains = search.gains(|_| true);
    gains.retain(|_, gain| *gain > HINT);
    let mut sources: BTreeSet<usize> =
        segments.iter().map(|segment| index.source_of(segment.old)).collect();
    let mut more: BTreeMap<usize, u64> = BTreeMap::new();
    for (place, gain) in &gains {
        if !sources.contains(&place.source) {
            *more.entry(place.source).or_default() += gain - HINT;
        }
    }
    let mut more: Vec<(usize, u64)> = more.into_iter().filter(|(_, gain)| *gain > SOURCE).collect();
    more.sort_by_key(|(source, gain)| (Reverse(*gain), *source));
    more.truncate(MAX_SOURCES.saturating_sub(sources.len()));
    let cost = more.len() as u64 * SOURCE;
    sources.extend(more.into_iter().map(|(source, _)| source));
    gains.retain(|place, _| sources.contains(&place.source));
    let mut chosen: Vec<(Place, u64)> = gains.into_iter().collect();
    if let Some(most) = search.most {
        chosen.sort_by_key(|(place, gain)| (Reverse(*gain), *place));
        chosen.truncate(most);
        chosen.sort_unstable();
    }
    let saved: u64 = chosen.iter().map(|(_, gain)| gain - HINT).sum();
    let saved = saved.checked_sub(cost).filter(|saved| *saved >= least)?;
    let hints = chosen.iter().map(|(place, _)| search.hint(*place));
    Some((hints.collect(), (saved / (8 * 256)) as usize))
}

/// A run of old bytes that one hint has gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    source: usize,
    /// Its number in the text.
    step: usize,
}

/// What is repeated, and where it stands.
struct Search<'a> {
    index: &'a Index<'a>,
    piece: &'a [u8],
    costs: &'a Costs,
    holes: Vec<Range<usize>>,
    gathered: Gathered,
    /// How many bytes one hint has gathered.
    step: usize,
    /// How many hints there may be, if more would have less gathered around all.
    most: Option<usize>,
}

impl<'a> Search<'a> {
    fn new(
        index: &'a Index<'a>,
        piece: &'a [u8],
        segments: &[Segment],
        costs: &'a Costs,
        missing: usize,
    ) -> Self {
        let (mut copies, mut holes) = (Vec::with_capacity(segments.len()), Vec::new());
        let mut made = 0;
        for segment in segments {
            holes.push(made..segment.new);
            let extra = segment.new - made;
            // Places in the text, which are in the order of the delta's addresses.
            copies.push(Copy { extra, address: segment.old as u64, len: segment.len });
            made = segment.new_end();
        }
        holes.push(made..piece.len());
        let margin = margin(&copies, missing);
        let most = (margin > MARGIN).then(|| FEW_COPIES.saturating_sub(copies.len()));
        let gathered = Gathered::around(&copies, index.text().len() as u64, missing);
        let step = 2 * margin.min(WIDE_MARGIN) as usize;
        Self { index, piece, costs, holes, gathered, step, most }
    }

    /// What hints would save, in 256ths of a bit, for the blocks that are looked at.
    fn gains(&self, is_looked_at: impl Fn(usize) -> bool) -> BTreeMap<Place, u64> {
        let mut gains = BTreeMap::new();
        for hole in &self.holes {
            let mut at = hole.start;
            while at + SHORTEST <= hole.end {
                if !is_looked_at(at) {
                    at = (at / BLOCK + 1) * BLOCK;
                    continue;
                }
                // What costs little is repeated already.
                if self.costs.of_run(at..hole.end.min(at + LOOKED_AT)) <= REPETITION {
                    at += 1;
                    continue;
                }
                let found = self.index.longest(&self.piece[at..hole.end]);
                let gain = self.costs.of_run(at..at + found.len).saturating_sub(REPETITION);
                if found.len < SHORTEST || gain == 0 {
                    at += 1;
                    continue;
                }
                if self.gathered.run(found.at as u64, found.len).is_none() {
                    let source = self.index.source_of(found.at);
                    let place = Place { source, step: found.at / self.step };
                    *gains.entry(place).or_default() += gain;
                }
                at += found.len;
            }
        }
        gains
    }

    fn hint(&self, place: Place) -> Segment {
        let middle = place.step * self.step + self.step / 2;
        let span = self.index.span(place.source);
        Segment { new: 0, old: middle.clamp(span.start, span.end - 1), len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::noise;

    /// Of bytes that cost 8 bits each.
    fn as_they_are(len: usize) -> Costs {
        Costs::of((0..len).map(|place| (place, 8 * 256)))
    }

    /// Every second run of 8 of these bytes, the last first.
    fn turned(bytes: &[u8]) -> Vec<u8> {
        bytes.chunks(8).step_by(2).rev().flatten().copied().collect()
    }

    #[test]
    fn hints_lead_to_what_is_repeated_afar() {
        let old = noise(1, 100_000);
        let index = Index::of(&[&old[..40_000], &old[40_000..]]);
        let piece = [&old[..1000], &turned(&old[60_000..62_000])].concat();
        let copied = [Segment { new: 0, old: 0, len: 1000 }];
        let costs = as_they_are(piece.len());
        let (found, saved) = hints(&index, &piece, &copied, &costs, 300).unwrap();
        // 1024 bytes each, from 59,392 to 62,464.
        let places: Vec<usize> = found.iter().map(|hint| hint.old).collect();
        assert_eq!(places, [59_904, 60_928, 61_952]);
        assert!(found.iter().all(|hint| (hint.new, hint.len) == (0, 0)));
        assert!((400..1000).contains(&saved), "{saved}");
        assert_eq!(hints(&index, &piece, &copied, &costs, saved + 1), None);
    }

    #[test]
    fn what_is_gathered_anyway_needs_no_hint() {
        let old = noise(1, 100_000);
        let index = Index::of(&[&old]);
        let piece = [&old[59_000..60_000], &turned(&old[60_000..60_500])].concat();
        let costs = as_they_are(piece.len());
        let copied = [Segment { new: 0, old: 59_000, len: 1000 }];
        assert_eq!(hints(&index, &piece, &copied, &costs, 1), None);
        assert!(hints(&index, &piece, &[], &costs, 1).is_some());
    }

    #[test]
    fn what_costs_little_needs_no_hint() {
        let old = noise(1, 100_000);
        let index = Index::of(&[&old]);
        let piece = turned(&old[60_000..62_000]);
        assert!(hints(&index, &piece, &[], &as_they_are(piece.len()), 1).is_some());
        let cheap = Costs::of((0..piece.len()).map(|place| (place, 3 * 256)));
        assert_eq!(hints(&index, &piece, &[], &cheap, 1), None);
    }
}
