//! The patch from one base: a delta for each piece of the files it lacks.
//!
//! Sources are the base's files that the release no longer has: what is
//! unchanged or only moved needs no delta and serves none. Old bytes come
//! from the repository's own pieces, new ones from the tree; of containers
//! that changed it is the views that are read and made. Pieces of one batch
//! may be made from each other.

use std::collections::{BTreeMap, HashMap};

use container::Codec;
use delta::{Delta, EncodeError, Encoder, Options, Source, Target};
use manifest::content::ContentId;
use manifest::release::changes::{Changes, Tally};
use manifest::release::layout::Shape;
use manifest::release::limits::PIECE_BYTES;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::{
    DeltaRow, DeltaSource, OpenedFiles, PatchManifest, PatchSource, patch_layout,
};
use rayon::prelude::*;
use store::repository::{Repository, RepositoryError};

use crate::build::old::{OldError, old_files};
use crate::build::tree::{SourceError, SourceTree};
use crate::build::views::{ViewError, Views};
use crate::build::windows::{Job, Window, windows};
use crate::limits::{TARGET_BATCH_BYTES, WINDOW_BYTES};
use crate::progress::{Progress, Stage};

/// A patch whose deltas are in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutPatch {
    /// The patch.
    pub manifest: PatchManifest,
    /// What its distinct deltas weigh on the wire.
    pub delta_bytes: u64,
    /// How many distinct deltas it has.
    pub delta_count: usize,
    /// What became of the files.
    pub tally: Tally,
}

