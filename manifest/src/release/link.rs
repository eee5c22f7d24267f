//! One patch of a plan: what of it is used, and what that reads.
//!
//! First it is asked what a patch can make of the files that are there to be
//! read, then what it has to make. A plan of several patches asks the first
//! forwards and the second backwards, so that of the releases between no byte
//! is fetched or made that nobody needs. What a delta makes may be what others
//! read: then it is made for their sake, and they are made later.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::content::ContentId;
use crate::release::changes::Changes;
use crate::release::layout::{Part, Shape};
use crate::release::manifest::ReleaseManifest;
use crate::release::patch::{
    DeltaSource, Fitted, OpenedFile, OpenedFiles, PatchError, PatchManifest, PatchSource,
};
use crate::release::plan::{Copy, Wanted};

/// A delta to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaStep {
    /// The delta object.
    pub object: Wanted,
    /// For each source of the delta, what it is.
    pub sources: Vec<StepSource>,
    /// How many steps stand behind it, one behind the other: those whose
    /// pieces it reads are on lower levels.
    pub level: usize,
    /// Whether others read what it makes.
    pub is_read: bool,
    /// How many bytes it makes.
    pub len: u32,
    /// Which of them are needed: (offset in what it makes, run of a file, or
    /// of its view if that is made).
    pub writes: Vec<(u32, Part)>,
}

/// What a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepSource {
    /// Files of where the link begins.
    Old(PatchSource),
    /// What that of all steps of the link makes.
    Made(usize),
}

impl DeltaStep {
    /// What it reads of where the link begins.
    pub fn old(&self) -> impl Iterator<Item = &PatchSource> {
        self.sources.iter().filter_map(|source| match source {
            StepSource::Old(source) => Some(source),
            StepSource::Made(_) => None,
        })
    }
}

/// Files that are made as views and closed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSteps {
    /// What closes them.
    pub codec: u32,
    /// The blake3 of all recipes of the patch.
    pub recipes: ContentId,
    /// What makes the recipes, one piece after the other.
    pub recipe_deltas: Vec<DeltaStep>,
    /// The lengths of all views of the patch, each with a recipe.
    pub view_lens: Vec<u64>,
    /// The files that are needed: (the index of its view, its row).
    pub files: Vec<(usize, u32)>,
}

/// What is used of a patch, from the release it starts from to the one that it
/// leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Files that are there already where the link begins.
    pub copies: Vec<Copy>,
    /// Deltas to apply.
    pub deltas: Vec<DeltaStep>,
    /// Files to close, if some are made as views.
    pub views: Option<ViewSteps>,
}

impl Link {
    /// Every delta of the link, those of recipes last.
    pub fn all_deltas(&self) -> impl Iterator<Item = &DeltaStep> {
        let recipes = self.views.iter().flat_map(|views| &views.recipe_deltas);
        self.deltas.iter().chain(recipes)
    }

    /// The length of the view of the file in `row`, if it is made as one.
    #[must_use]
    pub fn view_len(&self, row: u32) -> Option<u64> {
        let views = self.views.as_ref()?;
        let file = views.files.iter().find(|(_, known)| *known == row)?;
        Some(views.view_lens[file.0])
    }

    /// The room that its views take while it is followed, and the pieces that
    /// others are made from, in bytes.
    #[must_use]
    pub fn scratch_bytes(&self) -> u64 {
        let kept = self.all_deltas().filter(|step| step.is_read);
        let kept: u64 = kept.map(|step| u64::from(step.len)).sum();
        let read = self.all_deltas().flat_map(DeltaStep::old);
        let read: HashMap<u32, u64> = read
            .flat_map(|source| {
                source.rows.iter().copied().zip(source.views.iter().flatten().copied())
            })
            .collect();
        let made = self.views.iter().flat_map(|views| &views.files);
        let made = made.map(|(index, _)| self.views.as_ref().map_or(0, |v| v.view_lens[*index]));
        kept + read.values().sum::<u64>() + made.sum::<u64>()
    }

    /// The rows it reads of where it begins.
    pub(crate) fn reads(&self) -> BTreeSet<u32> {
        let sources = self.all_deltas().flat_map(DeltaStep::old);
        let rows = sources.flat_map(|source| source.rows.iter().copied());
        rows.chain(self.copies.iter().map(|copy| copy.from)).collect()
    }
}

