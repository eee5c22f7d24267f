//! How many may knock, and how many may stay.
//!
//! Connections that have not passed the gate are few, in all and from one
//! neighbourhood, so that strangers cannot take the place of members. Peers
//! that are banned, and whoever is not in the gate's roster, go no further.
//!
//! Of those who stay, some places are kept for whom we dial ourselves, so that
//! nobody who fills the others cuts us off from the vendor. Where many have
//! come with one ticket, the last of them makes room for who came with another.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{FromSwarm, ListenFailure};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use manifest::admission::chain::Member;
use manifest::admission::credential::Role;
use manifest::key::PublicKey;

use crate::address::neighbourhood;
use crate::gate::Gate;
use crate::limits::{ENOUGH_PEERS, MAX_KNOCKING, MAX_KNOCKING_NEARBY, SEEDER_PLACES};

/// Why a connection goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Turned {
    #[error("{MAX_KNOCKING} connections wait to be admitted already")]
    Crowded,
    #[error("{MAX_KNOCKING_NEARBY} connections from that neighbourhood wait already")]
    Neighbourhood,
    #[error("there are {0} peers already")]
    Full(usize),
    #[error("{0}")]
    Crowd(Crowd),
    #[error("it was let go for misbehaviour")]
    Banned,
    #[error("it did not pass the gate")]
    Stranger,
}

/// Those who have come themselves, so that there is no place for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{here} members have come already, {of_it} of them with tickets of issuer {issuer}")]
pub(crate) struct Crowd {
    here: usize,
    /// The issuer of most of them.
    issuer: PublicKey,
    of_it: usize,
}

/// A member makes room for another one.
#[derive(Debug)]
pub(crate) struct Displaced {
    pub(crate) peer: PeerId,
    pub(crate) crowd: Crowd,
}

/// The place of a peer.
#[derive(Debug)]
struct Seat {
    issuer: PublicKey,
    /// Whether it came by itself; its number then.
    came: Option<u64>,
}

/// The behaviour.
#[derive(Debug)]
pub(crate) struct Door {
    gate: Arc<Gate>,
    knocking: HashMap<ConnectionId, Option<IpAddr>>,
    seats: HashMap<PeerId, Seat>,
    most_peers: usize,
    banned: HashSet<PeerId>,
    next: u64,
    out: VecDeque<ToSwarm<Displaced, Infallible>>,
}

impl Door {
    pub(crate) fn new(gate: Arc<Gate>, most_peers: usize) -> Self {
        Self {
            gate,
            knocking: HashMap::new(),
            seats: HashMap::new(),
            most_peers,
            banned: HashSet::new(),
            next: 0,
            out: VecDeque::new(),
        }
    }

    /// Keeps a peer away until it is pardoned.
    pub(crate) fn ban(&mut self, peer: PeerId) {
        self.banned.insert(peer);
    }

