//! Where members may be met, and whom to dial next.
//!
//! Addresses come from the program (the ticket's, remembered ones), from the
//! local network and from other members. All are hints: nobody is believed to
//! be anyone before admission. Promises that hints stay few, in all, from one
//! informant and from one neighbourhood, and that an address is tried again
//! after ever longer pauses. Opens no connection itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use manifest::time::UnixTime;

use crate::address::{self, is_local, is_loopback, relay};
use crate::dice::Dice;
use crate::limits::{
    CHOSEN_PEERS, MAX_ADDRESSES, MAX_EXCHANGED_AGAIN, MAX_EXCHANGED_PEERS, MAX_KNOWN_NEARBY,
    MAX_KNOWN_PEERS, MAX_PEERS_FROM_ONE, MAX_PEERS_OF_ORIGIN,
};
use crate::peer_exchange::Met;

/// Dials under way at a time.
const DIALS: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A member that has moved is dialled again after so long at the earliest:
/// whoever says every second that it has moved makes nobody dial every second.
const MOVED_PAUSE: Duration = Duration::from_secs(3);
/// Two that hear of each other do so at the same time, and one dial is enough:
/// the one whose turn it is not waits so long.
const GIVE_WAY: Duration = Duration::from_millis(750);
/// The longest pause for addresses that the program gave, and for others.
const LONGEST_PAUSE_GIVEN: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A connection that lasted so long was worth having.
const STEADY: Duration = Duration::from_secs(20);
/// So long who asked whom we know is told of others when it asks again.
const REMEMBERED: Duration = Duration::from_secs(60);
/// So many that asked are remembered.
const MAX_ANSWERED: usize = 2 * MAX_PEERS_OF_ORIGIN;
/// A hint that failed so often is forgotten.
const MOST_FAILURES: u32 = 8;

/// The number of a dial, for its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// Someone to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// For the outcome.
    pub dial: DialId,
    /// Who should be there, if that is known.
    pub peer: Option<PeerId>,
    /// Where; a single address if nobody in particular is expected.
    pub addresses: Vec<Multiaddr>,
}

/// Who told us of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The program: it is never forgotten.
    Given,
    /// The local network.
    Lan,
    /// A member.
    Member(PeerId),
}

#[derive(Debug)]
struct Place {
    peer: Option<PeerId>,
    addresses: Vec<Multiaddr>,
    /// Whether one of them leads there without a circuit.
    direct: bool,
    /// The neighbourhood of the first that has one.
    near: Option<IpAddr>,
    source: Source,
    /// The member's own signed word on its addresses.
    record: Option<Record>,
    due: Instant,
    /// When it was last dialled.
    tried: Option<Instant>,
    pause: Duration,
    failures: u32,
    /// Which address is tried next.
    turn: usize,
    /// Whether circuits are tried next: nobody got through directly.
    around: bool,
}

/// A member's own signed word, and when it was said.
#[derive(Debug)]
struct Record {
    said: UnixTime,
    /// Records that came later have larger numbers.
    number: u64,
    /// Whether it means something on a local network only.
    local: bool,
    bytes: Bytes,
}

impl Place {
    fn set_addresses(&mut self, mut addresses: Vec<Multiaddr>) {
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        self.direct = addresses.iter().any(|address| relay(address).is_none());
        self.near = addresses.iter().find_map(neighbourhood);
        self.addresses = addresses;
    }
}

/// The number of a place; records are counted with them.
type PlaceId = u64;

/// The machine that knows where to look.
#[derive(Debug)]
pub struct AddressBook {
    own: PeerId,
    enough: usize,
    places: BTreeMap<PlaceId, Place>,
    by_peer: HashMap<PeerId, PlaceId>,
    /// Who is connected, and since when.
    connected: BTreeMap<PeerId, Instant>,
    /// Where the connections to them lead.
    at: HashMap<Multiaddr, PeerId>,
    /// Those among them whom we dialled.
    chosen: BTreeSet<PeerId>,
    /// Those who asked whom we know, when, and from which number on records are
    /// news to them.
    answered: HashMap<PeerId, (Instant, u64)>,
    dials: HashMap<DialId, PlaceId>,
    /// Whether all places are taken and none can be spared, since nothing
    /// failed or ended meanwhile.
    crowded: bool,
    next: u64,
    dice: Dice,
}

