//! Circuits as a transport: streams through a relay, dialled and accepted.
//!
//! It moves nothing itself. Dials become wishes that the driver fulfils by
//! opening a stream to the relay; what arrives on a reservation is handed in
//! by the driver. What comes out is a plain stream; `transport` puts Noise, the
//! gate and a multiplexer on it, end to end, as on TCP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, Ready, ready};
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Stream, core};
use tokio::sync::{mpsc, oneshot};

use crate::address;
use crate::limits::MAX_CIRCUITS_PENDING;

/// A circuit that is wanted.
#[derive(Debug)]
pub struct Wish {
    /// Through whom.
    pub relay: PeerId,
    /// To whom.
    pub to: PeerId,
    /// Where the stream goes once the relay has connected it.
    pub answer: oneshot::Sender<io::Result<Stream>>,
}

/// A circuit that arrived.
#[derive(Debug)]
pub struct Arrival {
    /// Through whom.
    pub relay: PeerId,
    /// From whom, as the relay says; the gate finds out.
    pub from: PeerId,
    /// The stream.
    pub stream: Stream,
}

/// The driver's end.
#[derive(Debug)]
pub struct Switchboard {
    /// What is wanted.
    pub wishes: mpsc::Receiver<Wish>,
    /// What arrived.
    pub arrivals: mpsc::Sender<Arrival>,
}

/// The transport.
#[derive(Debug)]
pub struct Circuits {
    wishes: mpsc::Sender<Wish>,
    arrivals: mpsc::Receiver<Arrival>,
    listener: Option<ListenerId>,
}

/// What to listen on for circuits.
#[must_use]
pub fn anywhere() -> Multiaddr {
    Multiaddr::from(Protocol::P2pCircuit)
}

impl Circuits {
    /// The transport, and the driver's end of it.
    #[must_use]
    pub fn new() -> (Self, Switchboard) {
        let (wishes, wished) = mpsc::channel(MAX_CIRCUITS_PENDING);
        let (arrivals, arriving) = mpsc::channel(MAX_CIRCUITS_PENDING);
        let circuits = Self { wishes, arrivals: arriving, listener: None };
        (circuits, Switchboard { wishes: wished, arrivals })
    }
}

impl core::Transport for Circuits {
    type Output = Stream;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Stream>>;
    type Dial = BoxFuture<'static, io::Result<Stream>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        at: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        if at != anywhere() || self.listener.is_some() {
            return Err(TransportError::MultiaddrNotSupported(at));
        }
        self.listener = Some(id);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let ours = self.listener == Some(id);
        if ours {
            self.listener = None;
        }
        ours
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        how: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let end = address::without_peer(&address).1.filter(|_| how.role.is_dialer());
        let (Some(relay), Some(to)) = (address::relay(&address), end) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let wishes = self.wishes.clone();
        let gone = || io::Error::other("the relay is not connected any more");
        Ok(async move {
            let (answer, connected) = oneshot::channel();
            wishes.send(Wish { relay, to, answer }).await.map_err(|_| gone())?;
            connected.await.map_err(|_| gone())?
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let Some(listener_id) = self.listener else { return Poll::Pending };
        match self.arrivals.poll_recv(cx) {
            Poll::Ready(Some(Arrival { relay, from, stream })) => {
                let local_addr = address::circuit(relay);
                let send_back_addr = local_addr.clone().with(Protocol::P2p(from));
                let upgrade = ready(Ok(stream));
                Poll::Ready(TransportEvent::Incoming {
                    listener_id,
                    upgrade,
                    local_addr,
                    send_back_addr,
                })
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
