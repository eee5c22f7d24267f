//! A release on its way into its slot.
//!
//! It is built beside the slots under a name that says so. Order: files and
//! links → compared with the manifest, byte for byte → modes → file system
//! synced → renamed to the slot's name → `versions/` synced. Measured on ext4
//! with abrupt shutdown: without the sync of the file system every file of
//! the new tree was empty. Files are cloned or copied from older slots, never
//! linked: one edit would else damage every release that has the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use container::list::Facts;
use manifest::release::layout::{Part, Shape};
use manifest::release::manifest::ReleaseManifest;
use manifest::release::tree::Kind;

use crate::beneath::Beneath;
use crate::disk::{DiskError, at, begin_writing_out, sync_dir};
use crate::installed::{Damage, Difference, Installed};
use crate::scratch::Scratch;
use crate::steps::Steps;
use crate::sums::facts;

/// The steps of staging, in order.
pub const STEPS: [&str; 5] = [
    "stage: make tree",
    "stage: set modes",
    "stage: sync file system",
    "stage: rename",
    "stage: sync directory",
];

/// What is written in pieces of at least so many bytes goes to the disk while
/// more is made; smaller ones wait for the sync.
const WRITE_OUT_BYTES: usize = 128 * 1024;

/// A release that is being staged; dropped before [`Staging::finish`], it is
/// removed when the slots are next opened or the slot is staged again.
#[derive(Debug)]
pub struct Staging {
    half: PathBuf,
    slot: PathBuf,
    root: Arc<Beneath>,
    manifest: Arc<ReleaseManifest>,
    steps: Steps,
}

