//! The authority of an installation: what it believes, what it has installed,
//! and what it has told.
//!
//! Owns the trusted metadata, the slots, the state file, the log and its key.
//! The network side hands it bytes; it verifies them by its own trust, and
//! copies them into a slot while it compares every one with the manifest. No
//! decompressor and no delta decoder runs in here. Its public methods take
//! and give plain values, so that it can become a process of its own.

#[cfg(test)]
mod applier_tests;

pub mod authority;
pub mod metadata;

use std::path::PathBuf;
use std::sync::Arc;

use manifest::audit::entry::Actor;
use manifest::audit::event::Event;
use manifest::content::ContentId;
use manifest::release::manifest::{ManifestError, ReleaseManifest};
use manifest::time::UnixTime;
use manifest::trust::candidates::{Candidate, Candidates};
use manifest::trust::custom::ReleaseTarget;
use manifest::trust::floor::Floors;
use manifest::trust::rules::TrustError;
use manifest::trust::trusted::TrustedSet;
use store::disk::DiskError;
use store::installed::Installed;
use store::journal::{Journal, JournalError};
use store::objects::{Checked, Objects};
use store::slots::{SlotError, SlotName, Slots};
use store::stage::{StageError, Staging};
use store::steps::Steps;
use store::trusted::TrustedFiles;

use crate::audit::{AuditError, AuditLog};
use crate::clock;
use crate::home::Home;
use crate::identity::Identity;
use crate::update::decision::{Decision, Subject, decide};
use crate::update::state::{FORMAT, InSlot, Remembered};

/// The authority of one installation.
pub struct Applier {
    subject: Subject,
    slots: Slots,
    log: AuditLog,
    journal: Journal<Remembered>,
    files: TrustedFiles,
    trusted: TrustedSet,
    allow_example_keys: bool,
    manifests: Objects,
}

