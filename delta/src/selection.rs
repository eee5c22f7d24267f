//! Which segments are worth what it costs to name them.
//!
//! Promises segments that each lie in one source, of at most `MAX_SOURCES`
//! sources. A segment that brings few equal bytes costs more control data
//! than it saves; a source that brings few costs its name.

use std::collections::BTreeMap;

use crate::index::Index;
use crate::limits::MAX_SOURCES;
use crate::segment::Segment;

/// Segments of the same shift are joined over at most so many other bytes.
const MAX_INTERRUPTION: usize = 96;

/// How many segments are looked through for one that goes on with the same shift.
const LOOK_AHEAD: usize = 4;

/// What naming a segment costs, in bytes, where two ways are weighed.
const SEGMENT_COST: usize = 6;

/// A source must bring so many equal bytes, for naming it takes about 36.
const MIN_BYTES_OF_SOURCE: usize = 128;

/// Cuts segments where one source ends, and drops those of sources that bring too little.
pub(crate) fn within_sources(
    index: &Index<'_>,
    piece: &[u8],
    segments: &[Segment],
) -> Vec<Segment> {
    let mut cut = Vec::with_capacity(segments.len());
    let mut brought: BTreeMap<usize, usize> = BTreeMap::new();
    for &segment in segments {
        let mut rest = segment;
        while rest.len > 0 {
            let source = index.source_of(rest.old);
            let len = rest.len.min(index.span(source).end - rest.old);
            let part = Segment { len, ..rest };
            *brought.entry(source).or_default() += part.equal_bytes(index.text(), piece);
            cut.push((source, part));
            rest = Segment { new: rest.new + len, old: rest.old + len, len: rest.len - len };
        }
    }
    let mut ranked: Vec<_> = brought.into_iter().collect();
    ranked.sort_by_key(|&(source, bytes)| (std::cmp::Reverse(bytes), source));
    let worth = |&(_, bytes): &(usize, usize)| bytes >= MIN_BYTES_OF_SOURCE.min(piece.len() / 2);
    let kept: Vec<usize> =
        ranked.into_iter().filter(worth).take(MAX_SOURCES).map(|(source, _)| source).collect();
    cut.retain(|(source, _)| kept.contains(source));
    cut.into_iter().map(|(_, part)| part).collect()
}

/// Joins segments of one shift over short interruptions, and drops those that
/// bring fewer than `min_equal` equal bytes.
pub(crate) fn worth_naming(
    index: &Index<'_>,
    piece: &[u8],
    segments: &[Segment],
    min_equal: usize,
) -> Vec<Segment> {
    let old = index.text();
    let mut kept: Vec<Segment> = Vec::new();
    let mut at = 0;
    while let Some(segment) = segments.get(at) {
        if let Some(last) = kept.last_mut()
            && let Some(joined) = continuation(index, piece, *last, &segments[at..])
        {
            let end = segments[at + joined].new_end();
            last.len = end - last.new;
            at += joined + 1;
            continue;
        }
        if segment.equal_bytes(old, piece) >= min_equal {
            kept.push(*segment);
        }
        at += 1;
    }
    kept
}

/// Which of `following` goes on with the shift of `last`, if joining the two loses nothing.
fn continuation(
    index: &Index<'_>,
    piece: &[u8],
    last: Segment,
    following: &[Segment],
) -> Option<usize> {
    let near = |segment: &&Segment| segment.new - last.new_end() < MAX_INTERRUPTION;
    let mut candidates = following.iter().take(LOOK_AHEAD).take_while(near);
    let joined = candidates.position(|segment| segment.shift() == last.shift())?;
    // Both lie in one source, so what is between does too.
    if index.source_of(last.old) != index.source_of(following[joined].old) {
        return None;
    }
    let between = Segment {
        new: last.new_end(),
        old: last.old_end(),
        len: following[joined].new - last.new_end(),
    };
    let with = between.equal_bytes(index.text(), piece) + SEGMENT_COST * joined + 2;
    let without: usize =
        following[..joined].iter().map(|other| other.equal_bytes(index.text(), piece)).sum();
    (with >= without).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without any run that repeats.
    fn noise(seed: u32, len: u32) -> Vec<u8> {
        let number = |at: u32| (at ^ seed << 16).wrapping_mul(0x9e37_79b1).rotate_left(13) as u8;
        (0..len).map(number).collect()
    }

    #[test]
    fn a_segment_across_two_sources_is_cut_in_two() {
        let (first, second) = (noise(1, 300), noise(2, 300));
        let index = Index::of(&[&first, &second]);
        let piece = [&first[..], &second].concat();
        let whole = Segment { new: 0, old: 0, len: 600 };
        let halves = within_sources(&index, &piece, &[whole]);
        let half = Segment { new: 0, old: 0, len: 300 };
        assert_eq!(halves, [half, Segment { new: 300, old: 300, len: 300 }]);
    }

    #[test]
    fn a_source_that_brings_little_is_not_named() {
        let (first, second) = (noise(1, 1000), noise(2, 60));
        let index = Index::of(&[&first, &second]);
        let piece = [&first[..], &second].concat();
        let segments =
            [Segment { new: 0, old: 0, len: 1000 }, Segment { new: 1000, old: 1000, len: 60 }];
        assert_eq!(within_sources(&index, &piece, &segments), segments[..1]);
    }

    #[test]
    fn a_shift_goes_on_over_a_short_interruption() {
        let old = noise(1, 2000);
        let index = Index::of(&[&old]);
        let mut piece = old.clone();
        piece[500..520].fill(0);
        let around =
            [Segment { new: 0, old: 0, len: 500 }, Segment { new: 520, old: 520, len: 1480 }];
        let joined = worth_naming(&index, &piece, &around, 24);
        assert_eq!(joined, [Segment { new: 0, old: 0, len: 2000 }]);
        piece[500..700].fill(0);
        let apart =
            [Segment { new: 0, old: 0, len: 500 }, Segment { new: 700, old: 700, len: 1300 }];
        assert_eq!(worth_naming(&index, &piece, &apart, 24), apart);
    }

    #[test]
    fn a_short_segment_is_dropped() {
        let old = noise(1, 2000);
        let index = Index::of(&[&old]);
        let piece = [&old[1000..1040], &old[..500]].concat();
        let segments =
            [Segment { new: 0, old: 1000, len: 40 }, Segment { new: 40, old: 0, len: 500 }];
        assert_eq!(worth_naming(&index, &piece, &segments, 24), segments);
        assert_eq!(worth_naming(&index, &piece, &segments, 41), segments[1..]);
    }
}
