//! Who is let in: the check that every connection passes before anything else.
//!
//! The dialer shows its credential first; the listener shows its own only to
//! a dialer that it has let in; a last word from the dialer opens the
//! connection. Whoever is refused is told why. Where one of the two was away
//! for long, the other leads it back (see `guidance`). Knows nothing of
//! transports.

pub(crate) mod guidance;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::PeerId;
use libp2p::identity;
use manifest::admission::chain::{CredentialChain, CredentialError, Member};
use manifest::admission::guide::Guide;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::key::PublicKey;
use manifest::time::UnixTime;
use manifest::trust::bundle::Bundle;
use tokio::sync::mpsc;

use crate::gate::guidance::Guidance;

/// The longest frame of the exchange, its two bytes of length included.
const FRAME_BYTES: usize = 4096;

/// The longest reason that is told to somebody who is refused.
const REASON_BYTES: usize = 400;

/// How long the exchange may take in all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The first byte of an answer: let in, or not.
const WELCOME: u8 = 1;
const REFUSED: u8 = 0;

/// How long a refused peer may take to hear the reason and hang up.
const LINGER: Duration = Duration::from_millis(500);

/// The gate of one node; all its transports share it.
pub struct Gate {
    clock: Box<dyn Fn() -> UnixTime + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    trust: WorkgroupTrust,
    own: Own,
    members: HashMap<PeerId, Admitted>,
    guidance: Guidance,
}

/// What we show, and until when anybody believes it.
struct Own {
    chain: Arc<[u8]>,
    ends: Option<UnixTime>,
}

impl Own {
    fn new(chain: Vec<u8>) -> Self {
        let parsed = CredentialChain::parse(&chain).ok();
        Self { ends: parsed.and_then(|chain| chain.says_it_ends()), chain: chain.into() }
    }
}

/// Who was let in, and on which word.
type Admitted = (Member, CredentialChain);

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The other side's credential does not hold. The text says why, so that
    /// it survives transports that keep only the text.
    #[error("refused: {0}")]
    Refused(CredentialError),
    /// The other side does not believe our credential.
    #[error("the other side refuses us: {reason}")]
    RefusedByThem {
        /// What it says; not to be believed, only shown.
        reason: String,
    },
    /// Its key is not of the kind that credentials name.
    #[error("the other side's key is not an ed25519 key")]
    OtherKind,
    /// What it sends is no frame of the exchange.
    #[error("admission was answered with {found}, expected {expected}")]
    Frame {
        /// What should have come.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// It only wanted to see whether we can be dialled.
    #[error("the other side only knocks")]
    Knock,
    /// It took too long.
    #[error("admission took longer than {} seconds", PATIENCE.as_secs())]
    TimedOut,
    /// The connection broke.
    #[error("the connection broke during admission")]
    Broken(#[from] io::Error),
}

impl From<CredentialError> for AdmissionError {
    fn from(error: CredentialError) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("members", &self.state().members.len()).finish()
    }
}

impl Gate {
    /// A gate that believes `trust`, shows `chain`, and asks `clock` for the time.
    #[must_use]
    pub fn new(
        trust: WorkgroupTrust,
        chain: Vec<u8>,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (members, guidance) = Default::default();
        let state = State { trust, own: Own::new(chain), members, guidance };
        Arc::new(Self { clock: Box::new(clock), state: Mutex::new(state) })
    }

    /// What others hand us so that we find back; to be asked for once.
    #[must_use]
    pub fn guided(&self) -> mpsc::Receiver<Bundle> {
        self.state().guidance.listen()
    }

    /// Leads others back with `guide` from now on.
    pub fn set_guide(&self, guide: Guide) {
        self.state().guidance.set(guide);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the gate")
    }

