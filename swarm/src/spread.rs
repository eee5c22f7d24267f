//! To how many peers each block is known, as the origin sees it.

use std::collections::HashMap;

use manifest::content::ContentId;

use crate::blockmap::BlockMap;
use crate::link::LinkId;

/// How many peers hold each block or were told to fetch it, and which blocks
/// one alone has to pass on.
#[derive(Debug, Default)]
pub struct Spread {
    objects: HashMap<ContentId, Vec<u16>>,
    /// Who alone knows of a block, since it was the first.
    alone: HashMap<(ContentId, u32), LinkId>,
    /// Of how many blocks each peer alone knows; none are not listed.
    owing: HashMap<LinkId, usize>,
}

impl Spread {
    /// How many peers know of a block.
    #[must_use]
    pub fn of(&self, id: ContentId, block: u32) -> u16 {
        let counts = self.objects.get(&id);
        counts.and_then(|counts| counts.get(block as usize)).copied().unwrap_or(0)
    }

    /// How many blocks a peer was entrusted with and has not passed on.
    #[must_use]
    pub fn owed_by(&self, link: LinkId) -> usize {
        self.owing.get(&link).copied().unwrap_or(0)
    }

    /// One more peer knows of these blocks.
    pub fn add(&mut self, link: LinkId, id: ContentId, blocks: u32, new: &[u32]) {
        let counts = self.objects.entry(id).or_insert_with(|| vec![0; blocks as usize]);
        for block in new {
            let Some(count) = counts.get_mut(*block as usize) else { continue };
            *count = count.saturating_add(1);
            if *count == 1 {
                self.alone.insert((id, *block), link);
                *self.owing.entry(link).or_insert(0) += 1;
            } else if let Some(first) = self.alone.remove(&(id, *block)) {
                pay(&mut self.owing, first);
            }
        }
    }

    /// A peer does not know of these blocks any more.
    pub fn forget(&mut self, link: LinkId, id: ContentId, known: &BlockMap) {
        let Some(counts) = self.objects.get_mut(&id) else { return };
        for block in known.iter() {
            if let Some(count) = counts.get_mut(block as usize) {
                *count = count.saturating_sub(1);
            }
            if self.alone.get(&(id, block)) == Some(&link) {
                self.alone.remove(&(id, block));
                pay(&mut self.owing, link);
            }
        }
        if counts.iter().all(|count| *count == 0) {
            self.objects.remove(&id);
        }
    }

    /// The object is not served any more.
    pub fn remove(&mut self, id: ContentId) {
        self.objects.remove(&id);
        for (_, link) in self.alone.extract_if(|(object, _), _| *object == id) {
            pay(&mut self.owing, link);
        }
    }
}

fn pay(owing: &mut HashMap<LinkId, usize>, link: LinkId) {
    if let Some(blocks) = owing.get_mut(&link) {
        *blocks -= 1;
        if *blocks == 0 {
            owing.remove(&link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LinkId = LinkId(1);
    const B: LinkId = LinkId(2);

    #[test]
    fn counts_rise_and_fall_and_leave_nothing_behind() {
        let id = ContentId::of(b"x");
        let mut spread = Spread::default();
        spread.add(A, id, 4, &[0, 1, 9]);
        spread.add(B, id, 4, &[1]);
        assert_eq!([0, 1, 2, 9].map(|block| spread.of(id, block)), [1, 2, 0, 0]);
        assert_eq!([A, B].map(|link| spread.owed_by(link)), [1, 0]);
        let mut known = BlockMap::new(4);
        known.insert_run(1, 1);
        spread.forget(B, id, &known);
        assert_eq!(spread.of(id, 1), 1);
        known.insert_run(0, 1);
        spread.forget(A, id, &known);
        assert!(spread.objects.is_empty() && spread.alone.is_empty() && spread.owing.is_empty());
    }

    #[test]
    fn what_is_passed_on_or_gone_is_owed_no_more() {
        let (id, other) = (ContentId::of(b"x"), ContentId::of(b"y"));
        let mut spread = Spread::default();
        spread.add(A, id, 4, &[0, 1, 2]);
        spread.add(A, other, 4, &[3]);
        spread.add(B, id, 4, &[0]);
        assert_eq!([A, B].map(|link| spread.owed_by(link)), [3, 0]);
        spread.remove(id);
        assert_eq!(spread.owed_by(A), 1);
        spread.remove(other);
        assert!(spread.alone.is_empty() && spread.owing.is_empty());
    }
}
