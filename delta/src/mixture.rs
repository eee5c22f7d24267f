//! Two ways to tell a piece, each where it costs less.
//!
//! Following old bytes far is best for numbers that moved, and worst for
//! hashes, and one piece may have both. Knows only what the parts of the piece
//! cost either way: what models would have learned otherwise is not foreseen.

use crate::costs::Costs;
use crate::index::Index;
use crate::segment::Segment;

/// What it costs to change from one way to the other, in 256ths of a bit.
const CHANGE: u64 = 3 * 8 * 256;

/// A way to tell a piece.
pub(crate) type Way<'a> = (&'a [Segment], &'a Costs);

/// Segments of a piece of `len` bytes, taken from the `first` or the `second`
/// way, and by how much they are cheaper than either, in 256ths of a bit.
pub(crate) fn mixed(
    index: &Index<'_>,
    len: usize,
    first: Way<'_>,
    second: Way<'_>,
) -> (Vec<Segment>, u64) {
    let ways = [first, second];
    let ends = ways.iter().flat_map(|(segments, _)| *segments);
    let mut ends: Vec<usize> = ends.flat_map(|part| [part.new, part.new_end()]).collect();
    ends.push(len);
    ends.sort_unstable();
    ends.dedup();
    let mut cursors = [0; 2];
    let mut begin = 0;
    let mut parts = Vec::with_capacity(ends.len());
    let mut totals = [0; 2];
    // The least cost with the last part told in either way, and in which way
    // the part before was.
    let mut least = [0u64; 2];
    let mut were_alike = true;
    for end in ends {
        if begin == end {
            continue;
        }
        let shifts = [0, 1].map(|way| shift(ways[way].0, &mut cursors[way], begin));
        let costs = [0, 1].map(|way| ways[way].1.of_run(begin..end));
        let are_alike = shifts[0] == shifts[1];
        totals = [0, 1].map(|way| totals[way] + costs[way]);
        let change = if are_alike || were_alike { 0 } else { CHANGE };
        let before = [0, 1].map(
            |way: usize| {
                if least[1 - way] + change < least[way] { 1 - way } else { way }
            },
        );
        // Where both are alike, they cost as much.
        let shared = costs[0].min(costs[1]);
        least = [0, 1].map(|way: usize| {
            let changed = if before[way] == way { 0 } else { change };
            least[before[way]] + changed + if are_alike { shared } else { costs[way] }
        });
        parts.push((begin..end, shifts, before));
        (begin, were_alike) = (end, are_alike);
    }
    let mut way = usize::from(least[1] < least[0]);
    let saved = totals[0].min(totals[1]).saturating_sub(least[way]);
    let mut chosen = Vec::with_capacity(parts.len());
    for (place, shifts, before) in parts.into_iter().rev() {
        chosen.push((place, shifts[way]));
        way = before[way];
    }
    let mut segments: Vec<Segment> = Vec::new();
    for (place, shift) in chosen.into_iter().rev() {
        let Some(shift) = shift else { continue };
        let part = Segment {
            new: place.start,
            old: place.start.wrapping_add_signed(shift),
            len: place.len(),
        };
        match segments.last_mut() {
            Some(last)
                if last.new_end() == part.new
                    && last.shift() == shift
                    && index.source_of(last.old) == index.source_of(part.old) =>
            {
                last.len += part.len;
            }
            _ => segments.push(part),
        }
    }
    (segments, saved)
}

/// The shift of the segment that has the byte at `at`, if one has; asked in
/// ascending order.
fn shift(segments: &[Segment], cursor: &mut usize, at: usize) -> Option<isize> {
    while segments.get(*cursor).is_some_and(|segment| segment.new_end() <= at) {
        *cursor += 1;
    }
    segments.get(*cursor).filter(|segment| segment.new <= at).map(Segment::shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAR: u64 = 8 * 256;

    fn costs(runs: &[(usize, u64)]) -> Costs {
        let mut begin = 0;
        let bytes = runs.iter().flat_map(|&(end, each)| {
            let run = (begin..end).map(move |place| (place, each));
            begin = end;
            run
        });
        Costs::of(bytes)
    }

    #[test]
    fn each_part_is_told_where_it_costs_less() {
        let index = Index::of(&[&[0; 5000]]);
        let whole = [Segment { new: 0, old: 100, len: 3000 }];
        let parts =
            [Segment { new: 0, old: 100, len: 1000 }, Segment { new: 2000, old: 4000, len: 1000 }];
        // The first is better from 2000 on, the second before.
        let first = costs(&[(1000, 0), (2000, DEAR), (3000, 1)]);
        let second = costs(&[(1000, 0), (2000, 1), (3000, DEAR)]);
        let (mixed_parts, saved) = mixed(&index, 3000, (&whole, &first), (&parts, &second));
        let from_2000 = Segment { new: 2000, old: 2100, len: 1000 };
        assert_eq!(mixed_parts, [parts[0], from_2000]);
        assert_eq!(saved, 1000 + 1000 * DEAR - 2000 - CHANGE);
        let (same, _) = mixed(&index, 3000, (&parts, &second), (&whole, &first));
        assert_eq!(same, mixed_parts);
    }

    #[test]
    fn nothing_is_changed_for_little() {
        let index = Index::of(&[&[0; 5000]]);
        let ways = [
            [Segment { new: 0, old: 10, len: 500 }, Segment { new: 500, old: 600, len: 500 }],
            [Segment { new: 0, old: 20, len: 500 }, Segment { new: 500, old: 700, len: 500 }],
        ];
        let first = costs(&[(500, 20), (1000, 30)]);
        let second = costs(&[(500, 30), (1000, 20)]);
        let (kept, saved) = mixed(&index, 1000, (&ways[0], &first), (&ways[1], &second));
        assert_eq!((&kept[..], saved), (&ways[0][..], 0));
    }

    #[test]
    fn segments_of_two_sources_stay_apart() {
        let index = Index::of(&[&[0; 500], &[1; 500]]);
        let parts =
            [Segment { new: 0, old: 100, len: 400 }, Segment { new: 400, old: 500, len: 400 }];
        let told = costs(&[(800, 1)]);
        assert_eq!(mixed(&index, 800, (&parts, &told), (&parts, &told)).0, parts);
    }
}
