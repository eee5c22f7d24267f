//! One process at a time: the lock on a program's home.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::disk::{DiskError, at};

/// Held as long as the value lives; a killed process loses it.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

/// A lock that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is held by process {holder}", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What the file says who holds it.
        holder: String,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl HomeLock {
    /// Takes the lock in the file at `path`, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(at("open", path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Only for the message; an unreadable file just says less.
                let _ = (&file).take(20).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "unknown".to_owned(),
                    pid => pid.to_owned(),
                };
                return Err(LockError::Held { path: path.to_owned(), holder });
            }
            Err(errno) => return Err(DiskError::new("lock", path, errno).into()),
        }
        file.set_len(0).map_err(at("write", path))?;
        writeln!(file, "{}", std::process::id()).map_err(at("write", path))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = HomeLock::take(&path).unwrap();
        let error = HomeLock::take(&path).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(held);
        HomeLock::take(&path).unwrap();
    }
}
