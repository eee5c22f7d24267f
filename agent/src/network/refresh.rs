//! Brings metadata from several sources and hands it to the applier.
//!
//! Each source answers by itself, and none can end a refresh while another
//! is honest: what one brings is believed as far as it verifies, and the next
//! goes on from there.

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

impl Network {
    /// Brings what is believed up to date; says whether anything was new.
    ///
    /// # Errors
    /// [`RefreshFailure`] if not one source led to the end.
    pub async fn refresh(&self) -> Result<Taken, RefreshFailure> {
        let trusted = self.authority.ask(|applier| applier.trusted().clone()).await;
        let sources = self.sources();
        if sources.is_empty() {
            return Err(RefreshFailure::NoRoute(NoRoute::new(&*self.peers)));
        }
        let mut answers: FuturesUnordered<_> = sources
            .into_iter()
            .map(|source| async {
                let answer = tokio::time::timeout(SOURCE_PATIENCE, self.gather(&source, &trusted));
                let answer = answer.await.unwrap_or_else(|_| {
                    Err(format!("no answer within {} seconds", SOURCE_PATIENCE.as_secs()))
                });
                (source, answer)
            })
            .collect();
        let (mut good, mut newer, mut reasons) = (false, false, Vec::new());
        loop {
            // Once one source has led to the end, the others have little time
            // left to know of something newer.
            let patience =
                if good { REFRESH_GRACE } else { SOURCE_PATIENCE + Duration::from_secs(1) };
            let Ok(Some((source, answer))) = tokio::time::timeout(patience, answers.next()).await
            else {
                break;
            };
            match self.believe(answer).await {
                Ok(taken) => {
                    good = true;
                    newer |= taken == Taken::Newer;
                }
                Err(reason) => {
                    let reason = format!("{}: {reason}", source.name());
                    tracing::info!(%reason, "a source did not lead to the end of the refresh");
                    reasons.push(reason);
                }
            }
        }
        if !good {
            return Err(RefreshFailure::Refused { reasons });
        }
        if newer {
            self.announce().await;
        }
        Ok(if newer { Taken::Newer } else { Taken::Nothing })
    }

    /// A few peers in turn, one of the vendor's among them, and the mirrors.
    fn sources(&self) -> Vec<Source> {
        let mut peers = self.peers.connected();
        // Peers come in no order that they could choose; an origin goes first.
        peers.sort_by_key(|peer| !peer.is_origin);
        let origins = peers.iter().filter(|peer| peer.is_origin).take(1);
        let others = peers.iter().filter(|peer| !peer.is_origin).take(REFRESH_PEERS - 1);
        let peers = origins.chain(others).map(|peer| Source::Peer(*peer));
        let mirrors = self.mirrors.iter().take(REFRESH_MIRRORS).cloned().map(Source::Mirror);
        peers.chain(mirrors).collect()
    }

    async fn believe(&self, answer: Result<Bundle, String>) -> Result<Taken, String> {
        let bundle = answer?;
        let now = clock::wall();
        let taken = self.authority.ask(move |applier| applier.take_metadata(&bundle, now)).await;
        taken.map_err(|error| cause(&error))
    }

    /// What one source has that we have not.
    async fn gather(&self, source: &Source, trusted: &TrustedSet) -> Result<Bundle, String> {
        match source {
            Source::Peer(peer) => {
                let request = MetadataRequest::of(trusted).encode();
                let answer = self.peers.ask_metadata(peer.key, request).await?;
                self.meter.add_peer(peer.key, peer.is_origin, answer.len() as u64);
                Bundle::decode(&answer, BUNDLE_BYTES).map_err(|error| error.to_string())
            }
            Source::Mirror(mirror) => self.gather_from_mirror(mirror, trusted.clone()).await,
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
