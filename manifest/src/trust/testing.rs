//! A vendor whose repository lives in memory, and a client that reads it.

pub mod foreign;
pub mod naive;
pub mod simulator;

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
pub type Files = BTreeMap<String, Vec<u8>>;

/// When tests begin: 2026-01-01.
pub const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);

/// `days` after [`NOW`].
#[must_use]
pub fn day(days: u64) -> UnixTime {
    NOW.after(Duration::from_secs(days * 86_400))
}

/// The key that grows from `seed`.
#[must_use]
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The product `hello`.
#[must_use]
pub fn product() -> ProductName {
    "hello".parse().expect("a plain name")
}

/// The channel `stable`.
#[must_use]
pub fn stable() -> ChannelName {
    "stable".parse().expect("a plain name")
}

/// The platform `linux-x86_64`.
#[must_use]
pub fn linux() -> Platform {
    "linux-x86_64".parse().expect("a plain name")
}

/// The channel role of [`product`] and [`stable`].
#[must_use]
pub fn role() -> RoleName {
    RoleName::of_channel(&product(), &stable())
}

/// A vendor with one key a role: root 1, targets 2, snapshot 3, timestamp 4,
/// channel 5, workgroup 6.
#[derive(Debug)]
pub struct Vendor {
    /// The metadata under the pen.
    pub repository: Repository,
    /// All keys of seeds 1 to 60.
    pub keys: Keyring,
    /// What was published.
    pub files: Files,
}

impl Default for Vendor {
    fn default() -> Self {
        Self::new()
    }
}

impl Vendor {
    /// A published repository with an empty stable channel.
    #[must_use]
    pub fn new() -> Self {
        let one = |seed| RoleKeys::one(key(seed).public());
        let mut repository = Repository::create(&TopLevelKeys {
            root: one(1),
            targets: one(2),
            snapshot: one(3),
            timestamp: one(4),
            workgroup: vec![key(6).public()],
        });
        repository.delegate(&product(), &stable(), &one(5)).expect("roles are listed");
        let keys = Keyring::new((1..=60).map(key));
        let mut vendor = Self { repository, keys, files: Files::new() };
        vendor.publish(NOW);
        vendor
    }

    /// Publishes what changed; gives the names of the files written.
    ///
    /// # Panics
    /// If a role was given a key that is not at hand.
    pub fn publish(&mut self, now: UnixTime) -> Vec<String> {
        let files = self
            .repository
            .publish(now, &self.keys, &Lifetimes::default())
            .expect("all keys are at hand");
        let names = files.iter().map(|file| file.name.clone()).collect();
        self.files.extend(files.into_iter().map(|file| (file.name, file.bytes)));
        names
    }

    /// Puts release `number` into the stable channel, without publishing;
    /// gives the path of its target.
    ///
    /// # Panics
    /// Never for a number.
    pub fn release(&mut self, number: u64) -> String {
        let manifest = format!("manifest {number}");
        let release = ReleaseTarget {
            blake3: ContentId::of(manifest.as_bytes()),
            version: format!("1.{number}").parse().expect("a plain version"),
            number: ReleaseNumber(number),
            kind: ReleaseKind::Feature,
            withdrawn: false,
            manifest_deltas: Vec::new(),
        };
        let facts = FileFacts::of(manifest.as_bytes());
        self.repository
            .set_release(&product(), &stable(), &linux(), &release, facts)
            .expect("the channel is delegated to")
    }
}

/// A client with its trusted directory.
#[derive(Debug)]
pub struct Client {
    /// What it trusts.
    pub trusted: TrustedSet,
    /// Its trusted directory.
    pub disk: Files,
    /// The names of the files that the last refresh wanted.
    pub wanted: Vec<String>,
}

impl Client {
    /// A client that was shipped with the first root of `files`.
    ///
    /// # Panics
    /// If there is none, or it is not signed by itself.
    #[must_use]
    pub fn new(files: &Files) -> Self {
        let root = files["1.root.json"].clone();
        let trusted = TrustedSet::from_root(&root).expect("a first root is signed by itself");
        let disk = Files::from([("root.json".to_owned(), root)]);
        Self { trusted, disk, wanted: Vec::new() }
    }

    /// Refreshes from `files`, down to the `delegated` roles, and stops at the
    /// first error.
    ///
    /// # Errors
    /// The first that the refresh gives.
    pub fn refresh(
        &mut self,
        files: &Files,
        now: UnixTime,
        delegated: &[RoleName],
    ) -> Result<(), RefreshError> {
        let mut refresh = Refresh::new(self.trusted.clone(), now, delegated.to_vec());
        self.wanted.clear();
        let mut result = Ok(());
        while let Some(output) = refresh.poll() {
            match output {
                // Only one source is asked.
                Output::Want { .. } if result.is_err() => break,
                Output::Want { name, max_len } => {
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
                Output::Persist { name, bytes } => {
                    self.disk.insert(name, bytes);
                }
                Output::Forget { name } => {
                    self.disk.remove(&name);
                }
                Output::Done => {}
            }
        }
        self.trusted = refresh.finish();
        result
    }

    /// Ends and begins again from disk.
    ///
    /// # Panics
    /// If the root on disk is broken.
    pub fn restart(&mut self) {
        self.trusted = TrustedSet::load(&self.disk).expect("the root on disk is whole");
    }
}
