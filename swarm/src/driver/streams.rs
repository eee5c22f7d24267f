//! Bare streams for circuits, on direct connections only.
//!
//! A member opens one to its relay to ask for a circuit, the relay opens one to
//! the member at the far end to offer it. What is said on them is `splice`'s.
//! A circuit never leads through another one.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};

use futures::future::{Ready, ready};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, UpgradeInfo};
use libp2p::swarm::behaviour::FromSwarm;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, NetworkBehaviour,
    NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use manifest::admission::workgroup::WorkgroupId;

use crate::address;
use crate::circuit::Wish;
use crate::driver::handler::Open;
use crate::driver::splice::Passage;

/// What a stream is opened for, with all that is needed to go on.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// We want a circuit.
    Ask(Wish),
    /// We offer a circuit to the one at its far end.
    Offer(Box<Passage>),
}

impl Purpose {
    const fn kind(&self) -> Kind {
        match self {
            Self::Ask(_) => Kind::Ask,
            Self::Offer(_) => Kind::Offer,
        }
    }
}

/// The two kinds of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ask,
    Offer,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A stream is open.
    Opened(Purpose, Stream),
    /// It could not be opened.
    Failed(Purpose),
    /// A member asks for a circuit.
    Asked(PeerId, Stream),
    /// A relay offers a circuit.
    Offered(PeerId, Stream),
}

/// Names of the two kinds, in one workgroup.
#[derive(Debug, Clone)]
struct Names {
    ask: StreamProtocol,
    offer: StreamProtocol,
}

/// Accepts both kinds, or none on a circuit.
#[derive(Debug, Clone)]
pub(crate) struct Accept {
    names: Names,
    direct: bool,
}

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        let both = || vec![self.names.ask.clone(), self.names.offer.clone()];
        if self.direct { both() } else { Vec::new() }.into_iter()
    }
}

impl InboundUpgrade<Stream> for Accept {
    type Output = (Kind, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        let kind = if name == self.names.ask { Kind::Ask } else { Kind::Offer };
        ready(Ok((kind, stream)))
    }
}

/// What the handler reports.
#[derive(Debug)]
pub(crate) enum Report {
    Opened(Purpose, Stream),
    Failed(Purpose),
    Came(Kind, Stream),
}

/// The handler of one connection.
#[derive(Debug)]
pub(crate) struct Handler {
    accept: Accept,
    wanted: VecDeque<Purpose>,
    reports: VecDeque<Report>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Purpose;
    type ToBehaviour = Report;
    type InboundProtocol = Accept;
    type OutboundProtocol = Open;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Purpose;

    fn listen_protocol(&self) -> SubstreamProtocol<Accept> {
        SubstreamProtocol::new(self.accept.clone(), ())
    }

    fn on_behaviour_event(&mut self, purpose: Purpose) {
        self.wanted.push_back(purpose);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Accept, Open, (), Purpose>) {
        let report = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (kind, stream),
                ..
            }) => Report::Came(kind, stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: purpose,
            }) => Report::Opened(purpose, stream),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: purpose, .. }) => {
                Report::Failed(purpose)
            }
            _ => return,
        };
        self.reports.push_back(report);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Open, Purpose, Report>> {
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        let Some(purpose) = self.wanted.pop_front() else { return Poll::Pending };
        let open = Open(match purpose.kind() {
            Kind::Ask => self.accept.names.ask.clone(),
            Kind::Offer => self.accept.names.offer.clone(),
        });
        let protocol = SubstreamProtocol::new(open, purpose);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }
}

/// The behaviour.
#[derive(Debug)]
pub(crate) struct Streams {
    names: Names,
    /// The direct connections to each peer.
    direct: HashMap<PeerId, Vec<ConnectionId>>,
    out: VecDeque<ToSwarm<Event, Purpose>>,
    waker: Option<Waker>,
}

impl Streams {
    pub(crate) fn new(workgroup: &WorkgroupId) -> Self {
        let name = |kind| {
            StreamProtocol::try_from_owned(format!("/updraft/{workgroup}/circuit-{kind}/1"))
                .expect("it begins with a slash")
        };
        let names = Names { ask: name("ask"), offer: name("offer") };
        Self { names, direct: HashMap::new(), out: VecDeque::new(), waker: None }
    }

    /// Opens a stream to a peer that is directly connected; fails else.
    pub(crate) fn open(&mut self, peer_id: PeerId, purpose: Purpose) {
        let connection = self.direct.get(&peer_id).and_then(|all| all.first()).copied();
        self.push(match connection.map(NotifyHandler::One) {
            Some(handler) => ToSwarm::NotifyHandler { peer_id, handler, event: purpose },
            None => ToSwarm::GenerateEvent(Event::Failed(purpose)),
        });
    }

    fn push(&mut self, event: ToSwarm<Event, Purpose>) {
        self.out.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self, address: &Multiaddr) -> Handler {
        let direct = address::relay(address).is_none();
        let accept = Accept { names: self.names.clone(), direct };
        Handler { accept, wanted: VecDeque::new(), reports: VecDeque::new() }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(from))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        to: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(to))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(new)
                if address::relay(new.endpoint.get_remote_address()).is_none() =>
            {
                self.direct.entry(new.peer_id).or_default().push(new.connection_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(all) = self.direct.get_mut(&closed.peer_id) {
                    all.retain(|connection| *connection != closed.connection_id);
                    if all.is_empty() {
                        self.direct.remove(&closed.peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        report: THandlerOutEvent<Self>,
    ) {
        let event = match report {
            Report::Opened(purpose, stream) => Event::Opened(purpose, stream),
            Report::Failed(purpose) => Event::Failed(purpose),
            Report::Came(Kind::Ask, stream) => Event::Asked(peer, stream),
            Report::Came(Kind::Offer, stream) => Event::Offered(peer, stream),
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
