//! The swarm as the agent uses it: members to fetch from and to serve, and
//! news from them.

use std::path::PathBuf;
use std::sync::Arc;

use manifest::admission::chain::Member;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::audit::event::Event;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::identity::Identity;
use crate::limits::NEWS;
use crate::network::Network;
use crate::network::peers::{NoPeers, Partial, Peers};

/// The swarm cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {}

/// What members brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Newer metadata was announced, verified, and is believed.
    Metadata,
    /// A member was met.
    Met,
    /// Installed files that should be served differ from the manifest.
    Damaged,
}

/// The agent's place in the swarm.
pub struct Swarming {
    peers: Arc<dyn Peers>,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

impl Swarming {
    /// Joins the swarm.
    ///
    /// # Errors
    /// [`SwarmError`].
    pub async fn start(
        _config: &Config,
        _identity: &Identity,
        _trust: &WorkgroupTrust,
    ) -> Result<Self, SwarmError> {
        let (sender, news) = mpsc::channel(NEWS);
        Ok(Self { peers: Arc::new(NoPeers), sender, news })
    }

    /// The members that are met.
    #[must_use]
    pub fn peers(&self) -> Arc<dyn Peers> {
        Arc::clone(&self.peers)
    }

    /// Answers members out of `network` and the log in the directory `log`.
    pub fn answer(&mut self, _network: Arc<Network>, _log: PathBuf) {
        let _ = &self.sender;
    }

    /// What members brought about next; `None` once the swarm is left.
    pub async fn news(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Follows newer workgroup keys.
    pub fn set_trust(&self, _trust: WorkgroupTrust) {}

    /// Shows a renewed credential from now on.
    pub fn set_chain(&self, _identity: &Identity) {}

    /// Where this installation can be met.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        Vec::new()
    }

    /// How far each object that is being fetched is.
    #[must_use]
    pub fn partial(&self) -> Vec<Partial> {
        Vec::new()
    }
}

/// The entry that tells of a renewed credential.
#[must_use]
pub fn renewal(member: &Member) -> Event {
    let Member { issuer, peer_key, expires, .. } = *member;
    Event::Renewed { issuer, peer_key, expires }
}
