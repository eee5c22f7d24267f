//! The prefix: old ranges near to what a piece matches, gathered for zstd.
//!
//! A gathered prefix beats the whole old file: it is bounded, and what is
//! near to a match is what the bytes between matches are most like.

use std::ops::Range;

use crate::index::Index;
use crate::limits::MAX_PREFIX_BYTES;
use crate::segment::Segment;
use crate::varint::{self, BadVarint};

/// How many old bytes before and after a match are gathered with it.
const MARGIN: usize = 512;

/// Ranges begin and end at multiples of this, which makes them cheaper to name.
pub(crate) const ALIGNMENT: u64 = 64;

/// The old ranges around `segments`, in the text of `index`: in order, apart
/// from each other, and together no longer than a prefix may be.
pub(crate) fn gather(index: &Index<'_>, segments: &[Segment]) -> Vec<Range<usize>> {
    let mut min_len = 0;
    loop {
        let ranges = around(index, segments.iter().filter(|segment| segment.len >= min_len));
        if ranges.iter().map(ExactSizeIterator::len).sum::<usize>() <= MAX_PREFIX_BYTES {
            return ranges;
        }
        // The shortest matches tell least of what lies around them.
        min_len = (min_len * 2).max(16);
    }
}

fn around<'a>(index: &Index<'_>, segments: impl Iterator<Item = &'a Segment>) -> Vec<Range<usize>> {
    let align = ALIGNMENT as usize;
    let mut ranges: Vec<Range<usize>> = segments
        .map(|segment| {
            let source = index.span(index.source_of(segment.old));
            let start = segment.old.saturating_sub(MARGIN).max(source.start) - source.start;
            let end = (segment.old_end() + MARGIN).min(source.end) - source.start;
            let end = end.next_multiple_of(align).min(source.len());
            source.start + start / align * align..source.start + end
        })
        .collect();
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last)
                if range.start <= last.end + MARGIN
                    && index.source_of(last.start) == index.source_of(range.start) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// Writes ranges of the sources of a delta.
pub(crate) fn write(ranges: &[Range<u64>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut last_end = 0;
    for range in ranges {
        varint::write(&mut out, range.start - last_end);
        varint::write(&mut out, range.end - range.start);
        last_end = range.end;
    }
    out
}

/// A list of ranges that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// A number is not written as numbers are.
    #[error(transparent)]
    Number(#[from] BadVarint),
    /// A range is empty, or reaches beyond the sources.
    #[error("a range of the prefix is empty or ends beyond the sources' {sources_len} bytes")]
    OutOfBounds {
        /// The bytes of all sources.
        sources_len: u64,
    },
    /// The ranges are longer than a prefix may be.
    #[error("the prefix is longer than {MAX_PREFIX_BYTES} bytes")]
    TooLong,
}

/// Reads ranges; each lies within `sources_len` bytes, and all fit a prefix.
pub(crate) fn read(mut bytes: &[u8], sources_len: u64) -> Result<Vec<Range<u64>>, RangesError> {
    let outside = RangesError::OutOfBounds { sources_len };
    let mut ranges = Vec::new();
    let (mut last_end, mut all) = (0u64, 0u64);
    while !bytes.is_empty() {
        let gap = varint::read(&mut bytes)?;
        let len = varint::read(&mut bytes)?;
        let start = last_end.checked_add(gap).ok_or(outside)?;
        let end = start.checked_add(len).ok_or(outside)?;
        if len == 0 || end > sources_len {
            return Err(outside);
        }
        all += len;
        if all > MAX_PREFIX_BYTES as u64 {
            return Err(RangesError::TooLong);
        }
        ranges.push(start..end);
        last_end = end;
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_back() {
        let ranges = [0..64, 128..1000, 1000..1001, 1 << 40..(1 << 40) + 5];
        assert_eq!(read(&write(&ranges), 1 << 41).unwrap(), ranges);
        assert_eq!(read(b"", 0).unwrap(), []);
    }

    #[test]
    fn ranges_stay_in_their_source_and_apart() {
        let (first, second) = (vec![1; 5000], vec![2; 5000]);
        let index = Index::new(&[&first, &second]).unwrap();
        let segment = |old, len| Segment { new: 0, old, len };
        let gathered = gather(&index, &[segment(4900, 100), segment(0, 100), segment(5000, 10)]);
        // The first reaches from its margin's aligned start to its source's end.
        assert_eq!(gathered, [0..640, 4352..5000, 5000..5576]);
    }

    #[test]
    fn a_prefix_too_long_leaves_the_shortest_matches_out() {
        let old = vec![0; 3 * MAX_PREFIX_BYTES];
        let index = Index::new(&[&old]).unwrap();
        let short = (0..12_000).map(|at| Segment { new: 0, old: at * 2000, len: 20 });
        let long = Segment { new: 0, old: 10_000_000, len: 5_000_000 };
        let gathered = gather(&index, &short.chain([long]).collect::<Vec<_>>());
        assert_eq!(gathered.len(), 1);
        assert!(gathered[0].contains(&10_000_000) && gathered[0].contains(&14_999_999));
    }
}
