//! Objects of the repository, as peers ask for them: any run of any object.
//!
//! A packed piece has to be unpacked whole, so of what is asked for in parts
//! all is kept for the other parts; never more than `CACHE_BYTES`. The swarm
//! checks what it is given before it sends it; here it is not checked.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use manifest::content::ContentId;
use store::repository::{Repository, RepositoryError};

use crate::limits::{CACHE_BYTES, CACHE_OBJECTS};

/// The repository's objects, with those read last at hand.
#[derive(Debug)]
pub struct Shelf {
    repository: Repository,
    recent: Mutex<Recent>,
}

/// Objects, the one read last at the back.
#[derive(Debug, Default)]
struct Recent {
    objects: VecDeque<(ContentId, Bytes)>,
    bytes: usize,
}

impl Shelf {
    /// The objects of `repository`.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self { repository, recent: Mutex::default() }
    }

    /// Every object there is, with its length.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn all(&self) -> Result<Vec<(ContentId, u64)>, RepositoryError> {
        let stored = self.repository.objects()?;
        Ok(stored.into_iter().map(|stored| (stored.id, stored.len)).collect())
    }

    /// `len` bytes of object `id` from `offset` on; `None` if it is not there
    /// or has no such bytes. Reads the disk.
    ///
    /// # Errors
    /// [`RepositoryError`] if the object cannot be read.
    pub fn read(
        &self,
        id: ContentId,
        offset: u64,
        len: u32,
    ) -> Result<Option<Bytes>, RepositoryError> {
        let object = match self.recent().take(id) {
            Some(object) => object,
            None => match self.repository.unchecked(id)? {
                Some(object) => Bytes::from(object),
                None => return Ok(None),
            },
        };
        let run = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(usize::try_from(len).ok()?)?;
            (end <= object.len()).then(|| object.slice(start..end))
        });
        if len as usize != object.len() {
            self.recent().keep(id, object);
        }
        Ok(run)
    }

    /// Why object `id` cannot be served. Reads the disk.
    pub fn why_not(&self, id: ContentId) -> String {
        match self.repository.object(id) {
            Ok(Some(_)) => "it could not be read, and now can".to_owned(),
            Ok(None) => "it is not there any more".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        // What is kept is whole at any moment, whoever panicked meanwhile.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn take(&mut self, id: ContentId) -> Option<Bytes> {
        let at = self.objects.iter().rposition(|(kept, _)| *kept == id)?;
        let (_, object) = self.objects.remove(at)?;
        self.bytes -= object.len();
        Some(object)
    }

    fn keep(&mut self, id: ContentId, object: Bytes) {
        // Another reader may have put it back meanwhile.
        let _ = self.take(id);
        self.bytes += object.len();
        self.objects.push_back((id, object));
        while self.bytes > CACHE_BYTES || self.objects.len() > CACHE_OBJECTS {
            let Some((_, oldest)) = self.objects.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use store::steps::Steps;

    use super::*;

    #[test]
    fn any_run_of_any_object_is_served_and_nothing_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::create(dir.path(), Steps::free()).unwrap();
        let packed: Vec<u8> = (0..200_000_u32).map(|i| (i / 1000) as u8).collect();
        let plain: Vec<u8> = b"tiny".to_vec();
        for bytes in [&packed, &plain] {
            repository.put_piece(ContentId::of(bytes), bytes, 3).unwrap();
        }
        let shelf = Shelf::new(repository);
        assert_eq!(shelf.all().unwrap().len(), 2);
        let id = ContentId::of(&packed);
        for (offset, len) in [(0, 32_768), (163_840, 36_160), (199_999, 1), (200_000, 0)] {
            let run = shelf.read(id, offset as u64, len).unwrap().unwrap();
            assert_eq!(run, packed[offset..offset + len as usize]);
        }
        assert_eq!(shelf.read(id, 199_999, 2).unwrap(), None);
        assert_eq!(shelf.read(id, u64::MAX, 2).unwrap(), None);
        assert_eq!(shelf.read(ContentId::of(b"absent"), 0, 1).unwrap(), None);
        assert_eq!(shelf.read(ContentId::of(b"tiny"), 1, 3).unwrap().unwrap(), "iny");
    }

    #[test]
    fn it_is_told_why_an_object_cannot_be_served() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::create(dir.path(), Steps::free()).unwrap();
        let id = ContentId::of(b"right");
        repository.put_object(id, b"right").unwrap();
        let path = repository.stored(id).unwrap().unwrap().path;
        let shelf = Shelf::new(repository);
        fs::write(&path, "wrong").unwrap();
        let why = shelf.why_not(id);
        assert!(why.contains(&ContentId::of(b"wrong").to_string()), "{why}");
        fs::remove_file(&path).unwrap();
        assert_eq!(shelf.why_not(id), "it is not there any more");
    }

    #[test]
    fn what_is_asked_for_whole_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::create(dir.path(), Steps::free()).unwrap();
        let id = ContentId::of(b"bytes");
        repository.put_object(id, b"bytes").unwrap();
        let shelf = Shelf::new(repository);
        assert_eq!(shelf.read(id, 0, 5).unwrap().unwrap(), "bytes");
        assert!(shelf.recent().objects.is_empty());
        assert_eq!(shelf.read(id, 1, 2).unwrap().unwrap(), "yt");
        assert_eq!(shelf.recent().bytes, 5);
    }

    #[test]
    fn what_is_kept_stays_within_its_bound() {
        let mut recent = Recent::default();
        let object = Bytes::from(vec![0; CACHE_BYTES / 4]);
        for n in 0..20_u8 {
            recent.keep(ContentId::of(&[n]), object.clone());
        }
        assert_eq!(recent.objects.len(), 4);
        assert_eq!(recent.bytes, CACHE_BYTES);
        assert!(recent.take(ContentId::of(&[19])).is_some());
        assert!(recent.take(ContentId::of(&[0])).is_none());
        for n in 0..=u16::MAX {
            recent.keep(ContentId::of(&n.to_le_bytes()), Bytes::from_static(b"x"));
        }
        assert_eq!(recent.objects.len(), CACHE_OBJECTS);
    }
}
