//! Brings metadata from several sources and hands it to the applier.
//!
//! Each source answers by itself, and none can end a refresh while another
//! is honest: what one brings is believed as far as it verifies, and the next
//! goes on from there. Where the first few lead nowhere, others are asked.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use manifest::trust::bundle::Bundle;
use manifest::trust::exchange::{Announcement, MetadataRequest};
use manifest::trust::limits::BUNDLE_BYTES;
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::role::RoleName;
use manifest::trust::trusted::TrustedSet;

use crate::applier::metadata::Taken;
use crate::clock;
use crate::limits::{REFRESH_GRACE, REFRESH_MIRRORS, REFRESH_PEERS, SOURCE_PATIENCE};
use crate::mirror::Mirror;
use crate::network::Network;
use crate::network::fetch::cause;
use crate::network::peers::{NoRoute, Peer};

/// No source led to the end of a refresh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefreshFailure {
    /// There is nobody to ask.
    #[error("{0}")]
    NoRoute(NoRoute),
    /// Those who were asked did not help.
    #[error("{}", reasons.join("; "))]
    Refused {
        /// What is wrong with each source's answer.
        reasons: Vec<String>,
    },
}

/// Why a source did not lead to the end.
struct NoLead {
    reason: String,
    /// Whether what it sent was signed by nobody we know, or is no metadata.
    forged: bool,
}

impl From<String> for NoLead {
    fn from(reason: String) -> Self {
        Self { reason, forged: false }
    }
}

/// Who is asked.
#[derive(Clone)]
enum Source {
    Peer(Peer),
    Mirror(Mirror),
}

impl Source {
    fn name(&self) -> String {
        match self {
            Self::Peer(peer) => format!("peer {}", &peer.key.to_string()[..12]),
            Self::Mirror(mirror) => mirror.base().to_owned(),
        }
    }
}

/// Who is asked, a few at a time: members and mirrors in an order that nobody
/// can choose, one of the vendor's own with the first.
fn rounds(mut peers: Vec<Peer>, mirrors: &[Mirror], chance: &RandomState) -> Vec<Vec<Source>> {
    peers.sort_by_cached_key(|peer| chance.hash_one(peer.key.as_bytes()));
    if let Some(origin) = peers.iter().position(|peer| peer.is_origin) {
        peers[..=origin].rotate_right(1);
    }
    let mut mirrors = mirrors.to_vec();
    mirrors.sort_by_cached_key(|mirror| chance.hash_one(mirror.base()));
    let (mut peers, mut mirrors) = (peers.into_iter().peekable(), mirrors.into_iter().peekable());
    let mut rounds = Vec::new();
    while peers.peek().is_some() || mirrors.peek().is_some() {
        let some = peers.by_ref().take(REFRESH_PEERS).map(Source::Peer);
        let round: Vec<Source> =
            some.chain(mirrors.by_ref().take(REFRESH_MIRRORS).map(Source::Mirror)).collect();
        rounds.push(round);
    }
    rounds
}

impl Network {
    /// Brings what is believed up to date; says whether anything was new.
    ///
    /// Sources are asked a few at a time, until one has led to the end.
    ///
    /// # Errors
    /// [`RefreshFailure`] if not one source led to the end.
    pub async fn refresh(&self) -> Result<Taken, RefreshFailure> {
        let mut rounds = rounds(self.peers.connected(), &self.mirrors, &RandomState::new());
        if rounds.is_empty() {
            return Err(RefreshFailure::NoRoute(NoRoute::new(&*self.peers)));
        }
        let mut reasons = Vec::new();
        for sources in rounds.drain(..) {
            let Some(taken) = self.ask(sources, &mut reasons).await else { continue };
            if taken == Taken::Newer {
                self.announce().await;
            }
            return Ok(taken);
        }
        Err(RefreshFailure::Refused { reasons })
    }

    /// Asks these sources at once; nothing if none of them led to the end.
    async fn ask(&self, sources: Vec<Source>, reasons: &mut Vec<String>) -> Option<Taken> {
        let trusted = self.authority.ask(|applier| applier.trusted().clone()).await;
        let mut answers: FuturesUnordered<_> = sources
            .into_iter()
            .map(|source| async {
                let answer = tokio::time::timeout(SOURCE_PATIENCE, self.gather(&source, &trusted));
                let answer = answer.await.unwrap_or_else(|_| {
                    let seconds = SOURCE_PATIENCE.as_secs();
                    Err(NoLead::from(format!("no answer within {seconds} seconds")))
                });
                (source, answer)
            })
            .collect();
        let mut led: Option<Taken> = None;
        loop {
            // Once one source has led to the end, the others have little time
            // left to know of something newer.
            let patience = match led {
                Some(_) => REFRESH_GRACE,
                None => SOURCE_PATIENCE + Duration::from_secs(1),
            };
            let Ok(Some((source, answer))) = tokio::time::timeout(patience, answers.next()).await
            else {
                return led;
            };
            match self.believe(answer).await {
                Ok(Taken::Newer) => led = Some(Taken::Newer),
                Ok(Taken::Nothing) => led = led.or(Some(Taken::Nothing)),
                Err(NoLead { reason, forged }) => {
                    if let (Source::Peer(peer), true) = (&source, forged) {
                        self.peers.doubt(peer.key).await;
                    }
                    let reason = format!("{}: {reason}", source.name());
                    tracing::info!(%reason, "a source did not lead to the end of the refresh");
                    reasons.push(reason);
                }
            }
        }
    }

