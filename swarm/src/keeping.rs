//! When verified blocks of objects under way go to the program, to be kept.
//!
//! Blocks wait a moment: most objects are whole by then and are handed over as
//! such, and of the others many blocks go in one write. Promises that the
//! program never has more than a few writes in hand, and that what waits costs
//! a number a block, however late the program is. Bytes stay in the assembly.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use manifest::content::ContentId;

use crate::limits::{KEEP_AFTER, KEEP_BLOCKS, KEEPS_AT_ONCE};

/// The machine that says what is to be kept next.
#[derive(Debug, Default)]
pub struct Keeping {
    /// Objects with blocks that wait, the longest waiting first.
    queue: VecDeque<(Instant, ContentId)>,
    waiting: HashMap<ContentId, Vec<u32>>,
    in_hand: usize,
}

impl Keeping {
    /// A block of an object came that has several.
    pub fn came(&mut self, now: Instant, id: ContentId, block: u32) {
        let blocks = self.waiting.entry(id).or_default();
        if blocks.is_empty() {
            self.queue.push_back((now + KEEP_AFTER, id));
        }
        blocks.push(block);
    }

    /// An object is whole, or nobody wants it any more.
    pub fn gone(&mut self, id: ContentId) {
        if self.waiting.remove(&id).is_some() {
            self.queue.retain(|(_, waiting)| *waiting != id);
        }
    }

    /// Blocks that the program should keep now; [`Keeping::kept`] tells when
    /// it has.
    pub fn poll(&mut self, now: Instant) -> Option<(ContentId, Vec<u32>)> {
        if self.in_hand >= KEEPS_AT_ONCE || self.queue.front().is_none_or(|(at, _)| now < *at) {
            return None;
        }
        let (at, id) = self.queue.pop_front()?;
        let mut blocks = self.waiting.remove(&id)?;
        if blocks.len() > KEEP_BLOCKS {
            self.waiting.insert(id, blocks.split_off(KEEP_BLOCKS));
            self.queue.push_front((at, id));
        }
        self.in_hand += 1;
        Some((id, blocks))
    }

    /// The program has kept what it was given, or has failed to.
    pub const fn kept(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
    }

    /// When `poll` should be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let next = self.queue.front().map(|(at, _)| *at);
        next.filter(|_| self.in_hand < KEEPS_AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn id(n: u8) -> ContentId {
        ContentId::from([n; 32])
    }

    #[test]
    fn blocks_of_one_object_wait_for_each_other() {
        let (now, mut keeping) = (epoch(), Keeping::default());
        keeping.came(now, id(1), 4);
        keeping.came(now + KEEP_AFTER / 2, id(1), 2);
        assert_eq!(keeping.poll(now + KEEP_AFTER / 2), None);
        assert_eq!(keeping.next_deadline(), Some(now + KEEP_AFTER));
        assert_eq!(keeping.poll(now + KEEP_AFTER), Some((id(1), vec![4, 2])));
        assert_eq!(keeping.poll(now + KEEP_AFTER), None);
        assert_eq!(keeping.next_deadline(), None);
    }

    #[test]
    fn what_is_whole_in_time_is_not_kept_in_parts() {
        let (now, mut keeping) = (epoch(), Keeping::default());
        keeping.came(now, id(1), 0);
        keeping.came(now, id(2), 0);
        keeping.gone(id(1));
        assert_eq!(keeping.poll(now + KEEP_AFTER), Some((id(2), vec![0])));
        assert_eq!(keeping.poll(now + KEEP_AFTER), None);
    }

    #[test]
    fn a_slow_disk_has_little_in_hand_and_misses_nothing() {
        let (now, mut keeping) = (epoch(), Keeping::default());
        let blocks = 5 * KEEP_BLOCKS as u32 + 3;
        (0..blocks).for_each(|block| keeping.came(now, id(1), block));
        let late = now + KEEP_AFTER * 9;
        let mut seen = Vec::new();
        for _ in 0..KEEPS_AT_ONCE {
            seen.extend(keeping.poll(late).expect("there is room").1);
        }
        assert_eq!(keeping.poll(late), None);
        assert_eq!(keeping.next_deadline(), None, "nothing happens before the program answers");
        while seen.len() < blocks as usize {
            keeping.kept();
            let (_, more) = keeping.poll(late).expect("there is room again");
            assert!(more.len() <= KEEP_BLOCKS);
            seen.extend(more);
        }
        assert!(seen.into_iter().eq(0..blocks));
    }
}
