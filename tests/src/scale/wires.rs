//! Connections, and what travels on them.
//!
//! Each member has one uplink that its connections share in turns, and one
//! downlink that takes what comes in order.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use swarm::wire::{Frame, Lane};

use super::people::Place;

/// Bytes of small parcels that travel together, and what a packet costs.
const PACKET: usize = 1_400;
const PACKET_HEAD: usize = 60;

/// Something that one member sends another.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// Of the exchange.
    Frame(Frame),
    /// Whom do you know? With the asker's own record, if it has one.
    Ask(Option<Bytes>),
    /// These records, and nothing is asked.
    Tell(Vec<Bytes>),
    /// The newest metadata.
    News,
    /// There is newer metadata.
    Hint,
    /// Send the newest metadata, if you have any.
    Pull,
}

impl Parcel {
    fn block_bytes(&self) -> usize {
        match self {
            Self::Frame(frame) if frame.lane() == Lane::Data => frame.wire_bytes(),
            _ => 0,
        }
    }

    fn bytes(&self, news: usize) -> usize {
        let records = |list: &[Bytes]| list.iter().map(|record| 2 + record.len()).sum::<usize>();
        match self {
            Self::Frame(frame) => frame.wire_bytes(),
            Self::Ask(record) => 8 + records(record.as_slice()),
            Self::Tell(list) => 8 + records(list),
            Self::News => news,
            Self::Hint | Self::Pull => 32,
        }
    }
}

/// One direction of a connection.
#[derive(Debug)]
struct Wire {
    from: usize,
    to: usize,
    waiting: VecDeque<Parcel>,
}

/// What a member has on its lines.
#[derive(Debug, Default)]
struct Line {
    /// Connections with something to send, each once.
    turns: VecDeque<u64>,
    /// What is leaving now.
    leaving: Option<(u64, Vec<Parcel>)>,
    down_free: Option<Instant>,
    sent: Sent,
}

/// What a member has sent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Parcels.
    pub(crate) parcels: u64,
    /// Bytes, packet headers counted.
    pub(crate) bytes: u64,
    /// Of them, those of blocks, without packet headers.
    pub(crate) blocks: u64,
}

/// Parcels that arrive, by the number of the receiver's own connection.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Which connection they came on, as its receiver calls it.
    pub(crate) wire: u64,
    /// What came.
    pub(crate) parcels: Vec<Parcel>,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Wires {
    places: Vec<Place>,
    lines: Vec<Line>,
    wires: HashMap<u64, Wire>,
    next: u64,
    /// Bytes of the metadata that is announced.
    news: usize,
}

impl Wires {
    pub(crate) fn new(places: Vec<Place>, news: usize) -> Self {
        let lines = places.iter().map(|_| Line::default()).collect();
        Self { places, lines, wires: HashMap::new(), next: 0, news }
    }

    pub(crate) fn place(&self, member: usize) -> &Place {
        &self.places[member]
    }

    pub(crate) fn sent(&self, member: usize) -> Sent {
        self.lines[member].sent
    }

    /// How long something takes from one member to another, one way.
    pub(crate) fn distance(&self, a: usize, b: usize) -> Duration {
        self.places[a].away + self.places[b].away
    }

    /// Connects two members: each one's own number of the connection.
    pub(crate) fn connect(&mut self, a: usize, b: usize) -> (u64, u64) {
        let pair = (self.next, self.next + 1);
        self.next += 2;
        for (wire, from, to) in [(pair.0, a, b), (pair.1, b, a)] {
            self.wires.insert(wire, Wire { from, to, waiting: VecDeque::new() });
        }
        pair
    }

    /// The other member's number of a connection.
    pub(crate) const fn back(wire: u64) -> u64 {
        wire ^ 1
    }

    /// Who is at the other end.
    pub(crate) fn other(&self, wire: u64) -> Option<usize> {
        self.wires.get(&wire).map(|wire| wire.to)
    }

    /// Ends a connection, both ways.
    pub(crate) fn cut(&mut self, wire: u64) {
        for wire in [wire, Self::back(wire)] {
            self.wires.remove(&wire);
        }
    }

    /// Sends; when something leaves the uplink, if it was idle.
    pub(crate) fn send(&mut self, now: Instant, wire: u64, parcel: Parcel) -> Option<Instant> {
        let way = self.wires.get_mut(&wire)?;
        way.waiting.push_back(parcel);
        let (member, first) = (way.from, way.waiting.len() == 1);
        let line = &mut self.lines[member];
        let turn = line.leaving.as_ref().is_some_and(|(leaving, _)| *leaving == wire);
        if first && !turn {
            line.turns.push_back(wire);
        }
        if line.leaving.is_some() { None } else { self.load(now, member) }
    }

    /// What left a member's uplink: where and when it arrives; and when the
    /// next leaves.
    pub(crate) fn departed(
        &mut self,
        now: Instant,
        member: usize,
    ) -> (Option<(Instant, Arrival)>, Option<Instant>) {
        let line = &mut self.lines[member];
        let Some((wire, parcels)) = line.leaving.take() else { return (None, None) };
        let to = self.wires.get(&wire).map(|way| {
            if !way.waiting.is_empty() {
                line.turns.push_back(wire);
            }
            way.to
        });
        let bytes: usize = parcels.iter().map(|parcel| parcel.bytes(self.news)).sum();
        let arrival = to.map(|to| {
            let there = now + self.places[member].away + self.places[to].away;
            let takes = at_rate(bytes + packets(bytes), self.places[to].down);
            let free = &mut self.lines[to].down_free;
            let at = free.map_or(there, |free| free.max(there)) + takes;
            *free = Some(at);
            (at, Arrival { wire: Self::back(wire), parcels })
        });
        (arrival, self.load(now, member))
    }

    /// Puts the next parcels on a member's uplink; when they have left it.
    fn load(&mut self, now: Instant, member: usize) -> Option<Instant> {
        let line = &mut self.lines[member];
        while let Some(wire) = line.turns.pop_front() {
            let Some(way) = self.wires.get_mut(&wire) else { continue };
            let (mut parcels, mut bytes) = (Vec::new(), 0);
            while let Some(parcel) = way.waiting.front() {
                let more = parcel.bytes(self.news);
                if bytes > 0 && bytes + more > PACKET {
                    break;
                }
                bytes += more;
                parcels.extend(way.waiting.pop_front());
            }
            bytes += packets(bytes);
            line.sent.parcels += parcels.len() as u64;
            line.sent.bytes += bytes as u64;
            line.sent.blocks += parcels.iter().map(Parcel::block_bytes).sum::<usize>() as u64;
            line.leaving = Some((wire, parcels));
            return Some(now + at_rate(bytes, self.places[member].up));
        }
        None
    }

    /// A member is switched off: nothing that waited leaves any more.
    pub(crate) fn silence(&mut self, member: usize) {
        let line = &mut self.lines[member];
        line.turns.clear();
        // What is leaving has left, and its event is still to come.
        if let Some((_, parcels)) = &mut line.leaving {
            drop(mem::take(parcels));
        }
    }
}

/// Bytes of the headers of the packets for so many bytes.
const fn packets(bytes: usize) -> usize {
    bytes.div_ceil(PACKET) * PACKET_HEAD
}

fn at_rate(bytes: usize, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate as f64)
}
