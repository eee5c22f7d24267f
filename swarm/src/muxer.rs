//! Yamux on admitted connections, within bounds.
//!
//! Promises that one connection keeps at most [`YAMUX_CONNECTION_BYTES`] that
//! came and were not read, and that a block leaves in one piece: one message
//! of Noise and one call of the kernel. Knows nothing of what streams carry.

use std::collections::VecDeque;
use std::io;
use std::iter::{Once, once};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::future::{Ready, ready};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

use crate::limits::{CHUNK_BYTES, MAX_STREAMS, YAMUX_CONNECTION_BYTES};

const NAME: &str = "/yamux/1.0.0";

/// Makes a [`Muxer`] of a secured connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Multiplex;

/// One connection and its streams.
pub(crate) struct Muxer<C> {
    connection: Connection<C>,
    /// Streams that came while nobody asked for one; yamux bounds them.
    came: VecDeque<Stream>,
    /// Who asked for one.
    asks: Option<Waker>,
}

impl<C> Muxer<C> {
    fn new(socket: C, mode: Mode) -> Self
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = Config::default();
        config.set_max_num_streams(MAX_STREAMS);
        config.set_max_connection_receive_window(Some(YAMUX_CONNECTION_BYTES));
        config.set_split_send_size(CHUNK_BYTES);
        let connection = Connection::new(socket, config, mode);
        Self { connection, came: VecDeque::new(), asks: None }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    /// The next stream that the other side opened. Yamux reads, and writes for
    /// all streams, only while it is asked for this.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, ConnectionError>> {
        let next = self.connection.poll_next_inbound(cx);
        next.map(|stream| stream.unwrap_or(Err(ConnectionError::Closed)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionError>> {
        if let Some(stream) = self.came.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.next(cx);
        if next.is_pending() {
            self.asks = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionError>> {
        self.connection.poll_new_outbound(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        while let Poll::Ready(stream) = self.next(cx) {
            self.came.push_back(stream?);
            if let Some(asks) = self.asks.take() {
                asks.wake();
            }
        }
        Poll::Pending
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.connection.poll_close(cx)
    }
}

impl UpgradeInfo for Multiplex {
    type Info = &'static str;
    type InfoIter = Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        once(NAME)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Multiplex {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, socket: C, _: &'static str) -> Self::Future {
        ready(Ok(Muxer::new(socket, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Multiplex {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, socket: C, _: &'static str) -> Self::Future {
        ready(Ok(Muxer::new(socket, Mode::Client)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::{AsyncReadExt, AsyncWriteExt};
    use tokio::io::duplex;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    /// Drives a muxer that nobody asks for streams.
    async fn drive<C: AsyncRead + AsyncWrite + Unpin>(mut muxer: Muxer<C>) {
        let _ = poll_fn(|cx| Pin::new(&mut muxer).poll(cx)).await;
    }

    #[tokio::test]
    async fn who_is_not_read_from_is_held_back() {
        let (a, b) = duplex(1 << 16);
        let mut near = Muxer::new(a.compat(), Mode::Client);
        let mut far = Muxer::new(b.compat(), Mode::Server);
        let mut writer = poll_fn(|cx| Pin::new(&mut near).poll_outbound(cx)).await.unwrap();
        tokio::spawn(drive(near));
        writer.write_all(b"?").await.unwrap();
        let mut reader = poll_fn(|cx| Pin::new(&mut far).poll_inbound(cx)).await.unwrap();
        tokio::spawn(drive(far));
        reader.read_exact(&mut [0]).await.unwrap();
        let mut sent = 0;
        let chunk = vec![7; CHUNK_BYTES];
        let chunk_len = chunk.len();
        let flood = async {
            while let Ok(bytes) = writer.write(&chunk).await {
                sent += bytes;
                writer.flush().await.unwrap();
            }
        };
        let _ = tokio::time::timeout(std::time::Duration::from_millis(300), flood).await;
        assert!(sent > 0 && sent <= 512 * 1024, "{sent}");
        // Once somebody reads, it goes on.
        let reading = tokio::spawn(async move {
            let mut got = vec![0; sent + chunk_len];
            reader.read_exact(&mut got).await.map(|()| got)
        });
        writer.write_all(&chunk).await.unwrap();
        writer.flush().await.unwrap();
        let got = tokio::time::timeout(std::time::Duration::from_secs(5), reading).await;
        let got = got.expect("there is room again").unwrap().unwrap();
        assert!(got.iter().all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn streams_that_came_before_they_were_asked_for_are_handed_over() {
        let (a, b) = duplex(1 << 16);
        let mut near = Muxer::new(a.compat(), Mode::Client);
        let mut far = Muxer::new(b.compat(), Mode::Server);
        let mut writers = Vec::new();
        for _ in 0..3 {
            writers.push(poll_fn(|cx| Pin::new(&mut near).poll_outbound(cx)).await.unwrap());
        }
        tokio::spawn(drive(near));
        for (number, writer) in writers.iter_mut().enumerate() {
            writer.write_all(&[number as u8]).await.unwrap();
            writer.flush().await.unwrap();
        }
        // Driven first, asked later.
        let pause = tokio::time::sleep(std::time::Duration::from_millis(100));
        tokio::pin!(pause);
        poll_fn(|cx| {
            assert!(Pin::new(&mut far).poll(cx).is_pending());
            pause.as_mut().poll(cx)
        })
        .await;
        let mut numbers = Vec::new();
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(poll_fn(|cx| Pin::new(&mut far).poll_inbound(cx)).await.unwrap());
        }
        tokio::spawn(drive(far));
        for stream in &mut streams {
            let mut number = [0];
            stream.read_exact(&mut number).await.unwrap();
            numbers.push(number[0]);
        }
        assert_eq!(numbers, [0, 1, 2]);
    }
}