impl AddressBook {
    /// Knows nobody; `own` is never dialled, nor is anybody once `enough`
    /// members are connected, a few of them because we dialled them.
    #[must_use]
    pub fn new(own: PeerId, enough: usize, seed: u64) -> Self {
        Self {
            own,
            enough,
            places: BTreeMap::new(),
            by_peer: HashMap::new(),
            connected: BTreeMap::new(),
            at: HashMap::new(),
            chosen: BTreeSet::new(),
            answered: HashMap::new(),
            dials: HashMap::new(),
            crowded: false,
            next: 0,
            dice: Dice::new(seed),
        }
    }

    /// Takes note of addresses where `peer`, or somebody, may be met.
    pub fn learn(
        &mut self,
        now: Instant,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        source: Source,
    ) {
        let mut addresses: Vec<Multiaddr> = addresses.to_vec();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        let peer = peer.or_else(|| addresses.iter().find_map(|at| self.at.get(at)).copied());
        if addresses.is_empty() || peer == Some(self.own) {
            return;
        }
        if let Some(place) = peer.and_then(|peer| self.by_peer.get(&peer)) {
            let place = self.places.get_mut(place).expect("an indexed place exists");
            if source == Source::Given {
                place.source = source;
            }
            // Newest first; what the program gave stays.
            let given = place.source == Source::Given;
            let old = std::mem::take(&mut place.addresses);
            if addresses.iter().any(|address| !old.contains(address)) {
                // What failed elsewhere says nothing of where it is now.
                (place.pause, place.failures) = (FIRST_PAUSE, 0);
                let earliest = place.tried.map_or(now, |at| at + MOVED_PAUSE);
                place.due = place.due.min(earliest.max(now));
            }
            let kept = old.into_iter().filter(|_| given);
            let kept: Vec<_> = kept.filter(|old| !addresses.contains(old)).collect();
            addresses.extend(kept);
            place.set_addresses(addresses);
            return;
        }
        let known = |place: &&Place| place.peer.is_none() && place.addresses == addresses;
        if peer.is_none() && self.places.values().any(|place| known(&place)) {
            return;
        }
        if source != Source::Given && !self.has_room(&addresses, source) {
            return;
        }
        // Both keep the connection that the smaller id dialled.
        let told = matches!(source, Source::Member(_));
        let theirs = told && peer.is_some_and(|peer| peer < self.own);
        let mut place = Place {
            peer,
            addresses: Vec::new(),
            direct: false,
            near: None,
            source,
            record: None,
            due: if theirs { now + GIVE_WAY } else { now },
            tried: None,
            pause: FIRST_PAUSE,
            failures: 0,
            turn: 0,
            around: false,
        };
        place.set_addresses(addresses);
        self.places.insert(self.next, place);
        peer.map(|peer| self.by_peer.insert(peer, self.next));
        self.next += 1;
    }

    /// Takes note of somebody on the local network who is met at `addresses`, and
    /// hears of us, who are met at `own`: of the two the one with the smaller
    /// address goes first.
    pub fn hear(&mut self, now: Instant, own: &[Multiaddr], addresses: &[Multiaddr]) {
        let own = own.iter().filter(|address| !is_loopback(address)).min();
        let theirs = own > addresses.iter().min();
        self.learn(if theirs { now + GIVE_WAY } else { now }, None, addresses, Source::Lan);
    }

