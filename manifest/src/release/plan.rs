//! The plan: for each byte of a release, where it comes from.
//!
//! Kept and moved files are copied, pieces that the patch makes come as
//! deltas, all else as plain pieces. What was changed on disk is never
//! trusted: whatever would read it is fetched instead.

use std::collections::{HashMap, HashSet};

use crate::content::ContentId;
use crate::release::changes::Changes;
use crate::release::layout::{Part, Shape, row_number};
use crate::release::manifest::{Piece, ReleaseManifest};
use crate::release::patch::{PatchError, PatchManifest};

/// An object to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Its blake3.
    pub id: ContentId,
    /// Its length in bytes.
    pub len: u64,
}

/// A file that the base holds already, perhaps under another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// The release's row.
    pub to: u32,
    /// The base's row.
    pub from: u32,
}

/// A piece of the patch, made from old files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaStep {
    /// The delta object.
    pub object: Wanted,
    /// For each source of the delta, the base's rows to read one after the other.
    pub sources: Vec<Vec<u32>>,
    /// Where its bytes go.
    pub shape: Shape,
}

/// A plain piece of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainStep {
    /// The piece, as an object.
    pub object: Wanted,
    /// The base's rows and runs that hold these very bytes, if it has them:
    /// then nothing needs to be fetched.
    pub local: Option<Shape>,
    /// Which of its bytes are needed: (offset in the piece, run of the release).
    pub writes: Vec<(u32, Part)>,
}

/// Where everything comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Files copied whole.
    pub copies: Vec<Copy>,
    /// Pieces made by deltas.
    pub deltas: Vec<DeltaStep>,
    /// Plain pieces.
    pub plains: Vec<PlainStep>,
}

/// An installed release to start from.
pub struct Base<'a> {
    /// The id of its manifest.
    pub id: ContentId,
    /// Its manifest.
    pub manifest: &'a ReleaseManifest,
    /// Whether a file, by its row, is on disk as the manifest says.
    pub intact: &'a dyn Fn(u32) -> bool,
}

impl Plan {
    /// Plans `release` (and the id of its manifest) from what `base` holds,
    /// with deltas where `patch` offers them.
    ///
    /// # Errors
    /// If the patch does not lead from this base to this release.
    pub fn new(
        base: Option<&Base<'_>>,
        release: (&ContentId, &ReleaseManifest),
        patch: Option<&PatchManifest>,
    ) -> Result<Self, PatchError> {
        let mut plan = Self::default();
        let mut needed: HashSet<(u32, u64)> = HashSet::new();
        let Some(base) = base else {
            let all = release.1.pieces().iter().flat_map(|piece| &piece.shape.parts);
            needed.extend(all.map(|part| (part.row, part.offset)));
            plan.take_plain(None, release.1, &needed);
            return Ok(plan);
        };
        let changes = Changes::between(base.manifest.tree(), release.1.tree());
        let mut by_plain: HashSet<u32> = HashSet::new();
        for &(to, from) in &changes.kept {
            if (base.intact)(from) {
                plan.copies.push(Copy { to, from });
            } else {
                by_plain.insert(to);
            }
        }
        match patch {
            None => by_plain.extend(&changes.missing),
            Some(patch) => {
                let shapes = patch.fit((&base.id, base.manifest), release, &changes)?;
                for (delta, shape) in patch.deltas.iter().zip(shapes) {
                    let sources: Vec<Vec<u32>> = delta
                        .sources
                        .iter()
                        .map(|source| patch.sources[*source as usize].rows.clone())
                        .collect();
                    if sources.iter().flatten().all(|row| (base.intact)(*row)) {
                        let object = Wanted { id: delta.object, len: u64::from(delta.len) };
                        plan.deltas.push(DeltaStep { object, sources, shape });
                    } else {
                        needed.extend(shape.parts.iter().map(|part| (part.row, part.offset)));
                    }
                }
            }
        }
        for piece in release.1.pieces() {
            let parts = piece.shape.parts.iter().filter(|part| by_plain.contains(&part.row));
            needed.extend(parts.map(|part| (part.row, part.offset)));
        }
        plan.take_plain(Some(base), release.1, &needed);
        Ok(plan)
    }

    /// Takes the plain pieces that hold the needed runs. A large file is cut
    /// alike in both layouts, so a run is known by its row and offset.
    fn take_plain(
        &mut self,
        base: Option<&Base<'_>>,
        release: &ReleaseManifest,
        needed: &HashSet<(u32, u64)>,
    ) {
        let held: HashMap<ContentId, &Piece> = base.map_or_else(HashMap::new, |base| {
            base.manifest.pieces().iter().map(|piece| (piece.id, piece)).collect()
        });
        let intact = |shape: &Shape| {
            base.is_some_and(|base| shape.parts.iter().all(|part| (base.intact)(part.row)))
        };
        for piece in release.pieces() {
            let mut at = 0;
            let mut writes = Vec::new();
            for part in &piece.shape.parts {
                if needed.contains(&(part.row, part.offset)) {
                    writes.push((at, *part));
                }
                at += part.len;
            }
            if writes.is_empty() {
                continue;
            }
            let local = held.get(&piece.id).map(|held| &held.shape).filter(|shape| intact(shape));
            self.plains.push(PlainStep {
                object: Wanted { id: piece.id, len: u64::from(piece.shape.len) },
                local: local.cloned(),
                writes,
            });
        }
    }

    /// The objects to fetch, each once, in the order of the plan.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut seen = HashSet::new();
        let plains = self.plains.iter().filter(|step| step.local.is_none()).map(|step| step.object);
        let all = self.deltas.iter().map(|step| step.object).chain(plains);
        all.filter(|object| seen.insert(object.id)).collect()
    }

    /// How many bytes the objects to fetch have.
    #[must_use]
    pub fn wanted_bytes(&self) -> u64 {
        self.wanted().iter().map(|object| object.len).sum()
    }

    /// How many bytes of the release come from what is installed, whole
    /// files and pieces; what deltas read is not counted.
    #[must_use]
    pub fn local_bytes(&self, release: &ReleaseManifest) -> u64 {
        let size = |row: u32| release.tree().entries()[row as usize].file().map_or(0, |f| f.0);
        let copied: u64 = self.copies.iter().map(|copy| size(copy.to)).sum();
        let local = self.plains.iter().filter(|step| step.local.is_some());
        copied
            + local.flat_map(|step| &step.writes).map(|(_, part)| u64::from(part.len)).sum::<u64>()
    }

    /// The rows whose bytes this plan provides, ascending: every file of the
    /// release that is not empty.
    #[must_use]
    pub fn covered(&self) -> Vec<u32> {
        let mut rows: Vec<u32> = self.copies.iter().map(|copy| copy.to).collect();
        rows.extend(self.deltas.iter().flat_map(|step| &step.shape.parts).map(|part| part.row));
        rows.extend(self.plains.iter().flat_map(|step| &step.writes).map(|(_, part)| part.row));
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

/// The rows of files that have bytes, ascending: what a plan must cover.
#[must_use]
pub fn rows_with_bytes(release: &ReleaseManifest) -> Vec<u32> {
    let entries = release.tree().entries().iter().enumerate();
    let filled = entries.filter(|(_, entry)| entry.file().is_some_and(|(size, _)| size > 0));
    filled.map(|(row, _)| row_number(row)).collect()
}
