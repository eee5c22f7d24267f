//! The trusted metadata on disk: byte for byte what was received, under names
//! without versions.
//!
//! Promises that a file is wholly its old or wholly its new version, and that
//! one process at a time changes them, so that a slower one never puts back an
//! older version. Whether a file deserves trust is decided in `manifest`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manifest::trust::limits::NAMED_BYTES;
use manifest::trust::role::RoleName;
use store::atomic;
use store::disk::{self, DiskError};
use store::lock::{HomeLock, LockError};
use store::steps::Steps;

use crate::limits::{FILE_NAME_BYTES, LOCK};

/// Who may read what is no secret.
const MODE: u32 = 0o644;

/// How long to sleep before the lock is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// A metadata directory, held by this process.
#[derive(Debug)]
pub struct MetadataDir {
    dir: PathBuf,
    steps: Steps,
    _lock: HomeLock,
}

impl MetadataDir {
    /// Makes the directory if it is missing, and opens it.
    ///
    /// # Errors
    /// As [`MetadataDir::open`].
    pub fn create(dir: &Path, steps: Steps) -> Result<Self, LockError> {
        disk::create_dirs(dir, 0o755)?;
        Self::open(dir, steps)
    }

    /// Opens the directory, waiting for a process that holds it.
    ///
    /// # Errors
    /// [`LockError`] if it is not there, or is still held after a minute.
    pub fn open(dir: &Path, steps: Steps) -> Result<Self, LockError> {
        let begun = Instant::now();
        let lock = loop {
            match HomeLock::take(&dir.join(".lock")) {
                Err(LockError::Held { .. }) if begun.elapsed() < LOCK => {
                    std::thread::sleep(AGAIN);
                }
                lock => break lock?,
            }
        };
        atomic::sweep(dir)?;
        Ok(Self { dir: dir.to_owned(), steps, _lock: lock })
    }

    /// The files of the four top-level roles, as far as they are there.
    ///
    /// # Errors
    /// [`DiskError`] if one cannot be read.
    pub fn top_level(&self) -> Result<BTreeMap<String, Vec<u8>>, DiskError> {
        let roles = [RoleName::ROOT, RoleName::TIMESTAMP, RoleName::SNAPSHOT, RoleName::TARGETS];
        let mut files = BTreeMap::new();
        for name in roles.map(|role| role.file_name()) {
            if let Some(bytes) = self.get(&name)? {
                files.insert(name, bytes);
            }
        }
        Ok(files)
    }

    /// The file `name`, if there is one.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        match self.path(name) {
            Some(path) => disk::read_bounded(&path, NAMED_BYTES as u64),
            None => Ok(None),
        }
    }

    /// Replaces the file `name` durably, unless it has these bytes already.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn persist(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let Some(path) = self.path(name) else { return Ok(()) };
        if self.get(name)?.is_some_and(|kept| kept == bytes) {
            return Ok(());
        }
        atomic::write(&path, bytes, MODE, &self.steps)
    }

    /// Removes the file `name` durably, if it is there.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn forget(&self, name: &str) -> Result<(), DiskError> {
        let Some(path) = self.path(name) else { return Ok(()) };
        disk::remove_file(&path)?;
        disk::sync_dir(&self.dir)
    }

    /// Where the file of a role is kept. `None` for a delegated role whose
    /// name no file can bear: it is then fetched each time.
    fn path(&self, name: &str) -> Option<PathBuf> {
        (name.len() <= FILE_NAME_BYTES).then(|| self.dir.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = MetadataDir::create(dir.path(), Steps::free()).unwrap();
        let path = dir.path().to_owned();
        let second = std::thread::spawn(move || {
            let second = MetadataDir::open(&path, Steps::free()).unwrap();
            second.get("root.json").unwrap()
        });
        std::thread::sleep(5 * AGAIN);
        first.persist("root.json", b"first").unwrap();
        drop(first);
        assert_eq!(second.join().unwrap().unwrap(), b"first");
    }

    #[test]
    fn what_no_file_can_be_named_after_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = MetadataDir::create(dir.path(), Steps::free()).unwrap();
        let long = "x".repeat(FILE_NAME_BYTES - 4) + ".json";
        metadata.persist(&long, b"x").unwrap();
        assert!(metadata.get(&long).unwrap().is_none());
        let longest = "x".repeat(FILE_NAME_BYTES - 5) + ".json";
        metadata.persist(&longest, b"x").unwrap();
        assert_eq!(metadata.get(&longest).unwrap().unwrap(), b"x");
        metadata.forget(&longest).unwrap();
        assert!(metadata.get(&longest).unwrap().is_none());
    }

    #[test]
    fn a_cut_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        for step in atomic::STEPS {
            let free = MetadataDir::create(dir.path(), Steps::free()).unwrap();
            free.persist("root.json", b"old").unwrap();
            drop(free);
            let cut = MetadataDir::open(dir.path(), Steps::until(step)).unwrap();
            assert!(cut.persist("root.json", b"new").is_err());
            let kept = cut.get("root.json").unwrap().unwrap();
            let after = step == atomic::STEPS[3];
            assert_eq!(kept, if after { b"new" } else { b"old" }, "{step}");
        }
    }
}
