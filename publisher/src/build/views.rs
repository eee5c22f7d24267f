//! Which files of a patch are opened: containers with streams that changed.
//!
//! What an old container has bit for bit stays closed on both sides; a delta
//! copies it as it is. Files without a single stream are not even read twice.

use std::collections::{BTreeMap, HashSet};

use container::find::may_have_streams;
use container::limits::RECIPES;
use container::{Recipe, Stream, open, streams};
use manifest::content::ContentId;
use manifest::release::changes::Changes;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::OpenedFile;
use rayon::prelude::*;
use store::repository::Repository;

use crate::build::old::{OldError, old_files};
use crate::build::tree::{SourceError, SourceTree};
use crate::limits::TARGET_BATCH_BYTES;

/// What is opened for a patch.
#[derive(Debug, Default)]
pub struct Views {
    /// Files of the release, by row: the length of the view, and its recipe.
    pub new: BTreeMap<u32, (u64, Recipe)>,
    /// Files of the base, by row.
    pub old: BTreeMap<u32, OldView>,
}

/// How a file of the base is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldView {
    /// The length of its view.
    pub len: u64,
    /// Whether it is of use as it is, too: some of its streams did not change.
    pub closed_too: bool,
}

/// The streams of an old file, by the blake3 of their own bytes.
struct OldStreams {
    row: u32,
    view_len: u64,
    packed: Vec<ContentId>,
}

/// Views that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The base's bytes are not to be had.
    #[error(transparent)]
    Old(#[from] OldError),
    /// The release's bytes are not to be had.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Views {
    /// Decides for the files that changed between `base` and the release in
    /// `source`.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn find(
        base: &ReleaseManifest,
        changes: &Changes,
        source: &SourceTree,
        repository: &Repository,
    ) -> Result<Self, ViewError> {
        let mut candidates = Vec::new();
        for &row in &changes.missing {
            let (size, _) = source.tree().entries()[row as usize].file().expect("a file's row");
            let mut file = source.open(row)?;
            if size > 4 && may_have_streams(&file.next(4)?, size) && candidates.len() < RECIPES {
                candidates.push(row);
            }
        }
        if candidates.is_empty() {
            return Ok(Self::default());
        }
        let old = old_streams(base, changes, repository)?;
        let known: HashSet<ContentId> = old.iter().flat_map(|old| &old.packed).copied().collect();
        let opened = candidates.par_iter().map(|&row| -> Result<_, SourceError> {
            let file = source.bytes(row)?;
            let streams = streams(&file);
            let packed = ids(&file, &streams);
            let changed = |packed: &[u8]| !known.contains(&ContentId::of(packed));
            let opened = open(&file, &streams, &changed);
            Ok((row, opened.map(|opened| (opened.view.len() as u64, opened.recipe)), packed))
        });
        let opened: Vec<_> = opened.collect::<Result<_, _>>()?;
        let mut views = Self::default();
        let mut wanted = HashSet::new();
        for (row, opened, packed) in opened {
            wanted.extend(packed);
            views.new.extend(opened.map(|opened| (row, opened)));
        }
        if views.new.is_empty() {
            return Ok(views);
        }
        for old in old {
            let kept = old.packed.iter().filter(|id| wanted.contains(id)).count();
            if kept < old.packed.len() {
                let view = OldView { len: old.view_len, closed_too: kept > 0 };
                views.old.insert(old.row, view);
            }
        }
        Ok(views)
    }

    /// The files that are made as views.
    #[must_use]
    pub fn opened(&self) -> Vec<OpenedFile> {
        let files = self.new.iter();
        files.map(|(row, (view_len, _))| OpenedFile { row: *row, view_len: *view_len }).collect()
    }

    /// The recipes of all of them.
    #[must_use]
    pub fn recipes(&self) -> Vec<u8> {
        let recipes: Vec<Recipe> = self.new.values().map(|(_, recipe)| recipe.clone()).collect();
        container::recipe::encode(&recipes)
    }

    /// What is cut into pieces of the file in `row`, whose bytes are `file`.
    #[must_use]
    pub fn made_of(&self, row: u32, file: Vec<u8>) -> Vec<u8> {
        match self.new.get(&row) {
            None => file,
            Some((_, recipe)) => {
                container::reopen(&file, recipe).expect("the recipe was made for this file")
            }
        }
    }
}

/// The streams of what the release no longer has, a few files at a time.
fn old_streams(
    base: &ReleaseManifest,
    changes: &Changes,
    repository: &Repository,
) -> Result<Vec<OldStreams>, OldError> {
    let size = |row: u32| base.tree().entries()[row as usize].file().map_or(0, |(size, _)| size);
    let mut batches: Vec<(Vec<u32>, u64)> = vec![(Vec::new(), 0)];
    for &row in changes.gone.iter().filter(|row| size(**row) <= container::limits::FILE_BYTES) {
        let last = batches.last_mut().expect("there is one");
        if last.1 + size(row) > TARGET_BATCH_BYTES && !last.0.is_empty() {
            batches.push((vec![row], size(row)));
        } else {
            last.0.push(row);
            last.1 += size(row);
        }
    }
    let mut found = Vec::new();
    for (rows, _) in batches {
        let files = old_files(base, &rows, repository)?;
        let read = files.into_par_iter().filter_map(|(row, file)| {
            let streams = streams(&file);
            let packed = ids(&file, &streams);
            let plain: usize = streams.iter().map(|stream| stream.plain.len()).sum();
            let within: usize = streams.iter().map(|stream| stream.place.len()).sum();
            let view_len = (file.len() - within + plain) as u64;
            (!streams.is_empty()).then_some(OldStreams { row, view_len, packed })
        });
        found.extend(read.collect::<Vec<_>>());
    }
    Ok(found)
}

fn ids(file: &[u8], streams: &[Stream]) -> Vec<ContentId> {
    streams.iter().map(|stream| ContentId::of(&file[stream.place.clone()])).collect()
}
