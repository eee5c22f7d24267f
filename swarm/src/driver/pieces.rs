//! `pieces/1` on all connections: hands frames to and fro, decides nothing.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, FromSwarm};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use manifest::admission::workgroup::WorkgroupId;

use crate::driver::handler::{Handler, Lanes, Order, Report};
use crate::driver::lane::LaneError;
use crate::link::LinkId;
use crate::wire::{Frame, Lane};

/// What happened on some connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection can carry frames.
    Joined {
        /// Its name from now on.
        link: LinkId,
        /// The peer.
        peer: PeerId,
        /// Whether we dialled.
        dialled: bool,
        /// Where the peer is.
        address: Multiaddr,
    },
    /// A connection is gone.
    Left(LinkId),
    /// A frame came.
    Frame(LinkId, Frame),
    /// Frames were written.
    Written(LinkId, Lane, usize),
    /// A connection can carry no more frames.
    Ended(LinkId, LaneError),
}

/// The behaviour.
pub(crate) struct Pieces {
    lanes: Lanes,
    links: HashMap<ConnectionId, LinkId>,
    connections: HashMap<LinkId, (PeerId, ConnectionId)>,
    next: u64,
    out: VecDeque<ToSwarm<Event, Order>>,
    waker: Option<Waker>,
}

impl Pieces {
    pub(crate) fn new(workgroup: &WorkgroupId) -> Self {
        Self {
            lanes: Lanes::of(workgroup),
            links: HashMap::new(),
            connections: HashMap::new(),
            next: 0,
            out: VecDeque::new(),
            waker: None,
        }
    }

    /// Hands a frame to a connection.
    pub(crate) fn send(&mut self, link: LinkId, frame: Frame) {
        if let Some((peer_id, connection)) = self.connections.get(&link).copied() {
            let handler = NotifyHandler::One(connection);
            self.push(ToSwarm::NotifyHandler { peer_id, handler, event: Order::Write(frame) });
        }
    }

    /// Has all connections look for what they have to do. Of several to one
    /// peer, gossip (0.50) wakes only those over which it has sent something.
    pub(crate) fn wake(&mut self) {
        let all: Vec<_> = self.connections.values().copied().collect();
        for (peer_id, connection) in all {
            let handler = NotifyHandler::One(connection);
            self.push(ToSwarm::NotifyHandler { peer_id, handler, event: Order::Wake });
        }
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, link: LinkId) {
        if let Some((peer_id, connection)) = self.connections.get(&link).copied() {
            let connection = CloseConnection::One(connection);
            self.push(ToSwarm::CloseConnection { peer_id, connection });
        }
    }

    fn push(&mut self, event: ToSwarm<Event, Order>) {
        self.out.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl NetworkBehaviour for Pieces {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.lanes.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.lanes.clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => {
                let link = LinkId(self.next);
                self.next += 1;
                self.links.insert(connection_id, link);
                self.connections.insert(link, (peer_id, connection_id));
                // Where both dial to open their networks, one of them answers.
                let dialled = matches!(
                    endpoint,
                    ConnectedPoint::Dialer { role_override: Endpoint::Dialer, .. }
                );
                let peer = peer_id;
                let address = endpoint.get_remote_address().clone();
                let joined = Event::Joined { link, peer, dialled, address };
                self.push(ToSwarm::GenerateEvent(joined));
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                if let Some(link) = self.links.remove(&connection_id) {
                    self.connections.remove(&link);
                    self.push(ToSwarm::GenerateEvent(Event::Left(link)));
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        connection: ConnectionId,
        report: THandlerOutEvent<Self>,
    ) {
        let Some(link) = self.links.get(&connection).copied() else { return };
        let event = match report {
            Report::Frame(frame) => Event::Frame(link, frame),
            Report::Written(lane, frames) => Event::Written(link, lane, frames),
            Report::Ended(error) => Event::Ended(link, error),
        };
        self.push(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        if let Some(event) = self.out.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
