//! Follows the patches of a plan: applies their deltas, opens the files that
//! these read as views, and closes the ones that they make as views.
//!
//! Deltas are verified before they are decoded, their result after it; a file
//! that is closed is compared with its hash before it is given away. Files of
//! releases between, all views, and the pieces that others are made from lie
//! in a [`Scratch`].
//!
//! Lists of hashes are closed last, when all that they list is there. Of a
//! release between there is only what the next link reads, which reads lists
//! as views: there they stay open.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use container::list::Facts;
use container::{CloseError, Codec, RecipeError, list};
use delta::read_at::ReadAt;
use manifest::content::ContentId;
use manifest::release::limits::{DELTA_LEVELS, PIECE_BYTES};
use manifest::release::link::{DeltaStep, Link, StepSource};
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::PatchSource;
use manifest::release::plan::Plan;

use crate::closing::Closer;
use crate::disk::DiskError;
use crate::installed::Installed;
use crate::scratch::{Region, Scratch};

/// What keeps a patch from being followed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// An object was fetched and is gone, or was damaged since.
    #[error("object {id} is missing or was damaged after it was fetched")]
    Missing {
        /// Which.
        id: ContentId,
    },
    /// A delta did not make its piece.
    #[error("delta {id} does not apply")]
    Delta {
        /// Which.
        id: ContentId,
        /// Why not.
        source: delta::apply::ApplyError,
    },
    /// A delta made a piece of another length.
    #[error("delta {id} makes {found} bytes, expected {expected}")]
    Length {
        /// Which.
        id: ContentId,
        /// The piece's length.
        expected: u32,
        /// What it makes.
        found: usize,
    },
    /// A delta reads what is not there.
    #[error("delta {id} reads files that are not there")]
    Source {
        /// Which.
        id: ContentId,
    },
    /// The recipes of a patch are not what they should be.
    #[error("the recipes of a patch hash to {found}, expected {expected}")]
    Recipes {
        /// Their blake3 in the patch.
        expected: ContentId,
        /// What they hash to.
        found: ContentId,
    },
    /// The recipes of a patch cannot be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A view did not become its file.
    #[error("the file {content} could not be closed again")]
    Close {
        /// The file's blake3.
        content: ContentId,
        /// Why not; `None` if it became another file.
        source: Option<CloseError>,
    },
    /// An installed file has no view: it changed since the plan was made.
    #[error("{path} has no view of {expected} bytes: it was changed")]
    View {
        /// The file.
        path: String,
        /// What the patch says.
        expected: u64,
    },
    /// What is made on the way cannot be kept.
    #[error("cannot use the disk for what is made on the way")]
    Scratch(#[source] io::Error),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl LinkError {
    /// Whether the patch is at fault: without it the release can be made.
    #[must_use]
    pub const fn blames_patch(&self) -> bool {
        matches!(
            self,
            Self::Delta { .. }
                | Self::Length { .. }
                | Self::Source { .. }
                | Self::Recipes { .. }
                | Self::Recipe(_)
        )
    }
}

/// Takes what the last link makes.
pub trait Sink<E>: Sync {
    /// Writes `bytes` of the file at `row` of the release, from `offset` on.
    ///
    /// # Errors
    /// Whatever keeps it from doing so.
    fn write(&self, row: u32, offset: u64, bytes: &[u8]) -> Result<(), E>;

    /// Copies a whole file of the base.
    ///
    /// # Errors
    /// Whatever keeps it from doing so.
    fn copy(&self, row: u32, from_row: u32) -> Result<(), E>;

    /// What a list of hashes says of the file at `row`, whose bytes were all
    /// written.
    ///
    /// # Errors
    /// Whatever keeps it from reading them.
    fn facts(&self, row: u32) -> Result<Facts, E>;

    /// Takes the view of a list instead of the file; whether it does.
    ///
    /// # Errors
    /// Whatever keeps it from doing so.
    fn keeps_open(&self, _row: u32, _view: &[u8]) -> Result<bool, E> {
        Ok(false)
    }
}

/// The bytes of an object that was fetched.
pub type Object<'a> = &'a (dyn Fn(ContentId) -> Result<Option<Vec<u8>>, DiskError> + Sync);

/// Where the bytes of a file are.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// At that row of the base.
    Base(u32),
    /// In the scratch.
    Made(Region),
    /// In the scratch there is only its view.
    Open(Region),
}

