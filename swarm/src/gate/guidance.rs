//! Leading back whoever was away while keys were replaced.
//!
//! After a refusal both sides may hand each other newer roots, and what the
//! vendor says now of the other's issuer: all of it signed by itself, little,
//! and seldom. The connection stays refused; whoever was led comes again.

use std::collections::VecDeque;
use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use manifest::admission::chain::CredentialChain;
use manifest::admission::guide::Guide;
use manifest::admission::limits::GUIDE_BYTES;
use manifest::key::PublicKey;
use manifest::time::UnixTime;
use manifest::trust::bundle::Bundle;
use manifest::trust::role::MetadataVersion;
use tokio::sync::mpsc;

use crate::gate::{AdmissionError, Gate, receive, send};
use crate::limits::{GUIDED_AT_ONCE, GUIDES_WITHIN, MAX_GUIDES};

/// The first byte of the frame in which a refused side says where it stands.
const LOST: u8 = 2;

/// Room for what surrounds the files in an answer.
const ANSWER_BYTES: usize = GUIDE_BYTES + 16 * 1024;

/// How one node leads and is led.
#[derive(Debug, Default)]
pub(super) struct Guidance {
    guide: Guide,
    led: Option<mpsc::Sender<Bundle>>,
    given: Pace,
    taken: Pace,
}

/// When something was last done, so that it is not done too often.
#[derive(Debug, Default)]
struct Pace(VecDeque<UnixTime>);

impl Pace {
    /// Whether it may be done once more at `now`; counts it if so.
    fn allows(&mut self, now: UnixTime) -> bool {
        let since = now.before(GUIDES_WITHIN);
        // A clock that was set back must not keep it shut for ever.
        self.0.retain(|then| *then > since && *then <= now);
        let free = self.0.len() < MAX_GUIDES;
        if free {
            self.0.push_back(now);
        }
        free
    }
}

impl Guidance {
    pub(super) fn listen(&mut self) -> mpsc::Receiver<Bundle> {
        let (sender, receiver) = mpsc::channel(GUIDED_AT_ONCE);
        self.led = Some(sender);
        receiver
    }

    pub(super) fn set(&mut self, guide: Guide) {
        self.guide = guide;
    }

    pub(super) fn version(&self) -> u64 {
        self.guide.version().get()
    }
}

impl Gate {
    /// The refusing side: hears where the other stands, is led if that is
    /// further, and leads if we are.
    pub(super) async fn lead<S>(&self, stream: &mut S) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let frame = receive(stream).await?;
        let Some((theirs, issuer)) = standing(&frame) else { return Ok(()) };
        if theirs.get() > self.state().guidance.version() {
            self.take(stream).await?;
        }
        self.give(stream, theirs, issuer.as_ref()).await?;
        // Closing at once could overtake what was given.
        let _ = tokio::time::timeout(super::LINGER, stream.read(&mut [0])).await;
        Ok(())
    }

    /// The refused side: says where it stands, leads the other side, whose root
    /// is `theirs`, if that is behind, and is led.
    pub(super) async fn follow<S>(&self, stream: &mut S, theirs: u64) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ours = self.state().guidance.version();
        let issuer = CredentialChain::parse(&self.state().own.chain).ok();
        let issuer = issuer.and_then(|chain| chain.issuer.names());
        let issuer: &[u8] = issuer.as_ref().map_or(&[], |key| key.as_bytes());
        send(stream, &[&[LOST], &ours.to_be_bytes(), issuer]).await?;
        if let Some(theirs) = MetadataVersion::new(theirs).filter(|theirs| theirs.get() < ours) {
            self.give(stream, theirs, None).await?;
        }
        self.take(stream).await
    }

    /// Hands over what leads on from root version `from`, or an empty bundle
    /// if it has led too many of late.
    async fn give<S>(
        &self,
        stream: &mut S,
        from: MetadataVersion,
        issuer: Option<&PublicKey>,
    ) -> io::Result<()>
    where
        S: AsyncWrite + Unpin,
    {
        let now = self.now();
        let bundle = {
            let mut state = self.state();
            let bundle = state.guidance.guide.beyond(from, issuer, &state.trust);
            let has_some = bundle.files().next().is_some();
            if has_some && state.guidance.given.allows(now) { bundle } else { Bundle::new() }
        };
        let bytes = bundle.encode();
        let len = u32::try_from(bytes.len()).expect("a guide's answer is short");
        stream.write_all(&len.to_be_bytes()).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await
    }

    /// Takes what the other side hands over, and tells the program of it.
    async fn take<S>(&self, stream: &mut S) -> Result<(), AdmissionError>
    where
        S: AsyncRead + Unpin,
    {
        let mut len = [0; 4];
        stream.read_exact(&mut len).await?;
        let len = u32::from_be_bytes(len) as usize;
        if len > ANSWER_BYTES {
            let found = format!("{len} bytes");
            return Err(AdmissionError::Frame { expected: "a short way back", found });
        }
        let now = self.now();
        let mut bytes = vec![0; len];
        stream.read_exact(&mut bytes).await?;
        let wrong = |error| AdmissionError::Frame {
            expected: "a bundle of roots",
            found: format!("{error}"),
        };
        let bundle = Bundle::decode(&bytes, ANSWER_BYTES).map_err(wrong)?;
        let mut state = self.state();
        if bundle.files().next().is_some() && state.guidance.taken.allows(now) {
            // A program that is still busy with another is led by the next.
            let _ = state.guidance.led.as_ref().map(|led| led.try_send(bundle));
        }
        Ok(())
    }
}

