//! What goes wrong with a path, and the few calls every module makes.
//!
//! Knows no file format.

use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use rustix::fs::Advice;

/// A call on a path that the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct DiskError {
    /// What was being done, such as `write`.
    pub doing: &'static str,
    /// To which path.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    /// The error of `doing` something to `path`.
    pub fn new(
        doing: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self { doing, path: path.into(), source: source.into() }
    }

    /// Whether the disk or a quota is full: a person must make room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the path does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Makes an error of the system into one that names what was done to `path`.
pub(crate) fn at<E: Into<io::Error>>(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> DiskError {
    move |source| DiskError::new(doing, path, source)
}

/// Has the kernel begin to write out what was just written, so that a later
/// sync has little to wait for. It stays cached: only pages that are on the disk
/// already are dropped (`posix_fadvise(2)`).
pub(crate) fn begin_writing_out(file: &File, offset: u64, len: u64) {
    // Merely advice: where it is not taken, the sync takes longer.
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(len), Advice::DontNeed);
}

/// Makes the names in directory `dir` durable.
///
/// # Errors
/// [`DiskError`] if the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let handle = File::open(dir).map_err(at("open", dir))?;
    handle.sync_all().map_err(at("sync", dir))
}

/// Makes `dir` and the directories above it that are missing, durably, each
/// with the permission bits `mode` (before the umask).
///
/// # Errors
/// [`DiskError`] naming the directory that could not be made.
pub fn create_dirs(dir: &Path, mode: u32) -> Result<(), DiskError> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new("."));
    if !parent.as_os_str().is_empty() {
        create_dirs(parent, mode)?;
    }
    match fs::DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => sync_dir(parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(DiskError::new("create directory", dir, error)),
    }
}

/// Like [`create_dirs`], but what is made may be gone after a power cut: for
/// who syncs the file system before anything refers to it, or can do without.
///
/// # Errors
/// [`DiskError`] naming `dir`.
pub fn create_dirs_unsynced(dir: &Path, mode: u32) -> Result<(), DiskError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(dir);
    made.map_err(at("create directory", dir))
}

/// Reads a file of at most `max_len` bytes; `None` if there is none.
///
/// # Errors
/// [`DiskError`] if it cannot be read, or with
/// [`io::ErrorKind::FileTooLarge`] if it is longer.
pub fn read_bounded(path: &Path, max_len: u64) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskError::new("open", path, error)),
    };
    let len = file.metadata().map_err(at("look at", path))?.len();
    let too_long = |found: u64| {
        let text = format!("at most {max_len} bytes are expected here, found {found}");
        DiskError::new("read", path, io::Error::new(io::ErrorKind::FileTooLarge, text))
    };
    if len > max_len {
        return Err(too_long(len));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).map_err(|_| too_long(len))?);
    // The file may have grown since it was measured.
    file.take(max_len + 1).read_to_end(&mut bytes).map_err(at("read", path))?;
    let found = bytes.len() as u64;
    if found > max_len { Err(too_long(found)) } else { Ok(Some(bytes)) }
}

/// Removes a file if it is there; not durable until its directory is synced.
///
/// # Errors
/// [`DiskError`] if it is there and stays.
pub fn remove_file(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DiskError::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parents_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_dirs(&deep, 0o755).unwrap();
        create_dirs(&deep, 0o755).unwrap();
        assert!(deep.is_dir());
    }

    #[test]
    fn a_file_in_the_way_of_a_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "x").unwrap();
        let error = create_dirs(&dir.path().join("a/b"), 0o755).unwrap_err();
        assert!(error.to_string().contains("/a"), "{error}");
    }

    #[test]
    fn a_file_longer_than_its_bound_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read_bounded(&path, 11).unwrap().unwrap().len(), 11);
        assert!(read_bounded(&path, 10).is_err());
        assert!(read_bounded(&dir.path().join("g"), 10).unwrap().is_none());
    }
}
