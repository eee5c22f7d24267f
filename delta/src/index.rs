//! Finds where bytes occurred before: a suffix array over all sources.
//!
//! Promises the longest match of a pattern, and among equally long ones one
//! near to where the last match leads. Sources that join later have a
//! suffix array of their own. Knows nothing of segments or of what a match is
//! worth.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use libsais::SuffixArrayConstruction;
use rayon::prelude::*;

use crate::limits::MAX_WINDOW_BYTES;

/// Matches are compared this far; what is longer is grown by the matcher.
///
/// Without it, text that repeats itself costs its length at every position.
pub(crate) const COMPARED_BYTES: usize = 4096;

/// How many equally long matches are looked at on either side.
const NEIGHBOURS: usize = 12;

/// Matches shorter than this are not looked for: a filter tells where there is
/// none, and in what is packed already that is nearly everywhere.
const FILTERED: usize = 4;

/// In texts up to this, a match of one byte less is rare too, and looked for.
const SHORT_TEXT: usize = 1 << 20;

/// From so many bytes on suffixes are told apart by a byte more before they are
/// searched: 64 MiB then spare a third of the steps, each of which waits for memory.
const LONG_TEXT: usize = 64 << 20;

/// Bits of a filter for each byte of text, at least.
const FILTER_SPACE: usize = 4;

/// The bits of a filter, at most, as a power of two: 128 MiB.
const MAX_FILTER_BITS: u32 = 30;

/// Tells which bytes begin no suffix of a text.
struct Filter {
    /// A bit for the first bytes of each suffix, at a place that follows from them.
    words: Vec<u64>,
    /// How many bits it has, as a power of two.
    bits: u32,
    /// Those bits of the first four bytes that count.
    mask: u32,
}

impl Filter {
    fn of(text: &[u8]) -> Self {
        let bits = (text.len().max(64) * FILTER_SPACE).next_power_of_two().ilog2();
        let bits = bits.min(MAX_FILTER_BITS);
        let mask = if text.len() > SHORT_TEXT { u32::MAX } else { u32::MAX >> 8 };
        let mut filter = Self { words: vec![0; 1 << (bits - 6)], bits, mask };
        // The last suffixes are too short for a pattern that is looked for.
        for window in text.windows(FILTERED) {
            let first = window.first_chunk().expect("windows are so long");
            let place = filter.place(*first);
            filter.words[place / 64] |= 1 << (place % 64);
        }
        filter
    }

    /// Which bit stands for these bytes.
    #[inline]
    fn place(&self, first: [u8; FILTERED]) -> usize {
        let word = u64::from(u32::from_le_bytes(first) & self.mask);
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.bits)) as usize
    }

    /// False if no suffix begins like `pattern`.
    #[inline]
    fn may_have(&self, pattern: &[u8]) -> bool {
        pattern.first_chunk().is_some_and(|first| {
            let place = self.place(*first);
            self.words[place / 64] >> (place % 64) & 1 == 1
        })
    }
}

/// All sources in one text, and the order of its suffixes.
pub(crate) struct Index<'a> {
    text: Cow<'a, [u8]>,
    /// Where each source ends in the text.
    ends: Vec<usize>,
    /// Of each part of the text that joined at once.
    parts: Vec<Arc<Part>>,
}

/// A part of the text, sorted by itself, and only once for all indices that have it.
struct Part {
    /// Where in the text.
    place: Range<usize>,
    order: OnceLock<Order>,
}

impl Part {
    fn new(place: Range<usize>) -> Arc<Self> {
        Arc::new(Self { place, order: OnceLock::new() })
    }

    /// The order of its suffixes; whoever asks first sorts them.
    fn order(&self, text: &[u8]) -> &Order {
        self.order.get_or_init(|| Order::of(&text[self.place.clone()]))
    }
}

/// The order of the suffixes of a part of the text.
struct Order {
    /// Where the suffixes start in the part, in the order of their bytes.
    suffixes: Vec<i32>,
    /// Where in `suffixes` those begin that start with these few bytes or larger ones.
    buckets: Vec<u32>,
    /// How many bytes that are.
    depth: usize,
    filter: Filter,
}