/// A patch that fits its two ends, and what it can make.
pub(crate) struct Able<'a> {
    patch: &'a PatchManifest,
    fitted: Fitted<'a>,
    pub(crate) changes: Changes,
    /// For each delta: whether all that it reads is there or can be made.
    able: Vec<bool>,
    /// Whether views can be closed: their codec is known, their recipes are had.
    closes: bool,
    /// Opened files that can be had whole.
    views: HashSet<u32>,
}

impl<'a> Able<'a> {
    /// What `patch` can make where the rows for which `usable` holds are
    /// there; `closes` says which files may be closed with which codec.
    ///
    /// # Errors
    /// If the patch does not lead from `from` to `to`.
    pub(crate) fn new(
        patch: &'a PatchManifest,
        from: (&ContentId, &ReleaseManifest),
        to: (&ContentId, &ReleaseManifest),
        usable: &dyn Fn(u32) -> bool,
        closes: &dyn Fn(u32, &ContentId) -> bool,
    ) -> Result<Self, PatchError> {
        let changes = Changes::between(from.1.tree(), to.1.tree());
        let fitted = patch.fit(from, to, &changes)?;
        let mut able = vec![false; fitted.deltas.len()];
        for index in by_level(&fitted) {
            let delta = &fitted.deltas[index];
            let mut rows = delta.old().flat_map(|source| &patch.sources[source].rows);
            able[index] = rows.all(|row| usable(*row)) && delta.made().all(|read| able[read]);
        }
        let (able_made, able_recipes) = able.split_at(fitted.shapes.len());
        let mut views = HashSet::new();
        let mut closes_any = false;
        if let Some(opened) =
            patch.opened.as_ref().filter(|_| able_recipes.iter().all(|able| *able))
        {
            closes_any = true;
            let content = |row: u32| to.1.tree().entries()[row as usize].file();
            views.extend(opened.files.iter().map(|file| file.row).filter(|row| {
                content(*row).is_some_and(|(_, content)| closes(opened.codec, &content))
            }));
            let broken = fitted.shapes.iter().zip(able_made).filter(|(_, able)| !**able);
            for part in broken.flat_map(|(shape, _)| &shape.parts) {
                views.remove(&part.row);
            }
        }
        Ok(Self { patch, fitted, changes, able, closes: closes_any, views })
    }

    fn opened(&self) -> &[OpenedFile] {
        self.patch.opened.as_ref().map_or(&[], |opened| &opened.files)
    }

    fn is_opened(&self, row: u32) -> bool {
        self.opened().binary_search_by_key(&row, |file| file.row).is_ok()
    }

    /// Whether a run of a file can be made, or the whole of one that is opened.
    fn makes(&self, delta: usize, part: &Part) -> bool {
        if self.is_opened(part.row) { self.views.contains(&part.row) } else { self.able[delta] }
    }

    /// The rows of where it leads that can be had whole.
    pub(crate) fn rows(&self, usable: &dyn Fn(u32) -> bool) -> HashSet<u32> {
        let kept = self.changes.kept.iter().filter(|(_, from)| usable(*from));
        let mut rows: HashSet<u32> = kept.map(|(to, _)| *to).collect();
        rows.extend(&self.changes.missing);
        for (index, shape) in self.fitted.shapes.iter().enumerate() {
            for part in shape.parts.iter().filter(|part| !self.makes(index, part)) {
                rows.remove(&part.row);
            }
        }
        rows
    }

    /// The runs of files of its release that cannot be made, of whole files
    /// where these are opened.
    pub(crate) fn lacking(&self) -> Lacking {
        let mut lacking = Lacking::default();
        for (index, shape) in self.fitted.shapes.iter().enumerate() {
            for part in shape.parts.iter().filter(|part| !self.makes(index, part)) {
                if self.is_opened(part.row) {
                    lacking.files.insert(part.row);
                } else {
                    lacking.runs.insert((part.row, part.offset));
                }
            }
        }
        lacking
    }