    /// Asks a member that has just been met for what we lack: it may have been
    /// where news is that never came to us. Whether anything was new.
    pub async fn hear_from(&self, peer: Peer) -> bool {
        let trusted = self.authority.ask(|applier| applier.trusted().clone()).await;
        let source = Source::Peer(peer);
        let answer = tokio::time::timeout(SOURCE_PATIENCE, self.gather(&source, &trusted));
        let Ok(answer) = answer.await else { return false };
        match self.believe(answer).await {
            Ok(Taken::Newer) => {
                self.announce().await;
                true
            }
            Ok(Taken::Nothing) => false,
            Err(NoLead { reason, forged }) => {
                tracing::debug!(source = source.name(), %reason, "a member that was met told nothing");
                if forged {
                    self.peers.doubt(peer.key).await;
                }
                false
            }
        }
    }

    async fn believe(&self, answer: Result<Bundle, NoLead>) -> Result<Taken, NoLead> {
        let bundle = answer?;
        let now = clock::wall();
        let taken = self.authority.ask(move |applier| applier.take_metadata(&bundle, now)).await;
        taken.map_err(|error| NoLead { reason: cause(&error), forged: error.is_forged() })
    }

    /// What one source has that we have not.
    async fn gather(&self, source: &Source, trusted: &TrustedSet) -> Result<Bundle, NoLead> {
        match source {
            Source::Peer(peer) => {
                let request = MetadataRequest::of(trusted).encode();
                let answer = self.peers.ask_metadata(peer.key, request).await?;
                self.meter.add_peer(peer.key, peer.is_origin, answer.len() as u64);
                let bundle = Bundle::decode(&answer, BUNDLE_BYTES);
                bundle.map_err(|error| NoLead { reason: error.to_string(), forged: true })
            }
            Source::Mirror(mirror) => Ok(self.gather_from_mirror(mirror, trusted.clone()).await?),
        }
    }

    /// A mirror has files, no answers: a refresh of our own says which.
    async fn gather_from_mirror(
        &self,
        mirror: &Mirror,
        trusted: TrustedSet,
    ) -> Result<Bundle, String> {
        let mut bundle = Bundle::new();
        let mut refresh = Refresh::new(trusted, clock::wall(), vec![self.role.clone()])
            .and_if_delegated(vec![RoleName::WORKGROUP]);
        while let Some(output) = refresh.poll() {
            let Output::Want { name, max_len } = output else { continue };
            let input = match mirror.metadata(&name, max_len).await {
                Ok(None) => Input::NotFound,
                Ok(Some(bytes)) => {
                    self.meter.add_mirror(bytes.len() as u64);
                    bundle.put(name, bytes.clone()).map_err(|error| error.to_string())?;
                    Input::File(bytes)
                }
                Err(error) => return Err(cause(&error)),
            };
            // What does not verify ends it here; the applier will say why.
            if refresh.handle(input).is_err() {
                break;
            }
        }
        Ok(bundle)
    }

    /// Tells all members what is believed now.
    pub async fn announce(&self) {
        let message = self.authority.ask(|applier| Announcement::of(applier.trusted())).await;
        if let Some(message) = message {
            self.peers.publish(message.encode()).await;
        }
    }

    /// The answer to a member that asks for metadata, if it asks well.
    pub async fn answer_metadata(&self, request: &[u8]) -> Option<Vec<u8>> {
        let request = MetadataRequest::decode(request).ok()?;
        let answer = self
            .authority
            .ask(move |applier| request.answer(applier.trusted(), |version| applier.root(version)));
        Some(answer.await.encode())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use manifest::testing::key;

    use super::*;

    fn mirrors(count: usize) -> Vec<Mirror> {
        (0..count).map(|i| Mirror::new(&format!("http://mirror-{i}")).unwrap()).collect()
    }

    fn members(count: u64, origin: u64) -> Vec<Peer> {
        (0..count).map(|i| Peer { key: key(i).public(), is_origin: i == origin }).collect()
    }

    #[test]
    fn everybody_is_asked_once_a_few_at_a_time() {
        let rounds = rounds(members(10, 7), &mirrors(9), &RandomState::new());
        let names: Vec<String> = rounds.iter().flatten().map(Source::name).collect();
        assert_eq!(names.len(), 19);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 19);
        for round in rounds {
            let peers = round.iter().filter(|source| matches!(source, Source::Peer(_))).count();
            assert!(peers <= REFRESH_PEERS && round.len() - peers <= REFRESH_MIRRORS);
        }
        assert!(super::rounds(Vec::new(), &[], &RandomState::new()).is_empty());
    }

    #[test]
    fn one_of_the_vendors_own_is_among_the_first() {
        for _ in 0..20 {
            let rounds = rounds(members(10, 7), &mirrors(9), &RandomState::new());
            let is_origin = |source: &Source| matches!(source, Source::Peer(p) if p.is_origin);
            assert!(rounds[0].iter().any(is_origin));
        }
    }

    #[test]
    fn nobody_is_always_first() {
        let first = || rounds(Vec::new(), &mirrors(5), &RandomState::new())[0][0].name();
        // Five mirrors, two hundred draws: one that is missed would be a wonder.
        let drawn: BTreeSet<String> = (0..200).map(|_| first()).collect();
        assert_eq!(drawn.len(), 5);
    }
}
