//! Transfers a set of objects from several peers.
//!
//! Tell it what happens, then call `poll` until it returns `None`. Promises
//! that each object is delivered once it is whole and verified, that a block is
//! asked of one peer at a time unless that peer is slow, that objects under way
//! stay within a budget of memory, and that whatever some honest peer holds
//! and keeps sending arrives. Knows nothing of uploads; see `serving`.

mod asking;
mod taking_back;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::key::PublicKey;

use crate::assembly::{Added, Assembly};
use crate::block::ObjectSize;
use crate::blocklist::BlockList;
use crate::blockmap::BlockMap;
use crate::dice::Dice;
use crate::flight::{Asked, Flight};
use crate::limits::MAX_WANTS;
use crate::link::LinkId;
use crate::objects::{Object, Objects};
use crate::parts::Parts;
use crate::purse::Purse;
use crate::squeeze::{Payload, Squeezer};
use crate::standing::{Misbehaviour, Standing};
use crate::wire::{Run, Unwant, Want, WantIndex};

/// How often a peer with nothing to do looks for blocks that are late.
const RECHECK: Duration = Duration::from_millis(100);
/// A block that will take so much longer is asked of a second peer even while
/// others are missing.
const HOPELESS: Duration = Duration::from_secs(3);
/// When nothing has come for so long, whoever is near is not relied on.
const SITE_PATIENCE: Duration = Duration::from_secs(2);
/// How often objects that nobody can continue are looked for.
const ROOM_CHECK: Duration = Duration::from_secs(1);
/// Late blocks that are asked of a second peer at a time.
const DUPLICATES: usize = 4;

/// What the transfer asks for.
#[derive(Debug)]
pub enum Output {
    /// Tell every peer that this is wanted.
    Want(Want),
    /// Tell every peer that this is wanted no more.
    Unwant(Unwant),
    /// Ask a peer for blocks, and for the block list first if `list`.
    Request {
        /// The peer's connection.
        link: LinkId,
        /// The blocks.
        run: Run,
        /// Whether the block list is needed.
        list: bool,
    },
    /// Withdraw a request.
    Cancel {
        /// The peer's connection.
        link: LinkId,
        /// The blocks.
        run: Run,
    },
    /// A block came that may be passed on.
    Verified {
        /// Our number for the object.
        index: WantIndex,
        /// The object.
        id: ContentId,
        /// Which block.
        block: u32,
        /// How long it is.
        bytes: u64,
    },
    /// Blocks of an object came back that the program had kept.
    Restored {
        /// Our number for the object.
        index: WantIndex,
        /// The object.
        id: ContentId,
        /// Which blocks.
        blocks: BlockMap,
        /// How long they are together.
        bytes: u64,
    },
    /// The program should bring what it keeps of an object.
    Recall {
        /// The object.
        id: ContentId,
        /// Its size.
        size: ObjectSize,
    },
    /// An object is whole.
    Complete {
        /// Its verified block list.
        list: BlockList,
        /// Its bytes.
        bytes: Bytes,
        /// How many of them each peer gave.
        from: Vec<(PublicKey, u64)>,
    },
    /// What was there of an object was thrown away, to make room for others.
    Closed {
        /// The object.
        id: ContentId,
        /// How much of it there was.
        bytes: u64,
    },
    /// A peer did wrong.
    Offence {
        /// Its connection.
        link: LinkId,
        /// What it did.
        what: Misbehaviour,
    },
}

/// Where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On our own local network.
    Near,
    /// Anywhere else.
    Far {
        /// Whether it is the origin, which tells each peer of other blocks.
        origin: bool,
    },
}

#[derive(Debug)]
struct Link {
    peer: PublicKey,
    place: Place,
    holds: HashMap<WantIndex, BlockMap>,
    flight: Flight,
    /// What a near peer wants, by its own numbers.
    wants: HashMap<WantIndex, ContentId>,
    wanted: HashSet<ContentId>,
    /// Objects whose block list was asked of this peer.
    listed: HashSet<WantIndex>,
    /// Blocks that were taken back but may still come.
    excused: u32,
}

