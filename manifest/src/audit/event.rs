//! What happened: the events that an entry can tell of.
//!
//! A reader meets logs of newer agents, so an event of a kind it does not
//! know is kept as it stands: the chain still proves that nobody changed it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::admission::workgroup::WorkgroupId;
use crate::audit::hash::LogHash;
use crate::audit::limits::{KEY_IDS, PEERS};
use crate::audit::text::Text;
use crate::content::ContentId;
use crate::key::PublicKey;
use crate::name::{ChannelName, Platform, ProductName, ReleaseNumber, ReleaseVersion};
use crate::time::UnixTime;

/// A release as an entry names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// Its name to people.
    pub version: ReleaseVersion,
    /// Its place among the product's releases.
    pub number: ReleaseNumber,
    /// The release manifest, and through it every byte of the release.
    pub manifest: ContentId,
}

/// Which trusted metadata led to a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MetadataVersions {
    /// Version of root.
    pub root: u64,
    /// Version of timestamp.
    pub timestamp: u64,
    /// Version of snapshot.
    pub snapshot: u64,
    /// Version of targets.
    pub targets: u64,
    /// Version of the channel's delegated role.
    pub channel: u64,
}

/// Where the bytes of an update came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// From the vendor's own seeders.
    pub origin: u64,
    /// From other installations.
    pub peers: u64,
    /// From HTTP mirrors.
    pub mirror: u64,
    /// Already on this machine's disk, never fetched.
    pub disk: u64,
    /// The largest senders among origin and peers.
    pub by_peer: Vec<PeerBytes>,
}

/// What one peer sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerBytes {
    /// Its peer key.
    pub peer: PublicKey,
    /// Bytes of objects received from it.
    pub bytes: u64,
}

/// What the probe said of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "kebab-case")]
pub enum Verdict {
    /// The release declares no probe.
    NotDeclared,
    /// It found the release well.
    Passed {
        /// How long it took.
        seconds: u64,
    },
    /// It found the release ill.
    Failed {
        /// Its exit code, unless a signal ended it.
        exit_code: Option<i32>,
    },
    /// It said nothing until its deadline.
    TimedOut {
        /// The deadline.
        seconds: u64,
    },
    /// It could not be started.
    NotStarted {
        /// Why.
        reason: Text,
    },
}

