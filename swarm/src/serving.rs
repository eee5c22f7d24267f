//! Whom to send what, and whom to tell of what we hold.
//!
//! A few peers at a time have an upload slot; the others wait their turn. The
//! origin reveals its blocks to one peer each, the least spread first, so that
//! its upload becomes copies nobody else can give; it steps back when the
//! peers can help themselves, and helps the one that cannot. Knows what peers
//! hold, not what the bytes are; they come from [`Content`].

mod revealing;
mod sending;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use manifest::content::ContentId;

use crate::block::ObjectSize;
use crate::blocklist::BlockList;
use crate::blockmap::BlockMap;
use crate::limits::{
    BLOCK_BYTES, MAX_REMEMBERED_HOLDINGS, MAX_REQUESTED_BLOCKS, MAX_WAITING_FOR_SLOT, MAX_WANTS,
    SLOT_PATIENCE,
};
use crate::link::LinkId;
use crate::pace::Pace;
use crate::purse::Purse;
use crate::serving::revealing::{FIRST_REVEALED, Revealing};
use crate::serving::sending::LOOK_AGAIN;
use crate::shelf::Lookup;
use crate::squeeze::Payload;
use crate::standing::Misbehaviour;
use crate::uplink::Uplink;
use crate::wire::{Frame, Have, Run, Unwant, Want, WantIndex, Whose};

/// Of an update of so many blocks a peer need not hear at once of each.
const MANY_BLOCKS: usize = 128;
/// How long a peer may wait to hear of more blocks, if it waits for some of
/// ours or is far away, and if it is near and idle.
const NEWS_WAIT: Duration = Duration::from_millis(150);
const NEWS_WAIT_OF_IDLE: Duration = Duration::from_millis(20);
/// How far ahead of what is sent reads begin.
const READ_AHEAD: usize = 32;

/// Under a limit no more is promised than can be sent within this: whoever
/// waited longer would take us for one that holds its blocks back.
const PROMISED: u64 = 20;

/// What we hold of an object.
#[derive(Debug)]
pub enum Holding<'a> {
    /// Nothing.
    Nothing,
    /// Some blocks.
    Some(&'a BlockMap),
    /// All of it.
    All,
}

/// The bytes that are served.
pub trait Content {
    /// What we hold of an object of this size.
    fn holding(&self, id: ContentId, size: ObjectSize) -> Holding<'_>;
    /// A block as it travels.
    fn block(&mut self, now: Instant, id: ContentId, block: u32) -> Lookup<Payload>;
    /// A block list.
    fn list(&mut self, now: Instant, id: ContentId) -> Lookup<Arc<BlockList>>;
    /// A block that will soon be asked for.
    fn expect(&mut self, id: ContentId, block: u32);
}

/// How we share what we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Like everyone: tell all, serve whoever asks.
    Peer,
    /// As the one that has what nobody else has: spread it thinly.
    Origin,
}

/// What serving asks for.
#[derive(Debug)]
pub enum Output {
    /// Send this on the data stream.
    Send {
        /// The peer's connection.
        link: LinkId,
        /// The block or block list.
        frame: Frame,
    },
    /// Tell the peer of blocks we hold.
    Have {
        /// The peer's connection.
        link: LinkId,
        /// The blocks.
        have: Have,
    },
    /// Tell the peer that we do not hold this.
    Lack {
        /// The peer's connection.
        link: LinkId,
        /// The object.
        index: WantIndex,
    },
    /// Refuse a request for now.
    Busy {
        /// The peer's connection.
        link: LinkId,
        /// The blocks.
        run: Run,
    },
    /// A peer did wrong.
    Offence {
        /// Its connection.
        link: LinkId,
        /// What it did.
        what: Misbehaviour,
    },
}

#[derive(Debug)]
struct Wanted {
    id: ContentId,
    size: ObjectSize,
    /// Whether the block list was asked for and not yet sent.
    list: bool,
}

