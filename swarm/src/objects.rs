//! The objects that are wanted, and the memory of those under way.
//!
//! A wanted object is queued until peers may be told of it, waits until it is
//! begun, and is open while its blocks come. Knows nothing of peers but how
//! many hold each block.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use manifest::content::ContentId;

use crate::assembly::Assembly;
use crate::block::ObjectSize;
use crate::blockmap::BlockMap;
use crate::limits::MAX_WANTS;
use crate::wire::{Want, WantIndex};

/// An object that is wanted.
#[derive(Debug)]
pub struct Object {
    /// Its id.
    pub id: ContentId,
    /// Its size.
    pub size: ObjectSize,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a wanted object has come.
#[derive(Debug)]
pub enum Stage {
    /// Not yet told to the peers: too many others are wanted.
    Queued,
    /// Wanted, without memory of its own.
    Waiting,
    /// Under way.
    Open(Box<Open>),
}

/// An object under way.
#[derive(Debug)]
pub struct Open {
    /// The blocks that came.
    pub assembly: Assembly,
    /// How many peers hold each block.
    pub holders: Vec<u16>,
    /// The blocks that are asked for.
    pub flying: BlockMap,
    /// The blocks that are asked of two peers.
    pub doubled: BlockMap,
}

/// All objects that are wanted.
#[derive(Debug)]
pub struct Objects {
    objects: BTreeMap<WantIndex, Object>,
    open: BTreeSet<WantIndex>,
    by_id: HashMap<ContentId, WantIndex>,
    queued: VecDeque<WantIndex>,
    next_index: WantIndex,
    memory: usize,
    memory_budget: usize,
}

impl Objects {
    /// Nothing wanted; open objects take at most `memory_budget` bytes, unless
    /// a single one is larger.
    #[must_use]
    pub fn new(memory_budget: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            open: BTreeSet::new(),
            by_id: HashMap::new(),
            queued: VecDeque::new(),
            next_index: 0,
            memory: 0,
            memory_budget,
        }
    }

    /// Adds an object to the end of the queue, unless it is wanted already.
    pub fn add(&mut self, id: ContentId, size: ObjectSize) {
        if self.by_id.contains_key(&id) {
            return;
        }
        let index = self.next_index;
        // 2^32 objects of one process: at a thousand a second, after 50 days.
        self.next_index = self.next_index.checked_add(1).expect("fewer than 2^32 objects");
        self.objects.insert(index, Object { id, size, stage: Stage::Queued });
        self.by_id.insert(id, index);
        self.queued.push_back(index);
    }

    /// Takes the next object out of the queue that peers may now be told of.
    pub fn announce(&mut self) -> Option<Want> {
        if self.objects.len() - self.queued.len() >= MAX_WANTS {
            return None;
        }
        let index = self.queued.pop_front()?;
        let object = self.objects.get_mut(&index).expect("queued objects are wanted");
        object.stage = Stage::Waiting;
        Some(Want { index, id: object.id, size: object.size })
    }

