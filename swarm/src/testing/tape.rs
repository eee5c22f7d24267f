//! A peer whose every byte is known before it begins: what it says is on a
//! tape, and nothing that it hears changes it. For fuzzing and seeded tests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::Cursor;
use futures::{AsyncRead, AsyncWrite};
use manifest::admission::credential::Role;
use manifest::admission::guide::Guide;
use manifest::testing::TestWorkgroup;
use manifest::time::UnixTime;
use manifest::trust::role::MetadataVersion;

use crate::gate::{Gate, peer_id};

/// The time of day whenever a tape is played.
pub const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

/// Plays what it has, and keeps what it is told.
#[derive(Debug)]
struct Tape {
    says: Cursor<Vec<u8>>,
    heard: Vec<u8>,
}

impl AsyncRead for Tape {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.says).poll_read(cx, bytes)
    }
}

impl AsyncWrite for Tape {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.heard.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The bytes with which installation `who` of a workgroup shows its credential.
///
/// # Panics
/// If the workgroup's credentials are too long to be shown.
#[must_use]
pub fn shown(group: &TestWorkgroup, who: u64) -> Vec<u8> {
    let chain = group.credential(who, Role::Member, NOW).encode().expect("it is short");
    let len = u16::try_from(chain.len()).expect("it is short").to_be_bytes();
    [&len[..], &chain].concat()
}

/// Whether the gate of installation 1 lets installation 2 in, whose handshake
/// held, and which says `bytes`; and what it was told, which is bounded.
///
/// # Panics
/// If its answers are longer than any may be.
pub async fn admits(group: &TestWorkgroup, bytes: &[u8], dials: bool) -> bool {
    let chain = group.credential(1, Role::Member, NOW).encode().expect("it is short");
    let gate = Gate::new(group.trust.clone(), chain, || NOW);
    let version = MetadataVersion::new(4).expect("it is not zero");
    gate.set_guide(Guide::to(version, |_| Some(vec![7; 100])));
    let _led = gate.guided();
    let peer = peer_id(&TestWorkgroup::peer_key(2).public()).expect("it is a key");
    let mut tape = Tape { says: Cursor::new(bytes.to_vec()), heard: Vec::new() };
    let admitted = gate.admit(&mut tape, peer, dials).await.is_ok();
    assert!(tape.heard.len() < 300 << 10, "it was told {} bytes", tape.heard.len());
    assert_eq!(gate.member(&peer).is_some(), admitted);
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::testing::seed;

    #[tokio::test]
    async fn only_a_whole_and_true_credential_opens_the_gate() {
        let group = TestWorkgroup::new(1);
        let (yes, shown) = ([0, 1, 1], shown(&group, 2));
        let dialer = [&shown[..], &yes].concat();
        let mut welcome = [&shown[..2], &[1], &shown[2..]].concat();
        let len = u16::try_from(shown.len() - 1).unwrap();
        welcome[..2].copy_from_slice(&len.to_be_bytes());
        // One that refuses us, and then leads us by a way that is too long.
        let refusal = [&[0, 13, 0][..], &7_u64.to_be_bytes(), b"away", &[0xFF; 8]].concat();
        assert!(admits(&group, &dialer, false).await);
        assert!(admits(&group, &welcome, true).await);
        assert!(!admits(&group, &refusal, true).await);

        let mut dice = Dice::new(seed(20_261_124));
        for round in 0..3_000 {
            for (said, dials) in [(&dialer, false), (&welcome, true), (&refusal, true)] {
                let mut bytes = said.clone();
                match dice.below(3) {
                    0 => bytes.truncate(dice.below(bytes.len() as u64) as usize),
                    1 => bytes.splice(0..2, [dice.roll() as u8, dice.roll() as u8]).for_each(drop),
                    _ => {
                        let at = dice.below(bytes.len() as u64) as usize;
                        bytes[at] ^= 1 << dice.below(8);
                    }
                }
                // Whatever was changed, nobody else gets in; JSON has more than
                // one form, but what is signed has not.
                let admitted = admits(&group, &bytes, dials).await;
                assert!(!admitted || said != &refusal, "round {round}");
                let whole = bytes.len() == said.len();
                assert!(!admitted || whole, "round {round}: cut short and let in");
            }
        }
    }
}
