//! Exchanges objects with all peers: downloads and uploads on every link.
//!
//! Feed it with `handle`, then call `poll` until it returns `None`. Joins
//! `transfer`, `serving`, `shelf`, `fetches` and `keeping`, and turns frames into their
//! terms and back; it decides nothing that they can decide.

mod holdings;
mod telling;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::key::PublicKey;

use self::holdings::Holdings;
use self::telling::News;
use crate::accounts::Accounts;
use crate::allowance::{Allowance, Rates};
use crate::assembly::Assembly;
use crate::block::ObjectSize;
use crate::blocklist::BlockList;
use crate::fetches::{FetchId, Fetches, Report};
use crate::keeping::Keeping;
use crate::limits::{
    MAX_ENTRIES_A_FRAME, RELAYED_OBJECT_BYTES, SHELF_CACHE_BYTES, SHELF_CACHE_BYTES_OF_ORIGIN,
};
use crate::link::LinkId;
use crate::outbox::Outbox;
use crate::parts::Parts;
use crate::purse::Purse;
use crate::serving::{self, Manner, Serving};
use crate::shelf::{Read, ReadId, Shelf};
use crate::squeeze::Squeezer;
use crate::standing::{Misbehaviour, Sentence};
use crate::transfer::{self, Place, Transfer};
use crate::wire::{Frame, Have, Lane, Want, WantIndex, Whose};

/// How an exchange behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who we are to others.
    pub own: PublicKey,
    /// How we share.
    pub manner: Manner,
    /// Bytes a second sent, or no limit.
    pub upload: Option<u64>,
    /// Bytes a second asked for, or no limit.
    pub download: Option<u64>,
    /// Bytes of objects under way that may be in memory.
    pub assembly_bytes: usize,
    /// Where chance comes from.
    pub seed: u64,
}

/// What happens.
#[derive(Debug)]
pub enum Input {
    /// A peer was admitted on a new connection.
    Joined {
        /// The connection.
        link: LinkId,
        /// Who it is.
        peer: PublicKey,
        /// Whether it is the origin, which likes to know what we have.
        origin: bool,
        /// Whether it is on our own local network.
        near: bool,
        /// Whether it leads through a relay, which carries little.
        relayed: bool,
    },
    /// A connection ended.
    Left(LinkId),
    /// A frame came.
    Frame {
        /// The connection.
        link: LinkId,
        /// The frame.
        frame: Frame,
    },
    /// A connection wrote frames.
    Written {
        /// The connection.
        link: LinkId,
        /// On which stream.
        lane: Lane,
        /// How many.
        frames: usize,
    },
    /// The program answers a read; nothing if it does not have the bytes.
    Read {
        /// Which read.
        read: ReadId,
        /// The bytes.
        bytes: Option<Bytes>,
    },
    /// The program wants objects.
    Fetch {
        /// A new number.
        fetch: FetchId,
        /// The objects.
        wanted: Vec<(ContentId, ObjectSize)>,
    },
    /// The program has lost interest.
    Cancel(FetchId),
    /// The program got an object by other means.
    Provide(Bytes),
    /// The program holds objects that it can read.
    Hold(Vec<(ContentId, ObjectSize)>),
    /// The program holds objects no more.
    Withdraw(Vec<ContentId>),
    /// From now on the program keeps parts of objects that are under way, and
    /// has some of these already.
    KeepParts(Vec<ContentId>),
    /// The program has kept what it was last given to keep.
    Kept,
    /// The program brings what it keeps of an object.
    Recalled {
        /// The object.
        id: ContentId,
        /// Its parts; nothing if there are none.
        parts: Option<Parts>,
    },
    /// So much may move from now on.
    Allow(Allowance),
    /// A circuit of others carried bytes through us.
    Carried(u64),
    /// A peer did wrong outside of this machine.
    Offence {
        /// Who.
        peer: PublicKey,
        /// What it did.
        what: Misbehaviour,
    },
}

