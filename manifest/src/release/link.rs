//! One patch of a plan: what of it is used, and what that reads.
//!
//! First it is asked what a patch can make of the files that are there to be
//! read, then what it has to make. A plan of several patches asks the first
//! forwards and the second backwards, so that of the releases between no byte
//! is fetched or made that nobody needs.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::content::ContentId;
use crate::release::changes::Changes;
use crate::release::layout::{Part, Shape};
use crate::release::manifest::ReleaseManifest;
use crate::release::patch::{
    DeltaRow, Fitted, OpenedFile, OpenedFiles, PatchError, PatchManifest, PatchSource,
};
use crate::release::plan::{Copy, Wanted};

/// A delta to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaStep {
    /// The delta object.
    pub object: Wanted,
    /// For each source of the delta, what it reads of where the link begins.
    pub sources: Vec<PatchSource>,
    /// How many bytes it makes.
    pub len: u32,
    /// Which of them are needed: (offset in what it makes, run of a file, or
    /// of its view if that is made).
    pub writes: Vec<(u32, Part)>,
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

    /// The room that its views take while it is followed, in bytes.
    #[must_use]
    pub fn view_bytes(&self) -> u64 {
        let read = self.all_deltas().flat_map(|step| &step.sources);
        let read: HashMap<u32, u64> = read
            .flat_map(|source| {
                source.rows.iter().copied().zip(source.views.iter().flatten().copied())
            })
            .collect();
        let made = self.views.iter().flat_map(|views| &views.files);
        let made = made.map(|(index, _)| self.views.as_ref().map_or(0, |v| v.view_lens[*index]));
        read.values().sum::<u64>() + made.sum::<u64>()
    }

    /// The rows it reads of where it begins.
    pub(crate) fn reads(&self) -> BTreeSet<u32> {
        let sources = self.all_deltas().flat_map(|step| &step.sources);
        let rows = sources.flat_map(|source| source.rows.iter().copied());
        rows.chain(self.copies.iter().map(|copy| copy.from)).collect()
    }
}

/// A patch that fits its two ends, and what it can make.
pub(crate) struct Able<'a> {
    patch: &'a PatchManifest,
    fitted: Fitted<'a>,
    pub(crate) changes: Changes,
    /// For each of `fitted.made`: whether all that it reads is there.
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
        let readable = |delta: &DeltaRow| {
            let sources = delta.sources.iter().map(|source| &patch.sources[*source as usize]);
            sources.flat_map(|source| &source.rows).all(|row| usable(*row))
        };
        let able: Vec<bool> = fitted.made.iter().map(|(delta, _)| readable(delta)).collect();
        let mut views = HashSet::new();
        let mut closes_any = false;
        if let Some(opened) = patch.opened.as_ref().filter(|_| fitted.recipes.iter().all(readable))
        {
            closes_any = true;
            let content = |row: u32| to.1.tree().entries()[row as usize].file();
            views.extend(opened.files.iter().map(|file| file.row).filter(|row| {
                content(*row).is_some_and(|(_, content)| closes(opened.codec, &content))
            }));
            let broken = fitted.made.iter().zip(&able).filter(|(_, able)| !**able);
            for part in broken.flat_map(|((_, shape), _)| &shape.parts) {
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
        for (index, (_, shape)) in self.fitted.made.iter().enumerate() {
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
        for (index, (_, shape)) in self.fitted.made.iter().enumerate() {
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
        let mut deltas = Vec::new();
        for (index, (delta, shape)) in self.fitted.made.iter().enumerate() {
            let wanted = |part: &Part| needed(part.row) && self.makes(index, part);
            let writes = writes(shape, wanted);
            if !writes.is_empty() {
                deltas.push(self.step(delta, shape.len, writes));
            }
        }
        let views = self.patch.opened.as_ref().filter(|_| self.closes);
        let views = views.and_then(|opened| self.view_steps(opened, needed));
        Link { copies, deltas, views }
    }

    fn view_steps(&self, opened: &OpenedFiles, needed: &dyn Fn(u32) -> bool) -> Option<ViewSteps> {
        let rows = opened.files.iter().map(|file| file.row).enumerate();
        let files: Vec<(usize, u32)> =
            rows.filter(|(_, row)| needed(*row) && self.views.contains(row)).collect();
        if files.is_empty() {
            return None;
        }
        let mut left = opened.recipes_len;
        let recipe_deltas = self.fitted.recipes.iter().map(|delta| {
            let len = left.min(u64::from(crate::release::limits::PIECE_BYTES));
            left -= len;
            self.step(delta, u32::try_from(len).expect("a piece is at most 1 MiB"), Vec::new())
        });
        Some(ViewSteps {
            codec: opened.codec,
            recipes: opened.recipes,
            recipe_deltas: recipe_deltas.collect(),
            view_lens: opened.files.iter().map(|file| file.view_len).collect(),
            files,
        })
    }

    fn step(&self, delta: &DeltaRow, len: u32, writes: Vec<(u32, Part)>) -> DeltaStep {
        let sources = delta.sources.iter().map(|source| &self.patch.sources[*source as usize]);
        DeltaStep {
            object: Wanted { id: delta.object, len: u64::from(delta.len) },
            sources: sources.cloned().collect(),
            len,
            writes,
        }
    }
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
