//! TCP and QUIC, with the gate built in.
//!
//! On TCP the gate stands behind Noise and before the multiplexer; on QUIC it
//! is the first stream of a connection, before any other is accepted. The
//! name that is spoken in the clear is the same for every workgroup.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::poll_fn;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, Future};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt};
use libp2p::core::transport::{Boxed, OrTransport, Transport};
use libp2p::core::upgrade::{
    InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version,
};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, quic, tcp, yamux};
use manifest::key::SigningKey;

use crate::gate::{AdmissionError, Gate, PATIENCE};

/// What stands in the clear before Noise, in every workgroup alike.
const NAME: &str = "/updraft/1";

/// How long a TCP connection may take until it can carry streams.
const SETUP: Duration = Duration::from_secs(10);

/// Streams that a peer may have open on one connection.
const STREAMS: usize = 32;

/// Bytes of one QUIC stream, and of one connection, that may wait for us.
const QUIC_STREAM_BYTES: u32 = 1 << 20;
const QUIC_CONNECTION_BYTES: u32 = 4 << 20;

/// A connection that has passed the gate.
type Connection = (PeerId, StreamMuxerBox);

/// The libp2p form of a key.
#[must_use]
pub fn keypair(key: &SigningKey) -> Keypair {
    Keypair::ed25519_from_bytes(*key.seed()).expect("a seed of 32 bytes is a key")
}

/// TCP and QUIC for the peer with `key`, both behind `gate`.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn build(key: &SigningKey, gate: &Arc<Gate>) -> Boxed<Connection> {
    let keypair = keypair(key);
    let gated = GatedNoise {
        noise: noise::Config::new(&keypair).expect("an ed25519 key signs a Noise key"),
        gate: Arc::clone(gate),
    };
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(STREAMS);
    // Lazy: the dialer's first message need not wait for a confirmation of a
    // protocol that both sides must speak anyway.
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(gated)
        .multiplex(muxer)
        .timeout(SETUP)
        .boxed();
    let quic = quic(&keypair, Arc::clone(gate));
    OrTransport::new(quic, tcp).map(|either, _| either.into_inner()).boxed()
}

fn quic(keypair: &Keypair, gate: Arc<Gate>) -> Boxed<Connection> {
    let mut config = quic::Config::new(keypair);
    config.max_concurrent_stream_limit = STREAMS as u32;
    config.max_stream_data = QUIC_STREAM_BYTES;
    config.max_connection_data = QUIC_CONNECTION_BYTES;
    quic::tokio::Transport::new(config)
        .and_then(move |(peer, mut connection), end| async move {
            let opening = async {
                let stream = if end.is_dialer() {
                    poll_fn(|cx| connection.poll_outbound_unpin(cx)).await
                } else {
                    poll_fn(|cx| connection.poll_inbound_unpin(cx)).await
                };
                stream.map_err(io::Error::other)
            };
            let stream = tokio::time::timeout(PATIENCE, opening).await;
            let mut stream = stream.map_err(|_| AdmissionError::TimedOut)??;
            gate.admit(&mut stream, peer, end.is_dialer()).await?;
            // The gate's stream has served; that its end is seen does not matter.
            let _ = stream.close().await;
            Ok::<_, AdmissionError>((peer, StreamMuxerBox::new(connection)))
        })
        .boxed()
}

/// Noise, and behind it the gate.
#[derive(Clone)]
struct GatedNoise {
    noise: noise::Config,
    gate: Arc<Gate>,
}

impl UpgradeInfo for GatedNoise {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(NAME)
    }
}

type Upgraded<S> = (PeerId, noise::Output<S>);

/// Noise or the gate behind it failed.
type UpgradeFuture<S> = Pin<Box<dyn Future<Output = Result<Upgraded<S>, io::Error>> + Send>>;

impl<S> InboundConnectionUpgrade<S> for GatedNoise
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = Upgraded<S>;
    type Error = io::Error;
    type Future = UpgradeFuture<S>;

    fn upgrade_inbound(self, socket: S, _: &'static str) -> Self::Future {
        Box::pin(async move {
            let (peer, mut stream) =
                self.noise.upgrade_inbound(socket, NAME).await.map_err(io::Error::other)?;
            self.gate.admit(&mut stream, peer, false).await.map_err(io::Error::other)?;
            Ok((peer, stream))
        })
    }
}

impl<S> OutboundConnectionUpgrade<S> for GatedNoise
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = Upgraded<S>;
    type Error = io::Error;
    type Future = UpgradeFuture<S>;

    fn upgrade_outbound(self, socket: S, _: &'static str) -> Self::Future {
        Box::pin(async move {
            let (peer, mut stream) =
                self.noise.upgrade_outbound(socket, NAME).await.map_err(io::Error::other)?;
            self.gate.admit(&mut stream, peer, true).await.map_err(io::Error::other)?;
            Ok((peer, stream))
        })
    }
}
