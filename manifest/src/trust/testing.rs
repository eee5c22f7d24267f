//! A vendor whose repository lives in memory, and a client that reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::content::ContentId;
use crate::key::SigningKey;
use crate::name::{ChannelName, Platform, ProductName, ReleaseNumber};
use crate::time::UnixTime;
use crate::trust::author::keyring::Keyring;
use crate::trust::author::lifetimes::Lifetimes;
use crate::trust::author::repository::{FileFacts, Repository, TopLevelKeys};
use crate::trust::author::role_keys::RoleKeys;
use crate::trust::custom::{ReleaseKind, ReleaseTarget};
use crate::trust::refresh::{Input, Output, Refresh, RefreshError};
use crate::trust::role::RoleName;
use crate::trust::trusted::TrustedSet;

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// When tests begin: 2026-01-01.
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);

/// `days` after [`NOW`].
pub(crate) fn day(days: u64) -> UnixTime {
    NOW.after(Duration::from_secs(days * 86_400))
}

/// The key that grows from `seed`.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(crate) fn product() -> ProductName {
    "hello".parse().unwrap()
}

pub(crate) fn stable() -> ChannelName {
    "stable".parse().unwrap()
}

pub(crate) fn linux() -> Platform {
    "linux-x86_64".parse().unwrap()
}

/// The channel role of [`product`] and [`stable`].
pub(crate) fn role() -> RoleName {
    RoleName::of_channel(&product(), &stable())
}

/// A vendor with one key a role: root 1, targets 2, snapshot 3, timestamp 4,
/// channel 5, workgroup 6.
pub(crate) struct Vendor {
    pub(crate) repository: Repository,
    pub(crate) keys: Keyring,
    pub(crate) files: Files,
}

impl Vendor {
    /// A published repository with an empty stable channel.
    pub(crate) fn new() -> Self {
        let one = |seed| RoleKeys::one(key(seed).public());
        let mut repository = Repository::create(&TopLevelKeys {
            root: one(1),
            targets: one(2),
            snapshot: one(3),
            timestamp: one(4),
            workgroup: vec![key(6).public()],
        });
        repository.delegate(&product(), &stable(), &one(5)).unwrap();
        let keys = Keyring::new((1..=60).map(key));
        let mut vendor = Self { repository, keys, files: Files::new() };
        vendor.publish(NOW);
        vendor
    }

    /// Publishes what changed; gives the names of the files written.
    pub(crate) fn publish(&mut self, now: UnixTime) -> Vec<String> {
        let files = self.repository.publish(now, &self.keys, &Lifetimes::default()).unwrap();
        let names = files.iter().map(|file| file.name.clone()).collect();
        self.files.extend(files.into_iter().map(|file| (file.name, file.bytes)));
        names
    }

    /// Puts release `number` into the stable channel, without publishing.
    pub(crate) fn release(&mut self, number: u64) -> String {
        let manifest = format!("manifest {number}");
        let release = ReleaseTarget {
            blake3: ContentId::of(manifest.as_bytes()),
            version: format!("1.{number}").parse().unwrap(),
            number: ReleaseNumber(number),
            kind: ReleaseKind::Feature,
            withdrawn: false,
            manifest_deltas: Vec::new(),
        };
        let facts = FileFacts::of(manifest.as_bytes());
        self.repository.set_release(&product(), &stable(), &linux(), &release, facts).unwrap()
    }

    /// Replaces the keys of a role in root by the one of `seed`.
    pub(crate) fn rotate(&mut self, role: &RoleName, seed: u8) {
        let key = crate::trust::key::Key::ed25519(&key(seed).public());
        let id = key.id().unwrap();
        self.repository.edit_root(|root| {
            let listed = match role.as_str() {
                "root" => &mut root.roles.root,
                "timestamp" => &mut root.roles.timestamp,
                "snapshot" => &mut root.roles.snapshot,
                _ => &mut root.roles.targets,
            };
            listed.keyids = vec![id.clone()];
            root.keys.insert(id, key);
        });
    }
}

/// A client with its trusted directory.
pub(crate) struct Client {
    pub(crate) trusted: TrustedSet,
    pub(crate) disk: Files,
    /// The names of the files that the last refresh wanted.
    pub(crate) wanted: Vec<String>,
}

impl Client {
    /// A client that was shipped with the first root.
    pub(crate) fn new(vendor: &Vendor) -> Self {
        let root = vendor.files["1.root.json"].clone();
        let trusted = TrustedSet::from_root(&root).unwrap();
        let disk = Files::from([("root.json".to_owned(), root)]);
        Self { trusted, disk, wanted: Vec::new() }
    }

    /// Refreshes from `files`, down to the stable channel, and stops at the
    /// first error, as if the process then ended.
    pub(crate) fn refresh(&mut self, files: &Files, now: UnixTime) -> Result<(), RefreshError> {
        let mut refresh = Refresh::new(self.trusted.clone(), now, vec![role()]);
        self.wanted.clear();
        let mut result = Ok(());
        loop {
            match refresh.poll() {
                Some(Output::Want { name, max_len }) => {
                    if result.is_err() {
                        break;
                    }
                    let input = match files.get(&name) {
                        // A driver stops reading there.
                        Some(bytes) if bytes.len() as u64 > max_len => {
                            Input::Failed("too long".to_owned())
                        }
                        Some(bytes) => Input::File(bytes.clone()),
                        None => Input::NotFound,
                    };
                    self.wanted.push(name);
                    result = refresh.handle(input);
                }
                Some(Output::Persist { name, bytes }) => {
                    self.disk.insert(name, bytes);
                }
                Some(Output::Forget { name }) => {
                    self.disk.remove(&name);
                }
                Some(Output::Done) | None => break,
            }
        }
        self.trusted = refresh.finish();
        result
    }

    /// Ends and begins again from disk.
    pub(crate) fn restart(&mut self) {
        self.trusted = TrustedSet::load(&self.disk).unwrap();
    }
}
