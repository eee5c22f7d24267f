//! A repository's metadata under the pen: change it, then publish.
//!
//! Only what changed is signed anew, with the next version; the snapshot
//! follows every change, the timestamp every publication. [`NewFile`]s come in
//! the order in which they must be written: at any instant a reader finds a
//! whole repository, since nothing names a file before it is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::key::PublicKey;
use crate::name::{ChannelName, Platform, ProductName, ReleaseNumber};
use crate::time::UnixTime;
use crate::trust::author::keyring::{Keyring, SignError};
use crate::trust::author::lifetimes::Lifetimes;
use crate::trust::author::role_keys::RoleKeys;
use crate::trust::authority::Authority;
use crate::trust::custom::{PatchTarget, ReleaseTarget, channel_pattern, patch_path, release_path};
use crate::trust::delegation::{DelegatedRole, Delegates, Delegations, Paths};
use crate::trust::hashes::Hashes;
use crate::trust::meta::MetaFile;
use crate::trust::role::{MetadataVersion, RoleName};
use crate::trust::root::{Roles, Root};
use crate::trust::signed::{Document, Signed, SpecVersion, Verified};
use crate::trust::snapshot::Snapshot;
use crate::trust::targets::{Target, Targets};
use crate::trust::timestamp::{Timestamp, TimestampMeta};

/// Who signs what in a new repository.
#[derive(Debug, Clone)]
pub struct TopLevelKeys {
    /// The next root.
    pub root: RoleKeys,
    /// The top-level targets: which channels there are.
    pub targets: RoleKeys,
    /// The snapshot.
    pub snapshot: RoleKeys,
    /// The timestamp.
    pub timestamp: RoleKeys,
    /// The workgroup's issuers; one or two keys.
    pub workgroup: Vec<PublicKey>,
}

/// A metadata file to write beneath `metadata/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its name, such as `5.targets.json`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The length and hash of a target file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl FileFacts {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let sha256 = Hashes::sha256_of(bytes).sha256().expect("it has just been made");
        Self { length: bytes.len() as u64, sha256 }
    }
}

/// A change that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such role.
    #[error("{role} is no role of this repository")]
    NoSuchRole {
        /// Which role.
        role: RoleName,
    },
    /// A role may not speak of a path.
    #[error("{role} may not speak of the target {path:.200}")]
    NotDelegatedPath {
        /// Which role.
        role: RoleName,
        /// The path.
        path: String,
    },
    /// The top-level targets delegate by hash, which this editor does not.
    #[error("the delegations of targets are succinct")]
    Succinct,
}

/// A repository's metadata, published and not yet published.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) root: Page<Root>,
    pub(super) targets: Page<Targets>,
    pub(super) channels: BTreeMap<RoleName, Page<Targets>>,
    pub(super) snapshot: Option<Verified<Snapshot>>,
    pub(super) timestamp: Option<Verified<Timestamp>>,
    /// Roles to sign anew though their content is the same.
    renewed: BTreeSet<RoleName>,
}

/// A file as it shall be, beside what was last published of it.
#[derive(Debug, Clone)]
pub(super) struct Page<T> {
    pub(super) content: T,
    pub(super) published: Option<Verified<T>>,
}

impl<T: Document + Clone + PartialEq> Page<T> {
    const fn new(content: T) -> Self {
        Self { content, published: None }
    }

    pub(super) fn published(file: Verified<T>) -> Self {
        Self { content: (*file).clone(), published: Some(file) }
    }

    /// Whether what was published still says this, and to these keys.
    fn stands(&self, authority: &Authority) -> bool {
        self.published.as_ref().is_some_and(|file| {
            **file == self.content
                && Signed::<T>::parse(file.bytes()).is_ok_and(|f| f.verify(authority).is_ok())
        })
    }

    fn next_version(&self) -> MetadataVersion {
        self.published.as_ref().map_or(MetadataVersion::FIRST, |file| file.version().next())
    }
}

impl Repository {
    /// An empty repository that has not been published.
    #[must_use]
    pub fn create(keys: &TopLevelKeys) -> Self {
        let mut by_id = BTreeMap::new();
        let roles = Roles {
            root: keys.root.put(&mut by_id),
            timestamp: keys.timestamp.put(&mut by_id),
            snapshot: keys.snapshot.put(&mut by_id),
            targets: keys.targets.put(&mut by_id),
            mirrors: None,
        };
        let mut root = Root {
            spec_version: SpecVersion::ours(),
            version: MetadataVersion::FIRST,
            expires: UnixTime::default(),
            consistent_snapshot: Some(true),
            keys: by_id,
            roles,
            extra: Map::new(),
        };
        root.set_workgroup_keys(&keys.workgroup);
        Self::with(Page::new(root), Page::new(empty_targets()))
    }

