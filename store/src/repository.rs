//! A vendor's repository, as mirrors serve it: `metadata/`, `targets/` with
//! consistent-snapshot names, and `objects/ab/HEX` or `HEX.zst`.
//!
//! Promises that a reader at any instant finds it whole: objects and targets
//! are durable before metadata names them, and `timestamp.json` comes last.
//! Holds nothing secret. Knows no format of what it keeps.

use std::fs;
use std::path::{Path, PathBuf};

use manifest::content::ContentId;

use crate::atomic;
use crate::disk::{self, DiskError, at, read_bounded};
use crate::frame::{self, FrameError};
use crate::limits::{METADATA_BYTES, OBJECT_BYTES, TARGET_BYTES};
use crate::steps::Steps;

/// The steps of [`Repository::publish`], in order; between and within them
/// come those of [`atomic::STEPS`].
pub const STEPS: [&str; 5] = [
    "repository: write targets",
    "repository: sync objects and targets",
    "repository: write metadata",
    "repository: sync metadata",
    "repository: write timestamp",
];

/// A repository on disk, written by one process and read by many.
#[derive(Debug, Clone)]
pub struct Repository {
    dir: PathBuf,
    steps: Steps,
}

/// An object as the repository keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Which object.
    pub id: ContentId,
    /// How long it is, unpacked.
    pub len: u64,
    /// How long its file is.
    pub file_len: u64,
    /// Its file.
    pub path: PathBuf,
    /// Whether the file is a zstd frame around it.
    pub packed: bool,
}

