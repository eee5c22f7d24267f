//! Objects that are not whole: their blocks, in the places where the object
//! will have them, so that the last one only needs a new name.
//!
//! Promises that one of another length than expected is thrown away before
//! memory is taken for it, and that all together keep within a quota, the
//! longest untouched giving way. Nothing here is synced, and nothing of what is
//! handed back is believed: whoever takes it back proves each block by the
//! hashes, and the hashes by the object's id.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use manifest::content::ContentId;

use crate::disk::{self, DiskError, at};
use crate::limits::{BLOCK_BYTES, OBJECT_BYTES};

/// The objects under way in one directory, used by one process.
///
/// The file of an object of `n` blocks is the object's bytes, with holes where
/// blocks are missing, then `n` hashes of 32 bytes, then `n` bytes, 1 for each
/// block that is there and 0 for each that is not.
#[derive(Debug)]
pub struct Partials {
    dir: PathBuf,
    quota_bytes: u64,
    held: HashMap<ContentId, Held>,
    held_bytes: u64,
    uses: u64,
}

#[derive(Debug, Default)]
struct Held {
    file_bytes: u64,
    last_use: u64,
    /// Blocks that this process wrote: it knows that they are right.
    written: HashSet<u32>,
}

/// What is kept of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The object.
    pub id: ContentId,
    /// Its length in bytes.
    pub len: u64,
    /// The hashes of all its blocks.
    pub hashes: Vec<[u8; 32]>,
    /// Some of its blocks, by their number.
    pub blocks: Vec<(u32, bytes::Bytes)>,
}

/// How many blocks an object has, if it may have so many bytes.
fn blocks_of(len: u64) -> Option<u32> {
    (len <= OBJECT_BYTES).then(|| u32::try_from(len.div_ceil(BLOCK_BYTES)).ok()).flatten()
}

/// The length of the file that keeps an object of `len` bytes in parts.
fn file_bytes(len: u64) -> Option<u64> {
    Some(len + 33 * u64::from(blocks_of(len)?))
}

/// Where a block lies in an object of `len` bytes, and how long it is.
fn place(block: u32, len: u64) -> Option<(u64, usize)> {
    let start = u64::from(block) * BLOCK_BYTES;
    let rest = len.checked_sub(start).filter(|rest| *rest > 0)?;
    Some((start, usize::try_from(rest.min(BLOCK_BYTES)).ok()?))
}