    /// Takes note of a member's own signed word on its addresses, and keeps it
    /// to be passed on; whether it says what was not known. An older word than
    /// the one kept says nothing: others go on telling it for a while.
    pub fn learn_record(&mut self, now: Instant, met: Met, source: Source) -> bool {
        let Met { peer, addresses, record, said } = met;
        let kept = self.place_of(&peer).and_then(|place| place.record.as_ref());
        let older = |kept: &Record| said < kept.said || (said == kept.said && record == kept.bytes);
        if kept.is_some_and(older) {
            return false;
        }
        let known = self.addresses(&peer);
        let mut addresses = addresses;
        let local = addresses.iter().any(|a| is_local(a) && !is_loopback(a));
        if !local {
            // Who is here and tells the world where it is, is still here.
            addresses.extend(known.iter().filter(|a| is_local(a)).cloned());
        }
        let news = addresses.iter().any(|address| !known.contains(address));
        self.learn(now, Some(peer), &addresses, source);
        if let Some(place) = self.by_peer.get(&peer).and_then(|id| self.places.get_mut(id)) {
            place.record = Some(Record { said, number: self.next, local, bytes: record });
            self.next += 1;
        }
        news
    }

    /// Signed words of members, for one who asks, on our local network or not.
    /// Who asks again, even if it was gone for a moment, is told of a few: of
    /// those that have come since, then of connected ones, then of others.
    pub fn records(&mut self, now: Instant, asker: &PeerId, local: bool) -> Vec<Bytes> {
        if self.answered.len() >= MAX_ANSWERED {
            self.answered.retain(|_, (at, _)| now < *at + REMEMBERED);
            if self.answered.len() >= MAX_ANSWERED {
                self.answered.clear();
            }
        }
        let told = self.answered.insert(*asker, (now, self.next));
        let told = told.filter(|(at, _)| now < *at + REMEMBERED).map(|(_, number)| number);
        let mut found: Vec<(bool, bool, u64, &Bytes)> = Vec::new();
        for place in self.places.values() {
            let (Some(peer), Some(record)) = (place.peer, &place.record) else { continue };
            if peer != *asker && (local || !record.local) {
                let old = told.is_some_and(|told| record.number < told);
                let far = !self.connected.contains_key(&peer);
                found.push((old, far, self.dice.roll(), &record.bytes));
            }
        }
        found.sort_unstable_by_key(|(old, far, chance, _)| (*old, *far, *chance));
        let most = if told.is_some() { MAX_EXCHANGED_AGAIN } else { MAX_EXCHANGED_PEERS };
        found.into_iter().take(most).map(|(.., record)| record.clone()).collect()
    }

    /// The addresses that are known of a member.
    #[must_use]
    pub fn addresses(&self, peer: &PeerId) -> &[Multiaddr] {
        self.place_of(peer).map_or(&[], |place| &place.addresses)
    }