/// Follows all links of `plan` from `base`, with the manifests of the releases
/// that they lead to, on at most `threads`; the last one's files go to `sink`.
/// `codec` makes the streams of files that are closed.
///
/// # Errors
/// The first [`LinkError`], or what the sink says.
pub fn follow<E: From<LinkError> + Send>(
    plan: &Plan,
    base: &Installed,
    manifests: &[&ReleaseManifest],
    object: Object<'_>,
    (scratch, codec): (&Scratch, &dyn Codec),
    threads: usize,
    sink: &dyn Sink<E>,
) -> Result<(), E> {
    let done = follow_all(plan, base, manifests, object, (scratch, codec), threads, sink);
    codec.rest();
    done
}

fn follow_all<E: From<LinkError> + Send>(
    plan: &Plan,
    base: &Installed,
    manifests: &[&ReleaseManifest],
    object: Object<'_>,
    (scratch, codec): (&Scratch, &dyn Codec),
    threads: usize,
    sink: &dyn Sink<E>,
) -> Result<(), E> {
    let mut there: Option<HashMap<u32, Place>> = None;
    for (index, link) in plan.links.iter().enumerate() {
        let way = Way { link, to: manifests[index], base, object, scratch, codec, threads, there };
        if index + 1 == plan.links.len() {
            return way.follow(sink);
        }
        let made = way.make().map_err(E::from)?;
        there = Some(made);
    }
    Ok(())
}

/// One link, and where its files are.
struct Way<'a> {
    link: &'a Link,
    to: &'a ReleaseManifest,
    base: &'a Installed,
    object: Object<'a>,
    scratch: &'a Scratch,
    codec: &'a dyn Codec,
    threads: usize,
    /// The files of the release that it starts from; of the base if `None`.
    there: Option<HashMap<u32, Place>>,
}

/// What a link makes on the way to its files.
struct Views {
    /// Pieces that others are made from, by the steps that make them.
    pieces: HashMap<usize, Region>,
    /// Of files that are read, by row.
    read: HashMap<u32, Region>,
    /// Of files that are made, by row.
    made: HashMap<u32, Region>,
    /// The recipes, and which piece of them a delta makes.
    recipes: Region,
}