/// A target file that is about to be published.
#[derive(Debug, Clone, Copy)]
pub struct NewTarget<'a> {
    /// Its target path, such as `hello/stable/linux-x86_64/1.0.release`.
    pub path: &'a str,
    /// Its sha256 in hex, the prefix of its file name.
    pub sha256: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What keeps a repository from being read or written.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The directory is no repository.
    #[error("{} is no repository: it has no metadata/", dir.display())]
    NotOne {
        /// The directory.
        dir: PathBuf,
    },
    /// A name that would leave the repository or hide in it.
    #[error("{name:?} cannot be the name of {what}")]
    BadName {
        /// What was to be named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A versioned metadata file exists with other bytes: two publishers, or
    /// a home restored from a backup.
    #[error("{} is already published with other bytes", path.display())]
    AlreadyPublished {
        /// The file.
        path: PathBuf,
    },
    /// Bytes do not hash to the id they stand under.
    #[error("object {id} has the bytes of {found} ({})", path.display())]
    Damaged {
        /// The object.
        id: ContentId,
        /// What its bytes hash to.
        found: ContentId,
        /// Its file.
        path: PathBuf,
    },
    /// A packed object cannot be unpacked.
    #[error("object {id} cannot be unpacked ({})", path.display())]
    Frame {
        /// The object.
        id: ContentId,
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: FrameError,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Repository {
    /// Makes an empty repository in `dir`.
    ///
    /// # Errors
    /// [`RepositoryError::Disk`].
    pub fn create(dir: &Path, steps: Steps) -> Result<Self, RepositoryError> {
        for part in ["metadata", "targets", "objects"] {
            disk::create_dirs(&dir.join(part), 0o755)?;
        }
        Ok(Self { dir: dir.to_owned(), steps })
    }

    /// Opens the repository in `dir`.
    ///
    /// # Errors
    /// [`RepositoryError::NotOne`].
    pub fn open(dir: &Path, steps: Steps) -> Result<Self, RepositoryError> {
        if dir.join("metadata").is_dir() {
            Ok(Self { dir: dir.to_owned(), steps })
        } else {
            Err(RepositoryError::NotOne { dir: dir.to_owned() })
        }
    }

    /// The directory that mirrors serve.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The metadata file `name`, such as `2.root.json`, if it is published.
    ///
    /// # Errors
    /// [`RepositoryError::BadName`], [`RepositoryError::Disk`].
    pub fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        Ok(read_bounded(&self.metadata_path(name)?, METADATA_BYTES)?)
    }

    /// The target at `path` whose sha256 in hex is `sha256`, if published.
    ///
    /// # Errors
    /// [`RepositoryError::BadName`], [`RepositoryError::Disk`].
    pub fn target(&self, path: &str, sha256: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        Ok(read_bounded(&self.target_path(path, sha256)?, TARGET_BYTES)?)
    }

    /// Keeps `bytes` as object `id` as they are; says whether it was new.
    /// Durable only after [`Repository::publish`].
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] if `bytes` are another object.
    pub fn put_object(&self, id: ContentId, bytes: &[u8]) -> Result<bool, RepositoryError> {
        self.put(id, bytes, None)
    }

    /// Keeps `bytes` as object `id` in a zstd frame of compression `level`,
    /// or as they are where that is not shorter; says whether it was new.
    /// Durable only after [`Repository::publish`].
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] if `bytes` are another object.
    pub fn put_piece(
        &self,
        id: ContentId,
        bytes: &[u8],
        level: i32,
    ) -> Result<bool, RepositoryError> {
        self.put(id, bytes, Some(level))
    }

    fn put(
        &self,
        id: ContentId,
        bytes: &[u8],
        level: Option<i32>,
    ) -> Result<bool, RepositoryError> {
        let plain = self.object_path(id);
        let found = ContentId::of(bytes);
        if found != id {
            return Err(RepositoryError::Damaged { id, found, path: plain });
        }
        // A power cut before `publish` may have left a name without bytes, so
        // what is already there is believed only when it is intact.
        if matches!(self.object(id), Ok(Some(_))) {
            return Ok(false);
        }
        let parent = plain.parent().expect("an object's path has a shard directory");
        disk::create_dirs_unsynced(parent, 0o755)?;
        let packed = level.map(|level| frame::pack(bytes, level)).filter(|f| f.len() < bytes.len());
        match packed {
            Some(packed) => {
                disk::remove_file(&plain)?;
                atomic::write_unsynced(&in_frame(&plain), &packed, 0o644)?;
            }
            None => {
                disk::remove_file(&in_frame(&plain))?;
                atomic::write_unsynced(&plain, bytes, 0o644)?;
            }
        }
        Ok(true)
    }

    /// Where object `id` is kept, if it is.
    ///
    /// # Errors
    /// [`RepositoryError::Disk`], [`RepositoryError::Frame`].
    pub fn stored(&self, id: ContentId) -> Result<Option<Stored>, RepositoryError> {
        let plain = self.object_path(id);
        match fs::metadata(&plain) {
            Ok(metadata) => {
                let len = metadata.len();
                return Ok(Some(Stored { id, len, file_len: len, path: plain, packed: false }));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(DiskError::new("look at", plain, error).into()),
        }
        let path = in_frame(&plain);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::new("open", path, error).into()),
        };
        let file_len = file.metadata().map_err(at("look at", &path))?.len();
        // A frame header is at most 18 bytes long.
        let mut header = Vec::with_capacity(18);
        std::io::Read::read_to_end(&mut std::io::Read::take(file, 18), &mut header)
            .map_err(at("read", &path))?;
        match zstd::zstd_safe::get_frame_content_size(&header) {
            Ok(Some(len)) => Ok(Some(Stored { id, len, file_len, path, packed: true })),
            _ => {
                let source = FrameError::Damaged { why: "no frame header".to_owned() };
                Err(RepositoryError::Frame { id, path, source })
            }
        }
    }

    /// The bytes of object `id`, unpacked and checked, if it is kept.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`], [`RepositoryError::Frame`],
    /// [`RepositoryError::Disk`].
    pub fn object(&self, id: ContentId) -> Result<Option<Vec<u8>>, RepositoryError> {
        let Some((path, bytes)) = self.read(id)? else { return Ok(None) };
        let found = ContentId::of(&bytes);
        if found == id {
            Ok(Some(bytes))
        } else {
            Err(RepositoryError::Damaged { id, found, path })
        }
    }

    /// The bytes of object `id`, unpacked, if it is kept: for who checks them
    /// anyway.
    ///
    /// # Errors
    /// [`RepositoryError::Frame`], [`RepositoryError::Disk`].
    pub fn unchecked(&self, id: ContentId) -> Result<Option<Vec<u8>>, RepositoryError> {
        Ok(self.read(id)?.map(|(_, bytes)| bytes))
    }

    fn read(&self, id: ContentId) -> Result<Option<(PathBuf, Vec<u8>)>, RepositoryError> {
        let Some(Stored { path, len, packed, .. }) = self.stored(id)? else { return Ok(None) };
        let Some(bytes) = read_bounded(&path, OBJECT_BYTES)? else { return Ok(None) };
        if !packed {
            return Ok(Some((path, bytes)));
        }
        match frame::unpack(&bytes, len) {
            Ok(bytes) => Ok(Some((path, bytes))),
            Err(source) => Err(RepositoryError::Frame { id, path, source }),
        }
    }

    /// Every object that is kept, in no order.
    ///
    /// # Errors
    /// [`RepositoryError::Disk`], [`RepositoryError::Frame`].
    pub fn objects(&self) -> Result<Vec<Stored>, RepositoryError> {
        let mut stored = Vec::new();
        for id in ids_below(&self.dir.join("objects"))? {
            stored.extend(self.stored(id)?);
        }
        Ok(stored)
    }

    /// Publishes: objects put before and `targets` are made durable, then
    /// `metadata` (versioned names), and at last `timestamp.json`.
    ///
    /// Interrupted anywhere, the old repository is whole; calling it again
    /// with the same bytes finishes the work.
    ///
    /// # Errors
    /// [`RepositoryError::AlreadyPublished`] if a versioned name stands with
    /// other bytes; [`RepositoryError::BadName`]; [`RepositoryError::Disk`].
    pub fn publish(
        &self,
        targets: &[NewTarget<'_>],
        metadata: &[(String, Vec<u8>)],
        timestamp: &[u8],
    ) -> Result<(), RepositoryError> {
        self.steps.reach(STEPS[0])?;
        for target in targets {
            let path = self.target_path(target.path, target.sha256)?;
            let parent = path.parent().expect("a target lies in targets/");
            disk::create_dirs_unsynced(parent, 0o755)?;
            atomic::write_unsynced(&path, target.bytes, 0o644)?;
        }
        self.steps.reach(STEPS[1])?;
        self.sync()?;
        self.steps.reach(STEPS[2])?;
        for (name, bytes) in metadata {
            let path = self.metadata_path(name)?;
            match read_bounded(&path, METADATA_BYTES)? {
                Some(published) if published == *bytes => {}
                // An empty file is one whose bytes a power cut took before
                // anything referred to it.
                Some(published) if !published.is_empty() => {
                    return Err(RepositoryError::AlreadyPublished { path });
                }
                _ => atomic::write_unsynced(&path, bytes, 0o644)?,
            }
        }
        self.steps.reach(STEPS[3])?;
        self.sync()?;
        self.steps.reach(STEPS[4])?;
        let path = self.metadata_path("timestamp.json")?;
        Ok(atomic::write(&path, timestamp, 0o644, &self.steps)?)
    }

    /// Makes everything written so far durable.
    fn sync(&self) -> Result<(), DiskError> {
        let dir = fs::File::open(&self.dir).map_err(at("open", &self.dir))?;
        rustix::fs::syncfs(&dir).map_err(at("sync the file system of", &self.dir))
    }

    fn object_path(&self, id: ContentId) -> PathBuf {
        sharded(&self.dir.join("objects"), id)
    }

    fn metadata_path(&self, name: &str) -> Result<PathBuf, RepositoryError> {
        if is_plain(name) {
            Ok(self.dir.join("metadata").join(name))
        } else {
            Err(RepositoryError::BadName { what: "a metadata file", name: name.to_owned() })
        }
    }

    fn target_path(&self, path: &str, sha256: &str) -> Result<PathBuf, RepositoryError> {
        let bad = || RepositoryError::BadName { what: "a target", name: path.to_owned() };
        let is_hex = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        if !is_hex || !path.split('/').all(is_plain) {
            return Err(bad());
        }
        Ok(self.dir.join("targets").join(folder).join(format!("{sha256}.{file}")))
    }
}