    /// The link that makes, of the rows for which `needed` holds, all that can
    /// be made, whole or in part.
    pub(crate) fn link(&self, needed: &dyn Fn(u32) -> bool, usable: &dyn Fn(u32) -> bool) -> Link {
        let kept = self.changes.kept.iter().filter(|(to, from)| needed(*to) && usable(*from));
        let copies = kept.map(|&(to, from)| Copy { to, from }).collect();
        let shapes = self.fitted.shapes.iter().enumerate();
        let mut writes: Vec<Vec<(u32, Part)>> = shapes
            .map(|(index, shape)| writes(shape, |part| needed(part.row) && self.makes(index, part)))
            .collect();
        // Highest levels first: what is read by what is made is made, too.
        let mut is_made: Vec<bool> = writes.iter().map(|writes| !writes.is_empty()).collect();
        let mut is_read = vec![false; self.fitted.deltas.len()];
        for index in by_level(&self.fitted).into_iter().rev() {
            if is_made.get(index).copied().unwrap_or(true) {
                for read in self.fitted.deltas[index].made() {
                    is_read[read] = true;
                    is_made.get_mut(read).into_iter().for_each(|is_made| *is_made = true);
                }
            }
        }
        let mut numbers = Vec::with_capacity(is_read.len());
        let mut next = 0;
        for index in 0..is_read.len() {
            numbers.push(next);
            next += usize::from(is_made.get(index).copied().unwrap_or(true));
        }
        let step = |index: usize, len: u32, writes| {
            self.step(index, len, writes, is_read[index], &numbers)
        };
        let made = self.fitted.shapes.iter().enumerate().filter(|(index, _)| is_made[*index]);
        let deltas =
            made.map(|(index, shape)| step(index, shape.len, std::mem::take(&mut writes[index])));
        let deltas = deltas.collect();
        let views = self.patch.opened.as_ref().filter(|_| self.closes);
        let views = views.and_then(|opened| self.view_steps(opened, needed, &step));
        Link { copies, deltas, views }
    }

    fn view_steps(
        &self,
        opened: &OpenedFiles,
        needed: &dyn Fn(u32) -> bool,
        step: &dyn Fn(usize, u32, Vec<(u32, Part)>) -> DeltaStep,
    ) -> Option<ViewSteps> {
        let rows = opened.files.iter().map(|file| file.row).enumerate();
        let files: Vec<(usize, u32)> =
            rows.filter(|(_, row)| needed(*row) && self.views.contains(row)).collect();
        if files.is_empty() {
            return None;
        }
        let mut left = opened.recipes_len;
        let recipes = self.fitted.shapes.len()..self.fitted.deltas.len();
        let recipe_deltas = recipes.map(|index| {
            let len = left.min(u64::from(crate::release::limits::PIECE_BYTES));
            left -= len;
            step(index, u32::try_from(len).expect("a piece is at most 1 MiB"), Vec::new())
        });
        Some(ViewSteps {
            codec: opened.codec,
            recipes: opened.recipes,
            recipe_deltas: recipe_deltas.collect(),
            view_lens: opened.files.iter().map(|file| file.view_len).collect(),
            files,
        })
    }

    /// The step of one delta; `numbers` are those of all of the link's steps.
    fn step(
        &self,
        index: usize,
        len: u32,
        writes: Vec<(u32, Part)>,
        is_read: bool,
        numbers: &[usize],
    ) -> DeltaStep {
        let delta = &self.fitted.deltas[index];
        let sources = delta.sources.iter().map(|source| match *source {
            DeltaSource::Old(source) => {
                StepSource::Old(self.patch.sources[source as usize].clone())
            }
            DeltaSource::Made(delta) => StepSource::Made(numbers[delta as usize]),
        });
        DeltaStep {
            object: Wanted { id: delta.object, len: u64::from(delta.len) },
            sources: sources.collect(),
            level: self.fitted.levels[index],
            is_read,
            len,
            writes,
        }
    }
}

/// Deltas in an order in which each stands behind those that it reads.
fn by_level(fitted: &Fitted<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fitted.levels.len()).collect();
    order.sort_by_key(|index| fitted.levels[*index]);
    order
}

/// What a patch cannot make.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    /// Whole files.
    pub(crate) files: HashSet<u32>,
    /// Runs of files, by row and offset.
    pub(crate) runs: HashSet<(u32, u64)>,
}

/// The runs of `shape` that are wanted, each with its place in it.
pub(crate) fn writes(shape: &Shape, wanted: impl Fn(&Part) -> bool) -> Vec<(u32, Part)> {
    let mut at = 0;
    let mut writes = Vec::new();
    for part in &shape.parts {
        if wanted(part) {
            writes.push((at, *part));
        }
        at += part.len;
    }
    writes
}