    pub(super) const fn with(root: Page<Root>, targets: Page<Targets>) -> Self {
        Self {
            root,
            targets,
            channels: BTreeMap::new(),
            snapshot: None,
            timestamp: None,
            renewed: BTreeSet::new(),
        }
    }

    /// The root as it stands under the pen.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root.content
    }

    /// The top-level targets, or a channel's, as they stand under the pen.
    #[must_use]
    pub fn targets(&self, role: &RoleName) -> Option<&Targets> {
        if role.is_targets() {
            return Some(&self.targets.content);
        }
        self.channels.get(role).map(|page| &page.content)
    }

    /// The channels' roles.
    pub fn channels(&self) -> impl Iterator<Item = &RoleName> {
        self.channels.keys()
    }

    /// The timestamp that was last published.
    #[must_use]
    pub const fn timestamp(&self) -> Option<&Verified<Timestamp>> {
        self.timestamp.as_ref()
    }

    /// When each published file expires, the first to do so first.
    #[must_use]
    pub fn expiries(&self) -> Vec<(RoleName, UnixTime)> {
        fn of<T: Document>(
            role: RoleName,
            file: Option<&Verified<T>>,
        ) -> Option<(RoleName, UnixTime)> {
            file.map(|file| (role, file.expires()))
        }
        let mut expiries: Vec<_> = [
            of(RoleName::ROOT, self.root.published.as_ref()),
            of(RoleName::TARGETS, self.targets.published.as_ref()),
            of(RoleName::SNAPSHOT, self.snapshot.as_ref()),
            of(RoleName::TIMESTAMP, self.timestamp.as_ref()),
        ]
        .into_iter()
        .chain(self.channels.iter().map(|(role, page)| of(role.clone(), page.published.as_ref())))
        .flatten()
        .collect();
        expiries.sort_by_key(|(_, expires)| *expires);
        expiries
    }

    /// Changes root; its version and expiry follow at publication.
    pub fn edit_root(&mut self, edit: impl FnOnce(&mut Root)) {
        edit(&mut self.root.content);
    }

    /// Lets `keys` sign a channel of a product, in place of those that did.
    ///
    /// # Errors
    /// [`EditError::Succinct`] if targets delegate by hash.
    pub fn delegate(
        &mut self,
        product: &ProductName,
        channel: &ChannelName,
        keys: &RoleKeys,
    ) -> Result<RoleName, EditError> {
        let name = RoleName::of_channel(product, channel);
        self.delegate_to(name.clone(), vec![channel_pattern(product, channel)], keys)?;
        Ok(name)
    }

    /// Lets `keys` sign the role `name` for `paths`, terminating, in place of
    /// those that did.
    ///
    /// # Errors
    /// [`EditError::Succinct`] if targets delegate by hash,
    /// [`EditError::NoSuchRole`] if the name is that of a top-level role.
    pub fn delegate_to(
        &mut self,
        name: RoleName,
        paths: Vec<String>,
        keys: &RoleKeys,
    ) -> Result<(), EditError> {
        if name.is_top_level() {
            return Err(EditError::NoSuchRole { role: name });
        }
        let delegations = self.targets.content.delegations.get_or_insert_with(Delegations::none);
        let Delegates::Roles(roles) = &mut delegations.to else {
            return Err(EditError::Succinct);
        };
        let role = keys.put(&mut delegations.keys);
        match roles.iter_mut().find(|listed| listed.name == name) {
            Some(listed) => {
                (listed.keyids, listed.threshold) = (role.keyids, role.threshold);
                listed.paths = Paths::Patterns(paths);
            }
            None => roles.push(DelegatedRole {
                name: name.clone(),
                keyids: role.keyids,
                threshold: role.threshold,
                terminating: true,
                paths: Paths::Patterns(paths),
                extra: Map::new(),
            }),
        }
        // Keys that no role names any more would only lengthen the file.
        let used: BTreeSet<_> = roles.iter().flat_map(|role| role.keyids.iter().cloned()).collect();
        delegations.keys.retain(|id, _| used.contains(id));
        self.channels.entry(name).or_insert_with(|| Page::new(empty_targets()));
        Ok(())
    }

    /// Puts a target file into a channel's role, in place of the one at `path`.
    ///
    /// # Errors
    /// [`EditError`] if there is no such channel, or the path is not its own.
    pub fn set_target(
        &mut self,
        role: &RoleName,
        path: String,
        target: Target,
    ) -> Result<(), EditError> {
        let delegations = self.targets.content.delegations.as_ref();
        let delegated = delegations.and_then(|delegations| delegations.role(role));
        let (Some(delegated), Some(page)) = (delegated, self.channels.get_mut(role)) else {
            return Err(EditError::NoSuchRole { role: role.clone() });
        };
        if !delegated.paths.contain(&path) {
            return Err(EditError::NotDelegatedPath { role: role.clone(), path });
        }
        page.content.targets.insert(path, target);
        Ok(())
    }

    /// Puts a release into a channel, its manifest being `manifest`; gives the
    /// path of its target.
    ///
    /// # Errors
    /// As [`Repository::set_target`].
    pub fn set_release(
        &mut self,
        product: &ProductName,
        channel: &ChannelName,
        platform: &Platform,
        release: &ReleaseTarget,
        manifest: FileFacts,
    ) -> Result<String, EditError> {
        let path = release_path(product, channel, platform, &release.version);
        let role = RoleName::of_channel(product, channel);
        self.set_target(&role, path.clone(), target(manifest, release))?;
        Ok(path)
    }

    /// Puts a patch between two releases into a channel, its patch manifest
    /// being `manifest`; gives the path of its target.
    ///
    /// # Errors
    /// As [`Repository::set_target`].
    pub fn set_patch(
        &mut self,
        product: &ProductName,
        channel: &ChannelName,
        platform: &Platform,
        (base, number): (ReleaseNumber, ReleaseNumber),
        patch: &PatchTarget,
        manifest: FileFacts,
    ) -> Result<String, EditError> {
        let path = patch_path(product, channel, platform, base, number);
        let role = RoleName::of_channel(product, channel);
        self.set_target(&role, path.clone(), target(manifest, patch))?;
        Ok(path)
    }

    /// Changes the members of a delegated role's file that TUF does not define.
    ///
    /// # Errors
    /// [`EditError::NoSuchRole`].
    pub fn edit_extra(
        &mut self,
        role: &RoleName,
        edit: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<(), EditError> {
        let page = self.channels.get_mut(role);
        let page = page.ok_or_else(|| EditError::NoSuchRole { role: role.clone() })?;
        edit(&mut page.content.extra);
        Ok(())
    }

    /// Keeps only those of a channel's targets for which `keep` holds.
    pub fn retain_targets(&mut self, role: &RoleName, keep: impl Fn(&str, &Target) -> bool) {
        if let Some(page) = self.channels.get_mut(role) {
            page.content.targets.retain(|path, target| keep(path, target));
        }
    }

    /// Signs a role anew at the next publication, though nothing changed.
    pub fn renew(&mut self, role: RoleName) {
        self.renewed.insert(role);
    }

    /// Signs what changed, the snapshot if anything did, and the timestamp.
    ///
    /// The files come in the order in which to write them. After an error the
    /// repository is as it was; after a failed write, open it again.
    ///
    /// # Errors
    /// [`SignError`] if a key that must sign is not in `keys`.
    pub fn publish(
        &mut self,
        now: UnixTime,
        keys: &Keyring,
        lifetimes: &Lifetimes,
    ) -> Result<Vec<NewFile>, SignError> {
        let mut next = self.clone();
        let files = next.publish_in_place(now, keys, lifetimes)?;
        *self = next;
        Ok(files)
    }

    fn publish_in_place(
        &mut self,
        now: UnixTime,
        keys: &Keyring,
        lifetimes: &Lifetimes,
    ) -> Result<Vec<NewFile>, SignError> {
        // A signed time never goes back, else clients would refuse it.
        let issued = self.timestamp.as_ref().and_then(|timestamp| timestamp.issued);
        let now = issued.map_or(now, |issued| issued.max(now));
        let mut files = Vec::new();

        self.sign_root(now, keys, lifetimes, &mut files)?;
        let root = &self.root.content;

        let mut meta = BTreeMap::new();
        let pages = std::iter::once((&RoleName::TARGETS, &mut self.targets))
            .chain(self.channels.iter_mut());
        let mut delegations = None;
        for (role, page) in pages {
            let authority = match role.is_targets() {
                true => root.targets_authority(),
                false => authority_of(role, delegations.as_ref()),
            };
            if self.renewed.contains(role) || !page.stands(&authority) {
                page.content.version = page.next_version();
                page.content.expires = now.after(lifetimes.of(role));
                let file = keys.sign(role, &page.content, &[&authority])?;
                meta.insert(role.meta_name(), MetaFile::of(file.version, file.bytes()));
                files.push(NewFile {
                    name: role.versioned_file_name(file.version),
                    bytes: file.bytes().to_vec(),
                });
                page.published = Some(file);
            }
            if role.is_targets() {
                delegations.clone_from(&page.content.delegations);
            }
        }

        self.sign_snapshot(now, keys, lifetimes, meta, &mut files)?;
        self.sign_timestamp(now, keys, lifetimes, &mut files)?;
        self.renewed.clear();
        Ok(files)
    }

    fn sign_root(
        &mut self,
        now: UnixTime,
        keys: &Keyring,
        lifetimes: &Lifetimes,
        files: &mut Vec<NewFile>,
    ) -> Result<(), SignError> {
        let page = &mut self.root;
        let own = page.content.root_authority();
        if page.stands(&own) && !self.renewed.contains(&RoleName::ROOT) {
            return Ok(());
        }
        page.content.version = page.next_version();
        page.content.expires = now.after(lifetimes.root);
        // TUF 6.1: a new root is signed by the keys of both.
        let before = page.published.as_ref().map(|file| file.root_authority());
        let authorities: Vec<&Authority> = before.iter().chain([&own]).collect();
        let file = keys.sign(&RoleName::ROOT, &page.content, &authorities)?;
        files.push(NewFile {
            name: RoleName::ROOT.versioned_file_name(file.version),
            bytes: file.bytes().to_vec(),
        });
        page.published = Some(file);
        Ok(())
    }

    fn sign_snapshot(
        &mut self,
        now: UnixTime,
        keys: &Keyring,
        lifetimes: &Lifetimes,
        changed: BTreeMap<String, MetaFile>,
        files: &mut Vec<NewFile>,
    ) -> Result<(), SignError> {
        let role = RoleName::SNAPSHOT;
        let authority = self.root.content.snapshot_authority();
        let stands = self.snapshot.as_ref().is_some_and(|file| {
            Signed::<Snapshot>::parse(file.bytes()).is_ok_and(|f| f.verify(&authority).is_ok())
        });
        // A timestamp must not outlive the snapshot that it names.
        let outlived = |file: &Verified<Snapshot>| file.expires <= now.after(lifetimes.timestamp);
        let due = self.snapshot.as_ref().is_some_and(outlived) || self.renewed.contains(&role);
        if stands && changed.is_empty() && !due {
            return Ok(());
        }
        let mut snapshot = match &self.snapshot {
            Some(file) => Snapshot { version: file.version.next(), ..(**file).clone() },
            None => Snapshot {
                spec_version: SpecVersion::ours(),
                version: MetadataVersion::FIRST,
                expires: now,
                meta: BTreeMap::new(),
                extra: Map::new(),
            },
        };
        // TUF 5.5.5: what was named once stays named.
        snapshot.meta.extend(changed);
        snapshot.expires = now.after(lifetimes.snapshot);
        let file = keys.sign(&role, &snapshot, &[&authority])?;
        files.push(NewFile {
            name: role.versioned_file_name(file.version),
            bytes: file.bytes().to_vec(),
        });
        self.snapshot = Some(file);
        Ok(())
    }

    fn sign_timestamp(
        &mut self,
        now: UnixTime,
        keys: &Keyring,
        lifetimes: &Lifetimes,
        files: &mut Vec<NewFile>,
    ) -> Result<(), SignError> {
        let role = RoleName::TIMESTAMP;
        let snapshot = self.snapshot.as_ref().expect("the snapshot is signed before the timestamp");
        let before = self.timestamp.as_ref();
        let timestamp = Timestamp {
            spec_version: SpecVersion::ours(),
            version: before.map_or(MetadataVersion::FIRST, |file| file.version.next()),
            expires: now.after(lifetimes.timestamp),
            meta: TimestampMeta { snapshot: MetaFile::of(snapshot.version, snapshot.bytes()) },
            issued: Some(now),
            extra: before.map_or_else(Map::new, |file| file.extra.clone()),
        };
        let authority = self.root.content.timestamp_authority();
        let file = keys.sign(&role, &timestamp, &[&authority])?;
        files.push(NewFile { name: role.file_name(), bytes: file.bytes().to_vec() });
        self.timestamp = Some(file);
        Ok(())
    }
}

/// Targets without a target, not yet published.
fn empty_targets() -> Targets {
    Targets {
        spec_version: SpecVersion::ours(),
        version: MetadataVersion::FIRST,
        expires: UnixTime::default(),
        targets: BTreeMap::new(),
        delegations: None,
        extra: Map::new(),
    }
}

fn authority_of(role: &RoleName, delegations: Option<&Delegations>) -> Authority {
    delegations
        .and_then(|delegations| delegations.authority(role))
        .expect("a channel has a page only when it is delegated to")
}

fn target(facts: FileFacts, custom: &impl serde::Serialize) -> Target {
    Target {
        length: facts.length,
        hashes: Hashes::from_sha256(facts.sha256),
        custom: Some(serde_json::to_value(custom).expect("custom parts are plain structs")),
        extra: Map::new(),
    }
}