#[derive(Debug)]
struct Upload {
    /// Whether the peer is on our own local network.
    near: bool,
    wants: BTreeMap<WantIndex, Wanted>,
    by_id: HashMap<ContentId, WantIndex>,
    /// What the peer holds, or was told that we hold.
    known: HashMap<ContentId, BlockMap>,
    queue: VecDeque<(WantIndex, u32)>,
    pace: Pace,
    /// When the peer last took what it was sent.
    took: Instant,
    /// Whether it lost its slot because it takes nothing.
    parked: bool,
    given: u32,
    /// Since when it wants something, and how many blocks it was sent.
    began: Instant,
    sent: usize,
    /// Origin: how many blocks it alone was told of since it wanted anything.
    entrusted: usize,
    /// Origin: when it was last told of one.
    entrusted_at: Instant,
    /// Origin: revealed, and neither sent nor got from others.
    revealed: HashSet<(WantIndex, u32)>,
    window: usize,
    /// Origin: when others last gave it something.
    helped: Instant,
    /// Origin: whether it was seen to be lonely since then.
    lonely: bool,
    /// Origin: whether it has been lonely for so long that it gets everything.
    abandoned: bool,
    /// Origin: whether there may be something to reveal to it.
    look: bool,
}

impl Upload {
    /// Whether all that it wants are a few blocks.
    fn wants_little(&self) -> bool {
        let mut blocks = self.wants.values().map(|wanted| wanted.size.blocks() as usize);
        let mut all = 0;
        !blocks.any(|more| {
            all += more;
            all >= MANY_BLOCKS
        })
    }
}

/// The machine that uploads.
#[derive(Debug)]
pub struct Serving {
    manner: Manner,
    links: BTreeMap<LinkId, Upload>,
    /// Peers that are being sent blocks, next first.
    slots: VecDeque<LinkId>,
    /// Peers that wait for a slot.
    waiting: VecDeque<LinkId>,
    upload: Purse,
    uplink: Uplink,
    /// Peers to which something is on its way.
    sending: BTreeSet<LinkId>,
    revealing: Revealing,
    out: VecDeque<Output>,
}

impl Serving {
    /// Nobody there.
    #[must_use]
    pub fn new(manner: Manner, upload: Purse, seed: u64) -> Self {
        Self {
            manner,
            links: BTreeMap::new(),
            slots: VecDeque::new(),
            waiting: VecDeque::new(),
            upload,
            uplink: Uplink::default(),
            sending: BTreeSet::new(),
            revealing: Revealing::new(seed),
            out: VecDeque::new(),
        }
    }

    /// A peer came.
    pub fn join(&mut self, now: Instant, link: LinkId, near: bool) {
        let upload = Upload {
            near,
            wants: BTreeMap::new(),
            by_id: HashMap::new(),
            known: HashMap::new(),
            queue: VecDeque::new(),
            pace: Pace::default(),
            took: now,
            parked: false,
            given: 0,
            began: now,
            sent: 0,
            entrusted: 0,
            entrusted_at: now,
            revealed: HashSet::new(),
            window: FIRST_REVEALED,
            helped: now,
            lonely: false,
            abandoned: false,
            look: false,
        };
        self.links.insert(link, upload);
    }

    /// A peer went.
    pub fn leave(&mut self, link: LinkId) {
        self.slots.retain(|slot| *slot != link);
        self.waiting.retain(|waiting| *waiting != link);
        let Some(gone) = self.links.remove(&link) else { return };
        self.sending.remove(&link);
        self.uplink.leave(gone.pace.ahead());
        for (id, map) in &gone.known {
            self.revealing.spread.forget(link, *id, map);
        }
        // What only the gone one knew of is rare again.
        self.look_at_all();
    }

    /// A peer wants objects.
    pub fn wants(&mut self, now: Instant, link: LinkId, wants: &[Want], content: &dyn Content) {
        let Some(upload) = self.links.get_mut(&link) else { return };
        if upload.wants.is_empty() {
            (upload.helped, upload.lonely) = (now, false);
            (upload.began, upload.sent, upload.entrusted) = (now, 0, 0);
            self.revealing.expect(now);
        }
        upload.look = true;
        self.revealing.stir();
        for want in wants {
            if upload.wants.len() >= MAX_WANTS {
                let what = Misbehaviour::Flood("too many objects wanted");
                self.out.push_back(Output::Offence { link, what });
                return;
            }
            if upload.wants.contains_key(&want.index) || upload.by_id.contains_key(&want.id) {
                let what = Misbehaviour::Protocol("an object was wanted twice".into());
                self.out.push_back(Output::Offence { link, what });
                return;
            }
            let wanted = Wanted { id: want.id, size: want.size, list: false };
            upload.wants.insert(want.index, wanted);
            upload.by_id.insert(want.id, want.index);
            // Whoever wants an object has none of it, whatever it had before
            // and was told of then: its files may have been damaged.
            if let Some(map) = upload.known.remove(&want.id) {
                self.revealing.spread.forget(link, want.id, &map);
            }
        }
        for want in wants {
            self.tell(link, want.id, content);
        }
    }

