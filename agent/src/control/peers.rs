//! Who gives and takes what: the members that this agent has met.

use manifest::admission::installation::InstallationId;
use manifest::key::PublicKey;
use serde::{Deserialize, Serialize};

/// The members that an agent has met, connected ones first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeersView {
    /// Bytes of objects and their protocol that members sent us since the
    /// agent started.
    pub received: u64,
    /// Bytes of objects and their protocol that we sent members since then.
    pub sent: u64,
    /// Bytes of these a second that come, of late.
    #[serde(default)]
    pub receiving: u64,
    /// Bytes of these a second that go out, of late.
    #[serde(default)]
    pub sending: u64,
    /// One entry a member.
    pub peers: Vec<PeerView>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its peer key.
    pub key: PublicKey,
    /// Its installation; nothing while it is not connected.
    pub installation: Option<InstallationId>,
    /// Its organisation; nothing while it is not connected.
    pub organisation: Option<String>,
    /// What it is to us.
    pub way: Way,
    /// Whether it is one of the vendor's own seeders.
    pub origin: bool,
    /// Where it can be dialled, with `/p2p/…`.
    pub addresses: Vec<String>,
    /// Bytes that it sent us since the agent started.
    pub received: u64,
    /// Bytes that we sent it since then.
    pub sent: u64,
    /// Whether it is on our own local network, where no limit for the world
    /// holds.
    #[serde(default)]
    pub near: bool,
    /// Bytes a second that it sends us, of late.
    #[serde(default)]
    pub receiving: u64,
    /// Bytes a second that we send it, of late.
    #[serde(default)]
    pub sending: u64,
}

/// How a member is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Connected.
    Direct,
    /// Connected through another member, since networks hide one of us.
    Relayed,
    /// Known of, and not connected.
    Absent,
}

impl PeersView {
    /// Orders `peers` as people look for them: connected ones first, then by
    /// what they gave and took.
    #[must_use]
    pub fn new(mut peers: Vec<PeerView>) -> Self {
        peers.sort_by_key(|peer| {
            let moved = peer.received.saturating_add(peer.sent);
            (peer.way == Way::Absent, std::cmp::Reverse(moved), *peer.key.as_bytes())
        });
        let total = |of: fn(&PeerView) -> u64| peers.iter().map(of).fold(0, u64::saturating_add);
        Self {
            received: total(|peer| peer.received),
            sent: total(|peer| peer.sent),
            receiving: total(|peer| peer.receiving),
            sending: total(|peer| peer.sending),
            peers,
        }
    }
}

#[cfg(test)]
mod tests {
    use manifest::key::SigningKey;

    use super::*;

    #[test]
    fn connected_members_that_moved_most_come_first() {
        let peer = |seed: u8, way, received, sent| PeerView {
            key: SigningKey::from_seed(&[seed; 32]).public(),
            installation: None,
            organisation: None,
            way,
            origin: false,
            addresses: Vec::new(),
            received,
            sent,
            near: true,
            receiving: 3,
            sending: 4,
        };
        let view = PeersView::new(vec![
            peer(1, Way::Absent, 900, 0),
            peer(2, Way::Direct, 0, 10),
            peer(3, Way::Relayed, 20, u64::MAX),
        ]);
        let order: Vec<Way> = view.peers.iter().map(|peer| peer.way).collect();
        assert_eq!(order, [Way::Relayed, Way::Direct, Way::Absent]);
        assert_eq!((view.received, view.sent), (920, u64::MAX));
        assert_eq!((view.receiving, view.sending), (9, 12));
    }
}
