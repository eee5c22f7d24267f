//! The objects that are wanted, and the memory of those under way.
//!
//! A wanted object is queued until there is room for it, then announced to the
//! peers, and open once its blocks come. What is announced fits in the budget
//! of memory as a whole, so that nothing announced ever has to be refused.
//! Knows nothing of peers but how many hold each block.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use manifest::content::ContentId;

use crate::assembly::Assembly;
use crate::block::ObjectSize;
use crate::blockmap::BlockMap;
use crate::limits::{MAX_WANTS, RECALL_PATIENCE, RECALLS_AT_ONCE};
use crate::wire::{Want, WantIndex};

/// An announced object that nobody could continue for so long makes room.
const PATIENCE: Duration = Duration::from_secs(5);

/// An object that peers were told to be wanted.
#[derive(Debug)]
pub struct Object {
    /// Its id.
    pub id: ContentId,
    /// Its size.
    pub size: ObjectSize,
    /// Its blocks, once the first was asked for.
    open: Option<Box<Open>>,
    /// When it was announced, or a block of it was last asked for.
    moved: Instant,
}

impl Object {
    /// Its blocks, if any was ever asked for.
    #[must_use]
    pub fn into_open(self) -> Option<Open> {
        self.open.map(|open| *open)
    }
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
    announced: BTreeMap<WantIndex, Object>,
    open: BTreeSet<WantIndex>,
    /// Nothing for those that are queued.
    by_id: HashMap<ContentId, Option<WantIndex>>,
    queued: VecDeque<(ContentId, ObjectSize)>,
    /// Those of which the program keeps parts.
    in_parts: HashSet<ContentId>,
    /// Announced objects that wait for those parts: not yet asked for, or until
    /// when they are waited for.
    recalling: BTreeMap<WantIndex, Option<Instant>>,
    next_index: WantIndex,
    bytes: usize,
    budget: usize,
}