impl Way<'_> {
    fn place(&self, row: u32) -> Option<Place> {
        match &self.there {
            None => Some(Place::Base(row)),
            Some(there) => there.get(&row).copied(),
        }
    }

    /// Makes the needed files of a release between.
    fn make(&self) -> Result<HashMap<u32, Place>, LinkError> {
        let mut made = HashMap::new();
        for copy in &self.link.copies {
            let missing = || LinkError::Source { id: self.content(copy.to) };
            made.insert(copy.to, self.place(copy.from).ok_or_else(missing)?);
        }
        let files = self.link.deltas.iter().flat_map(|step| &step.writes);
        let rows: BTreeSet<u32> = files.map(|(_, part)| part.row).collect();
        let regions: HashMap<u32, Region> =
            rows.into_iter().map(|row| (row, self.scratch.reserve(self.size(row)))).collect();
        made.extend(regions.iter().map(|(row, region)| (*row, Place::Made(*region))));
        let between = Between { scratch: self.scratch, regions, open: Mutex::default() };
        self.follow(&between)?;
        let open = between.open.into_inner().expect("nobody panicked who held it");
        made.extend(open.into_iter().map(|(row, region)| (row, Place::Open(region))));
        Ok(made)
    }

    fn size(&self, row: u32) -> u64 {
        self.to.tree().entries()[row as usize].file().map_or(0, |(size, _)| size)
    }

    fn content(&self, row: u32) -> ContentId {
        let file = self.to.tree().entries()[row as usize].file();
        file.map_or(ContentId::from([0; 32]), |(_, content)| content)
    }

    fn follow<E: From<LinkError> + Send>(&self, sink: &dyn Sink<E>) -> Result<(), E> {
        let views = self.views().map_err(E::from)?;
        let steps: Vec<(usize, &DeltaStep)> = self.link.all_deltas().enumerate().collect();
        // Whatever is read was made before.
        for level in 0..=DELTA_LEVELS {
            let here: Vec<_> = steps.iter().filter(|(_, step)| step.level == level).collect();
            each(self.threads, &here, |(index, step)| self.apply(*index, step, &views, sink))?;
        }
        for copy in &self.link.copies {
            match self.place(copy.from) {
                Some(Place::Base(row)) => sink.copy(copy.to, row)?,
                Some(Place::Made(region)) => {
                    let mut offset = 0;
                    while offset < region.len() {
                        let len = (region.len() - offset).min(u64::from(PIECE_BYTES)) as usize;
                        let mut bytes = vec![0; len];
                        let reader = self.scratch.reader(region);
                        reader.read_at(offset, &mut bytes).map_err(LinkError::Scratch)?;
                        sink.write(copy.to, offset, &bytes)?;
                        offset += len as u64;
                    }
                }
                Some(Place::Open(_)) => {
                    let content = self.content(copy.to);
                    return Err(LinkError::Close { content, source: None }.into());
                }
                None => return Err(LinkError::Source { id: self.content(copy.to) }.into()),
            }
        }
        match &self.link.views {
            None => Ok(()),
            Some(steps) => {
                let Views { made, recipes, .. } = views;
                let closer = Closer { to: self.to, scratch: self.scratch, codec: self.codec };
                closer.close(steps, recipes, &made, sink)
            }
        }
    }

    /// Opens the files that are read as views, one at a time.
    fn views(&self) -> Result<Views, LinkError> {
        let mut read = HashMap::new();
        for source in self.link.all_deltas().flat_map(DeltaStep::old) {
            for (row, expected) in source.rows.iter().zip(source.views.iter().flatten()) {
                if read.contains_key(row) {
                    continue;
                }
                if let Some(Place::Open(region)) = self.place(*row)
                    && region.len() == *expected
                {
                    read.insert(*row, region);
                    continue;
                }
                let region = self.scratch.reserve(*expected);
                if !self.open(*row, region)? {
                    let path = match self.place(*row) {
                        Some(Place::Base(row)) => {
                            self.base.manifest().tree().entries()[row as usize].path.to_string()
                        }
                        _ => "a file of a release between".to_owned(),
                    };
                    return Err(LinkError::View { path, expected: *expected });
                }
                read.insert(*row, region);
            }
        }
        let steps = self.link.views.as_ref();
        let files = steps.into_iter().flat_map(|views| {
            views.files.iter().map(|(index, row)| (*row, views.view_lens[*index]))
        });
        let made = files.map(|(row, len)| (row, self.scratch.reserve(len))).collect();
        let recipes = steps.into_iter().flat_map(|views| &views.recipe_deltas);
        let recipes_len = recipes.map(|step| u64::from(step.len)).sum();
        let pieces = self.link.all_deltas().enumerate().filter(|(_, step)| step.is_read);
        let pieces = pieces.map(|(index, step)| (index, self.scratch.reserve(u64::from(step.len))));
        let pieces = pieces.collect();
        Ok(Views { pieces, read, made, recipes: self.scratch.reserve(recipes_len) })
    }

    /// Puts the view of a file into `region`; whether it has one that fills it.
    fn open(&self, row: u32, region: Region) -> Result<bool, LinkError> {
        let file = self.bytes(row)?;
        let mut at = 0;
        let opened = container::view_to(&file, &mut |part| {
            at += part.len() as u64;
            // A longer one is another file's: it is refused below.
            if at > region.len() {
                return Ok(());
            }
            self.scratch.write(region, at - part.len() as u64, part).map_err(LinkError::Scratch)
        })?;
        Ok(opened && at == region.len())
    }

    /// All bytes of a file that is to be opened.
    fn bytes(&self, row: u32) -> Result<Vec<u8>, LinkError> {
        let missing = LinkError::Source { id: ContentId::from([0; 32]) };
        let source = PatchSource { rows: vec![row], views: None };
        let reader = self.joined(&source, &HashMap::new()).ok_or(missing)?;
        // Longer files have no view: docs/container.md.
        let len = usize::try_from(reader.len().min(container::limits::FILE_BYTES + 1));
        let mut bytes = vec![0; len.expect("an opened file fits in memory")];
        reader.read_at(0, &mut bytes).map_err(LinkError::Scratch)?;
        Ok(bytes)
    }

    /// What a source reads; `None` if it is not there.
    fn joined(&self, source: &PatchSource, views: &HashMap<u32, Region>) -> Option<Joined<'_>> {
        let mut joined = Joined::default();
        let mut run: Vec<u32> = Vec::new();
        for row in &source.rows {
            let region = match source.views {
                Some(_) => Some(*views.get(row)?),
                None => match self.place(*row)? {
                    Place::Made(region) => Some(region),
                    Place::Open(_) => return None,
                    Place::Base(row) => {
                        run.push(row);
                        None
                    }
                },
            };
            if let Some(region) = region {
                // Installed files that follow each other share a descriptor.
                if !run.is_empty() {
                    joined.push(Box::new(self.base.joined(&std::mem::take(&mut run))?));
                }
                joined.push(Box::new(self.scratch.reader(region)));
            }
        }
        if !run.is_empty() {
            joined.push(Box::new(self.base.joined(&run)?));
        }
        Some(joined)
    }

    fn apply<E: From<LinkError>>(
        &self,
        index: usize,
        step: &DeltaStep,
        views: &Views,
        sink: &dyn Sink<E>,
    ) -> Result<(), E> {
        let id = step.object.id;
        let object = (self.object)(id).map_err(LinkError::Disk)?;
        let object = object.ok_or(LinkError::Missing { id })?;
        let joined = step.sources.iter().map(|source| match source {
            StepSource::Old(source) => self.joined(source, &views.read),
            StepSource::Made(step) => {
                let mut joined = Joined::default();
                joined.push(Box::new(self.scratch.reader(*views.pieces.get(step)?)));
                Some(joined)
            }
        });
        let joined: Option<Vec<_>> = joined.collect();
        let joined = joined.ok_or(LinkError::Source { id })?;
        let sources: Vec<&dyn ReadAt> = joined.iter().map(|one| one as &dyn ReadAt).collect();
        let mut out = Vec::new();
        delta::apply(&object, &sources, u64::from(step.len), &mut out)
            .map_err(|source| LinkError::Delta { id, source })?;
        if out.len() != step.len as usize {
            return Err(LinkError::Length { id, expected: step.len, found: out.len() }.into());
        }
        if let Some(region) = views.pieces.get(&index) {
            self.scratch.write(*region, 0, &out).map_err(LinkError::Scratch)?;
        }
        for (at, part) in &step.writes {
            let start = *at as usize;
            let bytes = &out[start..start + part.len as usize];
            match views.made.get(&part.row) {
                None => sink.write(part.row, part.offset, bytes)?,
                Some(region) => {
                    let written = self.scratch.write(*region, part.offset, bytes);
                    written.map_err(LinkError::Scratch)?;
                }
            }
        }
        // Those of recipes come last.
        if let Some(piece) = index.checked_sub(self.link.deltas.len()) {
            let offset = piece as u64 * u64::from(PIECE_BYTES);
            let written = self.scratch.write(views.recipes, offset, &out);
            written.map_err(LinkError::Scratch)?;
        }
        Ok(())
    }
}

