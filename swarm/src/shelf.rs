//! The whole objects we can serve: their names, block lists, and some bytes.
//!
//! The program keeps the objects; the shelf asks it to read whole extents when
//! somebody wants a block, proves what it read against the object's id, and
//! keeps it in memory for a while. What does not prove true is withdrawn, so
//! that an honest peer with an edited file is never taken for a liar.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use manifest::content::ContentId;

use crate::block::ObjectSize;
use crate::blocklist::{BlockList, hash_block};
use crate::limits::{
    BLOCK_BYTES, EXTENT_BYTES, LIST_CACHE_BYTES, MAX_READS, READ_PATIENCE, SHELF_CACHE_AGE,
};
use crate::squeeze::{Payload, Squeezer};

/// What a look at something that may have to be read first finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Here it is.
    Ready(T),
    /// It is being read; look again.
    Loading,
    /// We do not hold it.
    Gone,
}

/// The number of a read, for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Bytes that the program should read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// For the answer.
    pub read: ReadId,
    /// The object.
    pub object: ContentId,
    /// The first byte.
    pub offset: u64,
    /// How many bytes; never beyond the object's end.
    pub len: u32,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    size: ObjectSize,
    /// Whether the program keeps it; else we only have it in memory.
    kept: bool,
}

/// A run of blocks in memory, each as it was read or as it travels.
#[derive(Debug)]
struct Extent {
    blocks: Vec<Slot>,
    bytes: usize,
    used: Instant,
    tried: u32,
    shrunk: u32,
}

#[derive(Debug)]
enum Slot {
    Raw(Bytes),
    Ready(Payload),
}

#[derive(Debug)]
struct Reading {
    object: ContentId,
    extent: u32,
    /// When the program is late; nothing until it was asked.
    until: Option<Instant>,
}

/// The machine that knows what we hold.
#[derive(Debug)]
pub struct Shelf {
    cache_bytes: usize,
    held: HashMap<ContentId, Held>,
    lists: HashMap<ContentId, (Arc<BlockList>, Instant)>,
    list_bytes: usize,
    extents: HashMap<(ContentId, u32), Extent>,
    extent_bytes: usize,
    reading: BTreeMap<ReadId, Reading>,
    /// Block hashes of objects of several extents, while they are first read.
    listing: HashMap<ContentId, Vec<[u8; 32]>>,
    to_issue: VecDeque<ReadId>,
    next_read: u64,
    sweep: Option<Instant>,
}

/// Blocks of an extent.
const EXTENT_BLOCKS: u32 = EXTENT_BYTES / BLOCK_BYTES;

impl Shelf {
    /// Nothing held; at most `cache_bytes` of objects stay in memory, or one
    /// extent.
    #[must_use]
    pub fn new(cache_bytes: usize) -> Self {
        Self {
            cache_bytes,
            held: HashMap::new(),
            lists: HashMap::new(),
            list_bytes: 0,
            extents: HashMap::new(),
            extent_bytes: 0,
            reading: BTreeMap::new(),
            listing: HashMap::new(),
            to_issue: VecDeque::new(),
            next_read: 0,
            sweep: None,
        }
    }

    /// The program holds this object.
    pub fn hold(&mut self, id: ContentId, size: ObjectSize) {
        self.held.insert(id, Held { size, kept: true });
    }

    /// The program holds this object no more; whether we did.
    pub fn withdraw(&mut self, id: ContentId) -> bool {
        self.listing.remove(&id);
        if let Some((list, _)) = self.lists.remove(&id) {
            self.list_bytes -= 32 * list.hashes().len();
        }
        let Some(held) = self.held.remove(&id) else { return false };
        for extent in 0..held.size.blocks().div_ceil(EXTENT_BLOCKS) {
            self.remove_extent(&(id, extent));
        }
        true
    }

    /// Keeps an object in memory that was just completed.
    pub fn insert(&mut self, now: Instant, list: BlockList, bytes: &Bytes) {
        let (id, size) = (list.id(), list.size());
        self.held.entry(id).or_insert(Held { size, kept: false });
        for extent in 0..size.blocks().div_ceil(EXTENT_BLOCKS) {
            let first = extent * EXTENT_BLOCKS;
            let blocks = first..(first + EXTENT_BLOCKS).min(size.blocks());
            self.insert_extent(now, id, extent, blocks.map(|b| bytes.slice(size.range(b))));
        }
        self.insert_list(now, list);
    }

    /// The object's size, if we hold all of it.
    #[must_use]
    pub fn holds(&self, id: ContentId) -> Option<ObjectSize> {
        self.held.get(&id).map(|held| held.size)
    }