/// Old bytes equal to the first bytes of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Match {
    /// Where they stand in the text.
    pub(crate) at: usize,
    /// How many are equal, counted up to `COMPARED_BYTES`.
    pub(crate) len: usize,
    /// The part that has them, and their rank among its suffixes.
    part: usize,
    rank: usize,
}

/// The sources are too long for one suffix array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sources have {found} bytes, one window holds at most {MAX_WINDOW_BYTES}")]
pub struct WindowTooLarge {
    /// The bytes of all sources.
    pub found: usize,
}

impl<'a> Index<'a> {
    /// Puts all `sources` together; nothing is sorted before it is needed.
    pub(crate) fn new(sources: Vec<Cow<'a, [u8]>>) -> Result<Self, WindowTooLarge> {
        let found = sources.iter().fold(0usize, |sum, source| sum.saturating_add(source.len()));
        if found > MAX_WINDOW_BYTES {
            return Err(WindowTooLarge { found });
        }
        let mut end = 0;
        let ends = sources.iter().map(|source| {
            end += source.len();
            end
        });
        let ends = ends.collect();
        let text = match <[Cow<'a, [u8]>; 1]>::try_from(sources) {
            Ok([only]) => only,
            Err(several) => Cow::Owned(several.concat()),
        };
        let part = Part::new(0..text.len());
        Ok(Self { text, ends, parts: vec![part] })
    }

    /// This index, and behind its text that of `more` sources.
    ///
    /// `None` if these are more than one window holds.
    pub(crate) fn with(&self, more: &[&[u8]]) -> Option<Index<'static>> {
        let found = more.iter().fold(0usize, |sum, source| sum.saturating_add(source.len()));
        if found > MAX_WINDOW_BYTES {
            return None;
        }
        let start = self.text.len();
        let mut text = Vec::with_capacity(start + found);
        text.extend_from_slice(&self.text);
        let mut ends = self.ends.clone();
        for source in more {
            text.extend_from_slice(source);
            ends.push(text.len());
        }
        let mut parts = self.parts.clone();
        parts.push(Part::new(start..text.len()));
        Some(Index { text: Cow::Owned(text), ends, parts })
    }

    /// Sorts every part that is not sorted yet, all at once.
    pub(crate) fn sort(&self) {
        self.parts.par_iter().for_each(|part| {
            part.order(&self.text);
        });
    }

    /// The index of a few bytes.
    #[cfg(test)]
    pub(crate) fn of(sources: &[&'a [u8]]) -> Self {
        Self::new(sources.iter().map(|source| Cow::Borrowed(*source)).collect())
            .expect("a test is shorter than a window")
    }

    /// The bytes of all sources.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Which source holds the byte at `at`.
    pub(crate) fn source_of(&self, at: usize) -> usize {
        self.ends.partition_point(|&end| end <= at)
    }

    /// Where `source` stands in the text.
    pub(crate) fn span(&self, source: usize) -> Range<usize> {
        let start = if source == 0 { 0 } else { self.ends[source - 1] };
        start..self.ends[source]
    }

    /// The longest match of the first bytes of `pattern`: any of several.
    ///
    /// If that is shorter than `FILTERED`, there may as well be none.
    #[inline]
    pub(crate) fn longest(&self, pattern: &[u8]) -> Match {
        let mut best = Match::default();
        for (index, part) in self.parts.iter().enumerate() {
            let order = part.order(&self.text);
            if order.filter.may_have(pattern) {
                let pattern = &pattern[..pattern.len().min(COMPARED_BYTES)];
                let found = order.longest(&self.text[part.place.clone()], pattern);
                if found.len > best.len {
                    best = Match { at: part.place.start + found.at, part: index, ..found };
                }
            }
        }
        best
    }

    /// Among the matches as long as `best`, one near to `expected`.
    pub(crate) fn nearest(&self, best: Match, expected: usize) -> usize {
        if best.at == expected || best.len < 2 {
            return best.at;
        }
        let part = &self.parts[best.part];
        let here = &self.text[part.place.clone()];
        let start = part.place.start;
        let matched = &self.text[best.at..best.at + best.len];
        let order = part.order(&self.text);
        start + order.nearest(here, matched, best.rank, expected.saturating_sub(start))
    }
}