/// One thing that happened to an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// The installation was made from a ticket; the first entry of its log.
    Joined {
        /// The workgroup.
        workgroup: WorkgroupId,
        /// What is installed.
        product: ProductName,
        /// From which line of releases.
        channel: ChannelName,
        /// For which platform.
        platform: Platform,
        /// The machine's own name.
        host: Text,
        /// The issuer's organisation.
        organisation: Text,
        /// The issuer's key.
        issuer: PublicKey,
        /// The installation's peer key.
        peer_key: PublicKey,
    },
    /// The agent started.
    Started {
        /// The agent's version.
        agent: Text,
        /// The machine's own name.
        host: Text,
        /// What is installed, if anything is.
        release: Option<ReleaseRef>,
    },
    /// The agent stopped.
    Stopped {
        /// Why.
        reason: Text,
    },
    /// The credential was renewed.
    Renewed {
        /// Who signed it.
        issuer: PublicKey,
        /// The peer key that it binds.
        peer_key: PublicKey,
        /// When it ends.
        expires: UnixTime,
    },
    /// Newer metadata was verified and is trusted now.
    Refreshed {
        /// The versions trusted now.
        metadata: MetadataVersions,
        /// The keys that signed the channel's role.
        key_ids: Vec<Text>,
        /// The newest release that it offers.
        offered: Option<ReleaseRef>,
    },
    /// Something offered was refused because it could not be trusted.
    Refused {
        /// What: a role, a manifest, a piece, a ticket.
        what: Text,
        /// What was expected and what was found.
        reason: Text,
        /// Who offered it, if a peer did.
        peer: Option<PublicKey>,
    },
    /// A newer release is known and is not installed.
    Deferred {
        /// What runs.
        from: Option<ReleaseRef>,
        /// What could be installed.
        to: ReleaseRef,
        /// Why not.
        reason: Text,
    },
    /// An update began.
    Began {
        /// What runs.
        from: Option<ReleaseRef>,
        /// What shall run.
        to: ReleaseRef,
        /// What led to it.
        metadata: MetadataVersions,
        /// Bytes that the plan means to fetch.
        wire_bytes: u64,
    },
    /// The new release is whole on the disk, and verified.
    Staged {
        /// What runs.
        from: Option<ReleaseRef>,
        /// What is staged.
        to: ReleaseRef,
        /// Where its bytes came from.
        traffic: Traffic,
    },
    /// The switch is about to happen; durable before it does.
    Switching {
        /// What ran.
        from: Option<ReleaseRef>,
        /// What shall run.
        to: ReleaseRef,
        /// The metadata that vouches for it.
        metadata: MetadataVersions,
        /// The keys that signed the channel's role.
        key_ids: Vec<Text>,
        /// Why: offered, rollback by the owner, rollback by the probe.
        reason: Text,
    },
    /// The new release proved itself.
    Committed {
        /// What ran before.
        from: Option<ReleaseRef>,
        /// What runs.
        to: ReleaseRef,
        /// What the probe said.
        verdict: Verdict,
    },
    /// A release was left for the one before it.
    RolledBack {
        /// The release that was left.
        from: ReleaseRef,
        /// What runs again, if anything does.
        to: Option<ReleaseRef>,
        /// What the probe said.
        verdict: Verdict,
        /// Why.
        reason: Text,
    },
    /// An update ended without a switch.
    Failed {
        /// What should have been installed.
        to: ReleaseRef,
        /// What was being done: planning, transferring, staging, switching.
        during: Text,
        /// What went wrong.
        reason: Text,
    },
    /// After a restart an update was found half done, and was settled.
    Recovered {
        /// The state that was found.
        found: Text,
        /// What runs now.
        release: Option<ReleaseRef>,
    },
    /// The installed files were compared with the signed manifest.
    Checked {
        /// The release.
        release: ReleaseRef,
        /// Files that differ or are missing.
        damaged: u64,
    },
    /// What is signed has ended, and nobody had anything newer: what is
    /// installed runs on, and nothing new is begun.
    Expired {
        /// What has ended, such as `timestamp, snapshot`.
        what: Text,
    },
    /// This machine was restored from older state, and learned that its log
    /// had gone further; a new epoch begins here.
    Restored {
        /// The head of the log as restored.
        here: TreeHead,
        /// The later head that was signed before.
        later: TreeHead,
    },
    /// An event of a kind that this reader does not know, as it stands.
    #[serde(untagged)]
    Other(serde_json::Value),
}

/// The size and root of a log's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeHead {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: LogHash,
}

impl Traffic {
    /// Bytes that crossed the network.
    #[must_use]
    pub const fn wire_bytes(&self) -> u64 {
        self.origin.saturating_add(self.peers).saturating_add(self.mirror)
    }

    /// Names the largest senders, as many as an entry may; the sums stay.
    #[must_use]
    pub fn with_peers(mut self, mut by_peer: Vec<PeerBytes>) -> Self {
        by_peer.sort_by_key(|sent| (std::cmp::Reverse(sent.bytes), sent.peer));
        by_peer.truncate(PEERS);
        self.by_peer = by_peer;
        self
    }
}

/// Key ids as an entry names them, at most [`KEY_IDS`].
#[must_use]
pub fn key_ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<Text> {
    ids.into_iter().take(KEY_IDS).map(Text::new).collect()
}

