//! Where releases live: `versions/<slot>` each, and `current`, a symlink to
//! the one that runs.
//!
//! Promises that `current` leads at every instant to a whole release, the
//! old one or the new; and that a name in `versions/` that does not begin
//! with a dot is a release that was staged completely.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use manifest::name::{ReleaseNumber, ReleaseVersion};
use manifest::release::manifest::ReleaseManifest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::disk::{self, DiskError, at, sync_dir};
use crate::installed::Installed;
use crate::repository::is_plain;
use crate::stage::{StageError, Staging};
use crate::steps::Steps;

/// The steps of [`Slots::switch`], in order.
pub const SWITCH_STEPS: [&str; 3] = ["slots: link", "slots: rename", "slots: sync directory"];

/// The steps of [`Slots::clear`], in order.
pub const CLEAR_STEPS: [&str; 2] = ["slots: unlink", "slots: sync directory"];

/// How the names of releases begin that are being staged.
pub(crate) const STAGING: &str = ".staging-";

/// How the names of releases begin that are being removed.
const LEAVING: &str = ".leaving-";

/// The name of the symlink that becomes `current`.
const NEXT: &str = ".current-next";

/// The name of a slot: a directory in `versions/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotName(String);

/// A text that names no slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} cannot be the name of a slot")]
pub struct BadSlotName {
    /// The text.
    pub found: String,
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SlotName {
    type Err = BadSlotName;

    fn from_str(text: &str) -> Result<Self, BadSlotName> {
        // A staging or leaving name is longer than a slot's by its prefix.
        if is_plain(text) && text.len() <= 200 {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadSlotName { found: text.chars().take(80).collect() })
        }
    }
}

impl Serialize for SlotName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SlotName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The slots of one installation, used by one process.
#[derive(Debug, Clone)]
pub struct Slots {
    dir: PathBuf,
    versions: PathBuf,
    steps: Steps,
}