/// What the exchange asks for.
#[derive(Debug)]
pub enum Output {
    /// Send a frame.
    Send {
        /// The connection.
        link: LinkId,
        /// The frame.
        frame: Frame,
    },
    /// Have the program read.
    Read(Read),
    /// Have the program keep blocks of an object that is under way.
    Keep(Parts),
    /// Have the program bring what it keeps of an object.
    Recall {
        /// The object.
        id: ContentId,
        /// Its size.
        size: ObjectSize,
    },
    /// An object that a fetch wanted is whole.
    Delivered {
        /// The fetches.
        fetches: Vec<FetchId>,
        /// The object.
        id: ContentId,
        /// Its bytes.
        bytes: Bytes,
        /// How many of them each peer gave; nobody if the program provided it.
        from: Vec<(PublicKey, u64)>,
    },
    /// A fetch has something to report.
    Report {
        /// Which fetch.
        fetch: FetchId,
        /// What.
        report: Report,
    },
    /// An object could not be read as it should be, and is served no more.
    Withdrawn(ContentId),
    /// A peer did wrong; if it is banned, its connections are to be closed.
    Misbehaved {
        /// Who.
        peer: PublicKey,
        /// What it did.
        what: Misbehaviour,
        /// What follows.
        sentence: Sentence,
    },
    /// A peer reads too little to go on with this connection.
    Close(LinkId),
}

#[derive(Debug)]
struct Link {
    peer: PublicKey,
    origin: bool,
    relayed: bool,
    outbox: Outbox,
}

/// The machine that exchanges objects.
#[derive(Debug)]
pub struct Exchange {
    links: BTreeMap<LinkId, Link>,
    /// Those with something in their outbox.
    talking: BTreeSet<LinkId>,
    /// Those with nothing but news in it, and when they hear them at the latest.
    news: BTreeMap<LinkId, News>,
    transfer: Transfer,
    serving: Serving,
    shelf: Shelf,
    fetches: Fetches,
    squeezer: Squeezer,
    /// Nothing unless the program keeps parts.
    keeping: Option<Keeping>,
    allowance: Allowance,
    accounts: Accounts,
    out: VecDeque<Output>,
}

/// Borrows the fields that make up `Holdings`, beside `serving`.
macro_rules! holdings {
    ($self:ident) => {
        Holdings {
            shelf: &mut $self.shelf,
            transfer: &$self.transfer,
            squeezer: &mut $self.squeezer,
        }
    };
}

impl Exchange {
    /// An exchange without peers.
    #[must_use]
    pub fn new(now: Instant, options: &Options) -> Self {
        let download = Purse::new(options.download);
        Self {
            links: BTreeMap::new(),
            talking: BTreeSet::new(),
            news: BTreeMap::new(),
            transfer: Transfer::new(
                now,
                options.own,
                options.assembly_bytes,
                download,
                options.seed,
            ),
            serving: Serving::new(options.manner, Purse::new(options.upload), !options.seed),
            shelf: Shelf::new(match options.manner {
                Manner::Origin => SHELF_CACHE_BYTES_OF_ORIGIN,
                Manner::Peer => SHELF_CACHE_BYTES,
            }),
            fetches: Fetches::default(),
            squeezer: Squeezer::default(),
            keeping: None,
            allowance: Allowance {
                all: Rates { up: options.upload, down: options.download },
                far: Rates::default(),
            },
            accounts: Accounts::default(),
            out: VecDeque::new(),
        }
    }

