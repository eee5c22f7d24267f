//! What this machine can serve, and where it comes from: objects it keeps,
//! manifests, and plain pieces straight from the installed files.
//!
//! Promises that whatever is handed out hashes to its id at that moment. What
//! does not is withdrawn, and the damage told once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use manifest::content::ContentId;
use store::disk::DiskError;
use store::installed::Installed;
use store::objects::{ObjectError, Objects};

use crate::applier::authority::Authority;
use crate::limits::SERVED_BYTES;

/// Everything that can be served; shared by whoever fetches and serves.
pub struct Shelf {
    authority: Authority,
    objects: Mutex<Objects>,
    installed: Mutex<Option<Pieces>>,
    recent: Mutex<Recent>,
}

/// The plain pieces of the release that runs.
struct Pieces {
    installed: Installed,
    by_id: HashMap<ContentId, usize>,
}

/// Objects that were served just now: an object is asked for block by block.
#[derive(Default)]
struct Recent {
    objects: VecDeque<(ContentId, Bytes)>,
    bytes: usize,
}

/// An object, or why it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Its bytes.
    Here(Bytes),
    /// It is not kept.
    Unknown,
    /// It should be in the installed files, and they differ.
    Damaged,
}

impl Shelf {
    /// A shelf over `objects` and what `authority` has installed.
    #[must_use]
    pub fn new(authority: Authority, objects: Objects) -> Self {
        let objects = Mutex::new(objects);
        Self { authority, objects, installed: Mutex::default(), recent: Mutex::default() }
    }

    /// From now on the pieces of `installed` are served, and no others.
    pub fn set_installed(&self, installed: Option<Installed>) {
        let pieces = installed.map(|installed| {
            let pieces = installed.manifest().pieces().iter().enumerate();
            let by_id = pieces.map(|(index, piece)| (piece.id, index)).collect();
            Pieces { installed, by_id }
        });
        *lock(&self.installed) = pieces;
    }

    /// Everything that can be served, with lengths; each object once.
    pub async fn held(&self) -> Vec<(ContentId, u64)> {
        let mut held: HashMap<ContentId, u64> =
            self.authority.ask(|applier| applier.manifests_held()).await.into_iter().collect();
        held.extend(lock(&self.objects).held());
        if let Some(pieces) = &*lock(&self.installed) {
            let all = pieces.installed.manifest().pieces().iter();
            held.extend(all.map(|piece| (piece.id, u64::from(piece.shape.len))));
        }
        held.into_iter().collect()
    }

    /// The bytes of object `id`; waits for the disk.
    pub fn find(&self, id: ContentId) -> Found {
        if let Some(bytes) = lock(&self.recent).get(id) {
            return Found::Here(bytes);
        }
        let kept = self.object(id).unwrap_or_else(|error| {
            tracing::warn!(%error, "an object cannot be read");
            None
        });
        let found = match kept {
            Some(bytes) => Found::Here(bytes.into()),
            None => match self.piece(id) {
                Found::Unknown => self.manifest(id),
                found => found,
            },
        };
        if let Found::Here(bytes) = &found {
            lock(&self.recent).put(id, bytes.clone());
        }
        found
    }

    fn piece(&self, id: ContentId) -> Found {
        let (installed, shape) = {
            let pieces = lock(&self.installed);
            let Some(pieces) = &*pieces else { return Found::Unknown };
            let Some(&index) = pieces.by_id.get(&id) else { return Found::Unknown };
            let shape = pieces.installed.manifest().pieces()[index].shape.clone();
            (pieces.installed.clone(), shape)
        };
        match installed.piece(id, &shape) {
            Ok(bytes) => Found::Here(bytes.into()),
            Err(error) => {
                tracing::warn!(%error, "installed files differ from the manifest");
                if let Some(pieces) = &mut *lock(&self.installed) {
                    pieces.by_id.remove(&id);
                }
                Found::Damaged
            }
        }
    }

    fn manifest(&self, id: ContentId) -> Found {
        match self.authority.ask_blocking(|applier| applier.manifest_bytes(id)) {
            Ok(Some(bytes)) => Found::Here(bytes.into()),
            _ => Found::Unknown,
        }
    }

    /// The bytes of an object that is kept; waits for the disk.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn object(&self, id: ContentId) -> Result<Option<Vec<u8>>, DiskError> {
        lock(&self.objects).get(id)
    }

    /// Whether an object is kept.
    #[must_use]
    pub fn has_object(&self, id: ContentId) -> bool {
        lock(&self.objects).contains(id)
    }

    /// Keeps an object; waits for the disk.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn put(&self, id: ContentId, bytes: &[u8]) -> Result<(), ObjectError> {
        lock(&self.objects).put(id, bytes)
    }

    /// From now on exactly these stay whatever the quota says; gives those
    /// that were removed.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn need(
        &self,
        needed: impl IntoIterator<Item = ContentId>,
    ) -> Result<Vec<ContentId>, DiskError> {
        lock(&self.objects).need(needed)
    }

    /// Removes objects whose bytes are in the installed files now.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn drop_installed(&self) -> Result<(), DiskError> {
        let installed = lock(&self.installed);
        let Some(pieces) = &*installed else { return Ok(()) };
        let mut objects = lock(&self.objects);
        let both: Vec<ContentId> =
            objects.held().map(|(id, _)| id).filter(|id| pieces.by_id.contains_key(id)).collect();
        both.into_iter().try_for_each(|id| objects.remove(id))
    }

    /// Forgets what was served just now, to take no memory while idle.
    pub fn rest(&self) {
        *lock(&self.recent) = Recent::default();
    }
}

impl Recent {
    fn get(&mut self, id: ContentId) -> Option<Bytes> {
        let at = self.objects.iter().position(|(known, _)| *known == id)?;
        let entry = self.objects.remove(at)?;
        let bytes = entry.1.clone();
        self.objects.push_back(entry);
        Some(bytes)
    }

    fn put(&mut self, id: ContentId, bytes: Bytes) {
        self.bytes += bytes.len();
        self.objects.push_back((id, bytes));
        while self.bytes > SERVED_BYTES && self.objects.len() > 1 {
            let Some((_, gone)) = self.objects.pop_front() else { break };
            self.bytes -= gone.len();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