    /// A block as it travels; asks for a read if need be.
    pub fn block(
        &mut self,
        now: Instant,
        id: ContentId,
        block: u32,
        squeezer: &mut Squeezer,
    ) -> Lookup<Payload> {
        let Some(held) = self.held.get(&id).copied() else { return Lookup::Gone };
        let (extent, slot) = (block / EXTENT_BLOCKS, (block % EXTENT_BLOCKS) as usize);
        let Some(found) = self.extents.get_mut(&(id, extent)) else {
            return self.read(id, held, extent);
        };
        found.used = now;
        let Some(slot) = found.blocks.get_mut(slot) else { return Lookup::Gone };
        let payload = match slot {
            Slot::Ready(payload) => payload.clone(),
            // Two blocks that do not shrink speak for the whole extent.
            Slot::Raw(bytes) if found.tried >= 2 && found.shrunk == 0 => {
                Payload::Plain(bytes.clone())
            }
            Slot::Raw(bytes) => {
                let payload = squeezer.squeeze(bytes);
                found.tried += 1;
                found.shrunk += u32::from(matches!(payload, Payload::Squeezed(_)));
                *slot = Slot::Ready(payload.clone());
                payload
            }
        };
        Lookup::Ready(payload)
    }

    /// The object's block list; asks for a read if need be.
    pub fn list(&mut self, now: Instant, id: ContentId) -> Lookup<Arc<BlockList>> {
        let Some(held) = self.held.get(&id).copied() else { return Lookup::Gone };
        if let Some((list, used)) = self.lists.get_mut(&id) {
            *used = now;
            return Lookup::Ready(Arc::clone(list));
        }
        if let Some(list) = BlockList::of_single(id, held.size) {
            return Lookup::Ready(Arc::new(list));
        }
        self.read(id, held, 0)
    }

    /// Begins to read what will soon be asked for.
    pub fn expect(&mut self, id: ContentId, block: u32) {
        let Some(held) = self.held.get(&id).copied() else { return };
        let extent = block / EXTENT_BLOCKS;
        if !self.extents.contains_key(&(id, extent)) {
            let _: Lookup<()> = self.read(id, held, extent);
        }
    }

    /// The next read for the program.
    pub fn poll_read(&mut self, now: Instant) -> Option<Read> {
        let issued = self.reading.values().filter(|reading| reading.until.is_some()).count();
        if issued >= MAX_READS {
            return None;
        }
        while let Some(read) = self.to_issue.pop_front() {
            let Some(reading) = self.reading.get_mut(&read) else { continue };
            let Some(held) = self.held.get(&reading.object) else {
                self.reading.remove(&read);
                continue;
            };
            reading.until = Some(now + READ_PATIENCE);
            let offset = reading.extent * EXTENT_BYTES;
            let len = (held.size.bytes() - offset).min(EXTENT_BYTES);
            return Some(Read { read, object: reading.object, offset: offset.into(), len });
        }
        None
    }

    /// The program's answer to a read: the bytes, or nothing if it does not
    /// have them. Returns the object if it had to be withdrawn.
    pub fn read_done(
        &mut self,
        now: Instant,
        read: ReadId,
        bytes: Option<Bytes>,
    ) -> Option<ContentId> {
        let Reading { object, extent, .. } = self.reading.remove(&read)?;
        let held = self.held.get(&object).copied()?;
        let loaded = bytes.is_some_and(|bytes| self.load(now, object, held.size, extent, &bytes));
        (!loaded && self.withdraw(object)).then_some(object)
    }

    /// Drops what nobody asked for, and gives up reads that take too long.
    /// Returns the objects that had to be withdrawn.
    pub fn tick(&mut self, now: Instant) -> Vec<ContentId> {
        let late = |reading: &Reading| reading.until.is_some_and(|at| now >= at);
        let late: Vec<ReadId> =
            self.reading.iter().filter(|(_, r)| late(r)).map(|(read, _)| *read).collect();
        let withdrawn = late.iter().filter_map(|read| self.read_done(now, *read, None)).collect();
        if self.sweep.is_some_and(|at| now >= at) {
            let old = |used: Instant| now.saturating_duration_since(used) >= SHELF_CACHE_AGE;
            let keys: Vec<_> =
                self.extents.iter().filter(|(_, e)| old(e.used)).map(|(key, _)| *key).collect();
            for key in keys {
                self.evict(&key);
            }
            self.sweep = (!self.extents.is_empty()).then(|| now + SHELF_CACHE_AGE / 4);
        }
        withdrawn
    }

