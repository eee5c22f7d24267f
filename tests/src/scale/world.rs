//! The run of events: who comes, who goes, what arrives, what follows.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manifest::key::SigningKey;
use swarm::address::{Multiaddr, PeerId};
use swarm::address_book::DialId;
use swarm::dice::Dice;
use swarm::exchange::{Input, Output};
use swarm::fetches::{FetchId, Report};
use swarm::link::LinkId;
use swarm::peer_exchange;
use swarm::shelf::Read;
use swarm::wire::Lane;

use super::goods::Goods;
use super::member::Member;
use super::outcome::{Outcome, Share};
use super::people::{self, Place};
use super::wires::{Parcel, Wires};
use super::{Plan, outcome};

/// Bytes of metadata that an announcement carries: esbuild's were 2.4 KB.
const NEWS_BYTES: usize = 3 * 1024;
/// What a member takes to verify an announcement.
const VERIFIES: Duration = Duration::from_millis(5);
/// What a disk takes to read.
const READS: Duration = Duration::from_millis(2);
/// Peers that an announcement is passed on to at once, and that are told of it
/// at each heartbeat, as gossipsub has it.
const MESH: usize = 6;
const HEARTBEAT: Duration = Duration::from_secs(2);
const HEARTBEATS: u32 = 3;
/// Between the last member that came and the publication.
const CALM: Duration = Duration::from_secs(60);
/// Within which time those leave that leave in the midst of the update.
const LEAVING: Duration = Duration::from_secs(60);

/// What happens at some time.
pub(super) enum Event {
    On(usize),
    Off(usize),
    Wake(usize),
    Departed(usize),
    Arrive(super::wires::Arrival),
    Dialled { member: usize, life: u32, dial: DialId, there: Option<usize> },
    Read { member: usize, life: u32, read: Read },
    Verified(usize),
    Heartbeat { member: usize, left: u32 },
    Publish,
}

struct Entry(Instant, u64, Event);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Everything that is simulated.
pub(crate) struct World {
    plan: Plan,
    begin: Instant,
    pub(super) now: Instant,
    events: BinaryHeap<Reverse<Entry>>,
    next: u64,
    pub(super) members: Vec<Member>,
    pub(super) wires: Wires,
    /// Whose connection a number is.
    pub(super) owners: HashMap<u64, usize>,
    goods: Goods,
    pub(super) by_peer: HashMap<PeerId, usize>,
    pub(super) by_address: HashMap<Multiaddr, usize>,
    pub(super) records: HashMap<Bytes, usize>,
    record_bytes: usize,
    dice: Dice,
    published: Option<Instant>,
    /// How many have it, of those that are to get it.
    done: usize,
    sent_before: Vec<super::wires::Sent>,
}

