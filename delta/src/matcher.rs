//! Which old bytes a piece is most like: exact matches, grown over differences.
//!
//! The scan is that of Colin Percival's bsdiff: a new match is taken where it
//! is clearly longer than going on with the last one, and both then grow
//! towards each other over bytes that differ, as long as enough are
//! equal. Promises segments in the order of the piece, none overlapping
//! another. Knows nothing of what a segment costs; see `selection`.

use crate::index::{COMPARED_BYTES, Index, common_bytes};
use crate::segment::Segment;

/// How readily a match is taken, and how far it goes over bytes that differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habit {
    /// A new match must have so many bytes more than going on with the last one.
    pub(crate) gain: usize,
    /// A segment grows as long as more than this many bytes are equal for one
    /// that differs.
    pub(crate) strictness: isize,
}

/// Where the last match goes on for this long, no other is looked for.
const CONTENT_WITH: usize = 32;

/// How far a segment grows over bytes that only get worse.
const MAX_DECLINE: isize = 4096;

/// The runs of `piece` that resemble old bytes.
pub(crate) fn segments(index: &Index<'_>, piece: &[u8], habit: Habit) -> Vec<Segment> {
    let growth = Growth::new(habit);
    let mut scan = Scan { habit, index, old: index.text(), new: piece, at: 0, last: None, growth };
    let mut found = Vec::new();
    while let Some(next) = scan.next_match() {
        let (ended, begun) = scan.grown(Some(next));
        found.extend(ended);
        scan.last = Some(begun.expect("a match was given"));
        scan.growth = Growth::new(habit);
    }
    found.extend(scan.grown(None).0);
    found
}

struct Scan<'a> {
    habit: Habit,
    index: &'a Index<'a>,
    old: &'a [u8],
    new: &'a [u8],
    /// How far the piece has been scanned.
    at: usize,
    /// Where the last match begins, grown backwards.
    last: Option<Start>,
    /// How far it was grown forwards.
    growth: Growth,
}

/// A place in the piece and its old counterpart.
#[derive(Debug, Clone, Copy)]
struct Start {
    new: usize,
    old: usize,
}

impl Scan<'_> {
    /// Whether the byte at `new` is the one the last match would lead to.
    fn goes_on(&self, new: usize) -> bool {
        let old = self.last.map(|last| last.old + (new - last.new));
        old.and_then(|old| self.old.get(old)) == Some(&self.new[new])
    }

    /// How many bytes from `self.at` on are those the last match leads to.
    fn going_on(&self) -> usize {
        let Some(last) = self.last else { return 0 };
        let old = last.old + (self.at - last.new);
        self.old.get(old..).map_or(0, |old| common_bytes(old, &self.new[self.at..], 0))
    }

    /// The next match that is better than going on with the last, and moves behind it.
    fn next_match(&mut self) -> Option<Start> {
        let mut scored_to = self.at;
        let mut score = 0usize;
        while self.at < self.new.len() {
            let expected = self.last.map_or(0, |last| last.old + (self.at - last.new));
            let mut found = self.index.longest(&self.new[self.at..]);
            let is_long = found.len == COMPARED_BYTES;
            if is_long {
                found.at = self.index.nearest(found, expected);
                found.len = common_bytes(&self.old[found.at..], &self.new[self.at..], found.len);
            }
            while scored_to < self.at + found.len {
                score += usize::from(self.goes_on(scored_to));
                scored_to += 1;
            }
            if found.len > score + self.habit.gain {
                // Most matches are not taken: which one of several is asked last.
                let old = if is_long { found.at } else { self.index.nearest(found, expected) };
                let start = Start { new: self.at, old };
                self.at += found.len;
                return Some(start);
            }
            if found.len == score && found.len > 0 {
                let len = found.len.max(self.going_on());
                if let Some(start) = self.taken_up(len) {
                    return Some(start);
                }
                self.at += len;
                (scored_to, score) = (self.at, 0);
                continue;
            }
            score -= usize::from(scored_to > self.at && self.goes_on(self.at));
            self.at += 1;
            scored_to = scored_to.max(self.at);
            let going_on = self.going_on();
            if going_on >= CONTENT_WITH {
                if let Some(start) = self.taken_up(going_on) {
                    return Some(start);
                }
                self.at += going_on;
                (scored_to, score) = (self.at, 0);
            }
        }
        None
    }

    /// The last match taken up again, for so many bytes, if it cannot grow up to
    /// here; moves behind them.
    fn taken_up(&mut self, len: usize) -> Option<Start> {
        let last = self.last.filter(|_| len >= CONTENT_WITH)?;
        let done = self.growth.len;
        let old = &self.old[last.old + done..];
        let new = &self.new[last.new + done..self.at];
        if self.growth.over(old.iter().zip(new)) {
            return None;
        }
        let start = Start { new: self.at, old: last.old + (self.at - last.new) };
        self.at += len;
        Some(start)
    }

    /// Grows the last match forwards and `next` backwards until they meet.
    ///
    /// Gives the segment of the last, and where `next` now begins.
    fn grown(&self, next: Option<Start>) -> (Option<Segment>, Option<Start>) {
        let limit = next.map_or(self.new.len(), |next| next.new);
        let mut forward = self.last.map_or(0, |last| self.forward(last, limit));
        let floor = self.last.map_or(0, |last| last.new);
        let mut backward = next.map_or(0, |next| self.backward(next, floor));
        if let (Some(last), Some(next)) = (self.last, next) {
            let overlap = (last.new + forward + backward).saturating_sub(next.new);
            if overlap > 0 {
                let kept = self.best_cut(last, next, forward - overlap, overlap);
                forward -= overlap - kept;
                backward = backward.saturating_sub(kept);
            }
        }
        let ended = self.last.filter(|_| forward > 0);
        let ended = ended.map(|last| Segment { new: last.new, old: last.old, len: forward });
        let begun = next.map(|next| Start { new: next.new - backward, old: next.old - backward });
        (ended, begun)
    }

    /// How far the match at `start` grows forwards, at most up to `limit` in the piece.
    fn forward(&self, start: Start, limit: usize) -> usize {
        let old = &self.old[start.old..];
        let new = &self.new[start.new..limit];
        let mut growth = Growth::new(self.habit);
        growth.over(old.iter().zip(new));
        growth.best_len
    }

    /// How far the match at `start` grows backwards, at most down to `floor` in the piece.
    fn backward(&self, start: Start, floor: usize) -> usize {
        let old = &self.old[..start.old];
        let new = &self.new[floor..start.new];
        let mut growth = Growth::new(self.habit);
        growth.over(old.iter().rev().zip(new.iter().rev()));
        growth.best_len
    }

    /// How many of the `overlap` bytes, `skipped` behind `last`, it should keep.
    fn best_cut(&self, last: Start, next: Start, skipped: usize, overlap: usize) -> usize {
        let (mut score, mut best_score, mut kept) = (0isize, 0isize, 0);
        for index in 0..overlap {
            let new = last.new + skipped + index;
            let of_last = self.old[last.old + skipped + index] == self.new[new];
            let of_next = self.old[next.old - (next.new - new)] == self.new[new];
            score += isize::from(of_last) - isize::from(of_next);
            if score > best_score {
                best_score = score;
                kept = index + 1;
            }
        }
        kept
    }
}

