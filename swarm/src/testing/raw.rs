//! A peer that passes the gate and then says whatever a test wants.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::future::{Ready, ready};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, DialError,
    FromSwarm, NetworkBehaviour, NotifyHandler, SubstreamProtocol, Swarm, SwarmEvent, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::mpsc;

use crate::gate::Gate;
use crate::options::Options;
use crate::transport;
use crate::wire::{Frame, HEADER_BYTES, Header, Lane};

/// The connection of a raw peer.
#[derive(Debug)]
pub struct Raw {
    names: Vec<StreamProtocol>,
    open: mpsc::UnboundedSender<StreamProtocol>,
    inbound: mpsc::UnboundedReceiver<(StreamProtocol, Stream)>,
    outbound: mpsc::UnboundedReceiver<(StreamProtocol, Stream)>,
}

impl Raw {
    /// Dials `address` with the identity and credential of `options`.
    ///
    /// # Panics
    /// If it is not let in.
    pub async fn connect(options: &Options, address: &str) -> Self {
        Self::try_connect(options, address).await.expect("whoever is dialled lets us in")
    }

    /// Dials `address` likewise, and takes questions on a protocol of the
    /// workgroup, which nobody but the caller answers.
    ///
    /// # Panics
    /// If it is not let in.
    pub async fn answering(options: &Options, address: &str, protocol: &str) -> Self {
        let connected = Self::connect_with(options, address, &[protocol]).await;
        connected.expect("whoever is dialled lets us in")
    }

    /// Dials `address` with the identity and credential of `options`, good or
    /// bad; whoever is there is believed.
    ///
    /// # Errors
    /// If the connection is refused, or broke.
    ///
    /// # Panics
    /// If `address` is no multiaddress.
    pub async fn try_connect(options: &Options, address: &str) -> Result<Self, DialError> {
        Self::connect_with(options, address, &[]).await
    }

    async fn connect_with(
        options: &Options,
        address: &str,
        more: &[&str],
    ) -> Result<Self, DialError> {
        let gate = Gate::new(options.trust.clone(), options.chain.clone(), super::unix_now);
        let (transport, _board) =
            transport::build(&options.identity, &gate, std::sync::Arc::default());
        let own = transport::keypair(&options.identity).public().to_peer_id();
        let workgroup = options.trust.id();
        let names = ["pieces-control/1", "pieces-data/1"].iter().chain(more).map(|name| {
            let name = format!("/updraft/{workgroup}/{name}");
            StreamProtocol::try_from_owned(name).expect("it begins with a slash")
        });
        let names: Vec<_> = names.collect();
        let (open, to_open) = mpsc::unbounded_channel();
        let (give_in, inbound) = mpsc::unbounded_channel();
        let (give_out, outbound) = mpsc::unbounded_channel();
        let behaviour = Streams { names: names.clone(), to_open, peer: None, give_in, give_out };
        let config = libp2p::swarm::Config::with_tokio_executor();
        let mut swarm = Swarm::new(transport, behaviour, own, config);
        swarm.dial(address.parse::<Multiaddr>().expect("it is a multiaddress"))?;
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => break,
                SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error),
                _ => {}
            }
        }
        tokio::spawn(async move {
            loop {
                if let SwarmEvent::ConnectionClosed { .. } = swarm.select_next_some().await {
                    return;
                }
            }
        });
        Ok(Self { names, open, inbound, outbound })
    }

    /// Opens a lane to write, unless the other side has hung up.
    pub async fn open(&mut self, lane: Lane) -> Option<Stream> {
        self.open.send(self.names[usize::from(lane == Lane::Data)].clone()).ok()?;
        Some(self.outbound.recv().await?.1)
    }

    /// Opens a stream of some other protocol of the workgroup, likewise.
    pub async fn stream(&mut self, options: &Options, protocol: &str) -> Option<Stream> {
        let name = format!("/updraft/{}/{protocol}", options.trust.id());
        self.open.send(StreamProtocol::try_from_owned(name).ok()?).ok()?;
        Some(self.outbound.recv().await?.1)
    }

    /// The lane that the other side opened for control, likewise.
    pub async fn control(&mut self) -> Option<Stream> {
        self.stream_of(0).await
    }

    /// The next question on the protocol that is answered, likewise.
    pub async fn question(&mut self) -> Option<Stream> {
        self.stream_of(2).await
    }

    async fn stream_of(&mut self, number: usize) -> Option<Stream> {
        loop {
            let (name, stream) = self.inbound.recv().await?;
            if self.names.get(number) == Some(&name) {
                return Some(stream);
            }
        }
    }

    /// Waits until the other side hangs up.
    pub async fn hung_up(&mut self) {
        while self.inbound.recv().await.is_some() {}
    }
}