/// A patch that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// The base's bytes are not to be had.
    #[error(transparent)]
    Old(#[from] OldError),
    /// The release's bytes are not to be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What is opened cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The encoder refuses.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The repository does not take a delta.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Makes the patch from `base` to `release` (each with its manifest's id),
/// whose files are in `source`, and puts its deltas into `repository`; `codec`
/// takes containers apart.
///
/// # Errors
/// [`DeltaError`]; what was put until then harms nobody.
pub fn put_patch(
    base: (ContentId, &ReleaseManifest),
    release: (ContentId, &ReleaseManifest),
    source: &SourceTree,
    (repository, codec): (&Repository, &dyn Codec),
    options: &Options,
    progress: &Progress,
) -> Result<PutPatch, DeltaError> {
    let (old, new) = (base.1.tree(), release.1.tree());
    let changes = Changes::between(old, new);
    let views = Views::find(base.1, &changes, source, (repository, codec), progress)?;
    let opened = views.opened();
    let shapes = patch_layout(release.1, &changes, &opened).shapes;
    let limits = (WINDOW_BYTES, delta::limits::MAX_WINDOW_BYTES as u64);
    let windows = windows((old, &changes.gone, &views.old), new, &shapes, limits);
    let total = windows.iter().flat_map(|window| &window.jobs).map(|job| job.bytes).sum();
    let stage = progress.stage(format!("deltas from {}", base.1.about().version), total);

    let mut sources = Sources::default();
    let mut rows: Vec<Option<DeltaRow>> = vec![None; shapes.len()];
    // Of what is made from parts of a long file, one after the other.
    let mut smallest: BTreeMap<usize, (Delta, PatchSource)> = BTreeMap::new();
    for window in windows {
        if window.jobs.is_empty() {
            continue;
        }
        let loaded = load(&window, base.1, repository)?;
        let bytes: Vec<&[u8]> = loaded.iter().map(Vec::as_slice).collect();
        let encoder = match &window.part {
            None => Encoder::new(bytes, options)?,
            Some(part) => {
                let place = |at: u64| usize::try_from(at).expect("it is within what is in memory");
                let part = place(part.start)..place(part.end);
                Encoder::over(bytes, vec![part], options)?
            }
        };
        for batch in batches(&window.jobs) {
            let made = encode(&encoder, batch, &shapes, (source, &views), &stage)?;
            if window.part.is_some() {
                for (shape, delta) in made {
                    match smallest.get(&shape) {
                        Some((kept, _)) if kept.object.len() <= delta.object.len() => {}
                        _ => drop(smallest.insert(shape, (delta, window.sources[0].clone()))),
                    }
                }
                continue;
            }
            let numbers: Vec<usize> = made.iter().map(|(shape, _)| *shape).collect();
            for (shape, delta) in made {
                let named = delta.sources.iter().map(|source| match *source {
                    Source::Old(old) => DeltaSource::Old(sources.place(&window.sources[old])),
                    Source::Made(piece) => made_by(numbers[piece]),
                });
                rows[shape] = Some(put_delta(&delta.object, named.collect(), repository)?);
            }
        }
    }
    for (shape, (delta, read)) in smallest {
        // They read nothing but the long file.
        let named = delta.sources.iter().map(|_| DeltaSource::Old(sources.place(&read)));
        rows[shape] = Some(put_delta(&delta.object, named.collect(), repository)?);
    }
    let opened = match opened.is_empty() {
        true => None,
        false => {
            let recipes = views.recipes();
            let recipes_len = recipes.len() as u64;
            for delta in encode_recipes(&recipes, options)? {
                let named = delta.sources.iter().filter_map(|source| match *source {
                    Source::Old(_) => None,
                    Source::Made(piece) => Some(made_by(shapes.len() + piece)),
                });
                rows.push(Some(put_delta(&delta.object, named.collect(), repository)?));
            }
            let recipes = ContentId::of(&recipes);
            Some(OpenedFiles { codec: container::CODEC, files: opened, recipes, recipes_len })
        }
    };
    let deltas: Option<Vec<DeltaRow>> = rows.into_iter().collect();
    let deltas = deltas.expect("each shape is in one job of one window");
    let distinct: HashMap<ContentId, u64> =
        deltas.iter().map(|row| (row.object, u64::from(row.len))).collect();
    Ok(PutPatch {
        delta_bytes: distinct.values().sum(),
        delta_count: distinct.len(),
        tally: changes.tally(old, new),
        manifest: PatchManifest {
            base: base.0,
            release: release.0,
            sources: sources.used,
            opened,
            deltas,
        },
    })
}

fn made_by(delta: usize) -> DeltaSource {
    DeltaSource::Made(u32::try_from(delta).expect("a manifest has fewer deltas"))
}

fn put_delta(
    delta: &[u8],
    sources: Vec<DeltaSource>,
    repository: &Repository,
) -> Result<DeltaRow, RepositoryError> {
    let object = ContentId::of(delta);
    repository.put_object(object, delta)?;
    let len = u32::try_from(delta.len()).expect("a delta is little over a piece");
    Ok(DeltaRow { object, len, sources })
}

/// The deltas that make the recipes, from nothing old.
fn encode_recipes(recipes: &[u8], options: &Options) -> Result<Vec<Delta>, EncodeError> {
    let piece_len = PIECE_BYTES as usize;
    let ends = (1..=recipes.len().div_ceil(piece_len)).map(|piece| piece * piece_len);
    let ends: Vec<usize> = ends.map(|end| end.min(recipes.len())).collect();
    let encoder = Encoder::new(Vec::new(), options)?;
    Ok(encoder.encode(&[Target { bytes: recipes, piece_ends: &ends }], &|_| ()).concat())
}

/// The sources that deltas really read, numbered as they are first named.
#[derive(Default)]
struct Sources {
    used: Vec<PatchSource>,
    places: HashMap<PatchSource, u32>,
}

impl Sources {
    fn place(&mut self, source: &PatchSource) -> u32 {
        *self.places.entry(source.clone()).or_insert_with(|| {
            self.used.push(source.clone());
            u32::try_from(self.used.len() - 1).expect("a patch has at most 65,536 sources")
        })
    }
}

/// The bytes of a window's sources.
fn load(
    window: &Window,
    base: &ReleaseManifest,
    repository: &Repository,
) -> Result<Vec<Vec<u8>>, OldError> {
    let rows: Vec<u32> = window.sources.iter().flat_map(|source| &source.rows).copied().collect();
    let mut files = old_files(base, &rows, repository)?;
    let mut loaded: Vec<Vec<u8>> = window.sources.par_iter().map(|s| views_of(s, &files)).collect();
    // What is read as it is stands in one source only.
    for (source, bytes) in window.sources.iter().zip(&mut loaded) {
        for row in source.rows.iter().filter(|_| source.views.is_none()) {
            let file = files.remove(row).expect("every row was asked for, once");
            if bytes.is_empty() { *bytes = file } else { bytes.extend_from_slice(&file) }
        }
    }
    Ok(loaded)
}

/// The views that a source reads, if it reads views.
fn views_of(source: &PatchSource, files: &BTreeMap<u32, Vec<u8>>) -> Vec<u8> {
    let rows = source.rows.iter().filter(|_| source.views.is_some());
    rows.flat_map(|row| container::view(&files[row]).expect("only files with streams are opened"))
        .collect()
}

/// Jobs whose bytes are held at once.
fn batches(jobs: &[Job]) -> Vec<&[Job]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, job) in jobs.iter().enumerate() {
        if index > start && bytes + job.bytes > TARGET_BATCH_BYTES {
            batches.push(&jobs[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += job.bytes;
    }
    batches.push(&jobs[start..]);
    batches
}

/// The deltas of a batch, each with the index of its shape.
fn encode(
    encoder: &Encoder<'_>,
    batch: &[Job],
    shapes: &[Shape],
    (source, views): (&SourceTree, &Views),
    stage: &Stage,
) -> Result<Vec<(usize, Delta)>, SourceError> {
    let mut loaded: Vec<(Vec<u8>, Vec<usize>)> = Vec::with_capacity(batch.len());
    for job in batch {
        let shapes = &shapes[job.first..job.first + job.count];
        let mut bytes = Vec::new();
        // A cut file stands in each of its shapes, a packed one in one.
        for part in shapes.iter().flat_map(|shape| &shape.parts).filter(|part| part.offset == 0) {
            bytes.append(&mut views.made_of(part.row, source.bytes(part.row)?));
        }
        let ends = shapes.iter().scan(0, |end, shape| {
            *end += shape.len as usize;
            Some(*end)
        });
        loaded.push((bytes, ends.collect()));
    }
    let targets: Vec<Target<'_>> =
        loaded.iter().map(|(bytes, piece_ends)| Target { bytes, piece_ends }).collect();
    let made = encoder.encode(&targets, &|bytes| stage.advance(bytes));
    let numbered = batch.iter().zip(made).flat_map(|(job, deltas)| (job.first..).zip(deltas));
    Ok(numbered.collect())
}