    /// What the clock says.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        (self.clock)()
    }

    /// What is believed.
    #[must_use]
    pub fn trust(&self) -> WorkgroupTrust {
        self.state().trust.clone()
    }

    /// Believes other workgroup keys from now on.
    pub fn set_trust(&self, trust: WorkgroupTrust) {
        self.state().trust = trust;
    }

    /// Shows another chain from now on.
    pub fn set_chain(&self, chain: Vec<u8>) {
        self.state().own = Own::new(chain);
    }

    /// Who was let in as `peer`, since last it was forgotten.
    #[must_use]
    pub fn member(&self, peer: &PeerId) -> Option<Member> {
        self.state().members.get(peer).map(|(member, _)| member.clone())
    }

    /// Forgets a peer whose last connection is closed.
    pub fn forget(&self, peer: &PeerId) {
        self.state().members.remove(peer);
    }

    /// The members whose credential does not hold any more, and why: it has
    /// ended or was revoked, or other keys are believed now. All of them once
    /// our own has ended: none of them believes us any more.
    #[must_use]
    pub fn fallen(&self) -> Vec<(PeerId, String)> {
        let now = self.now();
        let state = self.state();
        if let Some(ended) = state.own.ends.filter(|ends| *ends <= now) {
            let why = format!("our own credential expired at {ended}");
            return state.members.keys().map(|peer| (*peer, why.clone())).collect();
        }
        let fallen = state.members.iter().filter_map(|(peer, (member, chain))| {
            // Clocks that disagree are forgiven whoever comes, not who stays.
            if member.expires <= now {
                return Some((*peer, format!("its credential expired at {}", member.expires)));
            }
            let verdict = chain.verify(&state.trust, &member.peer_key, now);
            verdict.err().map(|error| (*peer, error.to_string()))
        });
        fallen.collect()
    }

    /// When the first credential ends, of members and our own, if any member
    /// is there.
    #[must_use]
    pub fn soonest_end(&self) -> Option<UnixTime> {
        let state = self.state();
        let members = state.members.values().map(|(member, _)| member.expires).min()?;
        Some(state.own.ends.map_or(members, |own| own.min(members)))
    }

    /// Exchanges credentials on a stream whose handshake proved that the
    /// other side is `peer`.
    ///
    /// # Errors
    /// [`AdmissionError`]; the other side has been told, if it listens.
    pub(crate) async fn admit<S>(
        &self,
        stream: &mut S,
        peer: PeerId,
        dialer: bool,
    ) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.admit_within(PATIENCE, stream, peer, dialer).await
    }

    async fn admit_within<S>(
        &self,
        patience: Duration,
        stream: &mut S,
        peer: PeerId,
        dialer: bool,
    ) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let exchange = async {
            if dialer { self.ask(stream, peer).await } else { self.answer(stream, peer).await }
        };
        let member = tokio::time::timeout(patience, exchange)
            .await
            .map_err(|_| AdmissionError::TimedOut)??;
        self.state().members.insert(peer, member);
        Ok(())
    }

    /// The dialer's part.
    async fn ask<S>(&self, stream: &mut S, peer: PeerId) -> Result<Admitted, AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let chain = Arc::clone(&self.state().own.chain);
        send(stream, &[&chain]).await?;
        let answer = self.welcome(stream).await?;
        match self.judge(&answer, peer) {
            Ok(member) => {
                send(stream, &[&[WELCOME]]).await?;
                Ok(member)
            }
            Err(error) => Err(self.turn_away(stream, peer, &answer, error).await),
        }
    }

    /// The listener's part.
    async fn answer<S>(&self, stream: &mut S, peer: PeerId) -> Result<Admitted, AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shown = receive(stream).await?;
        if shown.is_empty() {
            return Err(AdmissionError::Knock);
        }
        match self.judge(&shown, peer) {
            Ok(member) => {
                let chain = Arc::clone(&self.state().own.chain);
                send(stream, &[&[WELCOME], &chain]).await?;
                self.welcome(stream).await?;
                Ok(member)
            }
            Err(error) => Err(self.turn_away(stream, peer, &shown, error).await),
        }
    }

    /// Tells the other side, which showed `chain`, why it is refused, and waits
    /// until it has heard; leads it back, or us, if one of us was away.
    async fn turn_away<S>(
        &self,
        stream: &mut S,
        peer: PeerId,
        chain: &[u8],
        error: AdmissionError,
    ) -> AdmissionError
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let refusal = matches!(error, AdmissionError::Refused(_));
        let may_be_guided = refusal && self.knew(chain, peer);
        let version = if may_be_guided { self.state().guidance.version() } else { 0 };
        let mut reason = error.to_string();
        while reason.len() > REASON_BYTES {
            reason.pop();
        }
        let refused = send(stream, &[&[REFUSED], &version.to_be_bytes(), reason.as_bytes()]).await;
        if refused.is_ok() && may_be_guided {
            // Whoever cannot be led, or will not be, is refused all the same.
            let _ = self.lead(stream).await;
        } else if refused.is_ok() {
            // Closing at once could overtake the reason.
            let _ = tokio::time::timeout(LINGER, stream.read(&mut [0])).await;
        }
        error
    }

    /// Whether a chain that does not hold is one of somebody who was a member.
    fn knew(&self, chain: &[u8], peer: PeerId) -> bool {
        let workgroup = self.trust().id();
        let chain = CredentialChain::parse(chain).ok();
        chain.zip(public_key(&peer)).is_some_and(|(chain, key)| chain.claims(workgroup, &key))
    }

    /// What follows the byte of welcome; a refusal is an error, after we were
    /// led as far as the other side could lead us.
    async fn welcome<S>(&self, stream: &mut S) -> Result<Vec<u8>, AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = receive(stream).await?;
        match answer.split_first() {
            Some((&WELCOME, rest)) => Ok(rest.to_vec()),
            Some((&REFUSED, rest)) if rest.len() >= 8 => {
                let (version, reason) = rest.split_at(8);
                let version = u64::from_be_bytes(version.try_into().expect("it was split there"));
                if version != 0 {
                    let _ = self.follow(stream, version).await;
                }
                let reason = String::from_utf8_lossy(&reason[..reason.len().min(REASON_BYTES)]);
                let reason = reason.chars().filter(|c| !c.is_control()).collect();
                Err(AdmissionError::RefusedByThem { reason })
            }
            other => Err(AdmissionError::Frame {
                expected: "0 or 1",
                found: other.map_or("nothing".to_owned(), |(byte, _)| byte.to_string()),
            }),
        }
    }

    fn judge(&self, chain: &[u8], peer: PeerId) -> Result<Admitted, AdmissionError> {
        let key = public_key(&peer).ok_or(AdmissionError::OtherKind)?;
        let trust = self.trust();
        let chain = CredentialChain::parse(chain)?;
        Ok((chain.verify(&trust, &key, self.now())?, chain))
    }
}

