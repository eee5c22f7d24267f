//! The metadata that an agent trusts, byte for byte as it was received.
//!
//! Promises that a file is wholly its old or wholly its new version. Whether
//! it deserves trust is decided above.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::disk::{self, DiskError, at, read_bounded, sync_dir};
use crate::limits::{METADATA_BYTES, TRUSTED_FILES};
use crate::repository::is_plain;
use crate::steps::Steps;

/// The trusted directory, used by one process.
#[derive(Debug, Clone)]
pub struct TrustedFiles {
    dir: PathBuf,
    steps: Steps,
}

impl TrustedFiles {
    /// Opens the directory `dir`, made if it is missing.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn open(dir: &Path, steps: Steps) -> Result<Self, DiskError> {
        disk::create_dirs(dir, 0o700)?;
        atomic::sweep(dir)?;
        Ok(Self { dir: dir.to_owned(), steps })
    }

    /// All files, by name.
    ///
    /// # Errors
    /// [`DiskError`] if one cannot be read or there are too many.
    pub fn load(&self) -> Result<BTreeMap<String, Vec<u8>>, DiskError> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.dir).map_err(at("list", &self.dir))? {
            let name = entry.map_err(at("list", &self.dir))?.file_name();
            let Some(name) = name.to_str().filter(|name| is_plain(name)) else { continue };
            if files.len() == TRUSTED_FILES {
                let many = std::io::Error::other(format!("more than {TRUSTED_FILES} files"));
                return Err(DiskError::new("load", &self.dir, many));
            }
            if let Some(bytes) = read_bounded(&self.dir.join(name), METADATA_BYTES)? {
                files.insert(name.to_owned(), bytes);
            }
        }
        Ok(files)
    }

    /// The file `name`, if there is one.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        read_bounded(&self.path(name)?, METADATA_BYTES)
    }

    /// Replaces the file `name` durably.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn persist(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        atomic::write(&self.path(name)?, bytes, 0o600, &self.steps)
    }

    /// Removes the file `name` durably, if it is there.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn forget(&self, name: &str) -> Result<(), DiskError> {
        disk::remove_file(&self.path(name)?)?;
        sync_dir(&self.dir)
    }

    fn path(&self, name: &str) -> Result<PathBuf, DiskError> {
        if is_plain(name) {
            Ok(self.dir.join(name))
        } else {
            let refused = std::io::Error::from(std::io::ErrorKind::InvalidFilename);
            Err(DiskError::new("use as a metadata file name", name, refused))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_exactly() {
        let dir = tempfile::tempdir().unwrap();
        let trusted = TrustedFiles::open(dir.path(), Steps::free()).unwrap();
        trusted.persist("root.json", b" {} \n").unwrap();
        trusted.persist("hello.stable.json", b"\xff").unwrap();
        trusted.persist("root.json", b"{ }").unwrap();
        trusted.forget("absent.json").unwrap();
        let files = trusted.load().unwrap();
        assert_eq!(files["root.json"], b"{ }");
        assert_eq!(files["hello.stable.json"], b"\xff");
        trusted.forget("root.json").unwrap();
        assert!(trusted.get("root.json").unwrap().is_none());
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let trusted = TrustedFiles::open(dir.path(), Steps::free()).unwrap();
        for bad in ["", "..", "../root.json", "/root.json", ".root"] {
            assert!(trusted.persist(bad, b"x").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn leftovers_of_a_power_cut_are_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let cut = TrustedFiles::open(dir.path(), Steps::free()).unwrap();
        cut.persist("root.json", b"old").unwrap();
        std::fs::write(dir.path().join(".unfinished-x"), "half").unwrap();
        let files = TrustedFiles::open(dir.path(), Steps::free()).unwrap().load().unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["root.json"]);
        assert!(!dir.path().join(".unfinished-x").exists());
    }
}
