//! A network in memory, on which exchanges meet before they meet a real one.
//!
//! Every frame passes through its bytes. Uplinks and downlinks have a rate,
//! connections share them, and links have a latency; each connection has a
//! buffer that takes more than the link can carry, as those of a kernel do.
//! Nodes may lose, hold back or falsify what they send, come late and die. The
//! same seed gives the same run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::key::{PublicKey, SigningKey};

use crate::accounts::Account;
use crate::block::ObjectSize;
use crate::dice::Dice;
use crate::exchange::{Exchange, Input, Options, Output};
use crate::fetches::{FetchId, Report};
use crate::limits::ASSEMBLY_BYTES;
use crate::link::LinkId;
use crate::parts::Parts;
use crate::serving::Manner;
use crate::shelf::Read;
use crate::squeeze::Payload;
use crate::standing::Sentence;
use crate::testing::epoch;
use crate::wire::{Frame, HEADER_BYTES, Header, Lane};

/// How a node behaves towards others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Sends blocks that are false.
    LiesInBlocks,
    /// Sends block lists that are false.
    LiesInLists,
    /// Tells of everything and sends nothing.
    Silent,
    /// Loses this many in a hundred of the requests, answers and blocks it
    /// sends.
    Lossy(u64),
}

pub(crate) struct Node {
    pub(crate) exchange: Exchange,
    pub(crate) key: PublicKey,
    pub(crate) disk: HashMap<ContentId, Bytes>,
    /// Parts of objects that it keeps; nothing if it keeps none.
    pub(crate) parts: Option<HashMap<ContentId, Parts>>,
    options: Options,
    pub(crate) finished_at: Option<Instant>,
    pub(crate) given: HashMap<PublicKey, u64>,
    pub(crate) banned: HashSet<PublicKey>,
    pub(crate) stalls: usize,
    conduct: Conduct,
    origin: bool,
    /// Which local network it is on.
    pub(crate) site: usize,
    rate: Option<u64>,
    /// What each connection has taken and not yet sent.
    pipes: BTreeMap<LinkId, Pipe>,
    /// The connection whose turn on the uplink it is, and how many frames of it.
    sending: Option<(LinkId, usize)>,
    downlink_free: Instant,
    wake: Option<Instant>,
    pub(crate) sent: u64,
    /// The same with the headers of packets, if the uplink has a rate.
    pub(crate) on_wire: u64,
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    frames: VecDeque<Parcel>,
    /// Bytes of those that the buffer has.
    buffered: usize,
    /// How many of the last frames the buffer had no room for.
    outside: usize,
}

struct Parcel {
    bytes: Bytes,
    lane: Lane,
    lost: bool,
}

/// Bytes of small frames that travel together: what a TCP packet holds.
pub(crate) const PACKET: usize = 1_448;
/// What a packet has beside them: Ethernet, IP and TCP with its timestamps.
pub(crate) const PACKET_HEADERS: usize = 66;
/// What multiplexer and encryption add to what is written at once.
const ENVELOPE: usize = 30;

/// Bytes that a connection takes ahead of its link.
const BUFFER: usize = 512 * 1024;

enum Event {
    Arrive { from: LinkId, to: usize, bytes: Bytes },
    Departed { node: usize, link: LinkId },
    Written { node: usize, link: LinkId, lane: Lane },
    Read { node: usize, read: Read },
    Kept { node: usize },
    Recalled { node: usize, id: ContentId },
    Wake { node: usize },
    Do(Box<dyn FnOnce(&mut Net)>),
}

/// A key that is replaced by each node's own.
pub(crate) fn nobody() -> PublicKey {
    SigningKey::from_seed(&[0; 32]).public()
}

pub(crate) struct Net {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    /// Each direction of a connection: who receives, and the other direction.
    links: BTreeMap<LinkId, (usize, LinkId)>,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    todo: HashMap<u64, Event>,
    next: u64,
    latency: Duration,
    dice: Dice,
    /// Events since time last moved.
    still: usize,
}

impl Net {
    pub(crate) fn new(seed: u64, latency: Duration) -> Self {
        let start = epoch();
        Self {
            nodes: Vec::new(),
            now: start,
            start,
            links: BTreeMap::new(),
            events: BinaryHeap::new(),
            todo: HashMap::new(),
            next: 0,
            latency,
            dice: Dice::new(seed),
            still: 0,
        }
    }