    /// A peer wants objects no more, perhaps because it holds them.
    pub fn unwants(&mut self, link: LinkId, unwants: &[Unwant]) {
        let Some(mut upload) = self.links.get_mut(&link) else { return };
        for unwant in unwants {
            let Some(wanted) = upload.wants.remove(&unwant.index) else { continue };
            upload.by_id.remove(&wanted.id);
            upload.queue.retain(|(index, _)| *index != unwant.index);
            upload.revealed.retain(|(index, _)| *index != unwant.index);
            upload.look = true;
            self.revealing.stir();
            let blocks = wanted.size.blocks();
            if unwant.held {
                self.note(link, wanted.id, blocks, (0, blocks));
            } else if let Some(map) = upload.known.remove(&wanted.id) {
                self.revealing.spread.forget(link, wanted.id, &map);
            }
            let Some(again) = self.links.get_mut(&link) else { return };
            upload = again;
        }
    }

    /// A peer holds blocks of an object that it wants itself.
    pub fn peer_has(&mut self, now: Instant, link: LinkId, index: WantIndex, run: (u32, u32)) {
        let Some(upload) = self.links.get_mut(&link) else { return };
        let Some(wanted) = upload.wants.get(&index) else { return };
        let (id, blocks) = (wanted.id, wanted.size.blocks());
        for block in run.0..run.0.saturating_add(run.1).min(blocks) {
            upload.revealed.remove(&(index, block));
        }
        upload.look = true;
        self.revealing.stir();
        if self.note(link, id, blocks, run)
            && let Some(upload) = self.links.get_mut(&link)
        {
            // A block that we did not reveal: others help it.
            (upload.helped, upload.lonely) = (now, false);
            self.revealing.expect(now);
        }
    }