impl Event {
    /// The kind, as the line names it.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Joined { .. } => "joined",
            Self::Started { .. } => "started",
            Self::Stopped { .. } => "stopped",
            Self::Renewed { .. } => "renewed",
            Self::Refreshed { .. } => "refreshed",
            Self::Refused { .. } => "refused",
            Self::Deferred { .. } => "deferred",
            Self::Began { .. } => "began",
            Self::Staged { .. } => "staged",
            Self::Switching { .. } => "switching",
            Self::Committed { .. } => "committed",
            Self::RolledBack { .. } => "rolled-back",
            Self::Failed { .. } => "failed",
            Self::Recovered { .. } => "recovered",
            Self::Checked { .. } => "checked",
            Self::Expired { .. } => "expired",
            Self::Restored { .. } => "restored",
            Self::Other(value) => {
                value.get("kind").and_then(serde_json::Value::as_str).unwrap_or("?")
            }
        }
    }
}

impl fmt::Display for ReleaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (#{})", self.version, self.number)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDeclared => f.write_str("no probe declared"),
            Self::Passed { seconds } => write!(f, "probe passed in {seconds} s"),
            Self::Failed { exit_code: Some(code) } => {
                write!(f, "probe failed with exit code {code}")
            }
            Self::Failed { exit_code: None } => f.write_str("probe was ended by a signal"),
            Self::TimedOut { seconds } => write!(f, "probe said nothing for {seconds} s"),
            Self::NotStarted { reason } => write!(f, "probe could not start: {reason}"),
        }
    }
}

/// What happened, in one line for people.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_nothing = |release: &Option<ReleaseRef>| {
            release.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        match self {
            Self::Joined { product, channel, organisation, .. } => {
                write!(f, "joined {product}/{channel} with a ticket of {organisation}")
            }
            Self::Started { agent, release, .. } => {
                write!(f, "agent {agent} started, {} installed", or_nothing(release))
            }
            Self::Stopped { reason } => write!(f, "agent stopped: {reason}"),
            Self::Renewed { expires, .. } => write!(f, "credential renewed until {expires}"),
            Self::Refreshed { metadata, offered, .. } => write!(
                f,
                "metadata refreshed to timestamp {}, offering {}",
                metadata.timestamp,
                or_nothing(offered)
            ),
            Self::Refused { what, reason, .. } => write!(f, "{what} refused: {reason}"),
            Self::Deferred { to, reason, .. } => write!(f, "{to} not installed: {reason}"),
            Self::Began { from, to, wire_bytes, .. } => {
                write!(f, "update {} -> {to} began, {wire_bytes} bytes to fetch", or_nothing(from))
            }
            Self::Staged { to, traffic, .. } => write!(
                f,
                "{to} staged: {} bytes from origin, {} from peers, {} from mirrors, {} from disk",
                traffic.origin, traffic.peers, traffic.mirror, traffic.disk
            ),
            Self::Switching { from, to, reason, .. } => {
                write!(f, "switching {} -> {to}: {reason}", or_nothing(from))
            }
            Self::Committed { to, verdict, .. } => write!(f, "{to} committed, {verdict}"),
            Self::RolledBack { from, to, verdict, reason } => {
                write!(f, "rolled back {from} -> {}: {reason}, {verdict}", or_nothing(to))
            }
            Self::Failed { to, during, reason } => {
                write!(f, "update to {to} failed while {during}: {reason}")
            }
            Self::Recovered { found, release } => {
                write!(f, "recovered from {found}, {} runs", or_nothing(release))
            }
            Self::Checked { release, damaged: 0 } => write!(f, "{release} checked, intact"),
            Self::Checked { release, damaged } => {
                write!(f, "{release} checked, {damaged} files differ")
            }
            Self::Expired { what } => write!(f, "{what} expired, so nothing new is begun"),
            Self::Restored { here, later } => {
                write!(f, "restored to entry {}, after {} had been signed", here.size, later.size)
            }
            Self::Other(_) => write!(f, "{}", self.kind()),
        }
    }
}