/// What keeps the applier from doing what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The state file is another program's, or of another version.
    #[error("{} has the format {found:?}, expected {FORMAT:?}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The release is not one that the channel offers.
    #[error("the channel does not offer the manifest {manifest}")]
    NotOffered {
        /// The manifest's id.
        manifest: ContentId,
    },
    /// The manifest is not the one that was signed.
    #[error(
        "the manifest of {version} is {found_len} bytes long and hashes to {found}, expected {expected_len} bytes and {expected}"
    )]
    WrongManifest {
        /// The release.
        version: String,
        /// The signed length.
        expected_len: u64,
        /// The length that was found.
        found_len: u64,
        /// The signed blake3.
        expected: ContentId,
        /// The blake3 that was found.
        found: ContentId,
    },
    /// The manifest says another thing than the target it stands in.
    #[error("the manifest says it is {found}, its signed target is {expected}")]
    OtherRelease {
        /// What the target says.
        expected: String,
        /// What the manifest says.
        found: String,
    },
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest of an installed release is gone or damaged.
    #[error("the manifest {manifest} of an installed release is missing")]
    NoManifest {
        /// Its id.
        manifest: ContentId,
    },
    /// Metadata does not allow it.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The slots cannot be used.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The release cannot be staged.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The log cannot be continued.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The state cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Applier {
    /// Opens what `home` keeps, for the installation in `into`, and puts
    /// right what an interruption left.
    ///
    /// # Errors
    /// [`ApplyError`] naming the file that cannot be used.
    pub fn open(
        home: &Home,
        into: &std::path::Path,
        subject: Subject,
        identity: &Identity,
        steps: Steps,
    ) -> Result<(Self, Remembered), ApplyError> {
        let journal = Journal::at(&home.state(), steps.clone());
        let remembered: Remembered = journal.load()?.unwrap_or_default();
        if remembered.format != FORMAT {
            let found = remembered.format.chars().take(80).collect();
            return Err(ApplyError::Format { path: home.state(), found });
        }
        let files = TrustedFiles::open(&home.trusted(), steps.clone())?;
        let trusted = TrustedSet::load(&files.load()?)?;
        let applier = Self {
            subject,
            slots: Slots::open(into, steps.clone())?,
            log: AuditLog::open_or_close(&home.log(), identity.log_key.clone(), steps)?,
            journal,
            files,
            trusted,
            allow_example_keys: false,
            // Only manifests of what is installed are here: none gives way.
            manifests: Objects::open(&home.manifests(), u64::MAX)?,
        };
        Ok((applier, remembered))
    }

    /// Whether metadata may name keys that everyone has; at first it may not.
    pub const fn allow_example_keys(&mut self, allow: bool) {
        self.allow_example_keys = allow;
    }

    /// What is installed is an installation of this.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What is believed.
    #[must_use]
    pub const fn trusted(&self) -> &TrustedSet {
        &self.trusted
    }

    /// The slot that `current` leads to.
    ///
    /// # Errors
    /// [`ApplyError::Slot`] if something else stands there.
    pub fn current(&self) -> Result<Option<SlotName>, ApplyError> {
        Ok(self.slots.current()?)
    }

    /// What the channel offers, if all that vouches for it is in force at `now`.
    ///
    /// # Errors
    /// [`ApplyError::Trust`].
    pub fn candidates(&self, now: UnixTime) -> Result<Candidates, ApplyError> {
        let Subject { product, channel, platform } = &self.subject;
        Ok(Candidates::of(&self.trusted, product, channel, platform, now)?)
    }

    /// What follows from what is believed, for a machine that remembers
    /// `kept`; and the floors from now on.
    ///
    /// # Errors
    /// [`ApplyError::Trust`].
    pub fn decide(
        &self,
        kept: &Remembered,
        now: UnixTime,
    ) -> Result<(Decision, Floors), ApplyError> {
        Ok(decide(&self.subject, &self.trusted, &self.candidates(now)?, kept))
    }

    /// Why the log is not continued, if it is not; then nothing can be told,
    /// and nothing that must be told can be done.
    #[must_use]
    pub fn closed_log(&self) -> Option<String> {
        self.log.closed().map(str::to_owned)
    }

    /// Makes `kept` durable.
    ///
    /// # Errors
    /// [`ApplyError::Journal`].
    pub fn keep(&self, kept: &Remembered) -> Result<(), ApplyError> {
        Ok(self.journal.keep(kept)?)
    }

    /// Tells the log; durable when this returns.
    ///
    /// # Errors
    /// [`ApplyError::Audit`].
    pub fn record(&mut self, by: Actor, event: Event) -> Result<(), ApplyError> {
        Ok(self.log.append(by, clock::moment(), event)?)
    }

    /// Takes a manifest that the channel offers at `now`, and keeps it.
    ///
    /// # Errors
    /// [`ApplyError`] saying what was expected and what was found.
    pub fn take_manifest(
        &mut self,
        bytes: &[u8],
        now: UnixTime,
    ) -> Result<Arc<ReleaseManifest>, ApplyError> {
        let object = Checked::of(bytes);
        let id = object.id();
        let candidates = self.candidates(now)?;
        let offered = candidates.releases.iter().find(|release| release.custom.blake3 == id);
        let offered = offered.ok_or(ApplyError::NotOffered { manifest: id })?;
        let manifest = check_manifest(&self.subject, offered, bytes)?;
        self.manifests.put(object)?;
        Ok(Arc::new(manifest))
    }

    /// The bytes of a manifest that is kept, if it is.
    ///
    /// # Errors
    /// [`ApplyError::Disk`].
    pub fn manifest_bytes(&mut self, id: ContentId) -> Result<Option<Vec<u8>>, ApplyError> {
        Ok(self.manifests.get(id)?)
    }

    /// A manifest that was taken before.
    ///
    /// # Errors
    /// [`ApplyError::NoManifest`].
    pub fn manifest(&mut self, id: ContentId) -> Result<Arc<ReleaseManifest>, ApplyError> {
        let bytes = self.manifests.get(id)?.ok_or(ApplyError::NoManifest { manifest: id })?;
        Ok(Arc::new(ReleaseManifest::decode(&bytes)?))
    }

    /// The installed release in `slot`, beside its manifest.
    ///
    /// # Errors
    /// [`ApplyError`] if either is missing.
    pub fn installed(&mut self, slot: &InSlot) -> Result<Installed, ApplyError> {
        let manifest = self.manifest(slot.manifest)?;
        Ok(self.slots.installed(&slot.slot, manifest)?)
    }

    /// Begins to stage the release of `manifest` in a slot that is free; its
    /// bytes are then written to the [`Staging`], which compares them all.
    ///
    /// # Errors
    /// [`ApplyError::Stage`].
    pub fn stage(&self, manifest: Arc<ReleaseManifest>) -> Result<(SlotName, Staging), ApplyError> {
        let about = manifest.about();
        let slot = self.slots.free_name(&about.version, about.number);
        let staging = self.slots.stage(&slot, manifest)?;
        Ok((slot, staging))
    }

    /// Removes what was staged and did not become a slot.
    ///
    /// # Errors
    /// [`ApplyError::Slot`].
    pub fn discard_staged(&self) -> Result<(), ApplyError> {
        Ok(self.slots.discard_staged()?)
    }

    /// Tells the log, then makes `to` the slot that runs; none removes
    /// `current`.
    ///
    /// # Errors
    /// [`ApplyError`]; `current` leads where it led, or already to `to`.
    pub fn switch(
        &mut self,
        by: Actor,
        entry: Event,
        to: Option<&SlotName>,
    ) -> Result<(), ApplyError> {
        // The entry is durable before the switch: after a power cut the log
        // may tell of a switch that never happened, but never hide one.
        self.record(by, entry)?;
        match to {
            Some(slot) => self.slots.switch(slot)?,
            None => self.slots.clear()?,
        }
        Ok(())
    }

    /// Removes every slot but those in `keep`, and manifests that `kept` does
    /// not name.
    ///
    /// # Errors
    /// [`ApplyError`]; what could not be removed is tried again next time.
    pub fn prune(&mut self, keep: &[SlotName], kept: &Remembered) -> Result<(), ApplyError> {
        let current = self.slots.current()?;
        for slot in self.slots.list()? {
            if !keep.contains(&slot) && current.as_ref() != Some(&slot) {
                self.slots.remove(&slot)?;
            }
        }
        let named = [&kept.installed, &kept.previous];
        let named: Vec<ContentId> = named.into_iter().flatten().map(|slot| slot.manifest).collect();
        let held: Vec<ContentId> = self.manifests.held().map(|(id, _)| id).collect();
        for id in held.into_iter().filter(|id| !named.contains(id)) {
            self.manifests.remove(id)?;
        }
        Ok(())
    }

    /// Manifests that are kept, with their lengths.
    #[must_use]
    pub fn manifests_held(&self) -> Vec<(ContentId, u64)> {
        self.manifests.held().collect()
    }

    /// Where the installation is.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }
}

/// Checks that `bytes` are the manifest of the signed target `offered`, and
/// that the manifest repeats what the target says.
fn check_manifest(
    subject: &Subject,
    offered: &Candidate<ReleaseTarget>,
    bytes: &[u8],
) -> Result<ReleaseManifest, ApplyError> {
    let ReleaseTarget { version, number, blake3, .. } = &offered.custom;
    let found = ContentId::of(bytes);
    if !offered.is(bytes) || found != *blake3 {
        return Err(ApplyError::WrongManifest {
            version: version.to_string(),
            expected_len: offered.length,
            found_len: bytes.len() as u64,
            expected: *blake3,
            found,
        });
    }
    let manifest = ReleaseManifest::decode(bytes)?;
    let about = manifest.about();
    let says =
        |product: &dyn std::fmt::Display, platform: &dyn std::fmt::Display, version, number| {
            format!("{product} {version} (#{number}) for {platform}")
        };
    let expected = says(&subject.product, &subject.platform, version, *number);
    let found = says(&about.product, &about.platform, &about.version, about.number);
    if expected == found { Ok(manifest) } else { Err(ApplyError::OtherRelease { expected, found }) }
}
