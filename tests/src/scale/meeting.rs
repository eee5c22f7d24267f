//! How members meet: dials, connections, and what they say of each other.

use std::time::Duration;

use bytes::Bytes;
use manifest::time::UnixTime;
use swarm::address::PeerId;
use swarm::address_book::{Dial, DialId, Source};
use swarm::crowd::Newcomer;
use swarm::exchange::Input;
use swarm::limits::MAX_EXCHANGED_PEERS;
use swarm::link::LinkId;
use swarm::peer_exchange::Met;

use super::member::Member;
use super::wires::{Parcel, Wires};
use super::world::{Event, World};

/// How long a dial waits for an answer.
const DIAL_PATIENCE: Duration = Duration::from_secs(10);

impl World {
    /// Dials; the outcome comes later.
    pub(super) fn dial(&mut self, member: usize, dial: &Dial) {
        let life = self.members[member].lives;
        let there = dial.addresses.iter().find_map(|at| self.by_address.get(at).copied());
        let alive = there.filter(|there| self.members[*there].life.is_some());
        // TCP, TLS, admission: three times there and back.
        let takes = alive.map_or(DIAL_PATIENCE, |there| self.wires.distance(member, there) * 6);
        let event = Event::Dialled { member, life, dial: dial.dial, there: alive };
        self.at(self.now + takes, event);
    }

    pub(super) fn dialled(&mut self, a: usize, dial: DialId, there: Option<usize>) {
        let now = self.now;
        let b = there.filter(|b| self.members[*b].life.is_some());
        let open = b.filter(|b| {
            let room = |here: usize, newcomer: &Newcomer| {
                let life = self.members[here].life.as_ref();
                life.is_some_and(|life| life.crowd.has_room(now, newcomer).is_ok())
            };
            room(a, &self.newcomer(*b, false)) && room(*b, &self.newcomer(a, true))
        });
        let Some(life) = self.members[a].life.as_mut() else { return };
        let Some(b) = open else {
            life.book.failed(now, dial, b == Some(a));
            life.stir(now);
            return self.drive(a);
        };
        let peer = self.members[b].peer;
        let life = self.members[a].life.as_mut().expect("it was there above");
        life.book.reached(dial, peer);
        life.stir(now);
        if !life.wires.contains_key(&peer) {
            self.connect(a, b);
        }
        self.drive(a);
    }

    /// A member as others see it; all have their ticket from one issuer.
    fn newcomer(&self, member: usize, came: bool) -> Newcomer {
        let Member { peer, vendor, .. } = &self.members[member];
        Newcomer { peer: *peer, issuer: self.members[0].key, seeder: *vendor, came }
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let (to_b, to_a) = self.wires.connect(a, b);
        for (me, other, wire) in [(a, b, to_b), (b, a, to_a)] {
            let newcomer = self.newcomer(other, me == b);
            let (peer, key) = (newcomer.peer, self.members[other].key);
            self.owners.insert(wire, me);
            let member = &mut self.members[me];
            let Some(life) = member.life.as_mut() else { continue };
            life.wires.insert(peer, wire);
            let leaver = life.crowd.arrive(self.now, newcomer);
            life.book.joined(self.now, peer);
            life.acquaintance.joined(self.now, peer, false);
            life.stir(self.now);
            let joined = Input::Joined {
                link: LinkId(wire),
                peer: key,
                origin: newcomer.seeder,
                near: false,
                relayed: false,
            };
            life.exchange.handle(self.now, joined);
            member.most_peers = member.most_peers.max(life.wires.len());
            if !member.heard {
                self.send(me, wire, Parcel::Pull);
            }
            if let Some((leaver, _)) = leaver {
                self.part(me, &leaver);
            }
        }
        self.drive(b);
    }

    /// Ends the connection of a member to `peer`.
    pub(super) fn part(&mut self, member: usize, peer: &PeerId) {
        let life = self.members[member].life.as_ref();
        let Some(wire) = life.and_then(|life| life.wires.get(peer).copied()) else { return };
        let other = self.by_peer[peer];
        for wire in [wire, Wires::back(wire)] {
            self.owners.remove(&wire);
        }
        self.wires.cut(wire);
        self.gone(member, other, wire);
        self.gone(other, member, Wires::back(wire));
    }

    /// `member` has lost its connection to `other`.
    pub(super) fn gone(&mut self, member: usize, other: usize, wire: u64) {
        let peer = self.members[other].peer;
        let Some(life) = self.members[member].life.as_mut() else { return };
        life.wires.remove(&peer);
        life.exchange.handle(self.now, Input::Left(LinkId(wire)));
        life.book.left(self.now, &peer);
        life.acquaintance.left(self.now, &peer);
        life.crowd.leave(&peer);
        life.stir(self.now);
        self.drive(member);
    }

    /// A member hears where others are.
    pub(super) fn told(&mut self, member: usize, teller: usize, records: &[Bytes]) {
        for record in records.iter().take(MAX_EXCHANGED_PEERS) {
            let subject = self.records[record];
            let Member { peer, addresses, lives, .. } = &self.members[subject];
            let met = Met {
                peer: *peer,
                addresses: addresses.clone(),
                record: record.clone(),
                said: UnixTime::from_seconds(u64::from(*lives)),
            };
            let teller_id = self.members[teller].peer;
            let Some(life) = self.members[member].life.as_mut() else { return };
            let news = life.book.learn_record(self.now, met, Source::Member(teller_id));
            life.stir(self.now);
            if news && subject == teller {
                let told = life.acquaintance.told(&teller_id, |_| true);
                let wires: Vec<u64> =
                    told.iter().filter_map(|peer| life.wires.get(peer).copied()).collect();
                for wire in wires {
                    self.send(member, wire, Parcel::Tell(vec![record.clone()]));
                }
            }
        }
    }
}