    /// Adds a node whose uplink has `rate` bytes a second.
    pub(crate) fn add(&mut self, manner: Manner, rate: Option<u64>, conduct: Conduct) -> usize {
        self.add_with(
            rate,
            conduct,
            &Options {
                own: nobody(),
                manner,
                upload: None,
                download: None,
                assembly_bytes: ASSEMBLY_BYTES,
                seed: 0,
            },
        )
    }

    pub(crate) fn add_with(
        &mut self,
        rate: Option<u64>,
        conduct: Conduct,
        options: &Options,
    ) -> usize {
        let number = self.nodes.len();
        let mut seed = [0; 32];
        seed[0] = number as u8 + 1;
        let own = SigningKey::from_seed(&seed).public();
        let options = Options { own, seed: self.dice.roll(), ..options.clone() };
        self.nodes.push(Node {
            exchange: Exchange::new(self.now, &options),
            key: own,
            site: 0,
            disk: HashMap::new(),
            parts: None,
            finished_at: None,
            given: HashMap::new(),
            banned: HashSet::new(),
            stalls: 0,
            conduct,
            origin: options.manner == Manner::Origin,
            rate,
            pipes: BTreeMap::new(),
            sending: None,
            downlink_free: self.now,
            wake: None,
            sent: 0,
            on_wire: 0,
            options,
        });
        number
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        let (to_b, to_a) = (LinkId(self.next), LinkId(self.next + 1));
        self.next += 2;
        self.links.insert(to_b, (b, to_a));
        self.links.insert(to_a, (a, to_b));
        for (me, other, link) in [(a, b, to_b), (b, a, to_a)] {
            let (peer, origin) = (self.nodes[other].key, self.nodes[other].origin);
            let near = self.nodes[me].site == self.nodes[other].site;
            self.input(me, Input::Joined { link, peer, origin, near, relayed: false });
        }
    }

    pub(crate) fn connect_all(&mut self) {
        for b in 1..self.nodes.len() {
            (0..b).for_each(|a| self.connect(a, b));
        }
    }

    /// Ends every connection of a node.
    pub(crate) fn kill(&mut self, node: usize) {
        let links: Vec<_> = self.links.iter().map(|(id, (to, back))| (*id, *to, *back)).collect();
        for (to_other, other, to_node) in links {
            if self.links.get(&to_node).is_some_and(|(to, _)| *to == node) && other != node {
                self.cut(to_other, to_node, other, node);
            }
        }
    }

    /// Has a node keep parts of objects.
    pub(crate) fn keep_parts(&mut self, node: usize) {
        let parts = self.nodes[node].parts.get_or_insert_default();
        let ids = parts.keys().copied().collect();
        self.input(node, Input::KeepParts(ids));
    }

    /// Kills a node and starts it with what is on its disk, alone and wanting
    /// nothing.
    pub(crate) fn restart(&mut self, node: usize) {
        self.kill(node);
        let again = &mut self.nodes[node];
        again.exchange = Exchange::new(self.now, &again.options);
        (again.finished_at, again.wake) = (None, None);
        let held: Vec<Bytes> = again.disk.values().cloned().collect();
        self.hold(node, &held);
        if self.nodes[node].parts.is_some() {
            self.keep_parts(node);
        }
    }

    /// Ends some connection, and makes it anew.
    pub(crate) fn flap(&mut self) {
        let nth = self.dice.below(self.links.len() as u64) as usize;
        let Some((to_b, (b, to_a))) = self.links.iter().nth(nth).map(|(l, x)| (*l, *x)) else {
            return;
        };
        let a = self.links[&to_a].0;
        self.cut(to_b, to_a, b, a);
        self.connect(a, b);
    }

    fn cut(&mut self, to_b: LinkId, to_a: LinkId, b: usize, a: usize) {
        self.links.remove(&to_b);
        self.links.remove(&to_a);
        self.nodes[a].pipes.remove(&to_b);
        self.nodes[b].pipes.remove(&to_a);
        self.input(a, Input::Left(to_b));
        self.input(b, Input::Left(to_a));
    }

