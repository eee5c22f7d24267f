//! Old bytes around a target's copies, which new bytes may repeat.
//!
//! Where a copy ends, what follows in the old file was replaced by what comes
//! next in the new one, and often resembles it. Which bytes are gathered
//! follows from the copies alone, so nothing has to be told.

use std::ops::Range;

use crate::control::Copy;
use crate::limits::{AROUND_BYTES, MAX_GATHERED_BYTES};

/// So many old bytes before and after a copy are gathered with it.
pub(crate) const MARGIN: u64 = 1 << 9;

/// And how many where much is new and little is known of where it belongs.
pub(crate) const WIDE_MARGIN: u64 = 1 << 16;

/// Copies that leave room for wide margins.
pub(crate) const FEW_COPIES: usize = 64;

/// So many new bytes are much.
const MUCH: usize = 8 << 10;

/// Old ranges in ascending order, apart from each other.
pub(crate) struct Gathered {
    ranges: Vec<Range<u64>>,
    /// Where each begins among the gathered bytes.
    starts: Vec<usize>,
    pub(crate) len: usize,
}

impl Gathered {
    /// No old bytes.
    pub(crate) fn none() -> Self {
        Self { ranges: Vec::new(), starts: Vec::new(), len: 0 }
    }

    /// The bytes around `copies`, from sources of `sources_len` bytes, for a
    /// target of which so many bytes are `missing`.
    pub(crate) fn around(copies: &[Copy], sources_len: u64, missing: usize) -> Self {
        let margin = margin(copies, missing);
        let mut around: Vec<Range<u64>> = copies
            .iter()
            .map(|copy| {
                let end = copy.address + copy.len as u64;
                copy.address.saturating_sub(margin)..end.saturating_add(margin).min(sources_len)
            })
            .collect();
        around.sort_unstable_by_key(|range| (range.start, range.end));
        let mut gathered = Self::none();
        let mut left = MAX_GATHERED_BYTES as u64;
        for range in around {
            let last_end = gathered.ranges.last().map_or(0, |last| last.end);
            let start = range.start.max(last_end);
            let end = range.end.min(start + left);
            if start >= end {
                continue;
            }
            left -= end - start;
            match gathered.ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => {
                    gathered.starts.push(gathered.len);
                    gathered.ranges.push(start..end);
                }
            }
            gathered.len += (end - start) as usize;
        }
        gathered
    }

    /// Where among the gathered bytes the `len` old ones at `address` are, if
    /// all of them are there.
    pub(crate) fn run(&self, address: u64, len: usize) -> Option<Range<usize>> {
        let index = self.ranges.partition_point(|range| range.end <= address);
        let range = self.ranges.get(index).filter(|range| range.start <= address)?;
        let place = self.starts[index] + (address - range.start) as usize;
        (address + len as u64 <= range.end).then_some(place..place + len)
    }

    pub(crate) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Where among the gathered bytes the old byte at `address` is, if there.
    pub(crate) fn place(&self, address: u64) -> Option<usize> {
        self.run(address, 1).map(|run| run.start)
    }
}

/// How many old bytes before and after a copy are gathered with it.
pub(crate) fn margin(copies: &[Copy], missing: usize) -> u64 {
    let copied: usize = copies.iter().map(|copy| copy.len).sum();
    if copies.len() > FEW_COPIES || missing < MUCH {
        MARGIN
    } else if missing <= copied {
        WIDE_MARGIN
    } else {
        // All that fits: whatever is old may be repeated anywhere.
        AROUND_BYTES as u64 / copies.len().max(1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(address: u64, len: usize) -> Copy {
        Copy { extra: 0, address, len }
    }

    #[test]
    fn neighbours_are_gathered_once() {
        let copies = [copy(10_000, 100), copy(500, 10), copy(11_500, 50)];
        let gathered = Gathered::around(&copies, 12_000, 100);
        assert_eq!(gathered.ranges(), [0..1022, 9488..10_612, 10_988..12_000]);
        assert_eq!(gathered.place(1021), Some(1021));
        assert_eq!(gathered.place(1022), None);
        assert_eq!(gathered.place(9487), None);
        assert_eq!(gathered.place(9488), Some(1022));
        assert_eq!(gathered.run(10_600, 12), Some(2134..2146));
        assert_eq!(gathered.run(10_600, 13), None);
        assert_eq!(gathered.place(12_000), None);
    }

    #[test]
    fn where_much_is_new_more_is_gathered() {
        let gathered = |len| Gathered::around(&[copy(10_000_000, len)], 1 << 30, MUCH);
        assert_eq!(gathered(MUCH).ranges()[0], 10_000_000 - 65_536..10_008_192 + 65_536);
        assert_eq!(gathered(MUCH - 1).len, MAX_GATHERED_BYTES);
    }

    #[test]
    fn no_more_is_gathered_than_fits_memory() {
        let copies: Vec<Copy> = (0..10_000).map(|at| copy(at * 4096, 1)).collect();
        let gathered = Gathered::around(&copies, u64::MAX >> 1, MUCH);
        assert_eq!(gathered.len, MAX_GATHERED_BYTES);
        let ranges: u64 = gathered.ranges().iter().map(|range| range.end - range.start).sum();
        assert_eq!(ranges, MAX_GATHERED_BYTES as u64);
    }
}