    /// The peers that are kept away.
    pub(crate) fn banned(&self) -> impl Iterator<Item = &PeerId> + '_ {
        self.banned.iter()
    }

    /// Ends the bans of these peers.
    pub(crate) fn pardon(&mut self, over: &[PeerId]) {
        over.iter().for_each(|peer| _ = self.banned.remove(peer));
    }

    /// Whether a peer may stay that came by itself, or that we dialled.
    fn established(
        &mut self,
        peer: &PeerId,
        came: bool,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let turned = if self.banned.contains(peer) {
            Turned::Banned
        } else if let Some(member) = self.gate.member(peer) {
            match self.seat(peer, &member, came) {
                Ok(()) => return Ok(dummy::ConnectionHandler),
                Err(turned) => turned,
            }
        } else {
            Turned::Stranger
        };
        if !self.seats.contains_key(peer) {
            self.gate.forget(peer);
        }
        Err(ConnectionDenied::new(turned))
    }

    /// Finds a place for a member.
    fn seat(&mut self, peer: &PeerId, member: &Member, came: bool) -> Result<(), Turned> {
        if self.seats.contains_key(peer) {
            return Ok(());
        }
        // Only the vendor makes seeders; they are few, and whom everybody needs.
        let seeder = member.has(Role::Seeder);
        if self.seats.len() >= self.most_peers + if seeder { SEEDER_PLACES } else { 0 } {
            return Err(Turned::Full(self.seats.len()));
        }
        if !came || seeder {
            return Ok(());
        }
        if self.seats.values().filter(|seat| seat.came.is_some()).count()
            < self.most_peers.saturating_sub(ENOUGH_PEERS)
        {
            return Ok(());
        }
        let crowd = self.crowd().ok_or(Turned::Full(self.seats.len()))?;
        if self.came_with(&member.issuer) + 1 >= crowd.of_it {
            return Err(Turned::Crowd(crowd));
        }
        let theirs = self.seats.iter().filter(|(_, seat)| seat.issuer == crowd.issuer);
        let last = theirs.filter(|(_, s)| s.came.is_some()).max_by_key(|(_, s)| s.came);
        let peer = *last.map(|(peer, _)| peer).ok_or(Turned::Full(self.seats.len()))?;
        self.out.push_back(ToSwarm::GenerateEvent(Displaced { peer, crowd }));
        Ok(())
    }

    /// How many came themselves, with the tickets of one issuer.
    fn came_with(&self, issuer: &PublicKey) -> usize {
        let came = self.seats.values().filter(|seat| seat.came.is_some());
        came.filter(|seat| seat.issuer == *issuer).count()
    }

    /// Those who came themselves, and whose tickets most of them have.
    fn crowd(&self) -> Option<Crowd> {
        let mut of: HashMap<PublicKey, usize> = HashMap::new();
        for seat in self.seats.values().filter(|seat| seat.came.is_some()) {
            *of.entry(seat.issuer).or_default() += 1;
        }
        let here = of.values().sum();
        let most = of.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(issuer, of_it)| Crowd { here, issuer, of_it })
    }
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Displaced;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let near = neighbourhood(from);
        let beside = self.knocking.values().filter(|other| near.is_some() && **other == near);
        let turned = if self.knocking.len() >= MAX_KNOCKING {
            Turned::Crowded
        } else if beside.count() >= MAX_KNOCKING_NEARBY {
            Turned::Neighbourhood
        } else {
            self.knocking.insert(connection, near);
            return Ok(());
        };
        Err(ConnectionDenied::new(turned))
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.knocking.remove(&connection);
        self.established(&peer, true)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.established(&peer, false)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let peer = established.peer_id;
                let Some(member) = self.gate.member(&peer) else { return };
                let came = established.endpoint.is_listener().then_some(self.next);
                self.next += 1;
                let seat = Seat { issuer: member.issuer, came };
                let seat = self.seats.entry(peer).or_insert(seat);
                // Whom we dial as well holds a place of those we dialled.
                seat.came = seat.came.filter(|_| established.endpoint.is_listener());
            }
            FromSwarm::ConnectionClosed(closed) if closed.remaining_established == 0 => {
                self.seats.remove(&closed.peer_id);
                self.gate.forget(&closed.peer_id);
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.knocking.remove(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Whoever is displaced is so by a connection, and that polls again.
        self.out.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifest::testing::TestWorkgroup;

    fn door() -> Door {
        let trust = TestWorkgroup::new(1).trust;
        Door::new(Gate::new(trust, Vec::new(), manifest::time::UnixTime::default), 10)
    }

    fn knock(door: &mut Door, number: usize, from: &str) -> Result<(), ConnectionDenied> {
        let here = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let connection = ConnectionId::new_unchecked(number);
        door.handle_pending_inbound_connection(connection, &here, &from.parse().unwrap())
    }

    #[test]
    fn one_neighbourhood_cannot_take_every_place() {
        let mut door = door();
        for n in 0..MAX_KNOCKING_NEARBY {
            knock(&mut door, n, &format!("/ip4/198.51.100.{n}/tcp/9")).unwrap();
        }
        assert!(knock(&mut door, 99, "/ip4/198.51.100.200/tcp/9").is_err());
        knock(&mut door, 100, "/ip4/203.0.113.1/tcp/9").unwrap();
        knock(&mut door, 101, "/ip4/127.0.0.1/tcp/9").unwrap();
    }

    #[test]
    fn those_who_wait_are_few_in_all() {
        let mut door = door();
        for n in 0..MAX_KNOCKING {
            knock(&mut door, n, "/ip4/127.0.0.1/udp/9/quic-v1").unwrap();
        }
        assert!(knock(&mut door, 999, "/ip4/203.0.113.1/tcp/9").is_err());
    }

    #[test]
    fn who_is_not_in_the_roster_goes_no_further() {
        assert!(door().established(&PeerId::random(), true).is_err());
    }

    /// A member with a ticket of its own issuer; nobody in particular.
    fn member(who: u64, issuer: u64, roles: &[Role]) -> (PeerId, Member) {
        let (group, now) = (TestWorkgroup::new(1), manifest::time::UnixTime::default());
        let chain = group.credential(who, roles[0], now);
        let key = TestWorkgroup::peer_key(who).public();
        let mut member = chain.verify(&group.trust, &key, now).unwrap();
        member.issuer = manifest::testing::key(issuer).public();
        (crate::gate::peer_id(&key).unwrap(), member)
    }

    fn come(door: &mut Door, who: u64, issuer: u64) -> Result<(), Turned> {
        let (peer, member) = member(who, issuer, &[Role::Member]);
        door.seat(&peer, &member, true)?;
        door.next += 1;
        door.seats.insert(peer, Seat { issuer: member.issuer, came: Some(door.next) });
        if let Some(ToSwarm::GenerateEvent(Displaced { peer, .. })) = door.out.pop_front() {
            door.seats.remove(&peer);
        }
        Ok(())
    }

    #[test]
    fn a_crowd_of_one_ticket_leaves_room_for_others_and_for_whom_we_dial() {
        let mut door = Door { most_peers: 64, ..door() };
        for who in 0..48 {
            come(&mut door, who, 1).unwrap();
        }
        let turned = come(&mut door, 48, 1).unwrap_err();
        assert!(matches!(turned, Turned::Crowd(Crowd { here: 48, of_it: 48, .. })), "{turned}");
        // Another ticket's members displace its own, up to as many as it has left.
        let others = (100..200).take_while(|who| come(&mut door, *who, 2).is_ok()).count();
        assert_eq!((others, door.seats.len()), (24, 48));
        for (who, role) in [(300, Role::Member), (301, Role::Seeder)] {
            let (peer, member) = member(who, 1, &[role]);
            door.seat(&peer, &member, role == Role::Seeder).unwrap();
        }
        // However many we dial, a seeder finds a place.
        while door.seats.len() < 64 {
            let issuer = manifest::testing::key(9).public();
            door.seats.insert(PeerId::random(), Seat { issuer, came: None });
        }
        let (peer, plain) = member(400, 3, &[Role::Member]);
        assert!(matches!(door.seat(&peer, &plain, false), Err(Turned::Full(64))));
        let (peer, seeder) = member(401, 3, &[Role::Seeder]);
        door.seat(&peer, &seeder, true).unwrap();
    }
}