    pub(crate) fn hold(&mut self, node: usize, objects: &[Bytes]) {
        let mut list = Vec::new();
        for bytes in objects {
            let id = ContentId::of(bytes);
            self.nodes[node].disk.insert(id, bytes.clone());
            list.push((id, ObjectSize::new(bytes.len() as u64).unwrap()));
        }
        self.input(node, Input::Hold(list));
    }

    pub(crate) fn fetch(&mut self, node: usize, objects: &[Bytes]) {
        let wanted = objects
            .iter()
            .map(|bytes| (ContentId::of(bytes), ObjectSize::new(bytes.len() as u64).unwrap()));
        let fetch = FetchId(self.next);
        self.next += 1;
        self.input(node, Input::Fetch { fetch, wanted: wanted.collect() });
    }

    /// Does something at a later time.
    pub(crate) fn at(&mut self, after: Duration, what: impl FnOnce(&mut Self) + 'static) {
        self.schedule(self.start + after, Event::Do(Box::new(what)));
    }

    pub(crate) fn input(&mut self, node: usize, input: Input) {
        self.nodes[node].exchange.handle(self.now, input);
        self.drive(node);
    }

    /// Runs until `done` or until `limit` has passed; how long it took.
    pub(crate) fn run(
        &mut self,
        limit: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        while !done(self) {
            let Reverse((at, number)) = *self.events.peek()?;
            if at > self.start + limit {
                return None;
            }
            self.events.pop();
            let still = if at > self.now { 0 } else { self.still + 1 };
            self.still = still;
            assert!(still < 1_000_000, "time stands still");
            self.now = self.now.max(at);
            match self.todo.remove(&number).expect("scheduled once") {
                Event::Arrive { from, to, bytes } => self.arrive(from, to, &bytes),
                Event::Departed { node, link } => self.departed(node, link),
                Event::Written { node, link, lane } => {
                    if self.links.contains_key(&link) {
                        self.input(node, Input::Written { link, lane, frames: 1 });
                    }
                }
                Event::Read { node, read } => {
                    let bytes = self.nodes[node].disk.get(&read.object).map(|bytes| {
                        let start = read.offset as usize;
                        bytes.slice(start..start + read.len as usize)
                    });
                    self.input(node, Input::Read { read: read.read, bytes });
                }
                Event::Kept { node } => self.input(node, Input::Kept),
                Event::Recalled { node, id } => {
                    let parts = self.nodes[node].parts.as_ref();
                    let parts = parts.and_then(|parts| parts.get(&id)).cloned();
                    self.input(node, Input::Recalled { id, parts });
                }
                Event::Wake { node } => {
                    if self.nodes[node].wake.is_some_and(|at| at <= self.now) {
                        self.nodes[node].wake = None;
                        self.drive(node);
                    }
                }
                Event::Do(what) => what(self),
            }
        }
        Some(self.now - self.start)
    }

    pub(crate) fn all_finished(&self, nodes: std::ops::Range<usize>) -> bool {
        self.nodes[nodes].iter().all(|node| node.finished_at.is_some())
    }

    pub(crate) fn account(&self, node: usize, peer: usize) -> Account {
        self.nodes[node].exchange.accounts().of(&self.nodes[peer].key)
    }

    fn arrive(&mut self, from: LinkId, to: usize, bytes: &Bytes) {
        // `from` is the sender's link; the receiver knows the other direction.
        let Some((_, link)) = self.links.get(&from).copied() else { return };
        let header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().unwrap();
        let lane = if matches!(header[0], 8 | 9) { Lane::Data } else { Lane::Control };
        let header = Header::decode(header, lane).expect("our own frames are within bounds");
        let frame = Frame::decode(header, bytes.slice(HEADER_BYTES..)).expect("our own frames");
        self.input(to, Input::Frame { link, frame });
    }