/// Whether `name` is one visible component of a path.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// The file of object `id` beneath `objects`: `ab/HEX`.
pub(crate) fn sharded(objects: &Path, id: ContentId) -> PathBuf {
    let hex = id.to_string();
    objects.join(&hex[..2]).join(hex)
}

/// The ids that files beneath `objects` are named after, packed or not.
pub(crate) fn ids_below(objects: &Path) -> Result<Vec<ContentId>, DiskError> {
    let mut ids = Vec::new();
    for shard in fs::read_dir(objects).map_err(at("list", objects))? {
        let shard = shard.map_err(at("list", objects))?.path();
        if !shard.is_dir() {
            continue;
        }
        for file in fs::read_dir(&shard).map_err(at("list", &shard))? {
            let name = file.map_err(at("list", &shard))?.file_name();
            let name = name.to_string_lossy();
            // Whatever else lies here is none of ours.
            ids.extend(name.strip_suffix(".zst").unwrap_or(&name).parse::<ContentId>().ok());
        }
    }
    Ok(ids)
}

fn in_frame(plain: &Path) -> PathBuf {
    plain.with_extension("zst")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn fresh(steps: Steps) -> (tempfile::TempDir, Repository) {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::create(&dir.path().join("r"), steps).unwrap();
        (dir, repository)
    }

    fn target(bytes: &[u8]) -> NewTarget<'_> {
        NewTarget { path: "hello/stable/linux/1.0.release", sha256: SHA, bytes }
    }

    #[test]
    fn objects_come_back_packed_or_not() {
        let (_dir, repository) = fresh(Steps::free());
        let soft = vec![7; 1 << 20];
        let hard: Vec<u8> = (0..9).collect();
        for bytes in [&soft, &hard] {
            let id = ContentId::of(bytes);
            assert!(repository.put_piece(id, bytes, 9).unwrap());
            assert!(!repository.put_piece(id, bytes, 9).unwrap());
            assert!(!repository.put_object(id, bytes).unwrap());
            assert_eq!(repository.object(id).unwrap().unwrap(), *bytes);
            assert_eq!(repository.stored(id).unwrap().unwrap().len, bytes.len() as u64);
        }
        let stored = repository.objects().unwrap();
        assert_eq!(stored.len(), 2);
        assert_eq!(stored.iter().filter(|s| s.packed && s.file_len < 1000).count(), 1);
        assert!(repository.object(ContentId::of(b"absent")).unwrap().is_none());
    }

    #[test]
    fn an_object_under_another_id_is_refused() {
        let (_dir, repository) = fresh(Steps::free());
        assert!(repository.put_object(ContentId::of(b"a"), b"b").is_err());
    }

    #[test]
    fn a_damaged_object_is_reported_and_mended_by_putting_it_again() {
        let (_dir, repository) = fresh(Steps::free());
        let bytes = vec![7; 1000];
        let id = ContentId::of(&bytes);
        for level in [None, Some(9)] {
            repository.put(id, &bytes, level).unwrap();
            let path = repository.stored(id).unwrap().unwrap().path;
            for damage in [&b""[..], b"other"] {
                fs::write(&path, damage).unwrap();
                assert!(repository.object(id).is_err());
                assert!(repository.put(id, &bytes, level).unwrap());
                assert_eq!(repository.object(id).unwrap().unwrap(), bytes);
            }
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn names_cannot_leave_the_repository() {
        let (_dir, repository) = fresh(Steps::free());
        for bad in ["", "..", "../x", "a/b", ".hidden", "/etc/passwd", "a\0b"] {
            assert!(repository.metadata(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "..", "../x", "a//b", "/a", "a/.b", "a/../b"] {
            assert!(repository.target(bad, SHA).is_err(), "{bad:?}");
        }
        assert!(repository.target("a/b", "../..").is_err());
    }

    #[test]
    fn cut_at_any_step_the_old_timestamp_stands_or_the_new_one_is_complete() {
        for cut in STEPS.into_iter().chain(atomic::STEPS) {
            let (dir, repository) = fresh(Steps::free());
            repository.publish(&[], &[("1.root.json".into(), b"r".to_vec())], b"t1").unwrap();
            let open = |steps| Repository::open(&dir.path().join("r"), steps).unwrap();
            let next = [("2.snapshot.json".to_owned(), b"s2".to_vec())];
            let targets = [target(b"manifest")];
            assert!(open(Steps::until(cut)).publish(&targets, &next, b"t2").is_err());
            let after = open(Steps::free());
            let whole = after.metadata("timestamp.json").unwrap().unwrap();
            if whole == b"t2" {
                assert_eq!(after.metadata("2.snapshot.json").unwrap().unwrap(), b"s2", "{cut}");
                assert!(after.target(targets[0].path, SHA).unwrap().is_some(), "{cut}");
            } else {
                assert_eq!(whole, b"t1", "{cut}");
            }
            after.publish(&targets, &next, b"t2").unwrap();
        }
    }

    #[test]
    fn timestamp_is_written_last_and_all_else_synced_before() {
        let (steps, taken) = Steps::recorded();
        let (_dir, repository) = fresh(steps);
        repository.publish(&[target(b"m")], &[("1.root.json".into(), vec![1])], b"t").unwrap();
        let expected: Vec<_> = STEPS.into_iter().chain(atomic::STEPS).collect();
        assert_eq!(taken(), expected);
    }

    #[test]
    fn a_published_version_never_changes() {
        let (_dir, repository) = fresh(Steps::free());
        let one = |bytes: &[u8]| [("1.targets.json".to_owned(), bytes.to_vec())];
        repository.publish(&[], &one(b"a"), b"t1").unwrap();
        repository.publish(&[], &one(b"a"), b"t2").unwrap();
        let refused = repository.publish(&[], &one(b"b"), b"t3");
        assert!(matches!(refused, Err(RepositoryError::AlreadyPublished { .. })));
        assert_eq!(repository.metadata("timestamp.json").unwrap().unwrap(), b"t2");
    }
}