/// Where a refused side stands: its root's version, and its issuer.
fn standing(frame: &[u8]) -> Option<(MetadataVersion, Option<PublicKey>)> {
    let rest = frame.strip_prefix(&[LOST])?;
    let (version, issuer) = rest.split_first_chunk()?;
    let version = MetadataVersion::new(u64::from_be_bytes(*version))?;
    match issuer.len() {
        0 => Some((version, None)),
        _ => Some((version, Some(PublicKey::from_bytes(issuer.try_into().ok()?)))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use libp2p::PeerId;
    use manifest::admission::credential::Role;
    use manifest::admission::guide::statement_in;
    use manifest::admission::issuer::SignedIssuer;
    use manifest::admission::issuers::Issuers;
    use manifest::admission::workgroup::WorkgroupTrust;
    use manifest::testing::{TestWorkgroup, key};
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;
    use crate::gate::peer_id;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    fn version(number: u64) -> MetadataVersion {
        MetadataVersion::new(number).unwrap()
    }

    fn id(who: u64) -> PeerId {
        peer_id(&TestWorkgroup::peer_key(who).public()).unwrap()
    }

    /// A member of the days before the workgroup's key was replaced.
    fn sleeper(who: u64) -> (Arc<Gate>, mpsc::Receiver<Bundle>) {
        let group = TestWorkgroup::new(1);
        let chain = group.credential(who, Role::Member, NOW).encode().unwrap();
        let gate = Gate::new(group.trust, chain, || NOW);
        let guided = gate.guided();
        (gate, guided)
    }

    /// One who knows root 4, which names the new key alone; `listed` says
    /// whether the vendor has signed the members' issuer anew.
    fn awake(who: u64, listed: bool) -> (Arc<Gate>, mpsc::Receiver<Bundle>) {
        let (group, new) = (TestWorkgroup::new(1), key(77));
        let ticket = group.ticket(&[Role::Member], NOW);
        let statement = group.statement(&ticket.issuer_key, &[Role::Member], NOW);
        let signed = SignedIssuer::sign(&statement, &new).unwrap();
        let trust = WorkgroupTrust::new(group.trust.id(), vec![new.public()]).unwrap();
        let mut issuers = Issuers::default();
        issuers.set(signed).unwrap();
        let full = trust.clone().with_issuers(&issuers);
        let (log, peer) = (TestWorkgroup::log_key(who), TestWorkgroup::peer_key(who));
        let chain = ticket.admit(&full, Role::Member, &log, &peer, NOW).unwrap();
        let gate = Gate::new(if listed { full } else { trust }, chain.encode().unwrap(), || NOW);
        gate.set_guide(Guide::to(version(4), |version| Some(vec![version.get() as u8])));
        let guided = gate.guided();
        (gate, guided)
    }

    async fn meet(dialer: &Gate, listener: &Gate) -> [Result<(), AdmissionError>; 2] {
        let (near, far) = tokio::io::duplex(8192);
        let (mut near, mut far) = (near.compat(), far.compat());
        let (a, b) = futures::join!(
            dialer.admit(&mut near, id(2), true),
            listener.admit(&mut far, id(1), false)
        );
        [a, b]
    }

    fn names(bundle: &Bundle) -> Vec<&str> {
        bundle.files().map(|(name, _)| name).collect()
    }

    #[tokio::test]
    async fn a_sleeper_who_dials_is_led_back() {
        let (dialer, mut led) = sleeper(1);
        let (listener, _) = awake(2, false);
        let [dialed, answered] = meet(&dialer, &listener).await;
        assert!(matches!(dialed, Err(AdmissionError::RefusedByThem { .. })), "{dialed:?}");
        assert!(matches!(answered, Err(AdmissionError::Refused(_))), "{answered:?}");
        let bundle = led.try_recv().unwrap();
        assert_eq!(names(&bundle), ["2.root.json", "3.root.json", "4.root.json"]);
    }

    #[tokio::test]
    async fn a_sleeper_who_is_still_believed_but_cannot_believe_is_led_back() {
        let (dialer, mut led) = sleeper(1);
        let (listener, _) = awake(2, true);
        let [dialed, answered] = meet(&dialer, &listener).await;
        assert!(matches!(dialed, Err(AdmissionError::Refused(_))), "{dialed:?}");
        assert!(matches!(answered, Err(AdmissionError::RefusedByThem { .. })), "{answered:?}");
        assert_eq!(led.try_recv().unwrap().files().count(), 3);
    }

    #[tokio::test]
    async fn a_sleeper_who_is_dialled_is_led_back() {
        let (dialer, _) = awake(1, true);
        let (listener, mut led) = sleeper(2);
        let [dialed, answered] = meet(&dialer, &listener).await;
        assert!(matches!(dialed, Err(AdmissionError::RefusedByThem { .. })), "{dialed:?}");
        assert!(matches!(answered, Err(AdmissionError::Refused(_))), "{answered:?}");
        assert_eq!(led.try_recv().unwrap().files().count(), 3);
    }

    #[tokio::test]
    async fn the_word_on_ones_issuer_comes_with_the_roots() {
        let (listener, _) = awake(2, true);
        let (near, far) = tokio::io::duplex(8192);
        let (mut near, mut far) = (near.compat(), far.compat());
        let (dialer, mut led) = sleeper(1);
        let refusal = async {
            let _ = futures::join!(dialer.follow(&mut near, 4), listener.lead(&mut far));
        };
        refusal.await;
        let statement = statement_in(&led.try_recv().unwrap()).unwrap();
        let issuer = TestWorkgroup::new(1).ticket(&[Role::Member], NOW).issuer_key.public();
        assert_eq!(statement.names(), Some(issuer));
    }

    #[tokio::test]
    async fn strangers_are_led_nowhere() {
        // Another workgroup's member, and a member's chain in other hands.
        let stranger = TestWorkgroup::new(9);
        let chain = stranger.credential(1, Role::Member, NOW).encode().unwrap();
        let gate = Gate::new(stranger.trust, chain, || NOW);
        gate.set_guide(Guide::to(version(9), |_| Some(vec![9])));
        let mut led = gate.guided();
        let (listener, mut misled) = awake(2, true);
        let [dialed, _] = meet(&gate, &listener).await;
        assert!(matches!(dialed, Err(AdmissionError::RefusedByThem { .. })), "{dialed:?}");
        assert!(led.try_recv().is_err() && misled.try_recv().is_err());

        let (thief, mut led) = sleeper(3);
        let (near, far) = tokio::io::duplex(8192);
        let (mut near, mut far) = (near.compat(), far.compat());
        let (_, answered) = futures::join!(
            thief.admit(&mut near, id(2), true),
            listener.admit(&mut far, id(1), false)
        );
        assert!(answered.is_err());
        assert!(led.try_recv().is_err(), "the chain is of another key");
    }

    #[tokio::test]
    async fn a_crowd_is_led_a_few_at_a_time() {
        let (listener, _) = awake(2, false);
        let (dialer, mut led) = sleeper(1);
        let mut led_back = 0;
        for _ in 0..MAX_GUIDES + 5 {
            let _ = meet(&dialer, &listener).await;
            led_back += usize::from(led.try_recv().is_ok());
        }
        assert_eq!(led_back, MAX_GUIDES);
    }

    #[tokio::test]
    async fn a_giant_way_back_is_refused_before_memory_is_taken() {
        let (gate, _) = sleeper(1);
        let bytes = [&u32::MAX.to_be_bytes()[..], &[0; 64]].concat();
        let refused = gate.take(&mut futures::io::Cursor::new(bytes)).await.unwrap_err();
        assert!(refused.to_string().contains("4294967295"), "{refused}");
        let garbage = [&4_u32.to_be_bytes()[..], b"UPDB"].concat();
        assert!(gate.take(&mut futures::io::Cursor::new(garbage)).await.is_err());
    }

    #[test]
    fn frames_that_say_nothing_are_none() {
        assert_eq!(standing(b""), None);
        assert_eq!(standing(&[LOST, 0, 0, 0]), None);
        assert_eq!(standing(&[&[LOST][..], &0_u64.to_be_bytes()].concat()), None);
        assert_eq!(standing(&[&[LOST][..], &7_u64.to_be_bytes(), &[1; 31]].concat()), None);
        let (found, issuer) =
            standing(&[&[LOST][..], &7_u64.to_be_bytes(), &[1; 32]].concat()).unwrap();
        assert_eq!((found.get(), issuer), (7, Some(PublicKey::from_bytes([1; 32]))));
    }
}
