//! What is said on the streams of a circuit before it carries bytes, and the
//! carrying.
//!
//! Whoever wants a circuit names the far end by its key; the relay names the
//! near end to the far one in the same way. One byte comes back: zero, or the
//! reason why not. Both streams are one from then on, until either ends, or as
//! much was carried, or as long, as was granted.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{PeerId, Stream};
use manifest::key::PublicKey;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::gate::{peer_id, public_key};
use crate::reach::message::Refusal;
use crate::reach::relay::{CircuitId, Grant};

/// How long any of this may take before bytes are carried.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes on their way in each direction.
const BUFFER: usize = 16 * 1024;
/// The answer to a circuit that may begin.
const YES: u8 = 0;

/// A circuit that ended, and what it carried.
pub(crate) type End = (CircuitId, u64);

/// A circuit through us, from its grant to its end. Says what it carried when
/// it goes, however it goes.
#[derive(Debug)]
pub(crate) struct Passage {
    grant: Grant,
    from: PeerId,
    near: Option<Stream>,
    left: AtomicU64,
    ends: mpsc::UnboundedSender<End>,
}

impl Drop for Passage {
    fn drop(&mut self) {
        let carried = self.grant.bytes - self.left.load(Ordering::Relaxed);
        // When the driver has gone nobody counts any more.
        let _ = self.ends.send((self.grant.circuit, carried));
    }
}

impl Passage {
    pub(crate) const fn new(
        grant: Grant,
        from: PeerId,
        near: Stream,
        ends: mpsc::UnboundedSender<End>,
    ) -> Self {
        let left = AtomicU64::new(grant.bytes);
        Self { grant, from, near: Some(near), left, ends }
    }

    /// Offers the circuit on a stream to its far end, and carries if it is taken.
    pub(crate) async fn lead(mut self, mut far: Stream) -> io::Result<()> {
        let Some(mut near) = self.near.take() else { return Ok(()) };
        let taken = patiently(async {
            name(&mut far, &self.from).await?;
            answer(&mut far).await
        });
        if taken.await.is_err() {
            refuse(near, Refusal::Untaken).await;
            return Ok(());
        }
        patiently(async {
            near.write_all(&[YES]).await?;
            near.flush().await
        })
        .await?;
        carry(near, far, &self.left, self.grant.lasting).await
    }

    /// Tells the near end that there is no way.
    pub(crate) async fn fail(mut self) {
        if let Some(near) = self.near.take() {
            refuse(near, Refusal::Untaken).await;
        }
    }
}

/// Makes two streams one until both have ended, one breaks, nothing is left of
/// the bytes, or the time is over.
async fn carry<N, F>(near: N, far: F, left: &AtomicU64, lasting: Duration) -> io::Result<()>
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.split(), far.split());
    let both = futures::future::try_join(
        pump(&mut from_near, &mut to_far, left),
        pump(&mut from_far, &mut to_near, left),
    );
    timeout(lasting, both).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(())
}

async fn pump<R, W>(from: &mut R, to: &mut W, left: &AtomicU64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.close().await;
        }
        let take = |left: u64| left.checked_sub(n as u64);
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(io::Error::other("the circuit has carried all that it may"));
        }
        to.write_all(&buffer[..n]).await?;
        to.flush().await?;
    }
}

async fn patiently<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, what).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Names a member on a stream.
async fn name<S: AsyncWrite + Unpin>(stream: &mut S, member: &PeerId) -> io::Result<()> {
    let key = public_key(member).ok_or(io::ErrorKind::InvalidInput)?;
    stream.write_all(key.as_bytes()).await?;
    stream.flush().await
}

/// The member that is named on a stream.
async fn named<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<PeerId> {
    let mut key = [0; 32];
    stream.read_exact(&mut key).await?;
    peer_id(&PublicKey::from_bytes(key)).map_err(io::Error::other)
}

/// The byte that says whether a circuit may begin.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut byte = [YES];
    stream.read_exact(&mut byte).await?;
    if byte == [YES] { Ok(()) } else { Err(io::Error::other(Refusal::of(byte[0]))) }
}

/// Asks a relay, on a stream to it, for a circuit.
pub(crate) async fn ask(mut relay: Stream, to: PeerId) -> io::Result<Stream> {
    let asked = async {
        name(&mut relay, &to).await?;
        answer(&mut relay).await
    };
    // The relay waits for the far end, and as long again for us.
    timeout(PATIENCE * 2, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(relay)
}

/// Whom somebody that asks for a circuit wants.
pub(crate) async fn asked(mut stream: Stream) -> io::Result<(PeerId, Stream)> {
    let to = patiently(named(&mut stream)).await?;
    Ok((to, stream))
}

/// Takes a circuit that a relay offers: from whom it says that it is.
pub(crate) async fn take(mut relay: Stream) -> io::Result<(PeerId, Stream)> {
    let from = patiently(async {
        let from = named(&mut relay).await?;
        relay.write_all(&[YES]).await?;
        relay.flush().await?;
        Ok(from)
    });
    Ok((from.await?, relay))
}

/// Tells why there is no circuit.
pub(crate) async fn refuse(mut stream: Stream, why: Refusal) {
    // Who has gone need not be told.
    let _ = patiently(async {
        stream.write_all(&[why.code()]).await?;
        stream.close().await
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn bytes_are_carried_both_ways_and_an_end_is_passed_on() {
        let (mut a, near) = tokio::io::duplex(64);
        let (mut b, far) = tokio::io::duplex(64);
        let left = AtomicU64::new(1_000_000);
        let ends = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let bytes = vec![7; 100_000];
            a.write_all(b"hello").await.unwrap();
            let mut hello = [0; 5];
            b.read_exact(&mut hello).await.unwrap();
            let (written, mut read) = (b.write_all(&bytes), vec![0; bytes.len()]);
            let (written, came) = futures::join!(written, a.read_exact(&mut read));
            written.and(came.map(drop)).unwrap();
            assert!(read == bytes && hello == *b"hello");
            a.shutdown().await.unwrap();
            assert_eq!(b.read(&mut hello).await.unwrap(), 0, "the end of one is that of the other");
            drop(b);
        };
        let (carried, ()) = futures::join!(carry(near.compat(), far.compat(), &left, LONG), ends);
        carried.unwrap();
        assert_eq!(left.into_inner(), 1_000_000 - 100_005);
    }

    #[tokio::test]
    async fn relay_abuse_ends_with_the_bytes_that_were_granted() {
        use tokio::io::AsyncWriteExt;
        let (mut a, near) = tokio::io::duplex(4096);
        let (b, far) = tokio::io::duplex(1 << 20);
        let left = AtomicU64::new(100_000);
        let flood = async { while a.write_all(&[1; 4096]).await.is_ok() {} };
        let (carried, ()) = futures::join!(carry(near.compat(), far.compat(), &left, LONG), flood);
        assert!(carried.unwrap_err().to_string().contains("all that it may"));
        assert!(left.into_inner() < 4096);
        drop(b);
    }

    #[tokio::test]
    async fn relay_abuse_ends_with_the_time_that_was_granted() {
        let (a, near) = tokio::io::duplex(64);
        let (b, far) = tokio::io::duplex(64);
        let left = AtomicU64::new(1);
        let carried = carry(near.compat(), far.compat(), &left, Duration::ZERO).await;
        assert_eq!(carried.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop((a, b));
    }
}