    fn drive(&mut self, node: usize) {
        let mut outputs = 0;
        while let Some(output) = self.nodes[node].exchange.poll(self.now) {
            outputs += 1;
            assert!(outputs < 1_000_000, "no end of outputs, such as {output:?}");
            match output {
                Output::Send { link, frame } => self.send(node, link, frame),
                Output::Read(read) => {
                    let at = self.now + Duration::from_millis(2);
                    self.schedule(at, Event::Read { node, read });
                }
                Output::Keep(parts) => {
                    let kept = self.nodes[node].parts.as_mut().expect("it keeps parts");
                    let all = kept
                        .entry(parts.id)
                        .or_insert_with(|| Parts { blocks: Vec::new(), ..parts.clone() });
                    all.blocks.extend(parts.blocks);
                    let at = self.now + Duration::from_millis(2);
                    self.schedule(at, Event::Kept { node });
                }
                Output::Recall { id, .. } => {
                    let at = self.now + Duration::from_millis(2);
                    self.schedule(at, Event::Recalled { node, id });
                }
                Output::Delivered { id, bytes, from, .. } => {
                    assert_eq!(ContentId::of(&bytes), id, "only whole and true objects");
                    for (peer, count) in from {
                        *self.nodes[node].given.entry(peer).or_default() += count;
                    }
                    let size = ObjectSize::new(bytes.len() as u64).unwrap();
                    self.nodes[node].disk.insert(id, bytes);
                    self.nodes[node].parts.iter_mut().for_each(|parts| _ = parts.remove(&id));
                    self.nodes[node].exchange.handle(self.now, Input::Hold(vec![(id, size)]));
                }
                Output::Report { report: Report::Finished, .. } => {
                    self.nodes[node].finished_at = Some(self.now);
                }
                Output::Report { report: Report::Stalled { .. }, .. } => {
                    self.nodes[node].stalls += 1;
                }
                Output::Report { .. } | Output::Withdrawn(_) => {}
                Output::Misbehaved { peer, what, sentence } => {
                    let honest = self
                        .nodes
                        .iter()
                        .any(|other| other.key == peer && matches!(other.conduct, Conduct::Honest));
                    assert!(!honest, "an honest node was taken for a liar: {what}");
                    if sentence == Sentence::Ban {
                        self.nodes[node].banned.insert(peer);
                        let other = self.nodes.iter().position(|n| n.key == peer).unwrap();
                        self.part(node, other);
                    }
                }
                Output::Close(link) => {
                    let Some((to, back)) = self.links.get(&link).copied() else { continue };
                    // Who loses much of what it sends may seem to send nothing.
                    let conduct = self.nodes[to].conduct;
                    assert!(!matches!(conduct, Conduct::Honest), "{link:?} was closed");
                    self.cut(link, back, to, node);
                }
            }
        }
        if let Some(at) = self.nodes[node].exchange.next_deadline(self.now) {
            let at = at.max(self.now + Duration::from_nanos(1));
            if self.nodes[node].wake.is_none_or(|wake| at < wake) {
                self.nodes[node].wake = Some(at);
                self.schedule(at, Event::Wake { node });
            }
        }
    }

    /// Ends the connections between two nodes.
    fn part(&mut self, a: usize, b: usize) {
        let links: Vec<_> = self.links.iter().map(|(id, (to, back))| (*id, *to, *back)).collect();
        for (link, to, back) in links {
            if to == b && self.links.get(&back).is_some_and(|(to, _)| *to == a) {
                self.cut(link, back, b, a);
            }
        }
    }

    fn send(&mut self, node: usize, link: LinkId, mut frame: Frame) {
        let Some((to, _)) = self.links.get(&link).copied() else { return };
        let lane = frame.lane();
        let data = lane == Lane::Data;
        let lost = match (self.nodes[node].conduct, &mut frame) {
            (Conduct::LiesInBlocks, Frame::Block { payload, .. }) => {
                let mut bytes = match payload {
                    Payload::Plain(bytes) | Payload::Squeezed(bytes) => bytes.to_vec(),
                };
                bytes[0] ^= 1;
                *payload = Payload::Plain(bytes.into());
                false
            }
            (Conduct::LiesInLists, Frame::List { hashes, .. }) => {
                hashes[0][0] ^= 1;
                false
            }
            (Conduct::Silent, _) => data,
            // A request for a list is not lost: that would be a false peer.
            (Conduct::Lossy(percent), Frame::Request { list: false, .. } | Frame::Block { .. }) => {
                self.dice.percent(percent)
            }
            _ => false,
        };
        let (head, payload) = frame.encode();
        let bytes = Bytes::from([head, payload.unwrap_or_default()].concat());
        let sender = &mut self.nodes[node];
        sender.sent += bytes.len() as u64;
        if sender.rate.is_none() {
            self.schedule(self.now, Event::Written { node, link, lane });
            self.travel(link, to, Parcel { bytes, lane, lost });
            return;
        }
        let pipe = sender.pipes.entry(link).or_default();
        let fits = pipe.outside == 0 && pipe.buffered + bytes.len() <= BUFFER;
        pipe.buffered += if fits { bytes.len() } else { 0 };
        pipe.frames.push_back(Parcel { bytes, lane, lost });
        if fits {
            self.schedule(self.now, Event::Written { node, link, lane });
        } else {
            pipe.outside += 1;
        }
        self.send_next(node);
    }

