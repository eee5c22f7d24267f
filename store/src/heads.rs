//! The beginnings of a mirror's files that broke off, so that the next try
//! goes on from there, after a restart too.
//!
//! Unlike a peer's blocks they prove nothing before they are complete:
//! whoever completes one compares the whole, and throws it away if that fails.
//! Promises that all together keep within a quota, the longest untouched
//! giving way, and that none is longer than its caller allows. Nothing here is
//! synced.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use manifest::content::ContentId;

use crate::disk::{self, DiskError, at, read_bounded};
use crate::limits::HEADS;

/// How a mirror has an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// As a zstd frame.
    Packed,
    /// As it is.
    Plain,
}

impl Form {
    /// What follows the object's id in the name of the mirror's file.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Packed => ".zst",
            Self::Plain => "",
        }
    }
}

/// The beginning of a mirror's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How the mirror has the object.
    pub form: Form,
    /// Its first bytes.
    pub bytes: Vec<u8>,
}

/// The beginnings in one directory, used by one process; one an object.
#[derive(Debug)]
pub struct Heads {
    dir: PathBuf,
    quota_bytes: u64,
    held: HashMap<ContentId, Held>,
    uses: u64,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    form: Form,
    len: u64,
    last_use: u64,
}

impl Heads {
    /// Opens the beginnings in `dir`, made if it is missing; together they
    /// take at most `quota_bytes`.
    ///
    /// # Errors
    /// [`DiskError`] if the directory cannot be made or read.
    pub fn open(dir: &Path, quota_bytes: u64) -> Result<Self, DiskError> {
        disk::create_dirs(dir, 0o700)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(at("list", dir))? {
            let entry = entry.map_err(at("list", dir))?;
            let about = entry.metadata().map_err(at("look at", &entry.path()))?;
            let name = entry.file_name();
            let named = name.to_str().and_then(named).filter(|_| about.is_file());
            match named {
                Some((id, form)) => {
                    let changed = about.modified().map_err(at("look at", &entry.path()))?;
                    found.push((changed, id, form, about.len()));
                }
                // Nothing else has a place here; a directory stays, and harms nothing.
                None if about.is_dir() => {}
                None => disk::remove_file(&entry.path())?,
            }
        }
        found.sort_unstable_by_key(|(changed, ..)| *changed);
        let mut heads = Self { dir: dir.to_owned(), quota_bytes, held: HashMap::new(), uses: 0 };
        for (_, id, form, len) in found {
            heads.remove_other(id, form)?;
            heads.uses += 1;
            heads.held.insert(id, Held { form, len, last_use: heads.uses });
        }
        heads.make_room()?;
        Ok(heads)
    }

