//! What a node needs to take part.

use manifest::admission::guide::Guide;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::key::SigningKey;

use crate::allowance::{Allowance, Rates};
use crate::limits::ASSEMBLY_BYTES;

/// How a node shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The vendor's own: holds everything and spreads it thinly.
    Origin,
    /// An installation.
    #[default]
    Peer,
    /// One that seeks every member it hears of, to read its log.
    Auditor,
}

/// What a node needs to take part.
#[derive(Debug, Clone)]
pub struct Options {
    /// The peer key: who we are to others.
    pub identity: SigningKey,
    /// Our credential chain, encoded.
    pub chain: Vec<u8>,
    /// What we believe.
    pub trust: WorkgroupTrust,
    /// What leads those back who were away for long.
    pub guide: Guide,
    /// Multiaddresses to listen on, such as `/ip4/0.0.0.0/udp/0/quic-v1`.
    pub listen: Vec<String>,
    /// Multiaddresses to begin with, with or without `/p2p/…`: the ticket's,
    /// and those of peers that the program remembers.
    pub bootstrap: Vec<String>,
    /// Whether to look for members on the local network.
    pub dns_sd: bool,
    /// Bytes a second sent at most; zero shares nothing.
    pub upload_bytes_per_second: Option<u64>,
    /// Bytes a second asked for at most.
    pub download_bytes_per_second: Option<u64>,
    /// Of these, bytes a second sent to and asked of those beyond the local
    /// network; what is carried for others counts as sent.
    pub far: Rates,
    /// How we share.
    pub role: Role,
    /// Whether members whom networks hide may be reached through us, within
    /// bounds, once we can be reached ourselves.
    pub relay: bool,
    /// Bytes of objects under way that may be in memory.
    pub assembly_bytes: usize,
}

impl Options {
    /// The least: listens nowhere, knows nobody, shares without limit.
    #[must_use]
    pub fn new(identity: SigningKey, chain: Vec<u8>, trust: WorkgroupTrust) -> Self {
        Self {
            identity,
            chain,
            trust,
            guide: Guide::default(),
            listen: Vec::new(),
            bootstrap: Vec::new(),
            dns_sd: false,
            upload_bytes_per_second: None,
            download_bytes_per_second: None,
            far: Rates::default(),
            role: Role::Peer,
            relay: true,
            assembly_bytes: ASSEMBLY_BYTES,
        }
    }
}

impl Options {
    /// What may move.
    #[must_use]
    pub const fn allowance(&self) -> Allowance {
        let all = Rates { up: self.upload_bytes_per_second, down: self.download_bytes_per_second };
        Allowance { all, far: self.far }
    }
}

/// A node that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is no multiaddress.
    #[error("{found:?} is not a multiaddress like /ip4/192.0.2.1/udp/4001/quic-v1")]
    Address {
        /// What was given.
        found: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// Where.
        address: String,
        /// The reason.
        why: String,
    },
    /// There is no tokio runtime to run on.
    #[error("the swarm runs on tokio, and there is no runtime here")]
    NoRuntime,
}