    /// Puts the next frame on a free uplink; connections take turns.
    fn send_next(&mut self, node: usize) {
        let sender = &mut self.nodes[node];
        if sender.sending.is_some_and(|(link, _)| sender.pipes.contains_key(&link)) {
            return;
        }
        self.put_on(node, None);
    }

    fn put_on(&mut self, node: usize, after: Option<LinkId>) {
        let sender = &mut self.nodes[node];
        let Some(rate) = sender.rate else { return };
        let busy = |(link, pipe): (&LinkId, &Pipe)| (!pipe.frames.is_empty()).then_some(*link);
        let later = after.and_then(|last| sender.pipes.range(last..).skip(1).find_map(busy));
        let next = later.or_else(|| sender.pipes.iter().find_map(busy));
        // Small frames travel together.
        let batch = next.map(|link| {
            let (mut frames, mut bytes) = (0, 0);
            for parcel in &sender.pipes[&link].frames {
                if bytes > 0 && bytes + parcel.bytes.len() > PACKET {
                    break;
                }
                (frames, bytes) = (frames + 1, bytes + parcel.bytes.len());
            }
            (link, frames, bytes)
        });
        sender.sending = batch.map(|(link, frames, _)| (link, frames));
        let Some((link, _, bytes)) = batch else { return };
        let bytes = bytes + ENVELOPE + PACKET_HEADERS * bytes.div_ceil(PACKET);
        sender.on_wire += bytes as u64;
        let departs = self.now + Duration::from_secs_f64(bytes as f64 / rate as f64);
        self.schedule(departs, Event::Departed { node, link });
    }

    /// Frames have left the uplink.
    fn departed(&mut self, node: usize, link: LinkId) {
        let sender = &mut self.nodes[node];
        let Some((_, frames)) = sender.sending.filter(|(sending, _)| *sending == link) else {
            return;
        };
        for _ in 0..frames {
            self.departed_one(node, link);
        }
        self.put_on(node, Some(link));
    }

    fn departed_one(&mut self, node: usize, link: LinkId) {
        let sender = &mut self.nodes[node];
        if let Some(pipe) = sender.pipes.get_mut(&link)
            && let Some(parcel) = pipe.frames.pop_front()
        {
            pipe.buffered -= parcel.bytes.len();
            let mut inside = Vec::new();
            while pipe.outside > 0 {
                let next = &pipe.frames[pipe.frames.len() - pipe.outside];
                if pipe.buffered + next.bytes.len() > BUFFER {
                    break;
                }
                pipe.buffered += next.bytes.len();
                inside.push(next.lane);
                pipe.outside -= 1;
            }
            for lane in inside {
                self.schedule(self.now, Event::Written { node, link, lane });
            }
            if let Some((to, _)) = self.links.get(&link).copied() {
                self.travel(link, to, parcel);
            }
        }
    }

    /// A frame crosses to the other side, and passes through its downlink.
    fn travel(&mut self, from: LinkId, to: usize, Parcel { bytes, lane, lost }: Parcel) {
        if lost {
            return;
        }
        // Each stream keeps its order; between streams there is none.
        let skew = Duration::from_micros(from.0 % 7 * 100 * u64::from(lane == Lane::Data));
        let mut at = self.now + self.latency + skew;
        let receiver = &mut self.nodes[to];
        if let Some(rate) = receiver.rate {
            let takes = Duration::from_secs_f64(bytes.len() as f64 / rate as f64);
            at = at.max(receiver.downlink_free) + takes;
            receiver.downlink_free = at;
        }
        self.schedule(at, Event::Arrive { from, to, bytes });
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        let number = self.next;
        self.next += 1;
        self.events.push(Reverse((at, number)));
        self.todo.insert(number, event);
    }
}