    /// Takes note of something that happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Joined { link, peer, origin, near, relayed } => {
                let outbox = Outbox::default();
                self.links.insert(link, Link { peer, origin, relayed, outbox });
                let place = if near { Place::Near } else { Place::Far { origin } };
                self.transfer.join(now, link, peer, place);
                self.serving.join(now, link, near);
                let wants: Vec<_> = self.transfer.announced().collect();
                for want in wants {
                    self.push(link, Frame::Want(vec![want]));
                }
                if origin {
                    self.tell_origin_everything(link);
                }
            }
            Input::Left(link) => {
                self.links.remove(&link);
                self.news.remove(&link);
                self.transfer.leave(link);
                self.serving.leave(link);
            }
            Input::Frame { link, frame } => self.frame(now, link, frame),
            // What matters is what the peer has taken, and it says so.
            Input::Written { lane: Lane::Data, .. } => {}
            Input::Written { link, lane: Lane::Control, frames } => {
                if let Some(l) = self.links.get_mut(&link) {
                    l.outbox.written(frames);
                    self.talking.insert(link);
                }
            }
            Input::Read { read, bytes } => {
                let withdrawn = self.shelf.read_done(now, read, bytes);
                self.withdrawn(withdrawn);
            }
            Input::Fetch { fetch, wanted } => {
                self.fetches.begin(now, fetch, &wanted);
                for (id, size) in wanted {
                    self.transfer.want(now, id, size);
                }
            }
            Input::Cancel(fetch) => {
                for id in self.fetches.cancel(fetch) {
                    self.transfer.forget(now, id);
                    self.keep_no_parts(id);
                }
            }
            Input::Provide(bytes) => self.provide(now, bytes),
            Input::Hold(objects) => {
                for (id, size) in objects {
                    self.shelf.hold(id, size);
                    self.serving.gained(id, &holdings!(self));
                }
            }
            Input::Withdraw(ids) => {
                for id in ids {
                    if self.shelf.withdraw(id) {
                        self.serving.lost(id);
                    }
                }
            }
            Input::KeepParts(ids) => {
                self.keeping.get_or_insert_default();
                self.transfer.kept_in_parts(ids);
            }
            Input::Kept => self.keeping.iter_mut().for_each(Keeping::kept),
            Input::Recalled { id, parts } => self.transfer.restore(now, id, parts),
            Input::Allow(allowance) => self.allow(now, allowance),
            Input::Carried(bytes) => self.serving.carried(now, bytes),
            Input::Offence { peer, what } => self.offence(now, peer, what),
        }
    }

    /// The next thing to do; `None` until something happens or the deadline.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        let withdrawn = self.shelf.tick(now);
        self.withdrawn(withdrawn);
        loop {
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            if let Some(output) = self.transfer.poll(now) {
                self.transfer_output(now, output);
                continue;
            }
            if let Some(output) = self.serving.poll(now, &mut holdings!(self)) {
                self.serving_output(now, output);
                continue;
            }
            if let Some(read) = self.shelf.poll_read(now) {
                return Some(Output::Read(read));
            }
            if let Some((id, blocks)) = self.keeping.as_mut().and_then(|k| k.poll(now)) {
                self.keep(id, blocks);
                continue;
            }
            if let Some((fetch, report)) = self.fetches.poll(now) {
                return Some(Output::Report { fetch, report });
            }
            return self.flush(now);
        }
    }

    /// When `poll` should be called even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let deadlines = [
            self.transfer.next_deadline(now),
            self.serving.next_deadline(now),
            self.shelf.next_deadline(),
            self.fetches.next_deadline(),
            self.news.values().map(|news| news.due).min(),
            self.keeping.as_ref().and_then(Keeping::next_deadline),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Whether a peer is kept away.
    pub fn is_banned(&mut self, now: Instant, peer: &PublicKey) -> bool {
        self.transfer.standing().is_banned(now, peer)
    }

    /// How far each wanted object has come: id, size and blocks.
    pub fn progress(&self) -> impl Iterator<Item = (ContentId, ObjectSize, Vec<u32>)> + '_ {
        self.transfer.announced().map(|want| {
            let held = self.transfer.assembly(want.id).map(|a| a.held().iter().collect());
            (want.id, want.size, held.unwrap_or_default())
        })
    }

    /// What was exchanged with each peer.
    #[must_use]
    pub const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    fn frame(&mut self, now: Instant, link: LinkId, frame: Frame) {
        let Some(Link { peer, relayed, .. }) = self.links.get(&link) else { return };
        let relayed = *relayed;
        self.accounts.came(now, *peer, frame.wire_bytes());
        match frame {
            Frame::Want(wants) => {
                self.transfer.peer_wants(link, &wants);
                self.serving.wants(now, link, &wants, &holdings!(self));
            }
            Frame::Unwant(unwants) => {
                self.transfer.peer_unwants(link, &unwants);
                self.serving.unwants(link, &unwants);
            }
            Frame::Have(list) => {
                // What is large is not asked for over a circuit.
                let small: Option<HashSet<WantIndex>> = relayed.then(|| {
                    let small = |want: &Want| want.size.bytes() <= RELAYED_OBJECT_BYTES;
                    self.transfer.announced().filter(small).map(|want| want.index).collect()
                });
                for Have { whose, index, first, count } in list {
                    match whose {
                        Whose::Yours if small.as_ref().is_some_and(|all| !all.contains(&index)) => {
                        }
                        Whose::Yours => self.transfer.holds(link, index, first, count),
                        Whose::Mine => self.serving.peer_has(now, link, index, (first, count)),
                    }
                }
            }
            Frame::Lack(list) => {
                list.into_iter().for_each(|index| self.transfer.lacks(link, index));
            }
            Frame::Request { run, list } => {
                self.serving.request(link, run, list, &mut holdings!(self));
            }
            Frame::Cancel(run) => self.serving.cancel(link, run),
            Frame::Busy(run) => self.transfer.busy(now, link, run),
            Frame::Taken(frames) => self.serving.taken(now, link, frames.into()),
            Frame::List { index, hashes } => {
                self.push(link, Frame::Taken(1));
                self.transfer.list(link, index, hashes);
            }
            Frame::Block { index, block, payload } => {
                self.push(link, Frame::Taken(1));
                self.transfer.block(now, link, (index, block), &payload, &mut self.squeezer);
            }
        }
    }

    fn transfer_output(&mut self, now: Instant, output: transfer::Output) {
        match output {
            transfer::Output::Want(want) => self.push_all(&Frame::Want(vec![want])),
            transfer::Output::Unwant(unwant) => self.push_all(&Frame::Unwant(vec![unwant])),
            transfer::Output::Request { link, run, list } => {
                self.push(link, Frame::Request { run, list });
            }
            transfer::Output::Cancel { link, run } => self.push(link, Frame::Cancel(run)),
            transfer::Output::Verified { index, id, block, bytes } => {
                self.fetches.moved(now, id, bytes);
                if let Some(keeping) = &mut self.keeping
                    && self.transfer.assembly(id).is_some_and(|a| a.held().blocks() > 1)
                {
                    keeping.came(now, id, block);
                }
                self.serving.gained(id, &holdings!(self));
                let have = Have { whose: Whose::Mine, index, first: block, count: 1 };
                for (id, link) in self.links.iter_mut().filter(|(_, link)| link.origin) {
                    link.outbox.push(Frame::Have(vec![have]));
                    self.talking.insert(*id);
                }
            }
            transfer::Output::Restored { index, id, blocks, bytes } => {
                self.fetches.found(id, bytes);
                self.serving.gained(id, &holdings!(self));
                let run = |(first, count)| Have { whose: Whose::Mine, index, first, count };
                let have: Vec<Have> = blocks.runs().into_iter().map(run).collect();
                for (id, link) in self.links.iter_mut().filter(|(_, link)| link.origin) {
                    let frames = have.chunks(MAX_ENTRIES_A_FRAME);
                    frames.for_each(|some| link.outbox.push(Frame::Have(some.to_vec())));
                    self.talking.insert(*id);
                }
            }
            transfer::Output::Recall { id, size } => {
                self.out.push_back(Output::Recall { id, size });
            }
            transfer::Output::Complete { list, bytes, from } => {
                let id = list.id();
                self.keep_no_parts(id);
                self.shelf.insert(now, list, &bytes);
                self.serving.gained(id, &holdings!(self));
                let fetches = self.fetches.complete(now, id);
                self.out.push_back(Output::Delivered { fetches, id, bytes, from });
            }
            transfer::Output::Closed { id, bytes } => {
                self.fetches.lost(id, bytes);
                self.keep_no_parts(id);
                self.serving.lost(id);
            }
            transfer::Output::Offence { link, what: Misbehaviour::Withheld } => {
                self.withheld(now, link);
            }
            transfer::Output::Offence { link, what } => {
                if let Some(peer) = self.links.get(&link).map(|link| link.peer) {
                    self.offence(now, peer, what);
                }
            }
        }
    }

    fn serving_output(&mut self, now: Instant, output: serving::Output) {
        match output {
            serving::Output::Send { link, frame } => {
                self.send(now, link, frame);
                if let Some(news) = self.news.get_mut(&link) {
                    news.due = news.due.min(now + self.serving.patience(link));
                }
            }
            serving::Output::Have { link, have } => self.tell(now, link, have),
            serving::Output::Lack { link, index } => self.push(link, Frame::Lack(vec![index])),
            serving::Output::Busy { link, run } => self.push(link, Frame::Busy(run)),
            serving::Output::Offence { link, what } => {
                if let Some(peer) = self.links.get(&link).map(|link| link.peer) {
                    self.offence(now, peer, what);
                }
            }
        }
    }

    fn allow(&mut self, now: Instant, allowance: Allowance) {
        if std::mem::replace(&mut self.allowance, allowance) == allowance {
            return;
        }
        let Allowance { all, far } = allowance;
        let closed = [true, false].map(|near| self.serving.is_closed(near));
        self.transfer.set_rates(now, all.down, far.down);
        self.serving.set_rates(now, all.up, far.up);
        let opened = |near: bool, was: bool| was && !self.serving.is_closed(near);
        if opened(true, closed[0]) || opened(false, closed[1]) {
            // Nobody was told of what came meanwhile.
            self.serving.tell_all(&holdings!(self));
        }
    }

    fn provide(&mut self, now: Instant, bytes: Bytes) {
        let Ok(size) = ObjectSize::new(bytes.len() as u64) else { return };
        let list = BlockList::of(&bytes, size);
        let id = list.id();
        if self.transfer.wants(id) {
            let held = self.transfer.assembly(id).map_or(0, Assembly::bytes_held);
            self.fetches.moved(now, id, u64::from(size.bytes()) - held);
            self.transfer.provide(now, &list, &bytes);
        } else {
            self.shelf.insert(now, list, &bytes);
            self.serving.gained(id, &holdings!(self));
        }
    }

    /// Hands blocks to the program that it should keep.
    fn keep(&mut self, id: ContentId, blocks: Vec<u32>) {
        let parts = self.transfer.assembly(id).and_then(|assembly| {
            let block = |block: u32| Some((block, assembly.block(block)?));
            let blocks = blocks.into_iter().filter_map(block).collect();
            let (hashes, len) = (assembly.list()?.hashes().to_vec(), assembly.list()?.size());
            Some(Parts { id, len: len.bytes().into(), hashes, blocks })
        });
        match parts {
            Some(parts) => {
                self.transfer.kept_in_parts([id]);
                self.out.push_back(Output::Keep(parts));
            }
            None => self.keeping.iter_mut().for_each(Keeping::kept),
        }
    }

    fn keep_no_parts(&mut self, id: ContentId) {
        if let Some(keeping) = &mut self.keeping {
            keeping.gone(id);
        }
    }

    fn offence(&mut self, now: Instant, peer: PublicKey, what: Misbehaviour) {
        // What was on its way when the peer was banned changes nothing.
        if self.transfer.standing().is_banned(now, &peer) {
            return;
        }
        let sentence = self.transfer.standing().offend(now, peer, &what);
        self.out.push_back(Output::Misbehaved { peer, what, sentence });
    }

    /// A peer sends nothing of what it says to hold. It may be that it has no
    /// turn for us, so the first time it is let go and not kept away; the origin
    /// has many to serve, and is waited for.
    fn withheld(&mut self, now: Instant, link: LinkId) {
        if self.links.get(&link).is_none_or(|link| link.origin) {
            return;
        }
        let Some(gone) = self.links.remove(&link) else { return };
        self.transfer.leave(link);
        self.serving.leave(link);
        self.offence(now, gone.peer, Misbehaviour::Withheld);
        self.out.push_back(Output::Close(link));
    }

    fn withdrawn(&mut self, ids: impl IntoIterator<Item = ContentId>) {
        for id in ids {
            self.serving.lost(id);
            self.out.push_back(Output::Withdrawn(id));
        }
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;

#[cfg(test)]
mod restart_tests;