/// What keeps slots from being used.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// `current` is something that we did not put there.
    #[error("{} is in the way: expected a symlink into versions/, found {found}", path.display())]
    InTheWay {
        /// The path of `current`.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// The slot is not there.
    #[error("there is no release in {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The slot runs, and so cannot be removed.
    #[error("{slot} is the release that runs")]
    Running {
        /// The slot.
        slot: SlotName,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Slots {
    /// Opens the installation in `dir`, made if it is missing, and removes
    /// what interrupted work left.
    ///
    /// # Errors
    /// [`SlotError`].
    pub fn open(dir: &Path, steps: Steps) -> Result<Self, SlotError> {
        let versions = dir.join("versions");
        disk::create_dirs(&versions, 0o755)?;
        let slots = Self { dir: dir.to_owned(), versions, steps };
        slots.current()?;
        slots.remove_named(&[STAGING, LEAVING])?;
        disk::remove_file(&dir.join(NEXT))?;
        Ok(slots)
    }

    /// Removes what was staged and did not become a slot.
    ///
    /// # Errors
    /// [`SlotError::Disk`].
    pub fn discard_staged(&self) -> Result<(), SlotError> {
        Ok(self.remove_named(&[STAGING])?)
    }

    /// Removes what lies beside the slots under a name that begins so.
    fn remove_named(&self, beginnings: &[&str]) -> Result<(), DiskError> {
        for entry in fs::read_dir(&self.versions).map_err(at("list", &self.versions))? {
            let entry = entry.map_err(at("list", &self.versions))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if beginnings.iter().any(|beginning| name.starts_with(beginning)) {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The directory of the installation.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of the slot `slot`, whether or not it exists.
    #[must_use]
    pub fn path(&self, slot: &SlotName) -> PathBuf {
        self.versions.join(&slot.0)
    }

    /// The slot that `current` leads to, if there is a `current`.
    ///
    /// # Errors
    /// [`SlotError::InTheWay`].
    pub fn current(&self) -> Result<Option<SlotName>, SlotError> {
        let path = self.dir.join("current");
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(SlotError::InTheWay { path, found: "no symlink".to_owned() });
            }
            Err(error) => return Err(DiskError::new("read link", path, error).into()),
        };
        let slot = target.to_str().and_then(|t| t.strip_prefix("versions/"));
        match slot.and_then(|slot| slot.parse().ok()) {
            Some(slot) => Ok(Some(slot)),
            None => {
                let found = format!("one to {}", target.display());
                Err(SlotError::InTheWay { path, found })
            }
        }
    }

    /// Every slot, in the order of their names.
    ///
    /// # Errors
    /// [`SlotError::Disk`].
    pub fn list(&self) -> Result<Vec<SlotName>, SlotError> {
        let mut slots = Vec::new();
        for entry in fs::read_dir(&self.versions).map_err(at("list", &self.versions))? {
            let name = entry.map_err(at("list", &self.versions))?.file_name();
            slots.extend(name.to_str().and_then(|name| name.parse::<SlotName>().ok()));
        }
        slots.sort_unstable();
        Ok(slots)
    }

    /// Whether the slot exists, and so was staged completely.
    #[must_use]
    pub fn exists(&self, slot: &SlotName) -> bool {
        self.path(slot).is_dir()
    }

    /// A name for a release that no slot has yet: the version, where it is
    /// plain; with the number behind `@` where that would be ambiguous.
    #[must_use]
    pub fn free_name(&self, version: &ReleaseVersion, number: ReleaseNumber) -> SlotName {
        // A colon would cut PATH and its like in two.
        let plain = version.as_str().replace(':', "_");
        let numbered = format!("{plain}@{number}");
        let first = (plain == version.as_str()).then_some(plain);
        // No version contains @, so these never meet another version's name.
        let more = (2..).map(|copy| format!("{numbered}.{copy}"));
        first
            .into_iter()
            .chain([numbered.clone()])
            .chain(more)
            .map(SlotName)
            .find(|slot| !self.path(slot).exists())
            .expect("one of endlessly many names is free")
    }

    /// The release in `slot`, beside its manifest.
    ///
    /// # Errors
    /// [`SlotError::Missing`].
    pub fn installed(
        &self,
        slot: &SlotName,
        manifest: Arc<ReleaseManifest>,
    ) -> Result<Installed, SlotError> {
        Installed::open(&self.path(slot), manifest).map_err(|error| {
            if error.is_missing() { SlotError::Missing { path: error.path } } else { error.into() }
        })
    }

    /// Begins to stage a release that will stand in `slot`.
    ///
    /// # Errors
    /// [`StageError`] if the slot exists, or the disk refuses.
    pub fn stage(
        &self,
        slot: &SlotName,
        manifest: Arc<ReleaseManifest>,
    ) -> Result<Staging, StageError> {
        let half = self.versions.join(format!("{STAGING}{slot}"));
        remove_tree(&half)?;
        Staging::begin(half, self.path(slot), manifest, self.steps.clone())
    }

    /// Makes `slot` the one that runs, durably.
    ///
    /// The caller has made its audit entry durable before: after a power cut
    /// the log may tell of a switch that did not happen, but never hide one.
    ///
    /// # Errors
    /// [`SlotError`]; `current` is then still what it was, or already new.
    pub fn switch(&self, slot: &SlotName) -> Result<(), SlotError> {
        let path = self.path(slot);
        if !path.is_dir() {
            return Err(SlotError::Missing { path });
        }
        // What stands in the way is found before anything is replaced.
        self.current()?;
        let (next, current) = (self.dir.join(NEXT), self.dir.join("current"));
        self.steps.reach(SWITCH_STEPS[0])?;
        disk::remove_file(&next)?;
        symlink(format!("versions/{slot}"), &next).map_err(at("create symlink", &next))?;
        self.steps.reach(SWITCH_STEPS[1])?;
        fs::rename(&next, &current).map_err(at("replace", &current))?;
        self.steps.reach(SWITCH_STEPS[2])?;
        Ok(sync_dir(&self.dir)?)
    }

    /// Makes no release the one that runs, durably.
    ///
    /// # Errors
    /// [`SlotError`], also if `current` is not ours.
    pub fn clear(&self) -> Result<(), SlotError> {
        self.current()?;
        self.steps.reach(CLEAR_STEPS[0])?;
        disk::remove_file(&self.dir.join("current"))?;
        self.steps.reach(CLEAR_STEPS[1])?;
        Ok(sync_dir(&self.dir)?)
    }

    /// Removes `slot` with all that is in it.
    ///
    /// # Errors
    /// [`SlotError::Running`] for the one that `current` leads to.
    pub fn remove(&self, slot: &SlotName) -> Result<(), SlotError> {
        if self.current()?.as_ref() == Some(slot) {
            return Err(SlotError::Running { slot: slot.clone() });
        }
        let path = self.path(slot);
        if !path.exists() {
            return Ok(());
        }
        // Renamed first: a half removed release must not look like a slot.
        let leaving = self.versions.join(format!("{LEAVING}{slot}"));
        remove_tree(&leaving)?;
        fs::rename(&path, &leaving).map_err(at("rename", &path))?;
        sync_dir(&self.versions)?;
        Ok(remove_tree(&leaving)?)
    }
}

/// Removes a tree, also one whose directories may not be written.
pub(crate) fn remove_tree(path: &Path) -> Result<(), DiskError> {
    if !path.is_dir() {
        return Ok(());
    }
    let mut dirs = vec![path.to_owned()];
    while let Some(dir) = dirs.pop() {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
            .map_err(at("open for removal", &dir))?;
        for entry in fs::read_dir(&dir).map_err(at("list", &dir))? {
            let entry = entry.map_err(at("list", &dir))?;
            if entry.file_type().map_err(at("look at", &dir))?.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(path).map_err(at("remove", path))
}