impl Partials {
    /// Opens the objects under way in `dir`, made if it is missing; together
    /// they take at most `quota_bytes`.
    ///
    /// # Errors
    /// [`DiskError`] if the directory cannot be made or read.
    pub fn open(dir: &Path, quota_bytes: u64) -> Result<Self, DiskError> {
        disk::create_dirs(dir, 0o700)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(at("list", dir))? {
            let entry = entry.map_err(at("list", dir))?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<ContentId>().ok());
            let about = entry.metadata().map_err(at("look at", &entry.path()))?;
            match id {
                Some(id) if about.is_file() => {
                    let changed = about.modified().map_err(at("look at", &entry.path()))?;
                    found.push((changed, id, about.len()));
                }
                // Nothing else has a place here; a directory stays, and harms nothing.
                _ if about.is_dir() => {}
                _ => disk::remove_file(&entry.path())?,
            }
        }
        found.sort_unstable();
        let mut partials =
            Self { dir: dir.to_owned(), quota_bytes, held: HashMap::new(), held_bytes: 0, uses: 0 };
        for (_, id, file_bytes) in found {
            partials.uses += 1;
            let held = Held { file_bytes, last_use: partials.uses, written: HashSet::new() };
            partials.held.insert(id, held);
            partials.held_bytes = partials.held_bytes.saturating_add(file_bytes);
        }
        partials.make_room(0)?;
        Ok(partials)
    }

    /// The objects of which something is kept, in no order.
    pub fn ids(&self) -> impl Iterator<Item = ContentId> + '_ {
        self.held.keys().copied()
    }

    /// The bytes of all files together, holes among them.
    #[must_use]
    pub const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Keeps some blocks; whether there was room within the quota.
    ///
    /// # Errors
    /// [`DiskError`]; nothing is kept of the object then.
    pub fn keep(&mut self, parts: &Parts) -> Result<bool, DiskError> {
        let Some(file_bytes) = file_bytes(parts.len).filter(|bytes| *bytes <= self.quota_bytes)
        else {
            return Ok(false);
        };
        let kept = self.write(parts, file_bytes);
        if kept.is_err() {
            // Half of it helps nobody, and the disk may need the room.
            self.remove(parts.id)?;
        }
        kept.map(|()| true)
    }

    fn write(&mut self, parts: &Parts, file_bytes: u64) -> Result<(), DiskError> {
        let Parts { id, len, hashes, blocks } = parts;
        if self.held.get(id).is_some_and(|held| held.file_bytes != file_bytes) {
            self.remove(*id)?;
        }
        if !self.held.contains_key(id) {
            self.make_room(file_bytes)?;
        }
        let path = self.path(*id);
        let write = at("write", &path);
        let opened =
            File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = opened.map_err(at("open", &path))?;
        self.uses += 1;
        let new = !self.held.contains_key(id);
        let held = self.held.entry(*id).or_default();
        (held.file_bytes, held.last_use) = (file_bytes, self.uses);
        if new {
            self.held_bytes += file_bytes;
        }
        let marks = len + 32 * hashes.len() as u64;
        let written = (|| {
            if held.written.is_empty() {
                // The list is verified now; what lay there may not have been.
                file.set_len(file_bytes)?;
                file.write_all_at(hashes.as_flattened(), *len)?;
            }
            for (block, bytes) in blocks {
                let Some((start, _)) = place(*block, *len).filter(|(_, len)| *len == bytes.len())
                else {
                    continue;
                };
                file.write_all_at(bytes, start)?;
                file.write_all_at(&[1], marks + u64::from(*block))?;
                held.written.insert(*block);
            }
            Ok::<(), std::io::Error>(())
        })();
        written.map_err(write)
    }

    /// What is kept of an object of `len` bytes. What cannot be of it is
    /// thrown away.
    ///
    /// # Errors
    /// [`DiskError`] if it is there and cannot be read.
    pub fn recall(&mut self, id: ContentId, len: u64) -> Result<Option<Parts>, DiskError> {
        if !self.held.contains_key(&id) {
            return Ok(None);
        }
        let path = self.path(id);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.forget(id);
                return Ok(None);
            }
            Err(error) => return Err(DiskError::new("open", &path, error)),
        };
        let found = file.metadata().map_err(at("look at", &path))?.len();
        let (Some(blocks), true) = (blocks_of(len), Some(found) == file_bytes(len)) else {
            self.remove(id)?;
            return Ok(None);
        };
        let read = || -> std::io::Result<Parts> {
            let mut hashes = vec![[0; 32]; blocks as usize];
            file.read_exact_at(hashes.as_flattened_mut(), len)?;
            let mut marks = vec![0; blocks as usize];
            file.read_exact_at(&mut marks, len + 32 * u64::from(blocks))?;
            let mut kept = Vec::new();
            for block in (0..blocks).filter(|block| marks[*block as usize] == 1) {
                let (start, len) = place(block, len).expect("it is one of the object's blocks");
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, start)?;
                kept.push((block, bytes.into()));
            }
            Ok(Parts { id, len, hashes, blocks: kept })
        };
        let parts = read().map_err(at("read", &path))?;
        self.uses += 1;
        if let Some(held) = self.held.get_mut(&id) {
            held.last_use = self.uses;
        }
        Ok(Some(parts))
    }

    /// Completes the file of an object that is whole now and whose bytes are
    /// `bytes`: what is not in it yet is written, and the path is the caller's
    /// to rename. Nothing if no part of it was kept.
    ///
    /// # Errors
    /// [`DiskError`]; nothing is kept of the object then.
    pub fn finish(&mut self, id: ContentId, bytes: &[u8]) -> Result<Option<PathBuf>, DiskError> {
        let Some(held) = self.held.remove(&id) else { return Ok(None) };
        self.held_bytes -= held.file_bytes;
        let path = self.path(id);
        let len = bytes.len() as u64;
        let finished: std::io::Result<()> = (|| {
            let file = File::options().write(true).open(&path)?;
            // What another process wrote may have been damaged since.
            for block in (0..).take(bytes.len().div_ceil(BLOCK_BYTES as usize)) {
                if held.file_bytes == file_bytes(len).unwrap_or(0) && held.written.contains(&block)
                {
                    continue;
                }
                if let Some((start, block_len)) = place(block, len) {
                    let from = usize::try_from(start).expect("it is in memory");
                    file.write_all_at(&bytes[from..from + block_len], start)?;
                }
            }
            file.set_len(len)?;
            disk::begin_writing_out(&file, 0, len);
            Ok(())
        })();
        match finished {
            Ok(()) => Ok(Some(path)),
            Err(error) => {
                disk::remove_file(&path)?;
                Err(DiskError::new("write", path, error))
            }
        }
    }

    /// Throws away what is kept of an object.
    ///
    /// # Errors
    /// [`DiskError`] if its file stays.
    pub fn remove(&mut self, id: ContentId) -> Result<(), DiskError> {
        self.forget(id);
        disk::remove_file(&self.path(id))
    }

    /// Throws away what is kept of all objects but these.
    ///
    /// # Errors
    /// [`DiskError`] if a file stays.
    pub fn retain(&mut self, wanted: impl Fn(ContentId) -> bool) -> Result<(), DiskError> {
        let gone: Vec<ContentId> = self.ids().filter(|id| !wanted(*id)).collect();
        gone.into_iter().try_for_each(|id| self.remove(id))
    }

    fn path(&self, id: ContentId) -> PathBuf {
        self.dir.join(id.to_string())
    }

    fn forget(&mut self, id: ContentId) {
        if let Some(held) = self.held.remove(&id) {
            self.held_bytes -= held.file_bytes;
        }
    }

    /// Makes room for a file of so many bytes.
    fn make_room(&mut self, file_bytes: u64) -> Result<(), DiskError> {
        while self.held_bytes.saturating_add(file_bytes) > self.quota_bytes {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.last_use);
            let Some(id) = oldest.map(|(id, _)| *id) else { break };
            self.remove(id)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::noise;

    const BLOCK: usize = BLOCK_BYTES as usize;

    /// Blocks of an object, with hashes that lead nowhere: nobody here looks.
    fn parts(object: &[u8], blocks: &[u32]) -> Parts {
        let of = |block: u32| {
            let (start, len) = place(block, object.len() as u64).unwrap();
            bytes::Bytes::copy_from_slice(&object[start as usize..start as usize + len])
        };
        Parts {
            id: ContentId::of(object),
            len: object.len() as u64,
            hashes: vec![[7; 32]; object.len().div_ceil(BLOCK)],
            blocks: blocks.iter().map(|block| (*block, of(*block))).collect(),
        }
    }

    fn open(dir: &Path) -> Partials {
        Partials::open(dir, 1 << 20).unwrap()
    }

    #[test]
    fn blocks_survive_a_restart_and_the_last_one_makes_the_object() {
        let dir = tempfile::tempdir().unwrap();
        let object = noise(1, 3 * BLOCK + 100);
        let id = ContentId::of(&object);
        assert!(open(dir.path()).keep(&parts(&object, &[2, 3])).unwrap());
        let mut partials = open(dir.path());
        assert_eq!(partials.ids().collect::<Vec<_>>(), [id]);
        let kept = partials.recall(id, object.len() as u64).unwrap();
        assert_eq!(kept, Some(parts(&object, &[2, 3])));
        partials.keep(&parts(&object, &[0])).unwrap();
        let kept = partials.recall(id, object.len() as u64).unwrap();
        assert_eq!(kept, Some(parts(&object, &[0, 2, 3])));
        let path = partials.finish(id, &object).unwrap().unwrap();
        assert_eq!(fs::read(path).unwrap(), object);
        assert_eq!((partials.held_bytes(), partials.ids().count()), (0, 0));
        assert_eq!(partials.finish(id, &object).unwrap(), None);
    }

    #[test]
    fn what_was_damaged_before_a_restart_is_not_in_the_object() {
        let dir = tempfile::tempdir().unwrap();
        let object = noise(2, 2 * BLOCK + 9);
        let id = ContentId::of(&object);
        open(dir.path()).keep(&parts(&object, &[0, 1])).unwrap();
        let mut file = fs::read(dir.path().join(id.to_string())).unwrap();
        file[BLOCK + 7] ^= 1;
        fs::write(dir.path().join(id.to_string()), file).unwrap();
        let mut partials = open(dir.path());
        partials.keep(&parts(&object, &[2])).unwrap();
        let path = partials.finish(id, &object).unwrap().unwrap();
        assert_eq!(fs::read(path).unwrap(), object);
    }

    #[test]
    fn a_file_of_another_length_is_thrown_away_unread() {
        let object = noise(3, 2 * BLOCK);
        let id = ContentId::of(&object);
        for len in
            [0, 1, object.len() as u64, file_bytes(object.len() as u64).unwrap() + 1, 1 << 40]
        {
            let dir = tempfile::tempdir().unwrap();
            // Sparse: it takes no room here.
            let path = dir.path().join(id.to_string());
            File::create(&path).unwrap().set_len(len).unwrap();
            let mut partials = Partials::open(dir.path(), 1 << 60).unwrap();
            assert_eq!(partials.recall(id, object.len() as u64).unwrap(), None, "{len}");
            assert!(!path.exists() && partials.held_bytes() == 0);
            // With the quota of an agent it does not even live that long.
            File::create(&path).unwrap().set_len(1 << 40).unwrap();
            assert_eq!(open(dir.path()).ids().count(), 0);
        }
    }

    #[test]
    fn an_object_of_hostile_length_is_neither_kept_nor_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut partials = Partials::open(dir.path(), u64::MAX).unwrap();
        let object = noise(4, BLOCK);
        for len in [OBJECT_BYTES + 1, 1 << 60, u64::MAX] {
            assert!(!partials.keep(&Parts { len, ..parts(&object, &[0]) }).unwrap());
        }
        partials.keep(&parts(&object, &[0])).unwrap();
        assert_eq!(partials.recall(ContentId::of(&object), u64::MAX).unwrap(), None);
    }

    #[test]
    fn the_longest_untouched_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let objects: Vec<Vec<u8>> = (0..4).map(|n| noise(n, 2 * BLOCK)).collect();
        let quota = 3 * file_bytes(2 * BLOCK_BYTES).unwrap();
        let mut partials = Partials::open(dir.path(), quota).unwrap();
        for object in &objects[..3] {
            assert!(partials.keep(&parts(object, &[0])).unwrap());
        }
        partials.recall(ContentId::of(&objects[0]), 2 * BLOCK_BYTES).unwrap().unwrap();
        assert!(partials.keep(&parts(&objects[3], &[0])).unwrap());
        assert!(!partials.ids().any(|id| id == ContentId::of(&objects[1])));
        assert_eq!((partials.ids().count(), partials.held_bytes()), (3, quota));
        assert!(!partials.keep(&parts(&noise(9, 9 * BLOCK), &[0])).unwrap(), "larger than all");
        partials.retain(|id| id == ContentId::of(&objects[3])).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_object_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x"), "x").unwrap();
        fs::write(dir.path().join("ab".repeat(31)), "x").unwrap();
        assert_eq!(open(dir.path()).ids().count(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_disk_that_refuses_costs_what_was_kept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut partials = open(dir.path());
        let object = noise(5, 2 * BLOCK);
        // Every write to this device fails as on a full disk.
        std::os::unix::fs::symlink("/dev/full", partials.path(ContentId::of(&object))).unwrap();
        let refused = partials.keep(&parts(&object, &[1])).unwrap_err();
        assert!(refused.to_string().contains("cannot write"), "{refused}");
        assert_eq!((partials.ids().count(), partials.held_bytes()), (0, 0));
        assert!(partials.keep(&parts(&object, &[1])).unwrap());
    }
}