/// Files of a release between.
struct Between<'a> {
    scratch: &'a Scratch,
    regions: HashMap<u32, Region>,
    /// The views of lists, by row.
    open: Mutex<HashMap<u32, Region>>,
}

impl Sink<LinkError> for Between<'_> {
    fn write(&self, row: u32, offset: u64, bytes: &[u8]) -> Result<(), LinkError> {
        // What is copied stays where it is.
        let Some(region) = self.regions.get(&row) else { return Ok(()) };
        self.scratch.write(*region, offset, bytes).map_err(LinkError::Scratch)
    }

    fn copy(&self, _row: u32, _from_row: u32) -> Result<(), LinkError> {
        Ok(())
    }

    fn facts(&self, row: u32) -> Result<Facts, LinkError> {
        unreachable!("row {row} is listed by what stays open")
    }

    fn keeps_open(&self, row: u32, view: &[u8]) -> Result<bool, LinkError> {
        // As a file that is read is opened: without any hash.
        let masked = list::masked(view, &|_| true);
        let region = self.scratch.put(masked.as_deref().unwrap_or(view));
        let region = region.map_err(LinkError::Scratch)?;
        self.open.lock().expect("nobody panics who holds it").insert(row, region);
        Ok(true)
    }
}

/// Several sources of bytes, one behind the other.
#[derive(Default)]
struct Joined<'a> {
    /// Where each ends, and what it is.
    parts: Vec<(u64, Box<dyn ReadAt + 'a>)>,
}

impl<'a> Joined<'a> {
    fn push(&mut self, part: Box<dyn ReadAt + 'a>) {
        self.parts.push((self.len() + part.len(), part));
    }
}

impl ReadAt for Joined<'_> {
    fn len(&self) -> u64 {
        self.parts.last().map_or(0, |(end, _)| *end)
    }

    fn read_at(&self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            let index = self.parts.partition_point(|(end, _)| *end <= offset);
            let (end, part) = self.parts.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
            let start = end - part.len();
            let here = usize::try_from(end - offset).unwrap_or(usize::MAX).min(out.len());
            let (now, rest) = out.split_at_mut(here);
            part.read_at(offset - start, now)?;
            (out, offset) = (rest, offset + here as u64);
        }
        Ok(())
    }
}

/// Does `work` for each item on at most `threads`; stops at the first error.
///
/// # Errors
/// One of the errors.
///
/// # Panics
/// If `work` does.
pub fn each<T: Sync, E: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let take = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            if let Err(error) = work(item) {
                stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(items.len())).map(|_| scope.spawn(take)).collect();
        let mut result = take();
        for other in others {
            result = result.and(other.join().expect("making files does not panic"));
        }
        result
    })
}
