//! Target files: what was downloaded, and downloading.
//!
//! A target is kept in one directory under its percent-encoded path, so that
//! a newer version replaces the older one and no path leads elsewhere. A file
//! takes its name only when its length and hashes are those of the metadata.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use manifest::trust::hashes::Mismatch;
use manifest::trust::quote::quoted;
use manifest::trust::targets::Target;
use store::atomic::{self, Draft};
use store::disk::{self, DiskError};
use store::steps::Steps;
use web::error::WebError;
use web::source::Source;

use crate::address;

/// Who may read a target: whoever the umask lets.
const MODE: u32 = 0o666;

/// How much of a kept file is read at once.
const CHUNK: usize = 64 << 10;

/// Where target files are kept.
#[derive(Debug)]
pub struct TargetDir {
    dir: PathBuf,
}

/// A target that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No file can be named after it.
    #[error("no file can bear the name {name:?}")]
    Name {
        /// Its encoded path.
        name: String,
    },
    /// What came, or what metadata says, is not to be trusted.
    #[error("the target {path} is not the one that is signed")]
    Mismatch {
        /// Its path.
        path: String,
        /// What differs.
        source: Mismatch,
    },
    /// The repository has no such file.
    #[error("the repository has no file of the target {path}")]
    NotFound {
        /// Its path.
        path: String,
    },
    /// The repository did not answer.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl TargetDir {
    /// Opens the directory, made if it is missing.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn open(dir: &Path) -> Result<Self, DiskError> {
        disk::create_dirs(dir, 0o755)?;
        atomic::sweep(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where the target at `path` is kept.
    ///
    /// # Errors
    /// [`TargetError::Name`] for a path that names the directory itself.
    pub fn file(&self, path: &str) -> Result<PathBuf, TargetError> {
        let name = quoted(path);
        match name.as_str() {
            "" | "." | ".." => Err(TargetError::Name { name }),
            _ => Ok(self.dir.join(name)),
        }
    }

    /// Whether the target at `path` is kept, whole and unchanged.
    ///
    /// # Errors
    /// [`TargetError`] if the file is there and cannot be read, or metadata
    /// names a hash that cannot be computed.
    pub fn holds(&self, path: &str, target: &Target) -> Result<bool, TargetError> {
        let file = self.file(path)?;
        let mut arrival = arrival(path, target)?;
        let failed = |doing, error| TargetError::from(DiskError::new(doing, &file, error));
        let mut opened = match File::open(&file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("open", error)),
        };
        let mut chunk = vec![0; CHUNK];
        loop {
            match opened.read(&mut chunk).map_err(|error| failed("read", error))? {
                0 => return Ok(arrival.finish().is_ok()),
                len if arrival.take(&chunk[..len]).is_err() => return Ok(false),
                _ => {}
            }
        }
    }

    /// Fetches the target at `path` (TUF 5.7), unless it is kept already;
    /// gives its file.
    ///
    /// # Errors
    /// [`TargetError`]; an older version of the file stays as it is.
    pub async fn download(
        &self,
        source: &Source,
        path: &str,
        target: &Target,
        consistent_snapshot: bool,
    ) -> Result<PathBuf, TargetError> {
        let file = self.file(path)?;
        if self.holds(path, target)? {
            return Ok(file);
        }
        // TUF 5.7.3: the name bears any one of the hashes.
        let names: Vec<String> = match consistent_snapshot {
            true => target.consistent_names(path).collect(),
            false => vec![path.to_owned()],
        };
        for address in address::of_targets(names.into_iter()) {
            let Some(mut body) = source.open(&address, 0, target.length).await? else { continue };
            let mut arrival = arrival(path, target)?;
            let mut draft = Draft::begin(&file, MODE, &Steps::free())?;
            let wrong = |source| TargetError::Mismatch { path: path.to_owned(), source };
            while let Some(chunk) = body.next().await? {
                arrival.take(&chunk).map_err(wrong)?;
                draft.write(&chunk)?;
            }
            arrival.finish().map_err(wrong)?;
            draft.commit()?;
            return Ok(file);
        }
        Err(TargetError::NotFound { path: path.to_owned() })
    }
}

fn arrival(path: &str, target: &Target) -> Result<manifest::trust::hashes::Arrival, TargetError> {
    target.arrival().map_err(|source| TargetError::Mismatch { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifest::trust::hashes::Hashes;

    fn target(bytes: &[u8]) -> Target {
        Target {
            length: bytes.len() as u64,
            hashes: Hashes::sha256_of(bytes),
            custom: None,
            extra: Default::default(),
        }
    }

    #[test]
    fn a_kept_file_counts_only_while_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let targets = TargetDir::open(dir.path()).unwrap();
        let signed = target(b"signed");
        assert!(!targets.holds("a/b", &signed).unwrap());
        std::fs::write(targets.file("a/b").unwrap(), b"signed").unwrap();
        assert!(targets.holds("a/b", &signed).unwrap());
        for other in [&b"signeD"[..], b"signed.", b"signe", b""] {
            std::fs::write(targets.file("a/b").unwrap(), other).unwrap();
            assert!(!targets.holds("a/b", &signed).unwrap());
        }
    }

    #[test]
    fn a_path_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let targets = TargetDir::open(dir.path()).unwrap();
        for name in ["../x", "/etc/passwd", "a/../../b", "\u{0}"] {
            let file = targets.file(name).unwrap();
            assert_eq!(file.parent().unwrap(), dir.path(), "{name:?}");
        }
        for name in ["", ".", ".."] {
            assert!(targets.file(name).is_err(), "{name:?}");
        }
    }
}