    /// When `tick` should be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.reading.values().filter_map(|reading| reading.until).chain(self.sweep).min()
    }

    /// Proves what was read, and keeps it.
    fn load(
        &mut self,
        now: Instant,
        id: ContentId,
        size: ObjectSize,
        extent: u32,
        bytes: &Bytes,
    ) -> bool {
        let start = (extent * EXTENT_BYTES) as usize;
        let len = (size.bytes() as usize - start).min(EXTENT_BYTES as usize);
        if bytes.len() != len {
            return false;
        }
        let first = extent * EXTENT_BLOCKS;
        let blocks = first..(first + EXTENT_BLOCKS).min(size.blocks());
        let slice = |block: u32| {
            let range = size.range(block);
            bytes.slice(range.start - start..range.end - start)
        };
        if size.blocks() > EXTENT_BLOCKS && !self.lists.contains_key(&id) {
            // The first time through a large object only its list is made.
            let hashes = self.listing.entry(id).or_default();
            if hashes.len() != first as usize {
                return true;
            }
            hashes.extend(blocks.map(|block| hash_block(block, &slice(block))));
            if hashes.len() == size.blocks() as usize {
                let hashes = self.listing.remove(&id).expect("it was just extended");
                let Ok(list) = BlockList::verify(id, size, hashes) else { return false };
                self.insert_list(now, list);
            }
            return true;
        }
        match self.lists.get(&id) {
            Some((list, _)) => {
                if !blocks.clone().all(|block| list.fits(block, &slice(block))) {
                    return false;
                }
            }
            None => {
                let list = BlockList::of(bytes, size);
                if list.id() != id {
                    return false;
                }
                self.insert_list(now, list);
            }
        }
        self.insert_extent(now, id, extent, blocks.map(slice));
        true
    }

    fn read<T>(&mut self, id: ContentId, held: Held, extent: u32) -> Lookup<T> {
        if !held.kept {
            // It was in memory only, and has been dropped from there.
            self.withdraw(id);
            return Lookup::Gone;
        }
        let large = held.size.blocks() > EXTENT_BLOCKS && !self.lists.contains_key(&id);
        // A large object is read through from its start before its first block.
        let extent = if large {
            self.listing.get(&id).map_or(0, Vec::len) as u32 / EXTENT_BLOCKS
        } else {
            extent
        };
        if self.reading.values().any(|r| r.object == id && r.extent == extent) {
            return Lookup::Loading;
        }
        let read = ReadId(self.next_read);
        self.next_read += 1;
        self.reading.insert(read, Reading { object: id, extent, until: None });
        self.to_issue.push_back(read);
        Lookup::Loading
    }

    fn insert_list(&mut self, now: Instant, list: BlockList) {
        self.list_bytes += 32 * list.hashes().len();
        if let Some((old, _)) = self.lists.insert(list.id(), (Arc::new(list), now)) {
            self.list_bytes -= 32 * old.hashes().len();
        }
        while self.list_bytes > LIST_CACHE_BYTES && self.lists.len() > 1 {
            let oldest = self.lists.iter().min_by_key(|(_, (_, used))| *used);
            let Some(id) = oldest.map(|(id, _)| *id) else { break };
            let (list, _) = self.lists.remove(&id).expect("the oldest is there");
            self.list_bytes -= 32 * list.hashes().len();
        }
    }

    fn insert_extent(
        &mut self,
        now: Instant,
        id: ContentId,
        extent: u32,
        blocks: impl Iterator<Item = Bytes>,
    ) {
        let blocks: Vec<Slot> = blocks.map(Slot::Raw).collect();
        let bytes = blocks.len() * BLOCK_BYTES as usize;
        self.remove_extent(&(id, extent));
        self.extents.insert((id, extent), Extent { blocks, bytes, used: now, tried: 0, shrunk: 0 });
        self.extent_bytes += bytes;
        self.sweep.get_or_insert(now + SHELF_CACHE_AGE);
        while self.extent_bytes > self.cache_bytes && self.extents.len() > 1 {
            // What the program keeps can be read again, so it goes first.
            let kept = |id: &ContentId| self.held.get(id).is_some_and(|held| held.kept);
            let oldest = self.extents.iter().filter(|(key, _)| **key != (id, extent));
            let oldest = oldest.min_by_key(|(key, e)| (!kept(&key.0), e.used));
            let Some(key) = oldest.map(|(key, _)| *key) else { break };
            self.evict(&key);
        }
    }

    /// Drops bytes from memory, and the object with them if nobody keeps it.
    fn evict(&mut self, key: &(ContentId, u32)) {
        self.remove_extent(key);
        if self.held.get(&key.0).is_some_and(|held| !held.kept) {
            self.withdraw(key.0);
        }
    }

    fn remove_extent(&mut self, key: &(ContentId, u32)) {
        if let Some(extent) = self.extents.remove(key) {
            self.extent_bytes -= extent.bytes;
        }
    }
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