    /// The objects that every peer should know to be wanted.
    pub fn announced(&self) -> impl Iterator<Item = Want> + '_ {
        let told = self.objects.iter().filter(|(_, o)| !matches!(o.stage, Stage::Queued));
        told.map(|(index, object)| Want { index: *index, id: object.id, size: object.size })
    }

    /// The number of a wanted object.
    #[must_use]
    pub fn index_of(&self, id: ContentId) -> Option<WantIndex> {
        self.by_id.get(&id).copied()
    }

    /// A wanted object.
    #[must_use]
    pub fn get(&self, index: WantIndex) -> Option<&Object> {
        self.objects.get(&index)
    }

    /// An object under way.
    #[must_use]
    pub fn open(&self, index: WantIndex) -> Option<&Open> {
        match &self.objects.get(&index)?.stage {
            Stage::Open(open) => Some(open),
            Stage::Queued | Stage::Waiting => None,
        }
    }

    /// An object under way, to be changed.
    pub fn open_mut(&mut self, index: WantIndex) -> Option<&mut Open> {
        match &mut self.objects.get_mut(&index)?.stage {
            Stage::Open(open) => Some(open),
            Stage::Queued | Stage::Waiting => None,
        }
    }

    /// Every object under way.
    pub fn opened(&self) -> impl Iterator<Item = (WantIndex, &Open)> + '_ {
        self.open.iter().filter_map(|index| Some((*index, self.open(*index)?)))
    }

    /// Whether an object waits to be begun.
    #[must_use]
    pub fn waits(&self, index: WantIndex) -> bool {
        self.objects.get(&index).is_some_and(|object| matches!(object.stage, Stage::Waiting))
    }

    /// Begins a waiting object whose blocks have so many `holders`, if there is
    /// memory for it. Objects that nobody can continue may be closed for that;
    /// they are added to `closed` with the bytes that are lost. Whether it was
    /// begun.
    pub fn begin(
        &mut self,
        index: WantIndex,
        holders: Vec<u16>,
        closed: &mut Vec<(WantIndex, ContentId, u64)>,
    ) -> bool {
        let Some(size) = self.get(index).map(|object| object.size) else { return false };
        let bytes = size.bytes() as usize;
        while self.memory + bytes > self.memory_budget && !self.open.is_empty() {
            match self.close_stuck() {
                Some(stuck) => closed.push(stuck),
                None => return false,
            }
        }
        let object = self.objects.get_mut(&index).expect("it was there a moment ago");
        let assembly = Assembly::new(object.id, size);
        let none = BlockMap::new(size.blocks());
        let (flying, doubled) = (none.clone(), none);
        object.stage = Stage::Open(Box::new(Open { assembly, holders, flying, doubled }));
        self.open.insert(index);
        self.memory += bytes;
        true
    }

    /// Takes an object out.
    pub fn remove(&mut self, index: WantIndex) -> Option<Object> {
        let object = self.objects.remove(&index)?;
        self.by_id.remove(&object.id);
        match object.stage {
            Stage::Queued => self.queued.retain(|queued| *queued != index),
            Stage::Waiting => {}
            Stage::Open(_) => {
                self.open.remove(&index);
                self.memory -= object.size.bytes() as usize;
            }
        }
        Some(object)
    }

    /// Counts one holder more, or less, of some blocks.
    pub fn count(&mut self, index: WantIndex, blocks: impl Iterator<Item = u32>, more: bool) {
        if let Some(open) = self.open_mut(index) {
            for block in blocks {
                if let Some(count) = open.holders.get_mut(block as usize) {
                    *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
                }
            }
        }
    }

    /// Throws away an open object that nobody can continue now.
    ///
    /// Without this, objects whose holders have left could fill the memory
    /// that objects with holders need.
    fn close_stuck(&mut self) -> Option<(WantIndex, ContentId, u64)> {
        let stuck = self.opened().find(|(_, open)| {
            let held = open.assembly.held();
            open.flying.is_empty()
                && (0..held.blocks()).all(|b| held.contains(b) || open.holders[b as usize] == 0)
        });
        let index = stuck.map(|(index, _)| index)?;
        self.open.remove(&index);
        let object = self.objects.get_mut(&index).expect("open objects are wanted");
        self.memory -= object.size.bytes() as usize;
        match std::mem::replace(&mut object.stage, Stage::Waiting) {
            Stage::Open(open) => Some((index, object.id, open.assembly.bytes_held())),
            Stage::Queued | Stage::Waiting => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ContentId {
        ContentId::from([n; 32])
    }

    #[test]
    fn peers_are_told_of_so_many_objects_and_of_the_next_when_one_is_done() {
        let mut objects = Objects::new(0);
        let size = ObjectSize::new(10).unwrap();
        for n in 0..MAX_WANTS as u64 + 2 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            objects.add(ContentId::from(bytes), size);
        }
        let told: Vec<Want> = std::iter::from_fn(|| objects.announce()).collect();
        assert_eq!(told.len(), MAX_WANTS);
        objects.remove(told[7].index);
        assert_eq!(objects.announce().map(|want| want.index), Some(MAX_WANTS as u32));
        assert_eq!(objects.announce(), None);
        assert_eq!(objects.announced().count(), MAX_WANTS);
    }

    #[test]
    fn memory_is_kept_within_the_budget_and_given_back() {
        let mut objects = Objects::new(100_000);
        for n in 0..3 {
            objects.add(id(n), ObjectSize::new(60_000).unwrap());
            objects.announce();
        }
        let mut closed = Vec::new();
        assert!(objects.begin(0, vec![1; 2], &mut closed));
        assert!(!objects.begin(1, vec![1; 2], &mut closed));
        assert!(closed.is_empty());
        // Nobody holds the first any more: it makes room.
        objects.count(0, 0..2, false);
        assert!(objects.begin(1, vec![1; 2], &mut closed));
        assert_eq!(closed, [(0, id(0), 0)]);
        objects.remove(1);
        assert!(objects.begin(2, vec![1; 2], &mut closed));
    }

    #[test]
    fn one_object_may_be_larger_than_the_budget() {
        let mut objects = Objects::new(1);
        objects.add(id(1), ObjectSize::new(60_000).unwrap());
        objects.announce();
        assert!(objects.begin(0, vec![1; 2], &mut Vec::new()));
    }
}
