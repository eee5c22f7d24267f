//! Sample logs for tests of this and higher floors.

use std::time::Duration;

use crate::admission::installation::InstallationId;
use crate::admission::workgroup::WorkgroupId;
use crate::audit::chain::Chain;
use crate::audit::checkpoint;
use crate::audit::entry::Actor;
use crate::audit::event::{
    Event, MetadataVersions, PeerBytes, ReleaseRef, Traffic, Verdict, key_ids,
};
use crate::audit::moment::Moment;
use crate::content::ContentId;
use crate::key::SigningKey;
use crate::name::ReleaseNumber;
use crate::testing::key;
use crate::time::UnixTime;

/// When every sample log begins: 2026-11-23T09:00:00Z.
pub const SAMPLE_START: UnixTime = UnixTime::from_seconds(1_795_424_400);

/// A log in memory, with the key that seals it.
#[derive(Debug, Clone)]
pub struct SampleLog {
    /// Signs its checkpoints.
    pub log_key: SigningKey,
    /// The state after the last line.
    pub chain: Chain,
    /// All lines with their newlines.
    pub lines: Vec<u8>,
}

impl SampleLog {
    /// The empty log of the installation with this key.
    #[must_use]
    pub fn new(log_key: SigningKey) -> Self {
        let chain = Chain::new(InstallationId::of(&log_key.public()));
        Self { log_key, chain, lines: Vec::new() }
    }

    /// A log that tells [`story`].
    #[must_use]
    pub fn with_story(log_key: SigningKey) -> Self {
        let mut log = Self::new(log_key);
        for event in story() {
            log.append(event);
        }
        log
    }

    /// Appends what happened a minute after the entry before.
    pub fn append(&mut self, event: Event) {
        let minutes = Duration::from_secs(60 * self.chain.size());
        let moment = Moment {
            wall: SAMPLE_START.after(minutes),
            monotonic: 1000 + minutes.as_secs(),
            boot: "5f0c2d0e-7a49-4d0e-9f0e-0d8f4ad1f6a1".parse().expect("a plain id"),
        };
        let entry = self.chain.next(Actor::Agent, moment, event);
        let line = entry.to_line().expect("sample entries keep their bounds");
        self.chain.push(&line).expect("what the chain asked for");
        self.lines.extend_from_slice(&line);
        self.lines.push(b'\n');
    }

    /// A checkpoint of the log as it is now.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        checkpoint::sign(&self.chain.head(), &self.log_key)
    }
}

/// Release number `number` of the sample product.
#[must_use]
pub fn release(number: u64) -> ReleaseRef {
    ReleaseRef {
        version: format!("1.{number}.0").parse().expect("a plain version"),
        number: ReleaseNumber(number),
        manifest: ContentId::of(format!("manifest {number}").as_bytes()),
    }
}

/// A life in twelve entries: joined, updated, and rolled back once.
#[must_use]
pub fn story() -> Vec<Event> {
    let metadata = MetadataVersions { root: 1, timestamp: 7, snapshot: 5, targets: 2, channel: 4 };
    let keys = || key_ids(["d1c5", "00ff"]);
    let traffic = Traffic { origin: 1000, peers: 2000, mirror: 30, disk: 400_000, by_peer: vec![] }
        .with_peers(vec![
            PeerBytes { peer: key(11).public(), bytes: 500 },
            PeerBytes { peer: key(12).public(), bytes: 1500 },
        ]);
    vec![
        Event::Joined {
            workgroup: WorkgroupId::of_first_root(b"sample root"),
            product: "hello".parse().expect("a plain name"),
            channel: "stable".parse().expect("a plain name"),
            platform: "linux-x86_64".parse().expect("a plain name"),
            host: "desk-1".into(),
            organisation: "Test Organisation".into(),
            issuer: key(10).public(),
            peer_key: key(11).public(),
        },
        Event::Started { agent: "0.1.0".into(), host: "desk-1".into(), release: None },
        Event::Switching {
            from: None,
            to: release(1),
            metadata,
            key_ids: keys(),
            reason: "first install".into(),
        },
        Event::Committed { from: None, to: release(1), verdict: Verdict::Passed { seconds: 1 } },
        Event::Refreshed { metadata, key_ids: keys(), offered: Some(release(2)) },
        Event::Began { from: Some(release(1)), to: release(2), metadata, wire_bytes: 3030 },
        Event::Staged { from: Some(release(1)), to: release(2), traffic },
        Event::Switching {
            from: Some(release(1)),
            to: release(2),
            metadata,
            key_ids: keys(),
            reason: "offered".into(),
        },
        Event::Committed {
            from: Some(release(1)),
            to: release(2),
            verdict: Verdict::Passed { seconds: 2 },
        },
        Event::Switching {
            from: Some(release(2)),
            to: release(3),
            metadata,
            key_ids: keys(),
            reason: "offered".into(),
        },
        Event::RolledBack {
            from: release(3),
            to: Some(release(2)),
            verdict: Verdict::Failed { exit_code: Some(1) },
            reason: "the probe failed".into(),
        },
        Event::Deferred {
            from: Some(release(2)),
            to: release(3),
            reason: "it failed here before".into(),
        },
    ]
}