    /// We hold blocks that we did not hold before.
    pub fn gained(&mut self, id: ContentId, content: &dyn Content) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.tell(link, id, content);
        }
        self.look_at_all();
    }

    /// We hold nothing of an object any more.
    pub fn lost(&mut self, id: ContentId) {
        for (link, upload) in &mut self.links {
            if let Some(index) = upload.by_id.get(&id).copied() {
                upload.known.remove(&id);
                upload.queue.retain(|(queued, _)| *queued != index);
                upload.revealed.retain(|(revealed, _)| *revealed != index);
                self.out.push_back(Output::Lack { link: *link, index });
            }
        }
        self.revealing.spread.remove(id);
    }

    /// A peer asks for blocks.
    pub fn request(&mut self, link: LinkId, run: Run, list: bool, content: &mut dyn Content) {
        let crowded = self.waiting.len() >= MAX_WAITING_FOR_SLOT;
        let overdrawn = self.is_overdrawn();
        let Some(upload) = self.links.get_mut(&link) else { return };
        // Not wanted any more: `Unwant` and the request have crossed nothing,
        // but the object may be one that we never heard of.
        let Some(wanted) = upload.wants.get_mut(&run.index) else { return };
        if !wanted.size.has_run(run.first, run.count) {
            let what = Misbehaviour::Protocol("blocks beyond the object were asked for".into());
            self.out.push_back(Output::Offence { link, what });
            return;
        }
        if upload.queue.len() + run.count as usize > MAX_REQUESTED_BLOCKS {
            let what = Misbehaviour::Flood("too many blocks asked for");
            self.out.push_back(Output::Offence { link, what });
            return;
        }
        let has = match content.holding(wanted.id, wanted.size) {
            Holding::Nothing => {
                self.out.push_back(Output::Lack { link, index: run.index });
                return;
            }
            Holding::All => true,
            Holding::Some(map) => (run.first..run.first + run.count).all(|b| map.contains(b)),
        };
        let queued = upload.parked || self.slots.contains(&link) || self.waiting.contains(&link);
        if !has || overdrawn || self.upload.is_closed(upload.near) || (crowded && !queued) {
            self.out.push_back(Output::Busy { link, run });
            return;
        }
        wanted.list |= list;
        for block in run.first..run.first + run.count {
            if upload.queue.len() < READ_AHEAD {
                content.expect(wanted.id, block);
            }
            upload.queue.push_back((run.index, block));
        }
        if !queued {
            self.waiting.push_back(link);
        }
    }

    /// A peer withdraws a request.
    pub fn cancel(&mut self, link: LinkId, run: Run) {
        let Some(upload) = self.links.get_mut(&link) else { return };
        let end = run.first.saturating_add(run.count);
        upload.queue.retain(|(i, b)| *i != run.index || !(run.first..end).contains(b));
    }

    /// The peer has taken blocks and lists that it was sent.
    pub fn taken(&mut self, now: Instant, link: LinkId, frames: usize) {
        let Some(upload) = self.links.get_mut(&link) else { return };
        let ahead = upload.pace.ahead();
        let taken = upload.pace.take(now, frames);
        let fastest = upload.pace.fastest();
        // There may soon be nothing to do.
        self.revealing.stir();
        self.uplink.take(now, ahead - upload.pace.ahead(), fastest);
        if upload.pace.ahead() == 0 {
            self.sending.remove(&link);
        }
        if !taken {
            let what = Misbehaviour::Protocol("took what was not sent".into());
            self.out.push_back(Output::Offence { link, what });
            return;
        }
        upload.took = now;
        if std::mem::take(&mut upload.parked) {
            self.waiting.push_back(link);
        }
    }

    /// The next thing to do; `None` until something happens or the deadline.
    pub fn poll(&mut self, now: Instant, content: &mut dyn Content) -> Option<Output> {
        if self.out.is_empty() {
            if self.manner == Manner::Origin {
                self.reveal(now, content);
            }
            self.send(now, content);
        }
        self.out.pop_front()
    }

    /// When `poll` should be called even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let waiting = self.slots.iter().chain(&self.waiting);
        let waiting = waiting.filter_map(|link| self.links.get(link));
        let budget = waiting.filter_map(|upload| self.upload.waits_until(now, upload.near)).min();
        let stuck = self.slots.iter().filter_map(|link| {
            let upload = self.links.get(link)?;
            let full = !upload.pace.has_room() && !self.waiting.is_empty();
            full.then(|| upload.took + SLOT_PATIENCE)
        });
        let reveals = (self.manner == Manner::Origin).then(|| self.revealing.next_deadline());
        let begins = self.begins(now).then(|| now + LOOK_AGAIN);
        stuck.chain(budget).chain(reveals.flatten()).chain(begins).min()
    }

    /// How long a peer may wait to hear of more blocks that it could ask us for.
    /// Whoever lacks little hears at once. Others have something to go on with
    /// for a moment; for longer if they wait for blocks from us already, or are
    /// far away, where every word of each of us takes some of a line that a
    /// whole site shares. The origin tells of little, and each of it to one peer
    /// alone.
    #[must_use]
    pub fn patience(&self, link: LinkId) -> Duration {
        match self.links.get(&link) {
            Some(upload) if self.manner == Manner::Peer && !upload.wants_little() => {
                let waits = !upload.queue.is_empty() || !upload.near;
                if waits { NEWS_WAIT } else { NEWS_WAIT_OF_IDLE }
            }
            _ => Duration::ZERO,
        }
    }

    /// Sends no more than so many bytes a second from now on, to everybody and
    /// to those far away. Whoever may have something again is told what we
    /// hold by [`Self::gained`].
    pub fn set_rates(&mut self, now: Instant, all: Option<u64>, far: Option<u64>) {
        let before = self.upload.rate_of_all();
        self.upload.set_rates(now, all, far);
        if all.is_some_and(|all| before.is_none_or(|before| all < before / 2)) {
            self.refuse_all();
        }
        self.look_at_all();
    }

    /// Tells whoever waits for blocks to ask somebody else.
    fn refuse_all(&mut self) {
        for (link, upload) in &mut self.links {
            let mut run: Option<Run> = None;
            for (index, first) in std::mem::take(&mut upload.queue) {
                match &mut run {
                    Some(run) if run.index == index && run.first + run.count == first => {
                        run.count += 1;
                    }
                    _ => {
                        let full = run.replace(Run { index, first, count: 1 });
                        self.out.extend(full.map(|run| Output::Busy { link: *link, run }));
                    }
                }
            }
            self.out.extend(run.map(|run| Output::Busy { link: *link, run }));
        }
    }

    /// Whether more is promised already than the limit lets us send soon.
    fn is_overdrawn(&self) -> bool {
        let Some(rate) = self.upload.rate_of_all() else { return false };
        let promised: usize = self.links.values().map(|upload| upload.queue.len()).sum();
        promised as u64 >= (rate.saturating_mul(PROMISED) / u64::from(BLOCK_BYTES)).max(1)
    }

    /// Whether a peer in that place is sent nothing at all.
    #[must_use]
    pub const fn is_closed(&self, near: bool) -> bool {
        self.upload.is_closed(near)
    }

    /// Other bytes of ours went to somebody far away, beside what is served.
    pub fn carried(&mut self, now: Instant, bytes: u64) {
        self.upload.spend(now, false, bytes);
    }

    /// Tells every peer of everything it wants and does not know of.
    pub fn tell_all(&mut self, content: &dyn Content) {
        let wanted = self
            .links
            .iter()
            .flat_map(|(link, upload)| upload.by_id.keys().map(move |id| (*link, *id)));
        for (link, id) in wanted.collect::<Vec<_>>() {
            self.tell(link, id, content);
        }
    }

    /// There may be something to reveal to anybody.
    fn look_at_all(&mut self) {
        self.links.values_mut().for_each(|upload| upload.look = true);
        self.revealing.stir();
    }

    /// Tells one peer what we hold of one object, as far as it does not know.
    fn tell(&mut self, link: LinkId, id: ContentId, content: &dyn Content) {
        let Some(upload) = self.links.get_mut(&link) else { return };
        if self.manner == Manner::Origin || self.upload.is_closed(upload.near) {
            return;
        }
        let Some(index) = upload.by_id.get(&id).copied() else { return };
        let size = upload.wants[&index].size;
        let all;
        let held = match content.holding(id, size) {
            Holding::Nothing => return,
            Holding::Some(map) => map,
            Holding::All => {
                all = BlockMap::full(size.blocks());
                &all
            }
        };
        let known = upload.known.entry(id).or_insert_with(|| BlockMap::new(size.blocks()));
        let mut new = BlockMap::new(size.blocks());
        held.minus([known, known]).for_each(|block| {
            new.insert(block);
        });
        for (first, count) in new.runs() {
            known.insert_run(first, count);
            let have = Have { whose: Whose::Yours, index, first, count };
            self.out.push_back(Output::Have { link, have });
        }
    }

    /// Takes note that a peer knows of a run of blocks; whether any was news.
    fn note(&mut self, link: LinkId, id: ContentId, blocks: u32, run: (u32, u32)) -> bool {
        let Some(upload) = self.links.get_mut(&link) else { return false };
        let Upload { known, by_id, .. } = upload;
        if !known.contains_key(&id) && known.len() >= MAX_WANTS + MAX_REMEMBERED_HOLDINGS {
            // Some object that it no longer wants is forgotten.
            let old = known.keys().find(|id| !by_id.contains_key(id)).copied();
            if let Some((id, map)) = old.and_then(|old| known.remove_entry(&old)) {
                self.revealing.spread.forget(link, id, &map);
            }
        }
        let known = known.entry(id).or_insert_with(|| BlockMap::new(blocks));
        let end = run.0.saturating_add(run.1).min(blocks);
        let new: Vec<u32> = (run.0..end).filter(|block| known.insert(*block)).collect();
        if self.manner == Manner::Origin {
            self.revealing.spread.add(link, id, blocks, &new);
        }
        !new.is_empty()
    }
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
