//! Which files of a patch are opened: containers with streams that changed, and
//! lists of hashes.
//!
//! What an old container has bit for bit stays closed on both sides; a delta
//! copies it as it is. Files without a single stream are not even read twice.

use std::collections::{BTreeMap, HashSet};

use container::find::may_have_streams;
use container::limits::RECIPES;
use container::list::may_be_list;
use container::{Codec, Recipe, Stream, list, open, streams};
use manifest::content::ContentId;
use manifest::release::changes::Changes;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::OpenedFile;
use manifest::release::tree::Tree;
use rayon::prelude::*;
use store::repository::Repository;

use crate::build::lists::{OpenList, open_lists};
use crate::build::old::{OldError, old_files};
use crate::build::tree::{SourceError, SourceTree};
use crate::limits::{HEAD_BYTES, TARGET_BATCH_BYTES};
use crate::progress::{Progress, Stage};

/// What is opened for a patch.
#[derive(Debug, Default)]
pub struct Views {
    /// Files of the release, by row: the length of the view, and its recipe.
    pub new: BTreeMap<u32, (u64, Recipe)>,
    /// Those of them that are lists: their views.
    pub lists: BTreeMap<u32, OpenList>,
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

/// The streams of an old file, by the blake3 of their own bytes; a list has
/// none.
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
    /// Decides for the files that changed between `base`, whose pieces are in
    /// `repository`, and the release in `source`; `codec` takes their streams
    /// apart.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn find(
        base: &ReleaseManifest,
        changes: &Changes,
        source: &SourceTree,
        (repository, codec): (&Repository, &dyn Codec),
        progress: &Progress,
    ) -> Result<Self, ViewError> {
        let (mut candidates, mut lists) = (Vec::new(), Vec::new());
        for &row in &changes.missing {
            let (size, _) = source.tree().entries()[row as usize].file().expect("a file's row");
            let mut file = source.open(row)?;
            let head = file.next(usize::try_from(size.min(HEAD_BYTES)).expect("it is small"))?;
            if candidates.len() + lists.len() == RECIPES {
                break;
            }
            if may_have_streams(&head, size) {
                candidates.push(row);
            } else if may_be_list(&head, size) {
                lists.push(row);
            }
        }
        let lists = open_lists(&lists, source)?;
        if candidates.is_empty() && lists.is_empty() {
            return Ok(Self::default());
        }
        let new_bytes = candidates.iter().map(|&row| size(source.tree(), row));
        let total = new_bytes.chain(readable(base, changes).map(|row| size(base.tree(), row)));
        let stage = progress.stage("opening archives", total.sum());
        let old = old_streams(base, changes, repository, &stage)?;
        let known: HashSet<ContentId> = old.iter().flat_map(|old| &old.packed).copied().collect();
        let opened = candidates.par_iter().map(|&row| -> Result<_, SourceError> {
            let file = source.bytes(row)?;
            let streams = streams(&file);
            let packed = ids(&file, &streams);
            let changed = |packed: &[u8]| !known.contains(&ContentId::of(packed));
            let opened = open(&file, &streams, &changed, codec);
            stage.advance(file.len() as u64);
            Ok((row, opened.map(|opened| (opened.view.len() as u64, opened.recipe)), packed))
        });
        let opened: Result<Vec<_>, _> = opened.collect();
        codec.rest();
        let opened = opened?;
        let mut views = Self::default();
        let mut wanted = HashSet::new();
        for (row, opened, packed) in opened {
            wanted.extend(packed);
            views.new.extend(opened.map(|opened| (row, opened)));
        }
        for (row, list) in &lists {
            let recipe = Recipe { runs: Vec::new(), above: Some(list.above) };
            views.new.insert(*row, (list.view.len() as u64, recipe));
        }
        views.lists = lists;
        if views.new.is_empty() {
            return Ok(views);
        }
        for old in old {
            let kept = old.packed.iter().filter(|id| wanted.contains(id)).count();
            // What is a list only is read when another is made.
            let is_list = old.packed.is_empty() && !views.lists.is_empty();
            if kept < old.packed.len() || is_list {
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

    /// Whether the file in `row` is cut into pieces as it is.
    #[must_use]
    pub fn is_closed(&self, row: u32) -> bool {
        !self.new.contains_key(&row)
    }

    /// What is cut into pieces of the file in `row`, whose bytes are `file`.
    #[must_use]
    pub fn made_of(&self, row: u32, file: Vec<u8>) -> Vec<u8> {
        match (self.lists.get(&row), self.new.get(&row)) {
            (Some(list), _) => list.view.clone(),
            (None, None) => file,
            (None, Some((_, recipe))) => {
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
    stage: &Stage,
) -> Result<Vec<OldStreams>, OldError> {
    let mut batches: Vec<(Vec<u32>, u64)> = vec![(Vec::new(), 0)];
    for row in readable(base, changes) {
        let bytes = size(base.tree(), row);
        let last = batches.last_mut().expect("there is one");
        if last.1 + bytes > TARGET_BATCH_BYTES && !last.0.is_empty() {
            batches.push((vec![row], bytes));
        } else {
            last.0.push(row);
            last.1 += bytes;
        }
    }
    let mut found = Vec::new();
    for (rows, _) in batches {
        let files = old_files(base, &rows, repository)?;
        let read = files.into_par_iter().filter_map(|(row, file)| {
            let streams = streams(&file);
            stage.advance(file.len() as u64);
            let packed = ids(&file, &streams);
            let plain: usize = streams.iter().map(|stream| stream.plain.len()).sum();
            let within: usize = streams.iter().map(|stream| stream.place.len()).sum();
            let view_len = match streams.is_empty() {
                false => file.len() - within + plain,
                true => list::masked(&file, &|_| true)?.len(),
            };
            Some(OldStreams { row, view_len: view_len as u64, packed })
        });
        found.extend(read.collect::<Vec<_>>());
    }
    Ok(found)
}

/// The rows of old files that may have streams.
fn readable(base: &ReleaseManifest, changes: &Changes) -> impl Iterator<Item = u32> {
    let rows = changes.gone.iter().copied();
    rows.filter(|row| size(base.tree(), *row) <= container::limits::FILE_BYTES)
}

/// The bytes of the file in `row`.
fn size(tree: &Tree, row: u32) -> u64 {
    tree.entries()[row as usize].file().map_or(0, |(size, _)| size)
}

fn ids(file: &[u8], streams: &[Stream]) -> Vec<ContentId> {
    streams.iter().map(|stream| ContentId::of(&file[stream.place.clone()])).collect()
}
