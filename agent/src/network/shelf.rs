//! What this machine can serve, and where it comes from: objects it keeps,
//! manifests, and plain pieces straight from the installed files.
//!
//! Promises that whatever is handed out hashes to its id at that moment. What
//! does not is withdrawn, and the damage told once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::release::plan::Wanted;
use store::disk::DiskError;
use store::heads::{Form, Head, Heads};
use store::installed::Installed;
use store::objects::{Checked, Objects};
use store::partials::{Partials, Parts};

use crate::applier::authority::Authority;
use crate::limits::SERVED_BYTES;
use crate::mirror::longest;
use crate::network::fetch::cause;

/// Everything that can be served; shared by whoever fetches and serves.
pub struct Shelf {
    authority: Authority,
    objects: Mutex<Objects>,
    /// Locked before `objects` where both are.
    partials: Mutex<Partials>,
    /// As `partials`.
    heads: Mutex<Heads>,
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
    /// A shelf over `objects`, those that are not whole yet, and what
    /// `authority` has installed.
    #[must_use]
    pub fn new(authority: Authority, objects: Objects, partials: Partials, heads: Heads) -> Self {
        let (objects, partials) = (Mutex::new(objects), Mutex::new(partials));
        let heads = Mutex::new(heads);
        Self {
            authority,
            objects,
            partials,
            heads,
            installed: Mutex::default(),
            recent: Mutex::default(),
        }
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
    /// [`DiskError`].
    pub fn put(&self, object: Checked<'_>) -> Result<(), DiskError> {
        let mut partials = lock(&self.partials);
        let draft = partials.finish(object.id(), object.bytes())?;
        let mut heads = lock(&self.heads);
        heads.remove(object.id())?;
        let mut objects = lock(&self.objects);
        drop((partials, heads));
        match draft {
            // A draft that does not get its name has none.
            Some(draft) => objects
                .adopt(object, &draft)
                .inspect_err(|_| drop(store::disk::remove_file(&draft))),
            None => objects.put(object),
        }
    }

    /// Keeps blocks of an object that is not whole yet; waits for the disk.
    /// That it cannot be done costs what a restart would have to fetch again,
    /// and nothing else, so it is only told.
    pub fn keep(&self, parts: &Parts) {
        let mut partials = lock(&self.partials);
        // It may have become whole meanwhile.
        if self.has_object(parts.id) {
            return;
        }
        if let Err(error) = partials.keep(parts) {
            tracing::warn!(error = %cause(&error), "blocks would not outlive a restart");
        }
    }

    /// What is kept of an object that is not whole yet; waits for the disk.
    pub fn recall(&self, id: ContentId, len: u64) -> Option<Parts> {
        let recalled = lock(&self.partials).recall(id, len);
        recalled.unwrap_or_else(|error| {
            tracing::warn!(error = %cause(&error), "blocks of an object cannot be read");
            None
        })
    }

    /// The beginning of a mirror's file of an object, as far as it came; waits
    /// for the disk.
    pub fn head(&self, wanted: Wanted) -> Option<Head> {
        let head = lock(&self.heads).get(wanted.id, |form| longest(form, wanted.len));
        head.unwrap_or_else(|error| {
            tracing::warn!(error = %cause(&error), "what a mirror began cannot be read");
            None
        })
    }

    /// Keeps bytes of a mirror's file from `offset` on, before which all are
    /// kept; waits for the disk. Failing to is only told, as for blocks.
    pub fn keep_head(&self, id: ContentId, form: Form, offset: u64, bytes: &[u8]) {
        let mut heads = lock(&self.heads);
        // It may have become whole meanwhile.
        if self.has_object(id) {
            return;
        }
        if let Err(error) = heads.put(id, form, offset, bytes) {
            tracing::warn!(error = %cause(&error), "what a mirror sent would not outlive a restart");
        }
    }

    /// Throws away the beginning of a mirror's file that is not the object's.
    pub fn drop_head(&self, id: ContentId) {
        if let Err(error) = lock(&self.heads).remove(id) {
            tracing::warn!(error = %cause(&error), "what a mirror began cannot be removed");
        }
    }

    /// The objects of which some blocks are kept.
    #[must_use]
    pub fn in_parts(&self) -> Vec<ContentId> {
        lock(&self.partials).ids().collect()
    }

    /// From now on exactly these stay whatever the quota says, and of no other
    /// object blocks are kept; gives those that were removed.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn need(
        &self,
        needed: impl IntoIterator<Item = ContentId>,
    ) -> Result<Vec<ContentId>, DiskError> {
        let needed: HashSet<ContentId> = needed.into_iter().collect();
        lock(&self.partials).retain(|id| needed.contains(&id))?;
        lock(&self.heads).retain(|id| needed.contains(&id))?;
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