impl Objects {
    /// Nothing wanted; what is announced has at most `budget` bytes, unless it
    /// is a single object.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self {
            announced: BTreeMap::new(),
            open: BTreeSet::new(),
            by_id: HashMap::new(),
            queued: VecDeque::new(),
            in_parts: HashSet::new(),
            recalling: BTreeMap::new(),
            next_index: 0,
            bytes: 0,
            budget,
        }
    }

    /// Adds an object to the end of the queue, unless it is wanted already.
    pub fn add(&mut self, id: ContentId, size: ObjectSize) {
        if !self.wants(id) {
            self.by_id.insert(id, None);
            self.queued.push_back((id, size));
        }
    }

    /// Takes the next object out of the queue, if peers may be told of it.
    pub fn announce(&mut self, now: Instant) -> Option<Want> {
        let (id, size) = *self.queued.front()?;
        let bytes = self.bytes + size.bytes() as usize;
        if self.announced.len() >= MAX_WANTS || (bytes > self.budget && self.bytes > 0) {
            return None;
        }
        self.queued.pop_front();
        let index = self.next_index;
        // 2^32 objects of one process: at a thousand a second, after 50 days.
        self.next_index = self.next_index.checked_add(1).expect("fewer than 2^32 objects");
        self.announced.insert(index, Object { id, size, open: None, moved: now });
        self.by_id.insert(id, Some(index));
        self.bytes = bytes;
        if self.in_parts.contains(&id) && size.blocks() > 1 {
            self.recalling.insert(index, None);
        }
        Some(Want { index, id, size })
    }

    /// The objects that every peer should know to be wanted.
    pub fn announced(&self) -> impl Iterator<Item = Want> + '_ {
        let objects = self.announced.iter();
        objects.map(|(index, object)| Want { index: *index, id: object.id, size: object.size })
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether an object is wanted, announced or not.
    #[must_use]
    pub fn wants(&self, id: ContentId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The number of an announced object.
    #[must_use]
    pub fn index_of(&self, id: ContentId) -> Option<WantIndex> {
        self.by_id.get(&id).copied().flatten()
    }

    /// An announced object.
    #[must_use]
    pub fn get(&self, index: WantIndex) -> Option<&Object> {
        self.announced.get(&index)
    }

    /// The blocks of an object under way.
    #[must_use]
    pub fn open(&self, index: WantIndex) -> Option<&Open> {
        self.announced.get(&index)?.open.as_deref()
    }

    /// The blocks of an object under way, to be changed.
    pub fn open_mut(&mut self, index: WantIndex) -> Option<&mut Open> {
        self.announced.get_mut(&index)?.open.as_deref_mut()
    }

    /// Every object under way.
    pub fn opened(&self) -> impl Iterator<Item = (WantIndex, &Open)> + '_ {
        self.open.iter().filter_map(|index| Some((*index, self.open(*index)?)))
    }

    /// Whether an object is announced and not yet under way, and nothing of it
    /// is about to come from the program.
    #[must_use]
    pub fn waits(&self, index: WantIndex) -> bool {
        let open = |object: &Object| object.open.is_some() || self.recalling.contains_key(&index);
        self.announced.get(&index).is_some_and(|object| !open(object))
    }

    /// Whether the program keeps parts of an object.
    pub fn set_in_parts(&mut self, id: ContentId, kept: bool) {
        if kept {
            self.in_parts.insert(id)
        } else {
            self.in_parts.remove(&id)
        };
    }

    /// The next object of which the program should bring what it keeps.
    pub fn recall(&mut self, now: Instant) -> Option<(ContentId, ObjectSize)> {
        let asked = self.recalling.values().flatten().count();
        if asked >= RECALLS_AT_ONCE {
            return None;
        }
        let (index, until) = self.recalling.iter_mut().find(|(_, until)| until.is_none())?;
        *until = Some(now + RECALL_PATIENCE);
        self.announced.get(index).map(|object| (object.id, object.size))
    }

    /// The program has brought what it keeps of an object, or nothing.
    pub fn recalled(&mut self, index: WantIndex) {
        self.recalling.remove(&index);
    }

    /// Waits no longer for a program that is late; whether it was.
    pub fn give_up_recalls(&mut self, now: Instant) -> bool {
        let before = self.recalling.len();
        self.recalling.retain(|_, until| until.is_none_or(|until| now < until));
        self.recalling.len() < before
    }

    /// When the program will be late.
    #[must_use]
    pub fn recall_deadline(&self) -> Option<Instant> {
        self.recalling.values().flatten().min().copied()
    }

    /// Begins an object whose blocks have so many `holders`.
    pub fn begin(&mut self, index: WantIndex, holders: Vec<u16>) {
        let Some(object) = self.announced.get_mut(&index) else { return };
        let assembly = Assembly::new(object.id, object.size);
        let none = BlockMap::new(object.size.blocks());
        let (flying, doubled) = (none.clone(), none);
        object.open = Some(Box::new(Open { assembly, holders, flying, doubled }));
        self.open.insert(index);
    }

    /// Takes note that a block is asked for; whether it is the second time.
    pub fn ask(&mut self, now: Instant, index: WantIndex, block: u32) -> bool {
        let Some(object) = self.announced.get_mut(&index) else { return false };
        object.moved = now;
        let Some(open) = &mut object.open else { return false };
        !open.flying.insert(block) && open.doubled.insert(block)
    }

    /// Takes an announced object out.
    pub fn remove(&mut self, index: WantIndex) -> Option<Object> {
        let object = self.announced.remove(&index)?;
        self.by_id.remove(&object.id);
        self.open.remove(&index);
        self.recalling.remove(&index);
        self.bytes -= object.size.bytes() as usize;
        Some(object)
    }

    /// Takes an object out of the queue.
    pub fn unqueue(&mut self, id: ContentId) {
        if self.by_id.get(&id).is_some_and(Option::is_none) {
            self.by_id.remove(&id);
            self.queued.retain(|(queued, _)| *queued != id);
        }
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

    /// Objects that should make room for those that are queued: for a while
    /// nobody had anything of them that could be asked for.
    ///
    /// Without this, objects whose holders have left would keep back those
    /// that have holders.
    #[must_use]
    pub fn stuck(&self, now: Instant, offered: impl Fn(WantIndex) -> bool) -> Vec<WantIndex> {
        if self.queued.is_empty() {
            return Vec::new();
        }
        let stuck = self.announced.iter().filter(|(index, object)| {
            now.saturating_duration_since(object.moved) >= PATIENCE
                && match &object.open {
                    None => !offered(**index),
                    Some(open) => open.is_stuck(),
                }
        });
        stuck.map(|(index, _)| *index).collect()
    }

    /// Whether some block that is missing is not asked of anybody.
    #[must_use]
    pub fn any_unasked(&self) -> bool {
        let unasked =
            |open: &Open| open.assembly.held().count() + open.flying.count() < open.flying.blocks();
        !self.queued.is_empty()
            || self.open.len() < self.announced.len()
            || self.announced.values().any(|o| o.open.as_deref().is_some_and(unasked))
    }

    /// How many blocks of announced objects nobody is asked for; not counted
    /// beyond `enough`.
    #[must_use]
    pub fn unasked(&self, enough: usize) -> usize {
        let mut all = 0;
        for object in self.announced.values() {
            let had = object
                .open
                .as_deref()
                .map_or(0, |open| open.assembly.held().count().saturating_add(open.flying.count()));
            all += object.size.blocks().saturating_sub(had) as usize;
            if all >= enough {
                break;
            }
        }
        all
    }

    /// Whether some object waits to be announced.
    #[must_use]
    pub fn any_queued(&self) -> bool {
        !self.queued.is_empty()
    }
}

