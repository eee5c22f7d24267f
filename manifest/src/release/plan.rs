//! The plan of an update: where each byte of the new release comes from.
//!
//! Kept and moved files are copied, pieces that a patch makes come as deltas,
//! all else as plain pieces. Several patches may stand one behind the other.
//! What was changed on disk is never trusted: whatever would read it is
//! fetched instead.

use std::collections::{HashMap, HashSet};

use crate::content::ContentId;
use crate::release::changes::Changes;
use crate::release::layout::{Part, Shape, row_number};
use crate::release::link::{Able, Link, writes};
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

/// A file that is there already, perhaps under another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// The row where it is needed.
    pub to: u32,
    /// The row where it is.
    pub from: u32,
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
    /// Files of the base, copied whole.
    pub copies: Vec<Copy>,
    /// Patches to apply one after the other; the last one leads to the
    /// release.
    pub links: Vec<Link>,
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
    /// Whether a view may become the file of this content with this codec.
    pub closes: &'a dyn Fn(u32, &ContentId) -> bool,
}

/// A patch, and the release that it leads to.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The patch.
    pub patch: &'a PatchManifest,
    /// The release: the id of its manifest, and the manifest.
    pub to: (&'a ContentId, &'a ReleaseManifest),
}

impl Plan {
    /// Plans `release` (and the id of its manifest) from what `base` holds,
    /// by the patches `hops`, which lead from the base to the release; without
    /// any if there are none.
    ///
    /// # Errors
    /// If the patches do not lead from this base to this release.
    pub fn new(
        base: Option<&Base<'_>>,
        release: (&ContentId, &ReleaseManifest),
        hops: &[Hop<'_>],
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
        let mut by_plain: HashSet<u32> = changes.missing.iter().copied().collect();
        for &(to, from) in &changes.kept {
            if (base.intact)(from) {
                plan.copies.push(Copy { to, from });
            } else {
                by_plain.insert(to);
            }
        }
        if !hops.is_empty() {
            plan.take_links(base, release, hops, &mut by_plain, &mut needed)?;
        }
        for piece in release.1.pieces() {
            let parts = piece.shape.parts.iter().filter(|part| by_plain.contains(&part.row));
            needed.extend(parts.map(|part| (part.row, part.offset)));
        }
        plan.take_plain(Some(base), release.1, &needed);
        Ok(plan)
    }

    /// Takes from the patches what they can make of the files `by_plain`,
    /// which are then no longer among them; what they make only in part is
    /// `needed`.
    fn take_links(
        &mut self,
        base: &Base<'_>,
        release: (&ContentId, &ReleaseManifest),
        hops: &[Hop<'_>],
        by_plain: &mut HashSet<u32>,
        needed: &mut HashSet<(u32, u64)>,
    ) -> Result<(), PatchError> {
        let last = hops.last().expect("there is a patch").to;
        if last.0 != release.0 {
            let (expected, found) = (*release.0, *last.0);
            return Err(PatchError::OtherEnd { end: "release", expected, found });
        }
        // Forwards: what there is at each release between.
        let mut from = (&base.id, base.manifest);
        let mut there: Vec<HashSet<u32>> = Vec::new();
        let mut able: Vec<Able<'_>> = Vec::new();
        for hop in hops {
            let usable = |row: u32| {
                there.last().map_or_else(|| (base.intact)(row), |rows| rows.contains(&row))
            };
            let next = Able::new(hop.patch, from, hop.to, &usable, base.closes)?;
            let rows = next.rows(&usable);
            there.push(rows);
            able.push(next);
            from = hop.to;
        }
        // Backwards: what is needed of it.
        let end = able.last().expect("there is a patch");
        let lacking = end.lacking();
        let made: HashSet<u32> = end.changes.missing.iter().copied().collect();
        let whole = there.last().expect("there is a patch").clone();
        let wanted: HashSet<u32> = by_plain
            .iter()
            .copied()
            .filter(|row| whole.contains(row) || made.contains(row) && !lacking.files.contains(row))
            .collect();
        needed.extend(lacking.runs.iter().filter(|(row, _)| wanted.contains(row)));
        by_plain.retain(|row| !wanted.contains(row));
        let mut rows = wanted;
        for index in (0..able.len()).rev() {
            let usable = |row: u32| match index {
                0 => (base.intact)(row),
                _ => there[index - 1].contains(&row),
            };
            let link = able[index].link(&|row| rows.contains(&row), &usable);
            rows = link.reads().into_iter().collect();
            self.links.push(link);
        }
        self.links.reverse();
        Ok(())
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
            let writes = writes(&piece.shape, |part| needed.contains(&(part.row, part.offset)));
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
        let deltas = self.links.iter().flat_map(Link::all_deltas).map(|step| step.object);
        let all = deltas.chain(plains);
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
        if let Some(last) = self.links.last() {
            rows.extend(last.copies.iter().map(|copy| copy.to));
            rows.extend(last.deltas.iter().flat_map(|step| &step.writes).map(|(_, part)| part.row));
        }
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