impl World {
    /// Members that are all off.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut dice = Dice::new(plan.seed);
        let begin = beginning();
        let goods = Goods::new(plan.bytes, plan.objects, &mut dice);
        let mut places: Vec<Place> = vec![people::vendor()];
        places.extend((0..plan.members).map(|_| people::anybody(&mut dice)));
        let (mut members, mut by_address) = (Vec::new(), HashMap::new());
        let (mut records, mut by_peer) = (HashMap::new(), HashMap::new());
        let ticket = [address(0)];
        let record_bytes = record_bytes();
        for (number, place) in places.iter().enumerate() {
            let peer = swarm::gate::peer_id(&key(&mut dice).public());
            let peer = peer.expect("the key is an ed25519 key");
            let addresses = if place.open { vec![address(number)] } else { Vec::new() };
            for address in &addresses {
                by_address.insert(address.clone(), number);
            }
            records.insert(record(number, record_bytes), number);
            by_peer.insert(peer, number);
            let known = if number == 0 { &[] } else { &ticket[..] };
            members.push(Member::new(peer, addresses, number == 0, known));
        }
        let wires = Wires::new(places, NEWS_BYTES);
        Self {
            plan: plan.clone(),
            begin,
            now: begin,
            events: BinaryHeap::new(),
            next: 0,
            sent_before: members.iter().map(|_| Default::default()).collect(),
            members,
            wires,
            owners: HashMap::new(),
            goods,
            by_peer,
            by_address,
            records,
            record_bytes,
            dice,
            published: None,
            done: 0,
        }
    }

    /// Has everybody come, publishes, and waits until all have it.
    pub(crate) fn play(mut self) -> Outcome {
        self.at(self.begin, Event::On(0));
        let gather = self.plan.gather.as_millis() as u64;
        for member in 1..self.members.len() {
            let after = Duration::from_millis(self.dice.below(gather));
            self.at(self.begin + after, Event::On(member));
        }
        let publish = self.begin + self.plan.gather + CALM;
        let absence = self.plan.absence.as_millis() as u64;
        for member in 1..self.members.len() {
            let back = Duration::from_millis(self.dice.below(absence));
            let off = self.dice.percent(self.plan.off_percent);
            let leaves = self.dice.percent(self.plan.leave_percent);
            let leaving = Duration::from_millis(self.dice.below(LEAVING.as_millis() as u64));
            if off || leaves {
                let at = if off { publish } else { publish + leaving };
                self.at(at, Event::Off(member));
                self.at(at + back + Duration::from_millis(1), Event::On(member));
            }
        }
        self.at(publish, Event::Publish);
        let limit = publish + self.plan.patience;
        while self.done < self.plan.members {
            let Some(Reverse(Entry(at, _, event))) = self.events.pop() else { break };
            if at > limit {
                break;
            }
            self.now = at;
            self.happens(event);
        }
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        let mut shares: Vec<Share> = Vec::new();
        for (number, member) in self.members.iter().enumerate() {
            let (before, after) = (self.sent_before[number], self.wires.sent(number));
            shares.push(Share {
                took: member.took,
                parcels: after.parcels - before.parcels,
                bytes: after.bytes - before.bytes,
                blocks: after.blocks - before.blocks,
                peers: member.most_peers,
            });
        }
        let up = (0..self.members.len()).map(|member| self.wires.place(member).up);
        Outcome {
            payload: self.goods.bytes(),
            shares,
            events: self.next,
            bound: outcome::bound(self.goods.bytes(), &up.collect::<Vec<_>>()),
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::On(member) => self.on(member),
            Event::Off(member) => self.off(member),
            Event::Wake(member) => {
                let due = self.members[member].life.as_mut().is_some_and(|life| {
                    let due = life.wake.is_some_and(|at| at <= self.now);
                    if due {
                        life.wake = None;
                    }
                    due
                });
                if due {
                    self.drive(member);
                }
            }
            Event::Departed(member) => {
                let (arrival, next) = self.wires.departed(self.now, member);
                if let Some((at, arrival)) = arrival {
                    self.at(at, Event::Arrive(arrival));
                }
                next.into_iter().for_each(|at| self.at(at, Event::Departed(member)));
            }
            Event::Arrive(arrival) => {
                let Some(member) = self.owners.get(&arrival.wire).copied() else { return };
                for parcel in arrival.parcels {
                    self.arrive(member, arrival.wire, parcel);
                }
                self.drive(member);
            }
            Event::Dialled { member, life, dial, there } => {
                if self.members[member].lives == life {
                    self.dialled(member, dial, there);
                }
            }
            Event::Read { member, life, read } => {
                let bytes = self.goods.read(&read);
                if self.members[member].lives == life {
                    self.input(member, Input::Read { read: read.read, bytes });
                    self.drive(member);
                }
            }
            Event::Verified(member) => self.pass_on_news(member),
            Event::Heartbeat { member, left } => self.heartbeat(member, left),
            Event::Publish => self.publish(),
        }
    }

    fn on(&mut self, number: usize) {
        let seed = self.dice.roll();
        let member = &mut self.members[number];
        if member.life.is_some() {
            return;
        }
        member.begin(self.now, seed);
        member.since = self.published.map(|_| self.now);
        let held: Vec<_> = self.goods.list().filter(|(id, _)| member.have.contains(id)).collect();
        self.input(number, Input::Hold(held));
        if self.members[number].heard {
            self.fetch(number);
        }
        self.drive(number);
    }

    fn off(&mut self, number: usize) {
        let Some(life) = self.members[number].end(self.now) else { return };
        for wire in life.wires.values() {
            let other = self.wires.other(*wire);
            self.owners.remove(wire);
            self.owners.remove(&Wires::back(*wire));
            self.wires.cut(*wire);
            if let Some(other) = other {
                self.gone(other, number, Wires::back(*wire));
            }
        }
        self.wires.silence(number);
    }

    fn publish(&mut self) {
        self.published = Some(self.now);
        self.sent_before = (0..self.members.len()).map(|member| self.wires.sent(member)).collect();
        for member in self.members.iter_mut().filter(|member| member.life.is_some()) {
            member.since = Some(self.now);
        }
        let all: Vec<_> = self.goods.list().collect();
        self.members[0].have.extend(all.iter().map(|(id, _)| *id));
        self.members[0].heard = true;
        self.input(0, Input::Hold(all));
        self.pass_on_news(0);
        self.drive(0);
    }

    fn arrive(&mut self, member: usize, wire: u64, parcel: Parcel) {
        let now = self.now;
        let Some(other) = self.wires.other(wire) else { return };
        match parcel {
            Parcel::Frame(frame) => {
                self.input(member, Input::Frame { link: LinkId(wire), frame });
            }
            Parcel::Ask(record) => {
                self.told(member, other, record.as_slice());
                let asker = self.members[other].peer;
                let Some(life) = self.members[member].life.as_mut() else { return };
                let known = life.book.records(now, &asker, false);
                self.send(member, wire, Parcel::Tell(known));
            }
            Parcel::Tell(records) => self.told(member, other, &records),
            Parcel::News => {
                if !self.members[member].heard {
                    self.members[member].heard = true;
                    self.at(now + VERIFIES, Event::Verified(member));
                }
            }
            Parcel::Hint => {
                if !self.members[member].heard {
                    self.send(member, wire, Parcel::Pull);
                }
            }
            Parcel::Pull => {
                if self.members[member].heard {
                    self.send(member, wire, Parcel::News);
                }
            }
        }
    }

    fn pass_on_news(&mut self, number: usize) {
        self.say(number, MESH, || Parcel::News);
        self.at(self.now + HEARTBEAT, Event::Heartbeat { member: number, left: HEARTBEATS });
        if number > 0 {
            self.fetch(number);
            self.drive(number);
        }
    }

    fn heartbeat(&mut self, member: usize, left: u32) {
        self.say(member, MESH, || Parcel::Hint);
        if left > 1 {
            let event = Event::Heartbeat { member, left: left - 1 };
            self.at(self.now + HEARTBEAT, event);
        }
    }

    /// Sends to some peers.
    fn say(&mut self, member: usize, count: usize, what: impl Fn() -> Parcel) {
        let Some(life) = self.members[member].life.as_ref() else { return };
        let mut wires: Vec<u64> = life.wires.values().copied().collect();
        for _ in 0..count.min(wires.len()) {
            let drawn = self.dice.below(wires.len() as u64) as usize;
            let wire = wires.swap_remove(drawn);
            self.send(member, wire, what());
        }
    }

    fn fetch(&mut self, number: usize) {
        let have = &self.members[number].have;
        let wanted: Vec<_> = self.goods.list().filter(|(id, _)| !have.contains(id)).collect();
        if !wanted.is_empty() {
            self.next += 1;
            self.input(number, Input::Fetch { fetch: FetchId(self.next), wanted });
        }
    }

    pub(super) fn input(&mut self, member: usize, input: Input) {
        if let Some(life) = self.members[member].life.as_mut() {
            life.exchange.handle(self.now, input);
        }
    }

    pub(super) fn send(&mut self, member: usize, wire: u64, parcel: Parcel) {
        if let Some(at) = self.wires.send(self.now, wire, parcel) {
            self.at(at, Event::Departed(member));
        }
    }

    /// Does what a member's machines ask for, as the driver does.
    pub(super) fn drive(&mut self, number: usize) {
        let now = self.now;
        loop {
            let Some(life) = self.members[number].life.as_mut() else { return };
            let Some(output) = life.exchange.poll(now) else { break };
            self.act(number, output);
        }
        self.look_for_peers(number);
        let Some(life) = self.members[number].life.as_mut() else { return };
        let deadlines = [life.exchange.next_deadline(now), life.looks];
        if let Some(at) = deadlines.into_iter().flatten().min() {
            let at = at.max(now + Duration::from_micros(100));
            if life.wake.is_none_or(|wake| at < wake) {
                life.wake = Some(at);
                self.at(at, Event::Wake(number));
            }
        }
    }

    /// Dials whom it should dial, and asks whom it should ask, if it is time.
    fn look_for_peers(&mut self, number: usize) {
        let now = self.now;
        let Some(life) = self.members[number].life.as_mut() else { return };
        if life.looks.is_none_or(|at| now < at) {
            return;
        }
        let dials: Vec<_> = std::iter::from_fn(|| life.book.poll(now)).collect();
        let due = life.acquaintance.due(now, life.book.is_lonely());
        life.looks = [life.book.next_deadline(), life.acquaintance.next_deadline()]
            .into_iter()
            .flatten()
            .min();
        let asked: Vec<u64> = due.iter().filter_map(|peer| life.wires.get(peer).copied()).collect();
        dials.iter().for_each(|dial| self.dial(number, dial));
        let open = !self.members[number].addresses.is_empty();
        for wire in asked {
            let own = open.then(|| record(number, self.record_bytes));
            self.send(number, wire, Parcel::Ask(own));
        }
    }

    fn act(&mut self, number: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Send { link, frame } => {
                let control = frame.lane() == Lane::Control;
                self.send(number, link.0, Parcel::Frame(frame));
                if control {
                    let written = Input::Written { link, lane: Lane::Control, frames: 1 };
                    self.input(number, written);
                }
            }
            Output::Read(read) => {
                let life = self.members[number].lives;
                self.at(now + READS, Event::Read { member: number, life, read });
            }
            Output::Delivered { id, .. } => {
                let size = self.goods.list().find(|(known, _)| *known == id);
                let member = &mut self.members[number];
                member.have.insert(id);
                if member.have.len() == self.goods.count() && member.took.is_none() {
                    member.took = Some(member.on_for(now));
                    self.done += 1;
                }
                self.input(number, Input::Hold(size.into_iter().collect()));
            }
            Output::Report { report: Report::Finished | Report::Stalled { .. }, .. }
            | Output::Withdrawn(_)
            | Output::Keep(_)
            | Output::Recall { .. }
            | Output::Report { .. } => {}
            Output::Misbehaved { what, .. } => panic!("an honest member was accused: {what}"),
            Output::Close(_) => panic!("a connection was closed for reading too little"),
        }
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.next += 1;
        self.events.push(Reverse(Entry(at, self.next, event)));
    }
}

/// Some instant to count from; only differences of it are used.
fn beginning() -> Instant {
    Instant::now()
}

fn key(dice: &mut Dice) -> SigningKey {
    let mut seed = [0; 32];
    seed.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&dice.roll().to_le_bytes()));
    SigningKey::from_seed(&seed)
}

/// Where a member is; each in a neighbourhood of its own.
fn address(number: usize) -> Multiaddr {
    let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    let text = format!("/ip4/{}.{b}.{c}.1/tcp/4001", 11 + a);
    text.parse().expect("an address")
}

/// How long a record really is.
fn record_bytes() -> usize {
    let key = swarm::transport::keypair(&key(&mut Dice::new(1)));
    peer_exchange::sign(&key, &[address(1)]).map_or(0, |record| record.len())
}

/// A stand-in for a member's record: as long, and it names the member.
/// Signing and verifying some millions would take most of the run.
fn record(number: usize, bytes: usize) -> Bytes {
    let mut record = vec![0; bytes];
    record[..8].copy_from_slice(&(number as u64).to_le_bytes());
    record.into()
}