/// A match as it grows.
struct Growth {
    strictness: isize,
    /// How far it was looked at.
    len: usize,
    score: isize,
    best_score: isize,
    /// The length at which equal bytes most outnumber differing ones, each of
    /// these counting `strictness` times.
    best_len: usize,
}

impl Growth {
    fn new(habit: Habit) -> Self {
        Self { strictness: habit.strictness, len: 0, score: 0, best_score: 0, best_len: 0 }
    }

    /// Goes on over the next `pairs` of old and new bytes; false if it only
    /// gets worse, and goes on no more.
    fn over<'a>(&mut self, pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> bool {
        for (old, new) in pairs {
            if self.score < self.best_score - MAX_DECLINE {
                break;
            }
            self.len += 1;
            self.score += if old == new { 1 } else { -self.strictness };
            if self.score > self.best_score {
                self.best_score = self.score;
                self.best_len = self.len;
            }
        }
        self.score >= self.best_score - MAX_DECLINE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(old: &[u8], new: &[u8]) -> Vec<Segment> {
        segments(&Index::of(&[old]), new, Habit { gain: 8, strictness: 1 })
    }

    fn numbers(range: std::ops::Range<u32>) -> Vec<u8> {
        range.flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect()
    }

    #[test]
    fn the_same_bytes_are_one_segment() {
        let old = numbers(0..500);
        assert_eq!(found(&old, &old), [Segment { new: 0, old: 0, len: 2000 }]);
        assert_eq!(found(&old, &old[600..900]), [Segment { new: 0, old: 600, len: 300 }]);
    }

    #[test]
    fn a_segment_grows_over_bytes_that_differ() {
        let old = numbers(0..500);
        let mut new = old.clone();
        (30..2000).step_by(30).for_each(|at| new[at] ^= 1);
        assert_eq!(found(&old, &new), [Segment { new: 0, old: 0, len: 2000 }]);
    }

    #[test]
    fn a_match_is_taken_up_behind_much_that_differs() {
        let old = numbers(0..5000);
        let mut new = old.clone();
        new[4000..12_000].fill(1);
        let ends = [
            Segment { new: 0, old: 0, len: 4000 },
            Segment { new: 12_000, old: 12_000, len: 8000 },
        ];
        assert_eq!(found(&old, &new), ends);
    }

    #[test]
    fn an_insertion_parts_two_segments() {
        let old = numbers(0..500);
        let new = [&old[..1000], &[7; 90], &old[1000..]].concat();
        let first = Segment { new: 0, old: 0, len: 1000 };
        assert_eq!(found(&old, &new), [first, Segment { new: 1090, old: 1000, len: 1000 }]);
    }

    #[test]
    fn segments_meet_where_most_bytes_are_equal() {
        let old = [numbers(0..200), vec![0; 100], numbers(200..400)].concat();
        // Both runs stand next to each other, and each goes on into the other's place.
        let new = [numbers(0..200), numbers(200..400)].concat();
        let found = found(&old, &new);
        assert_eq!(found.iter().map(|segment| segment.len).sum::<usize>(), 1600);
        assert_eq!(found[0], Segment { new: 0, old: 0, len: 800 });
        assert_eq!(found[1], Segment { new: 800, old: 900, len: 800 });
    }

    #[test]
    fn what_was_never_there_is_in_no_segment() {
        assert_eq!(found(&numbers(0..500), &[9; 300]), []);
        assert_eq!(found(b"", b"new"), []);
        assert_eq!(found(b"old", b""), []);
    }
}
