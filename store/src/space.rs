//! Whether there is room on a disk, asked before anything is fetched.

use std::path::{Path, PathBuf};

use crate::disk::{DiskError, at};

/// Too little room.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// The file system has less free than is needed.
    #[error("{} has {free_bytes} bytes free, {needed_bytes} are needed", dir.display())]
    Full {
        /// A directory on the file system.
        dir: PathBuf,
        /// What is needed.
        needed_bytes: u64,
        /// What is free for this user.
        free_bytes: u64,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The bytes that this user may still write to the file system of `dir`.
///
/// # Errors
/// [`DiskError`].
pub fn free_bytes(dir: &Path) -> Result<u64, DiskError> {
    let stat = rustix::fs::statvfs(dir).map_err(at("look at the file system of", dir))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Asks for `needed_bytes` of room in `dir`.
///
/// # Errors
/// [`SpaceError::Full`] with both numbers.
pub fn require(dir: &Path, needed_bytes: u64) -> Result<(), SpaceError> {
    let free_bytes = free_bytes(dir)?;
    if free_bytes >= needed_bytes {
        Ok(())
    } else {
        Err(SpaceError::Full { dir: dir.to_owned(), needed_bytes, free_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_to_the_sixtieth_bytes_never_fit() {
        let dir = tempfile::tempdir().unwrap();
        require(dir.path(), 1).unwrap();
        let error = require(dir.path(), 1 << 60).unwrap_err().to_string();
        assert!(error.contains("1152921504606846976"), "{error}");
    }
}
