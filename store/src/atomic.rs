//! A file that is at every instant wholly its old or wholly its new bytes.
//!
//! Order: write beside it, sync the bytes, rename over it, sync the directory.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::disk::{DiskError, at, sync_dir};
use crate::steps::Steps;

/// How the names of unfinished files begin; a leftover one means nothing.
pub const UNFINISHED: &str = ".unfinished-";

/// The steps of [`write()`], in order, for tests that cut each.
pub const STEPS: [&str; 4] =
    ["atomic: write", "atomic: sync file", "atomic: rename", "atomic: sync directory"];

/// Replaces the file at `path` by `bytes` with the permission bits `mode`;
/// when this returns, they survive a power cut.
///
/// # Errors
/// [`DiskError`]; the old file is then still whole, or the new one already.
pub fn write(path: &Path, bytes: &[u8], mode: u32, steps: &Steps) -> Result<(), DiskError> {
    let mut draft = Draft::begin(path, mode, steps)?;
    draft.write(bytes)?;
    draft.commit()
}

/// A file that is written piece by piece before it takes its name.
///
/// Dropped without [`Draft::commit`], it is gone and the old file stays.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    file: NamedTempFile,
    steps: Steps,
}

impl Draft {
    /// Begins what will replace the file at `path`, with the permission bits
    /// `mode`.
    ///
    /// # Errors
    /// [`DiskError`] if no file can be made beside it.
    pub fn begin(path: &Path, mode: u32, steps: &Steps) -> Result<Self, DiskError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        steps.reach(STEPS[0])?;
        let file = unfinished(parent, mode).map_err(at("create a file in", parent))?;
        Ok(Self { path: path.to_owned(), file, steps: steps.clone() })
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all(bytes).map_err(at("write", &self.path))
    }

    /// Gives the file its name; when this returns, it survives a power cut.
    ///
    /// # Errors
    /// [`DiskError`]; the old file is then still whole, or the new one already.
    pub fn commit(self) -> Result<(), DiskError> {
        let Self { path, file, steps } = self;
        // Without this sync, a power cut after the rename leaves an empty file.
        steps.reach(STEPS[1])?;
        file.as_file().sync_all().map_err(at("sync", &path))?;
        steps.reach(STEPS[2])?;
        file.persist(&path).map_err(|error| DiskError::new("replace", &path, error.error))?;
        steps.reach(STEPS[3])?;
        sync_dir(path.parent().unwrap_or(Path::new("")))
    }
}

/// Like [`write()`], but leaves syncing to the caller, who writes many files
/// and syncs their file system once before anything refers to them.
///
/// # Errors
/// [`DiskError`].
pub fn write_unsynced(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let mut file = unfinished(parent, mode).map_err(at("create a file in", parent))?;
    file.write_all(bytes).map_err(at("write", path))?;
    file.persist(path).map_err(|error| DiskError::new("replace", path, error.error))?;
    Ok(())
}

/// A new file beside the one that it will replace.
fn unfinished(parent: &Path, mode: u32) -> std::io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Removes what interrupted writes left in `dir`.
///
/// # Errors
/// [`DiskError`] if the directory cannot be read or a leftover stays.
pub fn sweep(dir: &Path) -> Result<(), DiskError> {
    for entry in std::fs::read_dir(dir).map_err(at("list", dir))? {
        let entry = entry.map_err(at("list", dir))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            crate::disk::remove_file(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn cut_at_any_step_the_file_is_wholly_old_or_wholly_new() {
        for (index, step) in STEPS.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            write(&path, b"old", 0o600, &Steps::free()).unwrap();
            assert!(write(&path, b"new", 0o600, &Steps::until(step)).is_err());
            let expected: &[u8] = if index < 3 { b"old" } else { b"new" };
            assert_eq!(fs::read(&path).unwrap(), expected, "cut at {step}");
        }
    }

    #[test]
    fn bytes_are_synced_before_the_name_points_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let (steps, taken) = Steps::recorded();
        write(&dir.path().join("file"), b"new", 0o600, &steps).unwrap();
        assert_eq!(taken(), STEPS);
    }

    #[test]
    fn the_mode_is_the_one_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"secret", 0o600, &Steps::free()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_dropped_draft_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"old", 0o600, &Steps::free()).unwrap();
        let mut draft = Draft::begin(&path, 0o600, &Steps::free()).unwrap();
        draft.write(b"ne").unwrap();
        draft.write(b"w").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(draft);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!("{UNFINISHED}abc")), "x").unwrap();
        fs::write(dir.path().join("kept"), "x").unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