/// A release that cannot be staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The slot is taken.
    #[error("{} exists already", path.display())]
    Taken {
        /// The slot.
        path: PathBuf,
    },
    /// Bytes were given for a row that is no file, or beyond its end.
    #[error("row {row} of the release has no bytes {offset}..{end}")]
    NoSuchBytes {
        /// The row.
        row: u32,
        /// Where the bytes begin.
        offset: u64,
        /// Where they end.
        end: u64,
    },
    /// What was staged is not the release: a source changed meanwhile.
    #[error("{} of the staged files differ from the manifest, first {}: {}",
        damaged.len(), damaged[0].path, damaged[0].how)]
    Differs {
        /// The rows; at least one.
        damaged: Vec<Damage>,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Staging {
    pub(crate) fn begin(
        half: PathBuf,
        slot: PathBuf,
        manifest: Arc<ReleaseManifest>,
        steps: Steps,
    ) -> Result<Self, StageError> {
        if slot.exists() {
            return Err(StageError::Taken { path: slot });
        }
        steps.reach(STEPS[0])?;
        std::fs::create_dir(&half).map_err(at("create directory", &half))?;
        let root = Arc::new(Beneath::open(&half)?);
        for entry in manifest.tree().entries() {
            let path = entry.path.as_str();
            match &entry.kind {
                Kind::Directory => root.create_dir(path)?,
                Kind::Symlink { target } => root.create_link(path, target)?,
                Kind::File { .. } => drop(root.create(path)?),
            }
        }
        Ok(Self { half, slot, root, manifest, steps })
    }

    /// Copies a whole file from an installed release, by reference where the
    /// file system can.
    ///
    /// # Errors
    /// [`StageError::Disk`]; whether the bytes are right shows at the end.
    pub fn copy(&self, row: u32, from: &Installed, from_row: u32) -> Result<(), StageError> {
        let old = from.manifest().tree().entries().get(from_row as usize);
        let missing = StageError::NoSuchBytes { row: from_row, offset: 0, end: 0 };
        let old = from.root().read(old.ok_or(missing)?.path.as_str())?;
        let path = self.file_path(row, 0, 0)?;
        let new = self.root.write(path)?;
        let full = self.half.join(path);
        if rustix::fs::ioctl_ficlone(&new, &old).is_ok() {
            return Ok(());
        }
        Ok(copy_bytes(&old, &new).map_err(at("copy to", &full))?)
    }

    /// Writes `bytes` of the file at `row`, from `offset` on.
    ///
    /// # Errors
    /// [`StageError::NoSuchBytes`] if the manifest has no such bytes there.
    pub fn write(&self, row: u32, offset: u64, bytes: &[u8]) -> Result<(), StageError> {
        let path = self.file_path(row, offset, bytes.len() as u64)?;
        let file = self.root.write(path)?;
        file.write_all_at(bytes, offset).map_err(at("write", &self.half.join(path)))?;
        if bytes.len() >= WRITE_OUT_BYTES {
            begin_writing_out(&file, offset, bytes.len() as u64);
        }
        Ok(())
    }

    /// What a list of hashes says of the file at `row`, as it was written.
    ///
    /// # Errors
    /// [`StageError::NoSuchBytes`] if the row is no file.
    pub fn facts(&self, row: u32) -> Result<Facts, StageError> {
        let path = self.file_path(row, 0, 0)?;
        Ok(facts(self.root.read(path)?).map_err(at("read", &self.half.join(path)))?)
    }

    /// Room on the same disk for what is made on the way.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn scratch(&self) -> Result<Scratch, DiskError> {
        Scratch::new(self.half.parent().expect("it lies beside the slots"))
    }

    /// Writes the runs of `shape` from the bytes of the piece.
    ///
    /// # Errors
    /// As [`Staging::write`].
    pub fn write_shape(&self, shape: &Shape, piece: &[u8]) -> Result<(), StageError> {
        let mut at = 0;
        for part in &shape.parts {
            self.write_run(at, part, piece)?;
            at += part.len;
        }
        Ok(())
    }

    /// Writes one run, whose bytes begin at `at` within the piece.
    ///
    /// # Errors
    /// As [`Staging::write`]; also if the piece is too short.
    pub fn write_run(&self, at: u32, part: &Part, piece: &[u8]) -> Result<(), StageError> {
        let (start, len) = (at as usize, part.len as usize);
        let bytes = start.checked_add(len).and_then(|end| piece.get(start..end));
        let bytes = bytes.ok_or(StageError::NoSuchBytes {
            row: part.row,
            offset: part.offset,
            end: part.offset + u64::from(part.len),
        })?;
        self.write(part.row, part.offset, bytes)
    }

    fn file_path(&self, row: u32, offset: u64, len: u64) -> Result<&str, StageError> {
        let end = offset.saturating_add(len);
        let entry = self.manifest.tree().entries().get(row as usize);
        match entry.and_then(|entry| Some((entry, entry.file()?))) {
            Some((entry, (size, _))) if end <= size => Ok(entry.path.as_str()),
            _ => Err(StageError::NoSuchBytes { row, offset, end }),
        }
    }

    /// Compares all with the manifest, and makes it a slot, durably.
    ///
    /// # Errors
    /// [`StageError::Differs`] if what was written is not the release; then,
    /// and after any other error, there is no new slot.
    pub fn finish(self) -> Result<Installed, StageError> {
        let staged = Installed::open(&self.half, Arc::clone(&self.manifest))?;
        let mut damaged = staged.inspect().damaged;
        // Modes are set below: until then only we may read what is here.
        damaged.retain(|damage| !matches!(damage.how, Difference::Mode { .. }));
        if !damaged.is_empty() {
            return Err(StageError::Differs { damaged });
        }
        self.steps.reach(STEPS[1])?;
        // Backwards: a directory comes after what it holds, which would be
        // out of reach once the directory may not be searched.
        for entry in self.manifest.tree().entries().iter().rev() {
            if !matches!(entry.kind, Kind::Symlink { .. }) {
                self.root.set_mode(entry.path.as_str(), entry.mode)?;
            }
        }
        self.root.set_mode("", 0o755)?;
        self.steps.reach(STEPS[2])?;
        self.root.sync_file_system()?;
        self.steps.reach(STEPS[3])?;
        std::fs::rename(&self.half, &self.slot).map_err(at("rename", &self.half))?;
        self.steps.reach(STEPS[4])?;
        sync_dir(self.slot.parent().expect("a slot lies in versions/"))?;
        Ok(Installed::open(&self.slot, self.manifest)?)
    }
}

/// Copies from the start of `old` to the start of `new`, within the kernel
/// where it can.
fn copy_bytes(mut old: &File, mut new: &File) -> io::Result<()> {
    // On Linux this tries copy_file_range, then sendfile, then a buffer.
    io::copy(&mut old, &mut new).map(drop)
}