    /// Members that are known and not connected, with their addresses.
    pub fn absent(&self) -> impl Iterator<Item = (PeerId, &[Multiaddr])> + '_ {
        self.places.values().filter_map(|place| {
            let peer = place.peer.filter(|peer| !self.connected.contains_key(peer))?;
            Some((peer, place.addresses.as_slice()))
        })
    }

    /// A member was admitted on some connection.
    pub fn joined(&mut self, now: Instant, peer: PeerId) {
        self.connected.insert(peer, now);
        if let Some(place) = self.by_peer.get(&peer).and_then(|id| self.places.get_mut(id)) {
            place.failures = 0;
        }
    }

    /// A connection to a member leads to this address: nobody else is there.
    pub fn met(&mut self, peer: PeerId, address: &Multiaddr) {
        if relay(address).is_some() {
            return;
        }
        self.at.insert(address.clone(), peer);
        let unnamed = self.places.iter().filter(|(id, place)| {
            place.peer.is_none()
                && place.addresses.contains(address)
                && !self.dials.values().any(|dialled| dialled == *id)
        });
        let unnamed: Vec<PlaceId> = unnamed.map(|(id, _)| *id).collect();
        unnamed.into_iter().for_each(|id| self.name(id, peer));
    }

    /// The last connection to a member is gone. Who keeps letting us go soon,
    /// such as one that has no room, is left alone for longer each time.
    pub fn left(&mut self, now: Instant, peer: &PeerId) {
        self.crowded = false;
        self.chosen.remove(peer);
        self.at.retain(|_, there| there != peer);
        let stayed = self.connected.remove(peer).map(|since| now.saturating_duration_since(since));
        let chance = self.jittered(Duration::from_secs(1));
        let Some(place) = self.by_peer.get(peer).and_then(|id| self.places.get_mut(id)) else {
            return;
        };
        if stayed.is_none_or(|stayed| stayed >= STEADY) {
            place.pause = FIRST_PAUSE;
        }
        place.due = now + place.pause.mul_f64(chance.as_secs_f64());
        place.pause = (place.pause * 2).min(LONGEST_PAUSE);
    }

    /// A dial led to a member.
    pub fn reached(&mut self, dial: DialId, peer: PeerId) {
        self.crowded = false;
        let Some(id) = self.dials.remove(&dial) else { return };
        self.chosen.insert(peer);
        let Some(place) = self.places.get_mut(&id) else { return };
        (place.failures, place.around) = (0, false);
        if place.peer.is_none() {
            self.name(id, peer);
        }
    }

    /// A place of nobody in particular turns out to be a member's.
    fn name(&mut self, id: PlaceId, peer: PeerId) {
        let Some(known) = self.by_peer.get(&peer).copied() else {
            self.by_peer.insert(peer, id);
            self.places.entry(id).and_modify(|place| place.peer = Some(peer));
            return;
        };
        // Already known under another address: the two become one.
        let Some(place) = self.places.remove(&id) else { return };
        let Some(known) = self.places.get_mut(&known) else { return };
        if place.source == Source::Given {
            known.source = Source::Given;
        }
        let mut all = place.addresses;
        all.append(&mut known.addresses);
        known.set_addresses(all);
    }

    /// Something has changed that may open doors: all who failed are tried
    /// again at once.
    pub fn hurry(&mut self, now: Instant) {
        for place in self.places.values_mut().filter(|place| place.failures > 0) {
            (place.due, place.pause) = (place.due.min(now), FIRST_PAUSE);
        }
    }

    /// A dial led nowhere, or to ourselves.
    pub fn failed(&mut self, now: Instant, dial: DialId, ourselves: bool) {
        self.crowded = false;
        let Some(id) = self.dials.remove(&dial) else { return };
        let chance = self.jittered(FIRST_PAUSE);
        let circuits = self.circuits(id);
        let Some(place) = self.places.get_mut(&id) else { return };
        // Where nobody gets through, a circuit may; at once.
        place.around = !place.around && !circuits.is_empty() && !ourselves;
        if place.around {
            place.due = now;
            return;
        }
        // Without a name addresses are tried one by one, the next at once.
        place.turn += 1;
        if place.peer.is_none() && place.turn % place.addresses.len() != 0 && !ourselves {
            place.due = now;
            return;
        }
        place.failures += 1;
        let given = place.source == Source::Given;
        if ourselves || (!given && place.failures >= MOST_FAILURES) {
            self.forget(id);
            return;
        }
        let longest = if given { LONGEST_PAUSE_GIVEN } else { LONGEST_PAUSE };
        place.due = now + place.pause + chance / 2;
        place.pause = (place.pause * 2).min(longest);
    }

    /// Whoever else is there, a member is not to be dialled any more.
    pub fn shun(&mut self, peer: &PeerId) {
        if let Some(id) = self.by_peer.get(peer).copied() {
            self.forget(id);
        }
    }

    /// Someone to dial now, if more peers are wanted.
    pub fn poll(&mut self, now: Instant) -> Option<Dial> {
        if !self.wants_more() {
            return None;
        }
        let due = self.places.iter().filter(|(id, place)| place.due <= now && self.is_free(**id));
        // What the program gave comes first, then whatever failed least.
        let best = due.min_by_key(|(_, p)| (p.source != Source::Given, p.failures, p.due));
        let id = best.map(|(id, _)| *id)?;
        let dial = DialId(self.next);
        self.next += 1;
        self.dials.insert(dial, id);
        let circuits = self.circuits(id);
        let place = self.places.get_mut(&id)?;
        place.around |= place.addresses.iter().all(|a| relay(a).is_some());
        place.tried = Some(now);
        let direct = place.addresses.iter().filter(|a| relay(a).is_none());
        let direct: Vec<Multiaddr> = direct.cloned().collect();
        let addresses = match place.peer {
            Some(_) if place.around || direct.is_empty() => circuits,
            Some(_) => direct,
            None => vec![place.addresses[place.turn % place.addresses.len()].clone()],
        };
        Some(Dial { dial, peer: place.peer, addresses })
    }

    /// When `poll` may have someone by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.wants_more() {
            return None;
        }
        let free = self.places.iter().filter(|(id, _)| self.is_free(**id));
        free.map(|(_, place)| place.due).min()
    }

    /// Whether more members are worth knowing of.
    #[must_use]
    pub fn is_lonely(&self) -> bool {
        self.connected.len() < self.enough
    }

    fn place_of(&self, peer: &PeerId) -> Option<&Place> {
        self.places.get(self.by_peer.get(peer)?)
    }

    fn wants_more(&self) -> bool {
        let under_way = self.dials.len();
        let few = self.connected.len() + under_way < self.enough;
        // A crowd that came by itself keeps nobody from those it looks for.
        let few_chosen = self.chosen.len() + under_way < CHOSEN_PEERS.min(self.enough);
        (few || few_chosen) && under_way < DIALS
    }

    /// Circuits to a place through members that are connected.
    fn circuits(&self, id: PlaceId) -> Vec<Multiaddr> {
        let addresses = self.places.get(&id).into_iter().flat_map(|place| &place.addresses);
        let open =
            |a: &&Multiaddr| relay(a).is_some_and(|relay| self.connected.contains_key(&relay));
        addresses.filter(open).cloned().collect()
    }

    fn is_free(&self, id: PlaceId) -> bool {
        let place = &self.places[&id];
        let connected = place.peer.is_some_and(|peer| self.connected.contains_key(&peer));
        !connected
            && (place.direct || !self.circuits(id).is_empty())
            && !self.dials.values().any(|dialled| *dialled == id)
    }

    fn forget(&mut self, id: PlaceId) {
        self.crowded = false;
        if let Some(peer) = self.places.remove(&id).and_then(|place| place.peer) {
            self.by_peer.remove(&peer);
        }
    }

    /// Whether one more hint keeps the quotas; absent strangers make room.
    fn has_room(&mut self, addresses: &[Multiaddr], source: Source) -> bool {
        if self.crowded {
            return false;
        }
        if let Source::Member(_) = source {
            let same = self.places.values().filter(|place| place.source == source);
            if same.count() >= MAX_PEERS_FROM_ONE {
                return false;
            }
        }
        let near = addresses.iter().find_map(neighbourhood);
        let beside = self.places.values().filter(|place| near.is_some() && place.near == near);
        if beside.count() >= MAX_KNOWN_NEARBY && source != Source::Lan {
            return false;
        }
        if self.places.len() >= MAX_KNOWN_PEERS {
            let spare = self.places.iter().filter(|(id, place)| {
                place.source != Source::Given && place.failures > 0 && self.is_free(**id)
            });
            match spare.max_by_key(|(_, place)| place.failures).map(|(id, _)| *id) {
                Some(worst) => self.forget(worst),
                None => {
                    self.crowded = true;
                    return false;
                }
            }
        }
        true
    }

    fn jittered(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(0.5 + self.dice.below(1_000) as f64 / 1_000.0)
    }
}

/// As `address::neighbourhood`, but nothing for local networks, which are as
/// large as they are.
fn neighbourhood(address: &Multiaddr) -> Option<IpAddr> {
    if is_local(address) { None } else { address::neighbourhood(address) }
}

#[cfg(test)]
#[path = "address_book_tests.rs"]
mod tests;