impl Order {
    fn of(part: &[u8]) -> Self {
        let suffixes = if part.is_empty() { Vec::new() } else { sorted_suffixes(part) };
        let depth = if part.len() < LONG_TEXT { 2 } else { 3 };
        let buckets = bucket_starts(part, depth);
        Self { suffixes, buckets, depth, filter: Filter::of(part) }
    }

    /// Where suffixes stand that begin as `pattern` does, which may be too short
    /// to tell.
    fn bucket(&self, pattern: &[u8]) -> Option<Range<usize>> {
        let key = key(pattern.get(..self.depth)?, self.depth);
        Some(self.buckets[key] as usize..self.buckets[key + 1] as usize)
    }

    fn longest(&self, text: &[u8], pattern: &[u8]) -> Match {
        let Some(Range { start: mut low, end: mut high }) = self.bucket(pattern) else {
            return Match::default();
        };
        // All suffixes between share as many bytes with the pattern as both borders do.
        let (mut low_common, mut high_common) = (0, 0);
        let mut best = Match::default();
        while low < high {
            let middle = low.midpoint(high);
            let at = self.suffixes[middle] as usize;
            let suffix = &text[at..];
            let common = common_bytes(suffix, pattern, low_common.min(high_common));
            if common > best.len {
                best = Match { at, len: common, rank: middle, part: 0 };
            }
            if common == pattern.len() {
                break;
            }
            if common == suffix.len() || suffix[common] < pattern[common] {
                low = middle + 1;
                low_common = common;
            } else {
                high = middle;
                high_common = common;
            }
        }
        best
    }

    /// Among the suffixes that begin with the bytes that are `matched`, like that
    /// at `rank`, the one nearest to `expected`.
    fn nearest(&self, text: &[u8], matched: &[u8], rank: usize, expected: usize) -> usize {
        let bucket = self.bucket(matched).unwrap_or(rank..rank + 1);
        let equal = |&&at: &&i32| text[at as usize..].starts_with(matched);
        let below = self.suffixes[bucket.start..rank].iter().rev().take(NEIGHBOURS);
        let above = self.suffixes[rank..bucket.end].iter().take(NEIGHBOURS);
        let candidates = below.take_while(equal).chain(above.take_while(equal));
        let nearest =
            candidates.map(|&at| at as usize).min_by_key(|at| (at.abs_diff(expected), *at));
        nearest.expect("the suffix at `rank` is equal")
    }
}

/// How many of the first bytes are equal, the first `known` being known to be.
pub(crate) fn common_bytes(left: &[u8], right: &[u8], known: usize) -> usize {
    let len = left.len().min(right.len());
    let (left, right) = (&left[known..len], &right[known..len]);
    let (left_words, _) = left.as_chunks::<8>();
    let (right_words, _) = right.as_chunks::<8>();
    let mut common = 0;
    for (left, right) in left_words.iter().zip(right_words) {
        let difference = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if difference != 0 {
            return known + common + difference.trailing_zeros() as usize / 8;
        }
        common += 8;
    }
    let rest = left[common..].iter().zip(&right[common..]);
    known + common + rest.take_while(|(left, right)| left == right).count()
}

fn sorted_suffixes(text: &[u8]) -> Vec<i32> {
    SuffixArrayConstruction::for_text(text)
        .in_owned_buffer32()
        .single_threaded()
        .run()
        .expect("a window is shorter than i32::MAX, and its memory was taken")
        .into_vec()
}

/// The number of a bucket: `first` has at most `depth` bytes.
fn key(first: &[u8], depth: usize) -> usize {
    let key = first.iter().fold(0, |key, byte| key << 8 | usize::from(*byte));
    key << (8 * (depth - first.len()))
}