    /// What is kept of an object's file, if it is at most `allowed` bytes; a
    /// longer one is thrown away unread.
    ///
    /// # Errors
    /// [`DiskError`] if it is there and cannot be read.
    pub fn get(
        &mut self,
        id: ContentId,
        allowed: impl Fn(Form) -> u64,
    ) -> Result<Option<Head>, DiskError> {
        let Some(Held { form, .. }) = self.held.get(&id).copied() else { return Ok(None) };
        let path = self.path(id, form);
        match read_bounded(&path, allowed(form)) {
            Ok(Some(bytes)) => Ok(Some(Head { form, bytes })),
            Ok(None) => {
                self.held.remove(&id);
                Ok(None)
            }
            Err(error) if error.source.kind() == std::io::ErrorKind::FileTooLarge => {
                self.remove(id)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps the bytes from `offset` on of an object's file, before which all
    /// are kept. A larger file than the quota is not kept.
    ///
    /// # Errors
    /// [`DiskError`]; nothing is kept of the object then.
    pub fn put(
        &mut self,
        id: ContentId,
        form: Form,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), DiskError> {
        self.remove_other(id, form)?;
        let len = offset.saturating_add(bytes.len() as u64);
        // A gap would be bytes that nobody sent.
        let kept = self.held.get(&id).map_or(0, |held| held.len);
        if len > self.quota_bytes || offset > kept {
            return self.remove(id);
        }
        let path = self.path(id, form);
        let written = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .and_then(|file| file.write_all_at(bytes, offset));
        if let Err(error) = written {
            self.remove(id)?;
            return Err(DiskError::new("write", path, error));
        }
        self.uses += 1;
        self.held.insert(id, Held { form, len: len.max(kept), last_use: self.uses });
        self.make_room()
    }

    /// Throws away what is kept of an object's file.
    ///
    /// # Errors
    /// [`DiskError`] if it stays.
    pub fn remove(&mut self, id: ContentId) -> Result<(), DiskError> {
        match self.held.remove(&id) {
            Some(Held { form, .. }) => disk::remove_file(&self.path(id, form)),
            None => Ok(()),
        }
    }

    /// Throws away what is kept of all objects but these.
    ///
    /// # Errors
    /// [`DiskError`] if one stays.
    pub fn retain(&mut self, wanted: impl Fn(ContentId) -> bool) -> Result<(), DiskError> {
        let gone: Vec<ContentId> = self.held.keys().copied().filter(|id| !wanted(*id)).collect();
        gone.into_iter().try_for_each(|id| self.remove(id))
    }

    fn remove_other(&mut self, id: ContentId, form: Form) -> Result<(), DiskError> {
        match self.held.get(&id) {
            Some(held) if held.form != form => self.remove(id),
            _ => Ok(()),
        }
    }

    fn make_room(&mut self) -> Result<(), DiskError> {
        while self.held.len() > HEADS
            || self.held.values().map(|held| held.len).fold(0, u64::saturating_add)
                > self.quota_bytes
        {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.last_use);
            let Some(id) = oldest.map(|(id, _)| *id) else { break };
            self.remove(id)?;
        }
        Ok(())
    }

    fn path(&self, id: ContentId, form: Form) -> PathBuf {
        self.dir.join(format!("{id}{}", form.suffix()))
    }
}

/// Whose file bears this name.
fn named(name: &str) -> Option<(ContentId, Form)> {
    match name.strip_suffix(Form::Packed.suffix()) {
        Some(id) => Some((id.parse().ok()?, Form::Packed)),
        None => Some((name.parse().ok()?, Form::Plain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ContentId {
        ContentId::of(&[n])
    }

    fn open(dir: &Path) -> Heads {
        Heads::open(dir, 100).unwrap()
    }

    fn head(form: Form, bytes: &[u8]) -> Option<Head> {
        Some(Head { form, bytes: bytes.to_vec() })
    }

    #[test]
    fn a_beginning_grows_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut heads = open(dir.path());
        heads.put(id(1), Form::Packed, 0, b"abc").unwrap();
        heads.put(id(1), Form::Packed, 3, b"def").unwrap();
        let mut heads = open(dir.path());
        assert_eq!(heads.get(id(1), |_| 6).unwrap(), head(Form::Packed, b"abcdef"));
        assert_eq!(heads.get(id(2), |_| 6).unwrap(), None);
        // Sent anew by somebody who knows no ranges, it loses nothing.
        heads.put(id(1), Form::Packed, 0, b"ab").unwrap();
        assert_eq!(heads.get(id(1), |_| 6).unwrap(), head(Form::Packed, b"abcdef"));
    }

    #[test]
    fn one_form_replaces_the_other_and_a_gap_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut heads = open(dir.path());
        heads.put(id(1), Form::Packed, 0, b"abc").unwrap();
        heads.put(id(1), Form::Plain, 0, b"x").unwrap();
        assert_eq!(heads.get(id(1), |_| 9).unwrap(), head(Form::Plain, b"x"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        heads.put(id(1), Form::Plain, 2, b"z").unwrap();
        assert_eq!(heads.get(id(1), |_| 9).unwrap(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_longer_than_it_may_be_is_thrown_away_unread() {
        let dir = tempfile::tempdir().unwrap();
        let mut heads = Heads::open(dir.path(), u64::MAX).unwrap();
        heads.put(id(1), Form::Plain, 0, b"abc").unwrap();
        let file = File::options().write(true).open(dir.path().join(id(1).to_string())).unwrap();
        // Sparse: it takes no room here.
        file.set_len(1 << 40).unwrap();
        assert_eq!(heads.get(id(1), |_| 3).unwrap(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_longest_untouched_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut heads = open(dir.path());
        for n in 1..=3 {
            heads.put(id(n), Form::Plain, 0, &[n; 40]).unwrap();
        }
        assert_eq!(heads.get(id(1), |_| 40).unwrap(), None);
        assert!(heads.get(id(2), |_| 40).unwrap().is_some());
        heads.put(id(4), Form::Plain, 0, &[4; 101]).unwrap();
        assert_eq!(heads.get(id(4), |_| 200).unwrap(), None);
        heads.retain(|wanted| wanted == id(3)).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(dir.path().join("other"), "x").unwrap();
        assert!(open(dir.path()).get(id(3), |_| 40).unwrap().is_some());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