/// The machine that downloads.
#[derive(Debug)]
pub struct Transfer {
    own: PublicKey,
    objects: Objects,
    links: BTreeMap<LinkId, Link>,
    /// Peers that may be asked for something.
    hungry: BTreeSet<LinkId>,
    /// Peers that might take over late blocks, and when to look again.
    idle: BTreeSet<LinkId>,
    recheck: Option<Instant>,
    /// When to ask far peers for what was left to near ones.
    spurned: Option<Instant>,
    /// When to look for objects that should make room for others.
    room_at: Instant,
    download: Purse,
    standing: Standing,
    dice: Dice,
    /// When the last block came that was missing.
    moved: Instant,
    out: VecDeque<Output>,
}

impl Transfer {
    /// Nothing wanted, nobody there.
    #[must_use]
    pub fn new(
        now: Instant,
        own: PublicKey,
        memory_budget: usize,
        download: Purse,
        seed: u64,
    ) -> Self {
        Self {
            own,
            objects: Objects::new(memory_budget),
            links: BTreeMap::new(),
            hungry: BTreeSet::new(),
            idle: BTreeSet::new(),
            recheck: None,
            spurned: None,
            room_at: now,
            download,
            standing: Standing::default(),
            dice: Dice::new(seed),
            moved: now,
            out: VecDeque::new(),
        }
    }

    /// Begins to look for an object; nothing happens if it is wanted already.
    pub fn want(&mut self, now: Instant, id: ContentId, size: ObjectSize) {
        if self.objects.is_empty() {
            self.moved = now;
        }
        self.objects.add(id, size);
        self.announce(now);
    }

    /// Stops looking for an object.
    pub fn forget(&mut self, now: Instant, id: ContentId) {
        self.objects.unqueue(id);
        if let Some(index) = self.objects.index_of(id) {
            self.remove(now, index, false);
        }
    }

    /// The program keeps parts of these objects.
    pub fn kept_in_parts(&mut self, ids: impl IntoIterator<Item = ContentId>) {
        ids.into_iter().for_each(|id| self.objects.set_in_parts(id, true));
    }

    /// The program brings what it keeps of an object, or nothing. What does
    /// not prove to be the object's is as good as nothing.
    pub fn restore(&mut self, now: Instant, id: ContentId, parts: Option<Parts>) {
        let Some(index) = self.objects.index_of(id) else { return };
        self.objects.recalled(index);
        self.hungry.extend(self.links.keys());
        let Some(size) = self.objects.get(index).map(|object| object.size) else { return };
        let proven = parts.and_then(|Parts { hashes, blocks, .. }| {
            Some((BlockList::verify(id, size, hashes).ok()?, blocks))
        });
        let Some((list, blocks)) = proven else {
            self.objects.set_in_parts(id, false);
            return;
        };
        if self.objects.open(index).is_none() {
            self.begin(index);
        }
        let mut restored = BlockMap::new(size.blocks());
        if let Some(open) = self.objects.open_mut(index) {
            open.assembly.adopt(list);
            for (block, bytes) in blocks {
                if open.assembly.restore(block, &bytes) {
                    restored.insert(block);
                }
            }
        }
        restored.iter().for_each(|block| self.cancel(None, index, block));
        let bytes = restored.iter().map(|block| size.range(block).len() as u64).sum();
        self.out.push_back(Output::Restored { index, id, blocks: restored, bytes });
        if self.objects.open(index).is_some_and(|open| open.assembly.held().is_full()) {
            self.complete(now, index);
        }
    }

    /// Whether an object is wanted.
    #[must_use]
    pub fn wants(&self, id: ContentId) -> bool {
        self.objects.wants(id)
    }