/// Says that nothing more is wanted than to have been answered.
pub(crate) async fn knock<S: AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    send(stream, &[]).await?;
    stream.close().await
}

/// Sends one frame made of `parts`.
async fn send<S: AsyncWrite + Unpin>(stream: &mut S, parts: &[&[u8]]) -> io::Result<()> {
    let body = parts.concat();
    let len = u16::try_from(body.len()).ok().filter(|len| usize::from(*len) + 2 <= FRAME_BYTES);
    let len = len.ok_or_else(|| io::Error::other("the credential does not fit its frame"))?;
    let frame = [&len.to_be_bytes()[..], &body].concat();
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Receives one frame; its length is checked before memory is taken.
async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, AdmissionError> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).await?;
    let len = usize::from(u16::from_be_bytes(len));
    if len + 2 > FRAME_BYTES {
        let found = format!("a frame of {len} bytes");
        return Err(AdmissionError::Frame { expected: "at most 4094 bytes", found });
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// The peer id of whoever holds the private half of `key`.
///
/// # Errors
/// If the bytes are not a point of the curve.
pub fn peer_id(key: &PublicKey) -> Result<PeerId, identity::DecodingError> {
    let key = identity::ed25519::PublicKey::try_from_bytes(key.as_bytes())?;
    Ok(identity::PublicKey::from(key).to_peer_id())
}

/// The ed25519 key within a peer id; a key of another kind is not in it.
#[must_use]
pub fn public_key(peer: &PeerId) -> Option<PublicKey> {
    // An ed25519 key is short enough to stand in the id itself (multihash
    // code 0, identity) rather than its hash.
    let hash = peer.as_ref();
    let key = (hash.code() == 0).then(|| hash.digest())?;
    let key = identity::PublicKey::try_decode_protobuf(key).ok()?.try_into_ed25519().ok()?;
    Some(PublicKey::from_bytes(key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;
    use manifest::admission::credential::Role;
    use manifest::admission::limits::CREDENTIAL_LIFE;
    use manifest::testing::TestWorkgroup;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn gate(workgroup: u64, who: u64) -> Arc<Gate> {
        let group = TestWorkgroup::new(workgroup);
        let chain = group.credential(who, Role::Member, NOW).encode().unwrap();
        Gate::new(group.trust, chain, || NOW)
    }

    fn id(who: u64) -> PeerId {
        peer_id(&TestWorkgroup::peer_key(who).public()).unwrap()
    }

    /// Both sides of an exchange between installations 1 and 2.
    async fn meet(
        dialer: &Gate,
        listener: &Gate,
    ) -> (Result<(), AdmissionError>, Result<(), AdmissionError>) {
        let (near, far) = tokio::io::duplex(8192);
        use tokio_util::compat::TokioAsyncReadCompatExt;
        let (mut near, mut far) = (near.compat(), far.compat());
        futures::join!(dialer.admit(&mut near, id(2), true), listener.admit(&mut far, id(1), false),)
    }

    /// As they come from whoever asks for a circuit.
    #[test]
    fn any_32_bytes_name_a_peer_or_are_refused() {
        let mut dice = crate::dice::Dice::new(crate::testing::seed(43));
        let (mut keys, mut refused) = (0, 0);
        for who in 0..20_000 {
            let mut bytes = *TestWorkgroup::peer_key(who % 64).public().as_bytes();
            match dice.below(2) {
                0 => bytes[dice.below(32) as usize] ^= 1 << dice.below(8),
                _ => bytes.fill_with(|| dice.roll() as u8),
            }
            let key = PublicKey::from_bytes(bytes);
            match peer_id(&key) {
                Ok(peer) => {
                    keys += 1;
                    assert_eq!(public_key(&peer), Some(key), "{bytes:?}");
                }
                Err(_) => refused += 1,
            }
        }
        // About half of all numbers are points of the curve.
        assert!(keys > 5_000 && refused > 5_000, "{keys} {refused}");
    }

    #[test]
    fn a_peer_id_holds_its_key() {
        let key = TestWorkgroup::peer_key(5).public();
        assert_eq!(public_key(&peer_id(&key).unwrap()), Some(key));
        assert_eq!(public_key(&PeerId::random()), None);
    }

    #[tokio::test]
    async fn members_let_each_other_in() {
        let (one, two) = (gate(1, 1), gate(1, 2));
        let (dialed, answered) = meet(&one, &two).await;
        dialed.unwrap();
        answered.unwrap();
        assert!(one.member(&id(2)).unwrap().has(Role::Member));
        assert!(two.member(&id(1)).is_some());
        assert!(two.fallen().is_empty());
        two.set_trust(TestWorkgroup::new(9).trust);
        let [(fallen, why)] = &two.fallen()[..] else { panic!("one has fallen") };
        assert_eq!(*fallen, id(1), "the keys that vouched for it are gone");
        assert!(why.contains("signed by no key of this workgroup"), "{why}");
        two.forget(&id(1));
        assert!(two.member(&id(1)).is_none());
    }

    #[tokio::test]
    async fn whose_own_credential_has_ended_lets_everybody_go() {
        let (ending, other) = (gate(1, 1), gate(1, 2));
        meet(&ending, &other).await.0.unwrap();
        let ends = other.member(&id(1)).unwrap().expires;
        let group = TestWorkgroup::new(1);
        ending.set_chain(group.credential(1, Role::Member, NOW.before(DAY)).encode().unwrap());
        assert_eq!(ending.soonest_end(), Some(ends.before(DAY)), "sooner than the other's");
        assert!(ending.fallen().is_empty());
        let old = NOW.before(CREDENTIAL_LIFE);
        ending.set_chain(group.credential(1, Role::Member, old).encode().unwrap());
        let [(fallen, why)] = &ending.fallen()[..] else { panic!("the other has fallen") };
        assert_eq!(*fallen, id(2));
        assert!(why.contains("our own credential expired"), "{why}");
        assert!(other.fallen().is_empty(), "it was believed before");
        ending.set_chain(group.credential(1, Role::Member, NOW).encode().unwrap());
        assert!(ending.fallen().is_empty(), "renewed in time");
    }

    #[tokio::test]
    async fn a_refused_dialer_learns_why_and_sees_no_credential() {
        let (stranger, two) = (gate(9, 1), gate(1, 2));
        let (dialed, answered) = meet(&stranger, &two).await;
        assert!(matches!(answered, Err(AdmissionError::Refused(_))));
        let Err(AdmissionError::RefusedByThem { reason }) = dialed else { panic!("{dialed:?}") };
        assert!(reason.contains("signed by no key of this workgroup"), "{reason}");
        assert!(stranger.member(&id(2)).is_none() && two.member(&id(1)).is_none());
    }

    #[tokio::test]
    async fn a_listener_with_a_stolen_credential_is_refused() {
        let (one, thief) = (gate(1, 1), gate(1, 3));
        let (dialed, answered) = meet(&one, &thief).await;
        let other_peer =
            matches!(dialed, Err(AdmissionError::Refused(CredentialError::OtherPeer { .. })));
        assert!(other_peer, "{dialed:?}");
        assert!(matches!(answered, Err(AdmissionError::RefusedByThem { .. })), "{answered:?}");
        assert!(thief.member(&id(1)).is_none(), "no last word, no connection");
    }

    #[tokio::test]
    async fn a_giant_frame_is_refused_before_it_is_read() {
        let refused = receive(&mut Cursor::new(vec![0xFF; 100_000])).await.unwrap_err();
        assert!(refused.to_string().contains("65535"), "{refused}");
    }

    #[tokio::test]
    async fn a_silent_dialer_is_given_up() {
        let two = gate(1, 2);
        let (_near, far) = tokio::io::duplex(8192);
        use tokio_util::compat::TokioAsyncReadCompatExt;
        let patience = Duration::from_millis(20);
        let refused = two.admit_within(patience, &mut far.compat(), id(1), false).await;
        assert!(matches!(refused, Err(AdmissionError::TimedOut)), "{refused:?}");
    }
}
