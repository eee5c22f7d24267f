//! TCP, QUIC and circuits, with the gate built in.
//!
//! On TCP and on circuits the gate stands behind Noise and before the
//! multiplexer; on QUIC it is the first stream of a connection, before any
//! other is accepted. The name that is spoken in the clear is the same for
//! every workgroup. A relay sees of a circuit what a wiretap sees of TCP.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::poll_fn;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, Future};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt};
use libp2p::core::transport::{Boxed, DialOpts, OrTransport, PortUse, Transport};
use libp2p::core::upgrade::{
    InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version,
};
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, quic, tcp};
use manifest::key::SigningKey;

use crate::circuit::{Circuits, Switchboard};
use crate::gate::{self, AdmissionError, Gate, PATIENCE};
use crate::hesitant::Hesitant;
use crate::limits::MAX_STREAMS;
use crate::muxer::Multiplex;
use crate::odometer::Odometer;
use crate::reach::message::{Spot, Way};
use crate::rebinding::Rebinding;

/// What stands in the clear before Noise, in every workgroup alike.
const NAME: &str = "/updraft/1";

/// How long a TCP connection may take until it can carry streams.
const SETUP: Duration = Duration::from_secs(10);

/// How long QUIC is tried alone: on links that are full it loses less than TCP,
/// which is for where QUIC finds no way (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_secs(1);

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

/// TCP, QUIC and circuits for the peer with `key`, all behind `gate`; the
/// driver fulfils at the switchboard what is wanted of circuits. What passes is
/// counted.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn build(
    key: &SigningKey,
    gate: &Arc<Gate>,
    odometer: Arc<Odometer>,
) -> (Boxed<Connection>, Switchboard) {
    let keypair = keypair(key);
    let gated = GatedNoise { noise: noise(&keypair), then: Then::Admit(Arc::clone(gate)) };
    let (circuits, switchboard) = Circuits::new();
    let circuits = secured(circuits, gated.clone());
    let tcp = Hesitant::new(secured(tcp(), gated), HEAD_START);
    let quic = quic(&keypair, Arc::clone(gate));
    let plain = OrTransport::new(quic, tcp).map(|either, _| either.into_inner());
    let all = OrTransport::new(circuits, plain).map(|either, _| either.into_inner());
    let counted = all.map(move |(peer, connection), end| {
        (peer, odometer.on(end.get_remote_address(), connection))
    });
    (counted.boxed(), switchboard)
}

fn noise(keypair: &Keypair) -> noise::Config {
    noise::Config::new(keypair).expect("an ed25519 key signs a Noise key")
}

fn tcp() -> Rebinding<tcp::tokio::Transport> {
    Rebinding(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)))
}

/// Noise, the gate and a multiplexer on whatever carries bytes.
fn secured<T>(transport: T, gated: GatedNoise) -> Boxed<Connection>
where
    T: Transport<Output: AsyncRead + AsyncWrite + Send + Unpin, Error: Send + Sync> + Send,
    T: Unpin + 'static,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    // Lazy: the dialer's first message need not wait for a confirmation of a
    // protocol that both sides must speak anyway.
    transport
        .upgrade(Version::V1Lazy)
        .authenticate(gated)
        .multiplex(Multiplex)
        .timeout(SETUP)
        .boxed()
}

/// Dials a spot only to see whether `expected` answers there: its handshake
/// proves it, and nothing further is said. Comes from a port of its own, so
/// that it is let in only where everybody is.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn knock(key: &Keypair, spot: Spot, expected: PeerId) -> bool {
    let how = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let at = spot.address();
    let answered = async {
        match spot.way {
            Way::Tcp => {
                let found = Arc::default();
                let then = Then::Knock(Arc::clone(&found));
                let knocking = GatedNoise { noise: noise(key), then };
                let tcp = tcp().upgrade(Version::V1Lazy).authenticate(knocking);
                // It never becomes a connection; what counts was found before.
                let _ = tcp.multiplex(Multiplex).dial(at, how).ok()?.await;
                found.get().copied()
            }
            Way::Quic => {
                let mut quic = quic::tokio::Transport::new(quic::Config::new(key));
                let (peer, mut connection) = quic.dial(at, how).ok()?.await.ok()?;
                let mut stream = poll_fn(|cx| connection.poll_outbound_unpin(cx)).await.ok()?;
                gate::knock(&mut stream).await.ok()?;
                // Closing at once could overtake the knock.
                let _ = poll_fn(|cx| connection.poll_inbound_unpin(cx)).await;
                Some(peer)
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.ok().flatten() == Some(expected)
}

fn quic(keypair: &Keypair, gate: Arc<Gate>) -> Boxed<Connection> {
    let mut config = quic::Config::new(keypair);
    config.max_concurrent_stream_limit = MAX_STREAMS as u32;
    config.max_stream_data = QUIC_STREAM_BYTES;
    config.max_connection_data = QUIC_CONNECTION_BYTES;
    quic::tokio::Transport::new(config)
        .and_then(move |(peer, mut connection), end| async move {
            // Where both dial to open their networks, one of them answers.
            let dialer =
                matches!(end, ConnectedPoint::Dialer { role_override: Endpoint::Dialer, .. });
            let opening = async {
                let stream = if dialer {
                    poll_fn(|cx| connection.poll_outbound_unpin(cx)).await
                } else {
                    poll_fn(|cx| connection.poll_inbound_unpin(cx)).await
                };
                stream.map_err(io::Error::other)
            };
            let stream = tokio::time::timeout(PATIENCE, opening).await;
            let mut stream = stream.map_err(|_| AdmissionError::TimedOut)??;
            gate.admit(&mut stream, peer, dialer).await?;
            // The gate's stream has served; that its end is seen does not matter.
            let _ = stream.close().await;
            Ok::<_, AdmissionError>((peer, StreamMuxerBox::new(connection)))
        })
        .boxed()
}

/// Noise, and what stands behind it.
#[derive(Clone)]
struct GatedNoise {
    noise: noise::Config,
    then: Then,
}

#[derive(Clone)]
enum Then {
    /// The gate.
    Admit(Arc<Gate>),
    /// A knock, which ends it; who answered.
    Knock(Arc<OnceLock<PeerId>>),
}

impl GatedNoise {
    async fn pass<S>(
        then: Then,
        (peer, mut stream): Upgraded<S>,
        dialer: bool,
    ) -> io::Result<Upgraded<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match then {
            Then::Admit(gate) => {
                gate.admit(&mut stream, peer, dialer).await.map_err(io::Error::other)?;
                Ok((peer, stream))
            }
            Then::Knock(answered) => {
                gate::knock(&mut stream).await?;
                let _ = answered.set(peer);
                Err(io::Error::other("that was all"))
            }
        }
    }
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
            let upgraded = self.noise.upgrade_inbound(socket, NAME).await;
            Self::pass(self.then, upgraded.map_err(io::Error::other)?, false).await
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
            let upgraded = self.noise.upgrade_outbound(socket, NAME).await;
            Self::pass(self.then, upgraded.map_err(io::Error::other)?, true).await
        })
    }
}
