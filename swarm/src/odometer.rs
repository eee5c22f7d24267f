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

/// What a packet carries of ours, and what it has beside it: Ethernet, IP, UDP
/// and QUIC.
const PACKET: u64 = 1_200;
const HEADERS: u64 = 90;
/// What is sent back for a packet: half an acknowledgement.
const ACKNOWLEDGEMENT: u64 = 45;

/// Bytes each way until both sides of a connection know whether to let each
/// other in, roughly. Most such connections are gone before anybody counts.
const HANDSHAKE: usize = 8_000;

/// What has passed since the start.
#[derive(Debug, Default)]
pub struct Odometer {
    received: Lane,
    sent: Lane,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    bytes: AtomicU64,
    packets: AtomicU64,
}

impl Lane {
    /// So many bytes passed; whether they begin a packet.
    fn add(&self, bytes: usize, begin: bool) {
        let bytes = bytes as u64;
        let packets = if begin { bytes.div_ceil(PACKET) } else { bytes / PACKET };
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.packets.fetch_add(packets, Ordering::Relaxed);
    }

    fn passed(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.packets.load(Ordering::Relaxed))
    }
}

impl Odometer {
    /// What has passed so far, as it was on the line; headers are a guess.
    #[must_use]
    pub fn passed(&self) -> Passed {
        let ((received, came), (sent, went)) = (self.received.passed(), self.sent.passed());
        Passed {
            received: received + came * HEADERS + went * ACKNOWLEDGEMENT,
            sent: sent + went * HEADERS + came * ACKNOWLEDGEMENT,
        }
    }

    /// A connection with `remote` was tried, or came.
    pub fn handshake(&self, remote: &Multiaddr) {
        if is_loopback(remote) || relay(remote).is_some() {
            return;
        }
        self.received.add(HANDSHAKE, true);
        self.sent.add(HANDSHAKE, true);
    }

    /// Counts what passes over a connection to `remote` from now on, if that is
    /// for us to count.
    #[must_use]
    pub fn on(self: &Arc<Self>, remote: &Multiaddr, connection: StreamMuxerBox) -> StreamMuxerBox {
        if is_loopback(remote) || !is_quic(remote) {
            return connection;
        }
        StreamMuxerBox::new(Counted::new(connection, Arc::clone(self)))
    }
}

/// A connection, or a stream of one, that is counted.
struct Counted<T> {
    inner: T,
    odometer: Arc<Odometer>,
    /// Whether what is read and written next is in a packet of its own: it was
    /// waited for, or what went before was sent.
    waited: bool,
    flushed: bool,
}

impl<T> Counted<T> {
    const fn new(inner: T, odometer: Arc<Odometer>) -> Self {
        Self { inner, odometer, waited: true, flushed: true }
    }
}

impl Counted<StreamMuxerBox> {
    fn stream(&self, inner: SubstreamBox) -> Counted<SubstreamBox> {
        Counted::new(inner, Arc::clone(&self.odometer))
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
        match &read {
            Poll::Ready(Ok(bytes)) => {
                let waited = std::mem::take(&mut self.waited);
                self.odometer.received.add(*bytes, waited);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.waited = true,
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
            let flushed = std::mem::take(&mut self.flushed);
            self.odometer.sent.add(*bytes, flushed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = true;
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
        let least = HANDSHAKE as u64;
        assert!(received > least && received == sent && sent < least * 5 / 4);
    }

    #[test]
    fn small_messages_are_mostly_headers_and_large_ones_hardly() {
        let (small, large) = (Odometer::default(), Odometer::default());
        (0..100).for_each(|_| small.sent.add(20, true));
        assert_eq!(small.passed(), Passed { received: 4_500, sent: 11_000 });
        (0..100).for_each(|block| large.received.add(32_768, block == 0));
        let Passed { received, sent } = large.passed();
        let least = 100 * 32_768;
        assert!(received > least * 107 / 100 && received < least * 109 / 100, "{received}");
        assert!(sent > least * 3 / 100 && sent < least * 4 / 100, "{sent}");
    }
}