    /// The objects that every peer should know to be wanted.
    pub fn announced(&self) -> impl Iterator<Item = Want> + '_ {
        self.objects.announced()
    }

    /// A wanted object came by other means; `bytes` are known to be its own.
    pub fn provide(&mut self, now: Instant, list: &BlockList, bytes: &Bytes) {
        if !self.objects.wants(list.id()) {
            return;
        }
        self.objects.unqueue(list.id());
        self.objects.set_in_parts(list.id(), false);
        if let Some(index) = self.objects.index_of(list.id()) {
            self.remove(now, index, true);
        }
        let (list, bytes) = (list.clone(), bytes.clone());
        self.out.push_back(Output::Complete { list, bytes, from: Vec::new() });
    }

    /// A peer came.
    pub fn join(&mut self, now: Instant, link: LinkId, peer: PublicKey, place: Place) {
        let new = Link {
            peer,
            place,
            holds: HashMap::new(),
            flight: Flight::new(now),
            wants: HashMap::new(),
            wanted: HashSet::new(),
            listed: HashSet::new(),
            excused: 0,
        };
        self.links.insert(link, new);
    }

    /// A peer went.
    pub fn leave(&mut self, link: LinkId) {
        let Some(gone) = self.links.remove(&link) else { return };
        self.hungry.remove(&link);
        self.idle.remove(&link);
        for (index, map) in &gone.holds {
            self.objects.count(*index, map.iter(), false);
        }
        self.release(gone.flight.asked());
    }

    /// A peer wants objects too; if it is near, it brings some of their blocks.
    pub fn peer_wants(&mut self, link: LinkId, wants: &[Want]) {
        if let Some(link) = self.links.get_mut(&link)
            && link.place == Place::Near
        {
            let room = MAX_WANTS.saturating_sub(link.wants.len());
            for want in wants.iter().take(room) {
                link.wants.insert(want.index, want.id);
                link.wanted.insert(want.id);
            }
        }
    }

    /// A peer wants objects no more.
    pub fn peer_unwants(&mut self, link: LinkId, unwants: &[Unwant]) {
        if let Some(link) = self.links.get_mut(&link) {
            for id in unwants.iter().filter_map(|unwant| link.wants.remove(&unwant.index)) {
                link.wanted.remove(&id);
            }
        }
    }

    /// A peer holds blocks of a wanted object.
    pub fn holds(&mut self, link: LinkId, index: WantIndex, first: u32, count: u32) {
        let (Some(l), Some(object)) = (self.links.get_mut(&link), self.objects.get(index)) else {
            return;
        };
        let blocks = object.size.blocks();
        if first.saturating_add(count) > blocks {
            let what = Misbehaviour::Protocol("it holds blocks beyond the object".into());
            self.out.push_back(Output::Offence { link, what });
            return;
        }
        let map = l.holds.entry(index).or_insert_with(|| BlockMap::new(blocks));
        let new: Vec<u32> = (first..first + count).filter(|block| map.insert(*block)).collect();
        if !new.is_empty() {
            self.objects.count(index, new.into_iter(), true);
            self.hungry.insert(link);
        }
    }

    /// A peer holds nothing of an object any more.
    pub fn lacks(&mut self, link: LinkId, index: WantIndex) {
        let Some(l) = self.links.get_mut(&link) else { return };
        l.listed.remove(&index);
        let gone = l.holds.remove(&index);
        let asked: Vec<Asked> =
            l.flight.asked().iter().filter(|asked| asked.index == index).copied().collect();
        for asked in &asked {
            l.flight.take_back(asked.index, asked.block);
        }
        if let Some(map) = gone {
            self.objects.count(index, map.iter(), false);
        }
        self.release(&asked);
        self.hungry.insert(link);
    }

    /// A peer will not serve a request now.
    pub fn busy(&mut self, now: Instant, link: LinkId, run: Run) {
        let Some(l) = self.links.get_mut(&link) else { return };
        l.listed.remove(&run.index);
        let mut released = Vec::new();
        for block in run.first..run.first.saturating_add(run.count) {
            if l.flight.refused(now, run.index, block) {
                released.push(Asked { index: run.index, block, at: now });
            }
        }
        self.release(&released);
        self.hungry.insert(link);
    }

    /// Block hashes came.
    pub fn list(&mut self, link: LinkId, index: WantIndex, hashes: Vec<[u8; 32]>) {
        let Some(l) = self.links.get(&link) else { return };
        if !l.listed.contains(&index) && l.excused == 0 {
            self.out.push_back(Output::Offence { link, what: Misbehaviour::Unasked });
            return;
        }
        if let Some(open) = self.objects.open_mut(index)
            && let Err(bad) = open.assembly.prove(hashes)
        {
            let what = Misbehaviour::FalseList { object: bad.id };
            self.out.push_back(Output::Offence { link, what });
        }
    }

    /// A block came.
    pub fn block(
        &mut self,
        now: Instant,
        link: LinkId,
        (index, block): (WantIndex, u32),
        payload: &Payload,
        squeezer: &mut Squeezer,
    ) {
        let Some(l) = self.links.get_mut(&link) else { return };
        let peer = l.peer;
        self.hungry.insert(link);
        let asked = l.flight.land(now, index, block);
        if !asked {
            // It may have crossed our cancel on the way.
            if l.excused == 0 {
                self.out.push_back(Output::Offence { link, what: Misbehaviour::Unasked });
                return;
            }
            l.excused -= 1;
        }
        let Some(Object { id, size, .. }) = self.objects.get(index) else { return };
        let (id, size) = (*id, *size);
        let Some(open) = self.objects.open_mut(index) else { return };
        let len = size.range(block).len();
        let added = match squeezer.unfold(payload, len) {
            Ok(bytes) => {
                let squeezed = matches!(payload, Payload::Squeezed(_));
                open.assembly.add(block, &bytes, squeezed, peer)
            }
            Err(_) => Added::False,
        };
        let whole = open.assembly.held().is_full();
        let landed = if asked { vec![Asked { index, block, at: now }] } else { Vec::new() };
        match added {
            Added::Kept => {
                self.standing.was_right(&peer);
                self.moved = now;
                self.cancel(Some(link), index, block);
                self.out.push_back(Output::Verified { index, id, block, bytes: len as u64 });
                if whole {
                    self.complete(now, index);
                }
            }
            Added::Known => self.release(&landed),
            Added::Unproven => {
                // The list travels ahead of the first block, if it was asked for.
                if asked && l.listed.contains(&index) {
                    let what = Misbehaviour::FalseList { object: id };
                    self.out.push_back(Output::Offence { link, what });
                }
                self.release(&landed);
            }
            Added::False => {
                self.release(&landed);
                let what = Misbehaviour::FalseBlock { object: id, block };
                self.out.push_back(Output::Offence { link, what });
            }
        }
    }

    /// The next thing to do; `None` until something happens or the deadline.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        // Whoever wants nothing waits for nobody.
        if self.objects.is_empty() {
            return None;
        }
        self.look_for_stalls(now);
        self.make_room(now);
        if self.spurned.take_if(|at| now >= *at).is_some() {
            self.hungry.extend(self.links.keys());
        }
        if self.objects.give_up_recalls(now) {
            self.hungry.extend(self.links.keys());
        }
        if let Some((id, size)) = self.objects.recall(now) {
            return Some(Output::Recall { id, size });
        }
        if self.recheck.take_if(|at| now >= *at).is_some() {
            self.hungry.append(&mut self.idle);
        }
        while self.out.is_empty()
            && let Some(link) = self.next_hungry(now)
        {
            self.hungry.remove(&link);
            self.fill(now, link);
        }
        self.out.pop_front()
    }

    /// When `poll` should be called even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if self.objects.is_empty() {
            return None;
        }
        let flights = self.links.values().filter_map(|link| link.flight.next_deadline());
        let budget = self.hungry.iter().filter_map(|link| {
            self.download.waits_until(now, self.links.get(link)?.place == Place::Near)
        });
        let budget = budget.min();
        let room = self.objects.any_queued().then_some(self.room_at);
        let recall = self.objects.recall_deadline();
        let others = self.recheck.into_iter().chain(self.spurned).chain(budget);
        flights.chain(others).chain(room).chain(recall).min()
    }

    /// Asks for no more than so many bytes a second from now on, of everybody
    /// and of those far away. Where that is much less than before, what others
    /// were asked for is taken back.
    pub fn set_rates(&mut self, now: Instant, all: Option<u64>, far: Option<u64>) {
        let before = self.download.rate_of_all();
        self.download.set_rates(now, all, far);
        if all.is_some_and(|all| before.is_none_or(|before| all < before / 2)) {
            self.hold_back(now);
        }
        self.hungry.extend(self.links.keys());
    }

    /// The peer to ask next, as far as the budgets have room.
    fn next_hungry(&self, now: Instant) -> Option<LinkId> {
        if !self.download.has_any_room(now) {
            return None;
        }
        let far = self.download.has_room(now, false);
        let near = |id: &LinkId| self.links.get(id).is_some_and(|link| link.place == Place::Near);
        self.hungry.iter().find(|id| far || near(id)).copied()
    }

    /// The blocks held of an object that is under way.
    #[must_use]
    pub fn assembly(&self, id: ContentId) -> Option<&Assembly> {
        Some(&self.objects.open(self.objects.index_of(id)?)?.assembly)
    }

    /// The records of who did wrong.
    pub const fn standing(&mut self) -> &mut Standing {
        &mut self.standing
    }

    /// Tells peers of queued objects as far as the bound allows.
    fn announce(&mut self, now: Instant) {
        while let Some(want) = self.objects.announce(now) {
            if want.size.bytes() > 0 {
                self.out.push_back(Output::Want(want));
                continue;
            }
            // Nothing to transfer; whether it is the empty object shows here.
            self.objects.remove(want.index);
            if ContentId::of(&[]) == want.id {
                let list = BlockList::of(&[], want.size);
                let (bytes, from) = (Bytes::new(), Vec::new());
                self.out.push_back(Output::Complete { list, bytes, from });
            }
        }
    }

    /// Lets objects that nobody can continue wait at the end of the queue.
    fn make_room(&mut self, now: Instant) {
        if now < self.room_at {
            return;
        }
        self.room_at = now + ROOM_CHECK;
        let links = &self.links;
        let offered = |index| links.values().any(|link| link.holds.contains_key(&index));
        for index in self.objects.stuck(now, offered) {
            let Some(object) = self.withdraw(index, false) else { continue };
            let (id, size) = (object.id, object.size);
            let bytes = object.into_open().map_or(0, |open| open.assembly.bytes_held());
            self.out.push_back(Output::Closed { id, bytes });
            self.objects.add(id, size);
            self.announce(now);
        }
    }

    fn complete(&mut self, now: Instant, index: WantIndex) {
        if let Some(open) = self.remove(now, index, true).and_then(Object::into_open) {
            let (bytes, list, from) = open.assembly.finish();
            self.objects.set_in_parts(list.id(), false);
            self.out.push_back(Output::Complete { list, bytes, from });
        }
    }

    /// Takes an object out, and tells peers of the next.
    fn remove(&mut self, now: Instant, index: WantIndex, held: bool) -> Option<Object> {
        let object = self.withdraw(index, held);
        self.announce(now);
        object
    }

    /// Takes an object out, with everything that is known of it.
    fn withdraw(&mut self, index: WantIndex, held: bool) -> Option<Object> {
        let object = self.objects.remove(index)?;
        self.out.push_back(Output::Unwant(Unwant { index, held }));
        for link in self.links.values_mut() {
            link.holds.remove(&index);
            link.listed.remove(&index);
            let asked: Vec<u32> =
                link.flight.asked().iter().filter(|a| a.index == index).map(|a| a.block).collect();
            // `Unwant` withdraws every request; what is on its way may still come.
            for block in asked {
                link.flight.take_back(index, block);
                link.excused += 1;
            }
        }
        self.hungry.extend(self.links.keys());
        Some(object)
    }
}
