//! How many may knock, and how many may stay.
//!
//! Connections that have not passed the gate are few, in all and from one
//! neighbourhood, so that strangers cannot take the place of members. Peers
//! that are banned, and whoever is not in the gate's roster, go no further.
//! Who may stay is decided by `crowd`.

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

use crate::address::neighbourhood;
use crate::crowd::{Crowd, Newcomer, NoRoom, Why};
use crate::driver::now;
use crate::gate::Gate;
use crate::limits::{MAX_KNOCKING, MAX_KNOCKING_NEARBY};

/// Why a connection goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Turned {
    #[error("{MAX_KNOCKING} connections wait to be admitted already")]
    Crowded,
    #[error("{MAX_KNOCKING_NEARBY} connections from that neighbourhood wait already")]
    Neighbourhood,
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error("it was let go for misbehaviour")]
    Banned,
    #[error("it did not pass the gate")]
    Stranger,
}

/// A member makes room for another one.
#[derive(Debug)]
pub(crate) struct Displaced {
    pub(crate) peer: PeerId,
    pub(crate) why: Why,
}

/// The behaviour.
#[derive(Debug)]
pub(crate) struct Door {
    gate: Arc<Gate>,
    knocking: HashMap<ConnectionId, Option<IpAddr>>,
    crowd: Crowd,
    banned: HashSet<PeerId>,
    out: VecDeque<ToSwarm<Displaced, Infallible>>,
}

impl Door {
    pub(crate) fn new(gate: Arc<Gate>, most_peers: usize) -> Self {
        Self {
            gate,
            knocking: HashMap::new(),
            crowd: Crowd::new(most_peers),
            banned: HashSet::new(),
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
    fn established(&self, peer: &PeerId, came: bool) -> Result<THandler<Self>, ConnectionDenied> {
        let turned = if self.banned.contains(peer) {
            Turned::Banned
        } else if let Some(member) = self.gate.member(peer) {
            match self.crowd.has_room(now(), &newcomer(*peer, &member, came)) {
                Ok(()) => return Ok(dummy::ConnectionHandler),
                Err(none) => none.into(),
            }
        } else {
            Turned::Stranger
        };
        if !self.crowd.contains(peer) {
            self.gate.forget(peer);
        }
        Err(ConnectionDenied::new(turned))
    }
}

fn newcomer(peer: PeerId, member: &Member, came: bool) -> Newcomer {
    Newcomer { peer, issuer: member.issuer, seeder: member.has(Role::Seeder), came }
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
                let came = established.endpoint.is_listener();
                let leaver = self.crowd.arrive(now(), newcomer(peer, &member, came));
                let displaced = leaver.map(|(peer, why)| Displaced { peer, why });
                self.out.extend(displaced.map(ToSwarm::GenerateEvent));
            }
            FromSwarm::ConnectionClosed(closed) if closed.remaining_established == 0 => {
                self.crowd.leave(&closed.peer_id);
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
}
