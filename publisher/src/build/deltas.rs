//! The patch from one base: a delta for each piece of the files it lacks.
//!
//! Sources are the base's files that the release no longer has: what is
//! unchanged or only moved needs no delta and serves none. Old bytes come
//! from the repository's own pieces, new ones from the tree; of containers
//! that changed it is the views that are read and made. Pieces of one batch
//! may be made from each other.

use std::collections::{BTreeMap, HashMap};

use container::Codec;
use delta::{Delta, EncodeError, Encoder, Options, Source, Target, may_be_executable};
use indicatif::DecimalBytes;
use manifest::content::ContentId;
use manifest::release::changes::{Changes, Tally};
use manifest::release::layout::Shape;
use manifest::release::limits::PIECE_BYTES;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::{
    DeltaRow, DeltaSource, OpenedFiles, PatchManifest, PatchSource, patch_layout,
};
use store::repository::{Repository, RepositoryError};

use crate::build::held::{self, Held};
use crate::build::old::OldError;
use crate::build::pieces::{OpenFile, reach, read};
use crate::build::tree::{SourceError, SourceTree};
use crate::build::views::{ViewError, Views};
use crate::build::whereabouts::Whereabouts;
use crate::build::windows::{Job, Window, windows};
use crate::limits::{SETTLED_SHARE, TARGET_BATCH_BYTES, WHOLE_EXECUTABLE_BYTES, WINDOW_BYTES};
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

    let from = (source, &views, repository);
    let looked_at = looked_at(&windows, &shapes, base.1, from, progress)?;
    let mut sources = Sources::default();
    let mut rows: Vec<Option<DeltaRow>> = vec![None; shapes.len()];
    // Of what is made from parts of a long file, one after the other.
    let mut smallest: BTreeMap<usize, (Delta, PatchSource)> = BTreeMap::new();
    for (number, window) in windows.into_iter().enumerate() {
        if window.jobs.is_empty() {
            continue;
        }
        let sorting = progress.spinner(format!("sorting {}", DecimalBytes(window.source_bytes)));
        let loaded = held::sources(&window, base.1, repository)?;
        let encoder = match &window.part {
            None => {
                Encoder::new(loaded.iter().map(|held| held.bytes.as_slice()).collect(), options)?
            }
            Some(_) => Encoder::over(loaded.iter().map(Held::part).collect(), options)?,
        };
        encoder.sort();
        drop(sorting);
        let settled = |shape: usize| {
            if looked_at.get(&shape).is_some_and(|windows| !windows.contains(&number)) {
                return true;
            }
            let kept = smallest.get(&shape).map(|(kept, _)| kept.object.len());
            kept.is_some_and(|len| len <= shapes[shape].len as usize / SETTLED_SHARE)
        };
        let jobs = divided(&window.jobs, &shapes, source, &settled)?;
        let left: u64 = jobs.iter().map(|job| job.bytes).sum();
        stage.advance(window.jobs.iter().map(|job| job.bytes).sum::<u64>() - left);
        let mut open = None;
        for batch in batches(&jobs) {
            let made = encode(&encoder, batch, &shapes, (source, &views, &mut open), &stage)?;
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

/// In which windows the shapes of long files are looked for, of those files
/// that are read in parts.
fn looked_at(
    windows: &[Window],
    shapes: &[Shape],
    base: &ReleaseManifest,
    (source, views, repository): (&SourceTree, &Views, &Repository),
    progress: &Progress,
) -> Result<BTreeMap<usize, Vec<usize>>, DeltaError> {
    let mut looked_at = BTreeMap::new();
    let numbered: Vec<(usize, &Window)> =
        windows.iter().enumerate().filter(|(_, window)| window.part.is_some()).collect();
    for parts in numbered.chunk_by(|(_, one), (_, other)| one.sources == other.sources) {
        let jobs = &parts[0].1.jobs;
        if jobs.is_empty() {
            continue;
        }
        let len = parts.iter().map(|(_, window)| window.source_bytes).sum();
        let _looking = progress.spinner(format!("looking through {}", DecimalBytes(len)));
        let mut whereabouts = Whereabouts::new(len);
        for (part, (_, window)) in parts.iter().enumerate() {
            let held = held::sources(window, base, repository)?;
            held.iter().for_each(|held| whereabouts.learn(part, held.matched()));
        }
        for job in jobs {
            let is_closed = views.is_closed(shapes[job.first].parts[0].row);
            if job.bytes <= TARGET_BATCH_BYTES || !is_closed || is_held_whole(*job, shapes, source)?
            {
                continue;
            }
            let mut open = None;
            let pieces = (job.first..).zip(&shapes[job.first..][..job.count]);
            for (number, shape) in pieces {
                let piece = read(source, shape, &mut open)?;
                let found = whereabouts.of(&piece);
                looked_at.insert(number, found.into_iter().map(|part| parts[part].0).collect());
            }
        }
    }
    Ok(looked_at)
}

/// Jobs of which each can be held: a long file is made in several, unless
/// references in it are foreseen. Those of its shapes that are `settled` are
/// left out.
fn divided(
    jobs: &[Job],
    shapes: &[Shape],
    source: &SourceTree,
    settled: &dyn Fn(usize) -> bool,
) -> Result<Vec<Job>, SourceError> {
    let mut divided = Vec::with_capacity(jobs.len());
    for &job in jobs {
        if job.bytes <= TARGET_BATCH_BYTES || is_held_whole(job, shapes, source)? {
            divided.push(job);
            continue;
        }
        let mut run = Job { bytes: 0, count: 0, ..job };
        let numbered = (job.first..).zip(&shapes[job.first..job.first + job.count]);
        for (shape, bytes) in numbered.map(|(shape, s)| (shape, u64::from(s.len))) {
            let is_settled = settled(shape);
            if is_settled || run.bytes + bytes > TARGET_BATCH_BYTES {
                divided.push(run);
                run = Job { first: shape + usize::from(is_settled), count: 0, bytes: 0 };
            }
            if !is_settled {
                run.count += 1;
                run.bytes += bytes;
            }
        }
        divided.push(run);
    }
    divided.retain(|job| job.count > 0);
    Ok(divided)
}

fn is_held_whole(job: Job, shapes: &[Shape], source: &SourceTree) -> Result<bool, SourceError> {
    let row = shapes[job.first].parts[0].row;
    let head = source.open(row)?.next(4)?;
    Ok(job.bytes <= WHOLE_EXECUTABLE_BYTES && may_be_executable(&head))
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

/// The deltas of a batch, each with the index of its shape. Of a file that is
/// made in several jobs, `open` is what the next of them goes on with.
fn encode(
    encoder: &Encoder<'_>,
    batch: &[Job],
    shapes: &[Shape],
    (source, views, open): (&SourceTree, &Views, &mut Option<OpenFile>),
    stage: &Stage,
) -> Result<Vec<(usize, Delta)>, SourceError> {
    let mut loaded: Vec<(Vec<u8>, Vec<usize>)> = Vec::with_capacity(batch.len());
    for job in batch {
        reach(source, &shapes[job.first], open)?;
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(job.count);
        for shape in &shapes[job.first..job.first + job.count] {
            if shape.parts.iter().all(|part| views.is_closed(part.row)) {
                bytes.append(&mut read(source, shape, open)?);
            } else {
                // A view stands whole in the first of its shapes.
                for part in shape.parts.iter().filter(|part| part.offset == 0) {
                    bytes.append(&mut views.made_of(part.row, source.bytes(part.row)?));
                }
            }
            ends.push(ends.last().copied().unwrap_or(0) + shape.len as usize);
        }
        loaded.push((bytes, ends));
    }
    let targets: Vec<Target<'_>> =
        loaded.iter().map(|(bytes, piece_ends)| Target { bytes, piece_ends }).collect();
    let made = encoder.encode(&targets, &|bytes| stage.advance(bytes));
    let numbered = batch.iter().zip(made).flat_map(|(job, deltas)| (job.first..).zip(deltas));
    Ok(numbered.collect())
}
