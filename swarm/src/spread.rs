//! To how many peers each block is known, as the origin sees it.

use std::collections::HashMap;

use manifest::content::ContentId;

use crate::blockmap::BlockMap;

/// How many peers hold each block or were told to fetch it.
#[derive(Debug, Default)]
pub struct Spread {
    objects: HashMap<ContentId, Vec<u16>>,
}

impl Spread {
    /// How many peers know of a block.
    #[must_use]
    pub fn of(&self, id: ContentId, block: u32) -> u16 {
        let counts = self.objects.get(&id);
        counts.and_then(|counts| counts.get(block as usize)).copied().unwrap_or(0)
    }

    /// One more peer knows of these blocks.
    pub fn add(&mut self, id: ContentId, blocks: u32, new: &[u32]) {
        let counts = self.objects.entry(id).or_insert_with(|| vec![0; blocks as usize]);
        for block in new {
            if let Some(count) = counts.get_mut(*block as usize) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// One peer less knows of these blocks.
    pub fn forget(&mut self, id: ContentId, known: &BlockMap) {
        let Some(counts) = self.objects.get_mut(&id) else { return };
        for block in known.iter() {
            if let Some(count) = counts.get_mut(block as usize) {
                *count = count.saturating_sub(1);
            }
        }
        if counts.iter().all(|count| *count == 0) {
            self.objects.remove(&id);
        }
    }

    /// The object is not served any more.
    pub fn remove(&mut self, id: ContentId) {
        self.objects.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_rise_and_fall_and_leave_nothing_behind() {
        let id = ContentId::of(b"x");
        let mut spread = Spread::default();
        spread.add(id, 4, &[0, 1, 9]);
        spread.add(id, 4, &[1]);
        assert_eq!([0, 1, 2, 9].map(|block| spread.of(id, block)), [1, 2, 0, 0]);
        let mut known = BlockMap::new(4);
        known.insert_run(0, 2);
        spread.forget(id, &known);
        assert_eq!(spread.of(id, 1), 1);
        spread.forget(id, &known);
        assert!(spread.objects.is_empty());
    }
}
