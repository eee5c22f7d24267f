//! A transport that lets another one go first.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::core::Endpoint;
use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};

/// Dials a while after it was asked to, except where the moment matters: who
/// opens a network for another from within, or knocks.
pub(crate) struct Hesitant<T> {
    inner: T,
    pause: Duration,
}

impl<T> Hesitant<T> {
    pub(crate) const fn new(inner: T, pause: Duration) -> Self {
        Self { inner, pause }
    }
}

impl<T> Transport for Hesitant<T>
where
    T: Transport<Dial: Send + 'static> + Unpin,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        how: DialOpts,
    ) -> Result<Self::Dial, TransportError<T::Error>> {
        let dial = self.inner.dial(address, how)?;
        if how.role == Endpoint::Listener || how.port_use == PortUse::New {
            return Ok(dial.boxed());
        }
        let pause = tokio::time::sleep(self.pause);
        Ok(async move {
            pause.await;
            dial.await
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}
