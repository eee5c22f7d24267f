//! What an agent keeps to install from and to serve: objects by their id.
//!
//! Promises that whatever comes out hashes to its id, and that objects nobody
//! needs give way when they outgrow the quota, the longest unused first.
//! Nothing here is synced: what a power cut damages is found when it is read,
//! and fetched again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use manifest::content::ContentId;

use crate::atomic;
use crate::disk::{self, DiskError, at, read_bounded};
use crate::limits::OBJECT_BYTES;
use crate::repository::{ids_below, sharded};

/// The objects in one directory, used by one process.
#[derive(Debug)]
pub struct Objects {
    dir: PathBuf,
    quota_bytes: u64,
    held: HashMap<ContentId, Held>,
    held_bytes: u64,
    needed: HashSet<ContentId>,
    uses: u64,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    len: u64,
    last_use: u64,
}

/// Bytes that hash to an id.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    id: ContentId,
    bytes: &'a [u8],
}

/// Bytes that are another object's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected object {id}, found the bytes of {found}")]
pub struct Mismatch {
    /// What was expected.
    pub id: ContentId,
    /// What the bytes hash to.
    pub found: ContentId,
}

impl<'a> Checked<'a> {
    /// `bytes`, with the id that they hash to.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { id: ContentId::of(bytes), bytes }
    }

    /// Hashes `bytes`, which somebody says are object `id`.
    ///
    /// # Errors
    /// [`Mismatch`] if they are another object's.
    pub fn check(id: ContentId, bytes: &'a [u8]) -> Result<Self, Mismatch> {
        let found = Self::of(bytes);
        if found.id == id { Ok(found) } else { Err(Mismatch { id, found: found.id }) }
    }

    /// The object.
    #[must_use]
    pub const fn id(&self) -> ContentId {
        self.id
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Objects {
    /// Opens the objects in `dir`, made if it is missing; those that nobody
    /// needs take at most `quota_bytes`.
    ///
    /// # Errors
    /// [`DiskError`] if the directory cannot be made or read.
    pub fn open(dir: &Path, quota_bytes: u64) -> Result<Self, DiskError> {
        disk::create_dirs(dir, 0o700)?;
        let mut objects = Self {
            dir: dir.to_owned(),
            quota_bytes,
            held: HashMap::new(),
            held_bytes: 0,
            needed: HashSet::new(),
            uses: 0,
        };
        // The order of last use is not kept over a restart; file times stand
        // in for it.
        let mut found = Vec::new();
        for id in ids_below(dir)? {
            let path = sharded(dir, id);
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let changed = metadata.modified().map_err(at("look at", &path))?;
            found.push((changed, id, metadata.len()));
        }
        for shard in std::fs::read_dir(dir).map_err(at("list", dir))? {
            let shard = shard.map_err(at("list", dir))?.path();
            if shard.is_dir() {
                atomic::sweep(&shard)?;
            }
        }
        found.sort_unstable();
        for (_, id, len) in found {
            objects.uses += 1;
            objects.held.insert(id, Held { len, last_use: objects.uses });
            objects.held_bytes += len;
        }
        Ok(objects)
    }

    /// Keeps an object.
    ///
    /// # Errors
    /// [`DiskError`] if it cannot be written.
    pub fn put(&mut self, object: Checked<'_>) -> Result<(), DiskError> {
        self.take(object, None)
    }

    /// Keeps an object whose bytes lie in the file `draft` already, which takes
    /// the object's name where it is on the same disk.
    ///
    /// # Errors
    /// [`DiskError`] if it cannot be written.
    pub fn adopt(&mut self, object: Checked<'_>, draft: &Path) -> Result<(), DiskError> {
        self.take(object, Some(draft))
    }

    fn take(
        &mut self,
        Checked { id, bytes }: Checked<'_>,
        draft: Option<&Path>,
    ) -> Result<(), DiskError> {
        let path = sharded(&self.dir, id);
        let shard = path.parent().expect("an object lies in a shard");
        disk::create_dirs_unsynced(shard, 0o700)?;
        match draft {
            Some(draft) if std::fs::rename(draft, &path).is_ok() => {}
            Some(draft) => {
                // It lies on another disk, or is gone.
                atomic::write_unsynced(&path, bytes, 0o600)?;
                disk::remove_file(draft)?;
            }
            None => atomic::write_unsynced(&path, bytes, 0o600)?,
        }
        self.forget(id);
        self.uses += 1;
        self.held.insert(id, Held { len: bytes.len() as u64, last_use: self.uses });
        self.held_bytes += bytes.len() as u64;
        self.make_room()?;
        Ok(())
    }

    /// The bytes of object `id`, checked. One that is damaged is removed, so
    /// that it counts as missing from then on.
    ///
    /// # Errors
    /// [`DiskError`] if the file cannot be read.
    pub fn get(&mut self, id: ContentId) -> Result<Option<Vec<u8>>, DiskError> {
        if !self.held.contains_key(&id) {
            return Ok(None);
        }
        let path = sharded(&self.dir, id);
        let bytes = read_bounded(&path, OBJECT_BYTES)?;
        match bytes.filter(|bytes| ContentId::of(bytes) == id) {
            Some(bytes) => {
                self.uses += 1;
                let last_use = self.uses;
                self.held.entry(id).and_modify(|held| held.last_use = last_use);
                Ok(Some(bytes))
            }
            None => {
                self.remove(id)?;
                Ok(None)
            }
        }
    }

    /// Whether object `id` is kept; its bytes are checked only when read.
    #[must_use]
    pub fn contains(&self, id: ContentId) -> bool {
        self.held.contains_key(&id)
    }

    /// Every object that is kept and its length, in no order.
    pub fn held(&self) -> impl Iterator<Item = (ContentId, u64)> + '_ {
        self.held.iter().map(|(id, held)| (*id, held.len))
    }

    /// The objects' bytes together.
    #[must_use]
    pub const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// From now on exactly `needed` stay whatever the quota says; returns the
    /// objects that give way because of it.
    ///
    /// # Errors
    /// [`DiskError`] if one cannot be removed.
    pub fn need(
        &mut self,
        needed: impl IntoIterator<Item = ContentId>,
    ) -> Result<Vec<ContentId>, DiskError> {
        self.needed = needed.into_iter().collect();
        self.make_room()
    }

    /// Removes object `id` if it is kept.
    ///
    /// # Errors
    /// [`DiskError`] if its file stays.
    pub fn remove(&mut self, id: ContentId) -> Result<(), DiskError> {
        self.forget(id);
        disk::remove_file(&sharded(&self.dir, id))
    }

    fn forget(&mut self, id: ContentId) {
        if let Some(held) = self.held.remove(&id) {
            self.held_bytes -= held.len;
        }
    }

    fn make_room(&mut self) -> Result<Vec<ContentId>, DiskError> {
        if self.held_bytes <= self.quota_bytes {
            return Ok(Vec::new());
        }
        let mut spare: Vec<_> = self
            .held
            .iter()
            .filter(|(id, _)| !self.needed.contains(id))
            .map(|(id, held)| (held.last_use, *id))
            .collect();
        spare.sort_unstable();
        let mut gone = Vec::new();
        for (_, id) in spare {
            if self.held_bytes <= self.quota_bytes {
                break;
            }
            self.remove(id)?;
            gone.push(id);
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: u8) -> Vec<u8> {
        vec![n; 100]
    }

    fn put(objects: &mut Objects, n: u8) {
        objects.put(Checked::of(&bytes(n))).unwrap();
    }

    fn id(n: u8) -> ContentId {
        ContentId::of(&bytes(n))
    }

    #[test]
    fn objects_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut objects = Objects::open(dir.path(), 1000).unwrap();
        put(&mut objects, 1);
        let mut objects = Objects::open(dir.path(), 1000).unwrap();
        assert_eq!(objects.get(id(1)).unwrap().unwrap(), bytes(1));
        assert_eq!(objects.held_bytes(), 100);
    }

    #[test]
    fn a_draft_takes_the_objects_name_or_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut objects = Objects::open(&dir.path().join("objects"), 1000).unwrap();
        let draft = dir.path().join("draft");
        for there in [true, false] {
            if there {
                std::fs::write(&draft, bytes(1)).unwrap();
            }
            let (id, bytes) = (id(1), bytes(1));
            objects.adopt(Checked::of(&bytes), &draft).unwrap();
            assert_eq!(objects.get(id).unwrap().unwrap(), bytes);
            assert!(!draft.exists() && objects.held_bytes() == 100);
        }
    }

    #[test]
    fn a_tampered_object_is_never_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut objects = Objects::open(dir.path(), 1000).unwrap();
        let refused = Checked::check(id(1), &bytes(2)).unwrap_err();
        assert_eq!(refused, Mismatch { id: id(1), found: id(2) });
        put(&mut objects, 1);
        std::fs::write(sharded(dir.path(), id(1)), bytes(2)).unwrap();
        assert!(objects.get(id(1)).unwrap().is_none());
        assert!(!objects.contains(id(1)));
        assert_eq!(objects.held_bytes(), 0);
    }

    #[test]
    fn the_longest_unused_give_way_and_the_needed_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut objects = Objects::open(dir.path(), 300).unwrap();
        objects.need([id(1)]).unwrap();
        for n in 1..=3 {
            put(&mut objects, n);
        }
        objects.get(id(2)).unwrap();
        put(&mut objects, 4);
        let held: HashSet<_> = objects.held().map(|(id, _)| id).collect();
        assert_eq!(held, HashSet::from([id(1), id(2), id(4)]));
    }

    #[test]
    fn needed_objects_may_outgrow_the_quota_until_they_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut objects = Objects::open(dir.path(), 100).unwrap();
        objects.need([id(1), id(2)]).unwrap();
        put(&mut objects, 1);
        put(&mut objects, 2);
        assert_eq!(objects.held_bytes(), 200);
        assert_eq!(objects.need([]).unwrap(), [id(1)]);
    }
}
