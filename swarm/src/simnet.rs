//! A network in memory, on which exchanges meet before they meet a real one.
//!
//! Every frame passes through its bytes. Uplinks have a rate and take frames in
//! order, links have a latency; nodes may lose, hold back or falsify what they
//! send, come late and die. The same seed gives the same run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::key::{PublicKey, SigningKey};

use crate::block::ObjectSize;
use crate::dice::Dice;
use crate::exchange::{Account, Exchange, Input, Options, Output};
use crate::fetches::{FetchId, Report};
use crate::limits::ASSEMBLY_BYTES;
use crate::link::LinkId;
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
    pub(crate) finished_at: Option<Instant>,
    pub(crate) given: HashMap<PublicKey, u64>,
    pub(crate) banned: HashSet<PublicKey>,
    pub(crate) stalls: usize,
    conduct: Conduct,
    origin: bool,
    rate: Option<u64>,
    uplink_free: Instant,
    wake: Option<Instant>,
    pub(crate) sent: u64,
}

enum Event {
    Arrive { from: LinkId, to: usize, bytes: Bytes },
    Written { node: usize, link: LinkId, lane: Lane },
    Read { node: usize, read: Read },
    Wake { node: usize },
    Do(Box<dyn FnOnce(&mut Net)>),
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
        let options = Options { seed: self.dice.roll(), ..options.clone() };
        self.nodes.push(Node {
            exchange: Exchange::new(self.now, &options),
            key: SigningKey::from_seed(&seed).public(),
            disk: HashMap::new(),
            finished_at: None,
            given: HashMap::new(),
            banned: HashSet::new(),
            stalls: 0,
            conduct,
            origin: options.manner == Manner::Origin,
            rate,
            uplink_free: self.now,
            wake: None,
            sent: 0,
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
            self.input(me, Input::Joined { link, peer, origin });
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
        self.nodes[node].exchange.account(&self.nodes[peer].key)
    }

    fn arrive(&mut self, from: LinkId, to: usize, bytes: &Bytes) {
        // `from` is the sender's link; the receiver knows the other direction.
        let Some((_, link)) = self.links.get(&from).copied() else { return };
        let header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().unwrap();
        let lane = if header[0] < 8 { Lane::Control } else { Lane::Data };
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
                Output::Delivered { id, bytes, from, .. } => {
                    assert_eq!(ContentId::of(&bytes), id, "only whole and true objects");
                    for (peer, count) in from {
                        *self.nodes[node].given.entry(peer).or_default() += count;
                    }
                    let size = ObjectSize::new(bytes.len() as u64).unwrap();
                    self.nodes[node].disk.insert(id, bytes);
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
                Output::Close(link) => panic!("{link:?} was closed for reading too little"),
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
        let departs = match sender.rate {
            Some(rate) => {
                let takes = Duration::from_secs_f64(bytes.len() as f64 / rate as f64);
                sender.uplink_free.max(self.now) + takes
            }
            None => self.now.max(sender.uplink_free),
        };
        sender.uplink_free = departs;
        self.schedule(departs, Event::Written { node, link, lane });
        if !lost {
            // Each stream keeps its order; between streams there is none.
            let skew = Duration::from_micros(link.0 % 7 * 100 * u64::from(data));
            let at = departs + self.latency + skew;
            self.schedule(at, Event::Arrive { from: link, to, bytes });
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        let number = self.next;
        self.next += 1;
        self.events.push(Reverse((at, number)));
        self.todo.insert(number, event);
    }
}