fn bucket_starts(text: &[u8], depth: usize) -> Vec<u32> {
    let mut starts = vec![0u32; (1 << (8 * depth)) + 1];
    for first in text.windows(depth) {
        starts[key(first, depth) + 1] += 1;
    }
    // The last suffixes are shorter, and sort before all that go on.
    for len in 1..depth.min(text.len() + 1) {
        starts[key(&text[text.len() - len..], depth) + 1] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the longest match near `expected` stands, and how long it is.
    fn found(index: &Index<'_>, pattern: &[u8], expected: usize) -> (usize, usize) {
        let longest = index.longest(pattern);
        (index.nearest(longest, expected), longest.len)
    }

    #[test]
    fn the_longest_match_is_found() {
        let index = Index::of(&[b"the quick brown fox", b"quick brown bears"]);
        assert_eq!(found(&index, b"quick brown bird", 0), (19, 13));
        assert_eq!(index.longest(b"zebra").len, 0);
        assert_eq!(index.source_of(18), 0);
        assert_eq!(index.source_of(19), 1);
        assert_eq!(index.span(1), 19..36);
    }

    #[test]
    fn of_equal_matches_the_nearest_is_taken() {
        let index = Index::of(&[b"abcd--abcd--abcd--abcd"]);
        for expected in [0, 6, 12, 18] {
            assert_eq!(found(&index, b"abcd!", expected), (expected, 4));
        }
    }

    #[test]
    fn every_suffix_finds_itself() {
        let text = b"mississippi mississippi banana\0\0\0\xff\xff";
        let index = Index::of(&[text]);
        for at in 0..=text.len() - FILTERED {
            assert_eq!(found(&index, &text[at..], at), (at, text.len() - at));
        }
    }

    #[test]
    fn buckets_of_any_depth_hold_what_begins_so() {
        let text = b"mississippi mississippi banana\0\0\0\xff\xff";
        let suffixes = sorted_suffixes(text);
        for depth in [2, 3] {
            let (buckets, filter) = (bucket_starts(text, depth), Filter::of(text));
            let order = Order { suffixes: suffixes.clone(), buckets, depth, filter };
            for at in 0..=text.len() - depth {
                let begins = |&at: &i32| &text[at as usize..];
                let here = order.bucket(&text[at..]).expect("it is long enough");
                let found = order.suffixes[here.clone()].iter();
                assert!(found.map(begins).all(|suffix| suffix[..depth.min(suffix.len())]
                    == text[at..at + depth.min(suffix.len())]));
                let all = order.suffixes.iter().map(begins);
                let all = all.filter(|suffix| suffix.starts_with(&text[at..at + depth]));
                assert!(here.len() >= all.count(), "depth {depth} at {at}");
                assert_eq!(order.longest(text, &text[at..]).len, text.len() - at);
            }
            assert_eq!(order.bucket(&text[..depth - 1]), None);
        }
        assert_eq!(bucket_starts(b"", 3).last(), Some(&0));
        assert_eq!(bucket_starts(b"x", 3).last(), Some(&1));
    }

    #[test]
    fn what_joined_later_is_found_if_it_is_longer() {
        let index = Index::of(&[b"abcdef--"]).with(&[b"uvabcdefgh--abcdefgh"]).expect("it fits");
        assert_eq!(found(&index, b"abcdefxx", 20), (0, 6));
        assert_eq!(found(&index, b"abcdefghxx", 0), (10, 8));
        assert_eq!(found(&index, b"abcdefghxx", 20), (20, 8));
    }

    #[test]
    fn a_long_text_has_what_is_in_it_and_nothing_else() {
        // No byte of the text is odd.
        let number = |at: u32| at.wrapping_mul(0x9e37_79b1).rotate_left(9) as u8 & 0xfe;
        let text: Vec<u8> = (0..SHORT_TEXT as u32 + 999).map(number).collect();
        let index = Index::of(&[&text]);
        for at in (0..text.len() - 64).step_by(4001) {
            assert!(index.longest(&text[at..at + 64]).len == 64);
        }
        assert_eq!(index.longest(&[1, 3, 5, 7, 9]), Match::default());
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let index = Index::of(&[]);
        assert_eq!(found(&index, b"abcd", 0), (0, 0));
    }

    #[test]
    fn common_bytes_are_counted_across_words() {
        let left = [7u8; 40];
        for differing in 0..40 {
            let mut right = left;
            right[differing] = 8;
            for known in [0, differing / 2] {
                assert_eq!(common_bytes(&left, &right, known), differing);
            }
        }
    }
}