impl Open {
    fn is_stuck(&self) -> bool {
        let held = self.assembly.held();
        self.flying.is_empty()
            && (0..held.blocks()).all(|b| held.contains(b) || self.holders[b as usize] == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn id(n: u64) -> ContentId {
        ContentId::of(&n.to_be_bytes())
    }

    #[test]
    fn peers_are_told_of_so_many_objects_and_of_the_next_when_one_is_done() {
        let now = epoch();
        let mut objects = Objects::new(1_000_000);
        let size = ObjectSize::new(10).unwrap();
        (0..MAX_WANTS as u64 + 2).for_each(|n| objects.add(id(n), size));
        let told: Vec<Want> = std::iter::from_fn(|| objects.announce(now)).collect();
        assert_eq!(told.len(), MAX_WANTS);
        objects.remove(told[7].index);
        assert_eq!(objects.announce(now).map(|want| want.id), Some(id(MAX_WANTS as u64)));
        assert_eq!(objects.announce(now), None);
        assert_eq!(objects.announced().count(), MAX_WANTS);
        objects.unqueue(id(MAX_WANTS as u64 + 1));
        objects.remove(told[8].index);
        assert_eq!(objects.announce(now), None);
    }

    #[test]
    fn what_is_announced_fits_in_memory_or_is_alone() {
        let now = epoch();
        let mut objects = Objects::new(100_000);
        (0..3).for_each(|n| objects.add(id(n), ObjectSize::new(50_000).unwrap()));
        objects.add(id(9), ObjectSize::new(500_000).unwrap());
        let mut told: Vec<Want> = std::iter::from_fn(|| objects.announce(now)).collect();
        assert_eq!(told.len(), 2);
        objects.remove(told[0].index);
        told.push(objects.announce(now).unwrap());
        told[1..].iter().for_each(|want| _ = objects.remove(want.index));
        assert_eq!(objects.announce(now).map(|want| want.id), Some(id(9)));
    }

    #[test]
    fn what_nobody_holds_makes_room_after_a_while() {
        let now = epoch();
        let mut objects = Objects::new(60_000);
        let size = ObjectSize::new(60_000).unwrap();
        objects.add(id(0), size);
        let first = objects.announce(now).unwrap().index;
        assert!(objects.stuck(now + PATIENCE, |_| false).is_empty(), "nothing else is wanted");
        assert!(!objects.any_queued());
        objects.add(id(1), size);
        assert!(objects.stuck(now, |_| false).is_empty());
        assert!(objects.any_queued());
        let now = now + PATIENCE;
        assert!(objects.stuck(now, |_| true).is_empty());
        assert_eq!(objects.stuck(now, |_| false), [first]);
        objects.begin(first, vec![0, 1]);
        assert!(objects.stuck(now, |_| false).is_empty(), "somebody holds the second block");
        objects.count(first, 1..2, false);
        assert_eq!(objects.stuck(now, |_| false), [first]);
        objects.ask(now, first, 0);
        assert!(objects.stuck(now, |_| false).is_empty(), "it just moved");
    }
}
