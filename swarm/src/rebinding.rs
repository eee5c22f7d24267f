//! A TCP transport that finds another port where its own is taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::core::Endpoint;
use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};

/// Dials from the port where we listen, at any of our addresses. Where another
/// program has that port at one of them, the system lets nobody have it at all:
/// then from any other, except where the port matters, to open a network from
/// within.
pub(crate) struct Rebinding<T>(pub(crate) T);

impl<T> Transport for Rebinding<T>
where
    T: Transport<Error = io::Error, Output: Send, Dial: Send + 'static> + Unpin,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, io::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        how: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let dial = self.0.dial(address.clone(), how)?;
        if how.role == Endpoint::Listener || how.port_use == PortUse::New {
            return Ok(dial.boxed());
        }
        // It does nothing before it is waited for.
        let other = self.0.dial(address, DialOpts { port_use: PortUse::New, ..how })?;
        Ok(async move {
            match dial.await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => other.await,
                dialled => dialled,
            }
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}
