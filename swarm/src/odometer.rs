//! Counts what passes over our QUIC connections, as it is read and written, and
//! what all connections take to begin.
//!
//! Stands between a connection and those who use it. TCP is counted by the
//! kernel, where it can be asked; of UDP it does not count a program's bytes.
//! Connections within this machine are on nobody's line, and circuits are part
//! of the connection to their relay.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use libp2p::Multiaddr;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};

use crate::address::{is_loopback, is_quic, relay};
use crate::courtesy::Passed;

/// Bytes on the line for each of ours: headers.
const HEADERS: f64 = 1.08;
/// Bytes on the line for each of ours in the other direction: acknowledgements.
const ACKNOWLEDGEMENTS: f64 = 0.05;

/// Bytes each way until both sides of a connection know whether to let each
/// other in, roughly. Most such connections are gone before anybody counts.
const HANDSHAKE: u64 = 8_000;

/// What has passed since the start.
#[derive(Debug, Default)]
pub struct Odometer {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Odometer {
    /// What has passed so far, as it was on the line; headers are a guess.
    #[must_use]
    pub fn passed(&self) -> Passed {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let (received, sent) = (read(&self.received), read(&self.sent));
        Passed {
            received: (received * HEADERS + sent * ACKNOWLEDGEMENTS) as u64,
            sent: (sent * HEADERS + received * ACKNOWLEDGEMENTS) as u64,
        }
    }

    /// A connection with `remote` was tried, or came.
    pub fn handshake(&self, remote: &Multiaddr) {
        if is_loopback(remote) || relay(remote).is_some() {
            return;
        }
        self.received.fetch_add(HANDSHAKE, Ordering::Relaxed);
        self.sent.fetch_add(HANDSHAKE, Ordering::Relaxed);
    }

    /// Counts what passes over a connection to `remote` from now on, if that is
    /// for us to count.
    #[must_use]
    pub fn on(self: &Arc<Self>, remote: &Multiaddr, connection: StreamMuxerBox) -> StreamMuxerBox {
        if is_loopback(remote) || !is_quic(remote) {
            return connection;
        }
        StreamMuxerBox::new(Counted { inner: connection, odometer: Arc::clone(self) })
    }
}

/// A connection, or a stream of one, that is counted.
struct Counted<T> {
    inner: T,
    odometer: Arc<Odometer>,
}

impl Counted<StreamMuxerBox> {
    fn stream(&self, inner: SubstreamBox) -> Counted<SubstreamBox> {
        Counted { inner, odometer: Arc::clone(&self.odometer) }
    }
}

impl StreamMuxer for Counted<StreamMuxerBox> {
    type Substream = Counted<SubstreamBox>;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let polled = Pin::new(&mut self.inner).poll_inbound(cx)?;
        polled.map(|stream| Ok(self.stream(stream)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let polled = Pin::new(&mut self.inner).poll_outbound(cx)?;
        polled.map(|stream| Ok(self.stream(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

impl AsyncRead for Counted<SubstreamBox> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if let Poll::Ready(Ok(bytes)) = &read {
            self.odometer.received.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Counted<SubstreamBox> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buffer);
        if let Poll::Ready(Ok(bytes)) = &written {
            self.odometer.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_count_where_they_are_on_the_line() {
        let odometer = Odometer::default();
        let circuit = format!("/p2p/{}/p2p-circuit", libp2p::PeerId::random());
        for within in ["/ip4/127.0.0.1/tcp/9", "/ip6/::1/udp/9/quic-v1", &circuit] {
            odometer.handshake(&within.parse().unwrap());
        }
        assert_eq!(odometer.passed(), Passed::default());
        odometer.handshake(&"/ip4/192.0.2.1/tcp/9".parse().unwrap());
        let Passed { received, sent } = odometer.passed();
        assert!(received > HANDSHAKE && received == sent && sent < HANDSHAKE * 5 / 4);
    }
}
