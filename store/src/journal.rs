//! What a program must remember over a restart: one JSON file, replaced whole.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic;
use crate::disk::{DiskError, read_bounded};
use crate::limits::STATE_BYTES;
use crate::steps::Steps;

/// The file that keeps one value of type `T`.
#[derive(Debug)]
pub struct Journal<T> {
    path: PathBuf,
    steps: Steps,
    kept: PhantomData<fn() -> T>,
}

/// A state that cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file is not what this program wrote.
    #[error("{} cannot be understood: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was wrong, and where.
        why: String,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// The journal in the file at `path`, which need not exist.
    #[must_use]
    pub fn at(path: &Path, steps: Steps) -> Self {
        Self { path: path.to_owned(), steps, kept: PhantomData }
    }

    /// What was kept last, if anything was.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn load(&self) -> Result<Option<T>, JournalError> {
        let Some(bytes) = read_bounded(&self.path, STATE_BYTES)? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes).map_err(|error| JournalError::Malformed {
            path: self.path.clone(),
            why: error.to_string(),
        })?;
        Ok(Some(value))
    }

    /// Keeps `value` in place of what was kept, durably.
    ///
    /// # Errors
    /// [`JournalError::Disk`]; the old value or the new one is then kept.
    pub fn keep(&self, value: &T) -> Result<(), JournalError> {
        let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| {
            JournalError::Malformed { path: self.path.clone(), why: error.to_string() }
        })?;
        bytes.push(b'\n');
        Ok(atomic::write(&self.path, &bytes, 0o600, &self.steps)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::<Vec<u32>>::at(&dir.path().join("state.json"), Steps::free());
        assert!(journal.load().unwrap().is_none());
        journal.keep(&vec![1, 2]).unwrap();
        assert_eq!(journal.load().unwrap().unwrap(), [1, 2]);
    }

    #[test]
    fn a_tampered_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        std::fs::write(&path, "[1, true]").unwrap();
        let error = Journal::<Vec<u32>>::at(&path, Steps::free()).load().unwrap_err().to_string();
        assert!(error.contains("state.json") && error.contains("boolean"), "{error}");
    }
}