/// Writes a frame.
///
/// # Errors
/// If the other side takes no more.
pub async fn write(stream: &mut Stream, frame: &Frame) -> io::Result<()> {
    let (head, payload) = frame.encode();
    stream.write_all(&head).await?;
    stream.write_all(&payload.unwrap_or_default()).await?;
    stream.flush().await
}

/// Writes any bytes.
///
/// # Errors
/// If the other side takes no more.
pub async fn write_bytes(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads a frame.
///
/// # Errors
/// If there is none.
pub async fn read(stream: &mut Stream, lane: Lane) -> io::Result<Frame> {
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).await?;
    let header = Header::decode(head, lane).map_err(io::Error::other)?;
    let mut body = vec![0; header.body_bytes()];
    stream.read_exact(&mut body).await?;
    Frame::decode(header, Bytes::from(body)).map_err(io::Error::other)
}

struct Streams {
    names: Vec<StreamProtocol>,
    to_open: mpsc::UnboundedReceiver<StreamProtocol>,
    peer: Option<PeerId>,
    give_in: mpsc::UnboundedSender<(StreamProtocol, Stream)>,
    give_out: mpsc::UnboundedSender<(StreamProtocol, Stream)>,
}

impl Streams {
    fn handler(&self) -> Handler {
        Handler {
            names: self.names.clone(),
            to_open: VecDeque::new(),
            came: VecDeque::new(),
            waker: None,
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.peer = Some(peer);
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        (inbound, name, stream): THandlerOutEvent<Self>,
    ) {
        let give = if inbound { &self.give_in } else { &self.give_out };
        let _ = give.send((name, stream));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match (self.peer, self.to_open.poll_recv(cx)) {
            (Some(peer_id), Poll::Ready(Some(name))) => Poll::Ready(ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::Any,
                event: name,
            }),
            _ => Poll::Pending,
        }
    }
}

struct Handler {
    names: Vec<StreamProtocol>,
    to_open: VecDeque<StreamProtocol>,
    came: VecDeque<(bool, StreamProtocol, Stream)>,
    waker: Option<Waker>,
}

/// Any of some protocols, with the stream.
struct Any(Vec<StreamProtocol>);

impl UpgradeInfo for Any {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Any {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((name, stream)))
    }
}

impl OutboundUpgrade<Stream> for Any {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((name, stream)))
    }
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handler")
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = StreamProtocol;
    type ToBehaviour = (bool, StreamProtocol, Stream);
    type InboundProtocol = Any;
    type OutboundProtocol = Any;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Any> {
        SubstreamProtocol::new(Any(self.names.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn on_behaviour_event(&mut self, name: StreamProtocol) {
        self.to_open.push_back(name);
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Any, Any>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (name, stream),
                ..
            }) => self.came.push_back((true, name, stream)),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (name, stream),
                ..
            }) => self.came.push_back((false, name, stream)),
            _ => {}
        }
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Any, (), Self::ToBehaviour>> {
        if let Some(came) = self.came.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(came));
        }
        if let Some(name) = self.to_open.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Any(vec![name]), ()),
            });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
