//! The patch manifest: which delta objects lead from a base to a release.
//!
//! It speaks of the base's and the release's rows and of the layout that
//! follows from them, so it is short; it means nothing without both manifests.
//! Files that are opened are spoken of by their views (docs/container.md).

use crate::content::ContentId;
use crate::release::changes::Changes;
use crate::release::codec::{CodecError, Reader, Writer};
use crate::release::layout::{Layout, Shape};
use crate::release::limits::{
    DELTA_BYTES, DELTA_LEVELS, DELTA_SOURCES, ENTRIES, MANIFEST_BYTES, OPENED_FILES, PATCH_SOURCES,
    PIECE_BYTES, RECIPES_BYTES, VIEW_BYTES,
};
use crate::release::manifest::{ReleaseManifest, read_magic};
use crate::release::tree::Entry;

/// The first bytes of a patch manifest, version 3.
const MAGIC: &[u8; 8] = b"UDpatch\x03";

/// Old bytes that deltas read: files of the base, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PatchSource {
    /// Rows of the base, ascending, at least one; each is a file.
    pub rows: Vec<u32>,
    /// If it is the views of these files that are read: their lengths.
    pub views: Option<Vec<u64>>,
}

/// A file of the release that the patch makes as a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedFile {
    /// Its row in the release.
    pub row: u32,
    /// The length of its view.
    pub view_len: u64,
}

/// The files of the release that the patch makes as views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedFiles {
    /// What closes them again: a number of docs/container.md.
    pub codec: u32,
    /// The files, by ascending rows; at least one.
    pub files: Vec<OpenedFile>,
    /// The blake3 of the recipes of all of them.
    pub recipes: ContentId,
    /// The length of the recipes; at least one byte.
    pub recipes_len: u64,
}

/// How one piece of the patch's layout is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaRow {
    /// The delta object.
    pub object: ContentId,
    /// Its length in bytes.
    pub len: u32,
    /// What it reads, in this order; at most 16.
    pub sources: Vec<DeltaSource>,
}

impl DeltaRow {
    /// The sources of the patch that it reads.
    pub(crate) fn old(&self) -> impl Iterator<Item = usize> {
        self.sources.iter().filter_map(|source| match source {
            DeltaSource::Old(source) => Some(*source as usize),
            DeltaSource::Made(_) => None,
        })
    }

    /// The deltas whose pieces it reads.
    pub(crate) fn made(&self) -> impl Iterator<Item = usize> {
        self.sources.iter().filter_map(|source| match source {
            DeltaSource::Old(_) => None,
            DeltaSource::Made(delta) => Some(*delta as usize),
        })
    }
}

/// What a delta reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeltaSource {
    /// The source of the patch with this index.
    Old(u32),
    /// What the patch's delta with this index makes.
    Made(u32),
}

/// A patch, as read; [`PatchManifest::fit`] checks it against its two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchManifest {
    /// The id of the base's manifest.
    pub base: ContentId,
    /// The id of the release's manifest.
    pub release: ContentId,
    /// What the deltas are made from.
    pub sources: Vec<PatchSource>,
    /// The files that are made as views, if there are any.
    pub opened: Option<OpenedFiles>,
    /// One delta for each piece of [`patch_layout`], and then for each piece
    /// of the recipes. Those of recipes read none of the others, nor they
    /// them.
    pub deltas: Vec<DeltaRow>,
}

/// A patch that leads from its base to its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted<'a> {
    /// All of its deltas.
    pub deltas: &'a [DeltaRow],
    /// For each of them: how many stand behind it, one behind the other.
    pub levels: Vec<usize>,
    /// What the first of them make of the release, in their order; what
    /// follows makes the recipes.
    pub shapes: Vec<Shape>,
}

/// A patch manifest that is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Longer than any manifest.
    #[error("a patch manifest has at most {MANIFEST_BYTES} bytes, found {found}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The bytes are no patch manifest.
    #[error("the patch manifest cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// It leads elsewhere.
    #[error("the patch's {end} is manifest {found}, expected {expected}")]
    OtherEnd {
        /// `base` or `release`.
        end: &'static str,
        /// The manifest at hand.
        expected: ContentId,
        /// The one that the patch names.
        found: ContentId,
    },
    /// Its deltas do not make the files that the base lacks.
    #[error("the patch has {found} deltas, its two releases need {expected}")]
    DeltaCount {
        /// Pieces of the layout.
        expected: usize,
        /// Deltas in the patch.
        found: usize,
    },
    /// A source that is no file of the base.
    #[error("the patch's source {source_index} names row {row}, which is no file of the base")]
    BadRow {
        /// Which source.
        source_index: usize,
        /// The row it names.
        row: u32,
    },
    /// A delta that stands behind itself, or behind too many others.
    #[error(
        "the patch's delta {delta} is made from its own piece, or by more than {DELTA_LEVELS} steps"
    )]
    Level {
        /// Which delta.
        delta: usize,
    },
    /// A delta of a file that reads a piece of the recipes, or the other way.
    #[error("the patch's delta {delta} reads what is kept apart from it: recipes or files")]
    Apart {
        /// Which delta.
        delta: usize,
    },
    /// A view of what the patch does not make.
    #[error("the patch opens row {row}, which is no file that the base lacks")]
    BadView {
        /// The row it names.
        row: u32,
    },
}

/// The pieces that a patch makes: the layout of those files of the release
/// whose content the base lacks, those `opened` as their views.
#[must_use]
pub fn patch_layout(release: &ReleaseManifest, changes: &Changes, opened: &[OpenedFile]) -> Layout {
    Layout::of_views(release.tree(), &changes.missing, |row| {
        let at = opened.binary_search_by_key(&row, |file| file.row).ok()?;
        Some(opened[at].view_len)
    })
}

impl PatchManifest {
    /// The plain encoding, whose blake3 and sha256 name the patch.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.raw(MAGIC);
        out.id(&self.base);
        out.id(&self.release);
        out.count(self.sources.len());
        for source in &self.sources {
            out.varint((source.rows.len() as u64) << 1 | u64::from(source.views.is_some()));
            put_rows(&mut out, source.rows.iter().copied());
            for view_len in source.views.iter().flatten() {
                out.varint(*view_len);
            }
        }
        let opened = self.opened.as_ref();
        out.count(opened.map_or(0, |opened| opened.files.len()));
        if let Some(opened) = opened {
            put_rows(&mut out, opened.files.iter().map(|file| file.row));
            for file in &opened.files {
                out.varint(file.view_len);
            }
            out.varint(u64::from(opened.codec));
            out.varint(opened.recipes_len);
            out.id(&opened.recipes);
        }
        out.count(self.deltas.len());
        for delta in &self.deltas {
            out.varint(u64::from(delta.len));
            out.count(delta.sources.len());
            for source in &delta.sources {
                out.varint(match source {
                    DeltaSource::Old(source) => u64::from(*source),
                    DeltaSource::Made(delta) => self.sources.len() as u64 + u64::from(*delta),
                });
            }
        }
        for delta in &self.deltas {
            out.id(&delta.object);
        }
        out.finish()
    }

    /// The id of the plain encoding.
    #[must_use]
    pub fn id(&self) -> ContentId {
        ContentId::of(&self.encode())
    }

    /// Reads a plain encoding.
    ///
    /// # Errors
    /// What is wrong with it, before more memory is taken than a few times
    /// its own length.
    pub fn decode(bytes: &[u8]) -> Result<Self, PatchError> {
        if bytes.len() > MANIFEST_BYTES {
            return Err(PatchError::TooLong { found: bytes.len() });
        }
        let mut input = Reader::new(bytes);
        read_magic(&mut input, MAGIC)?;
        let base = input.id("the base's id")?;
        let release = input.id("the release's id")?;
        let count = input.count(PATCH_SOURCES, 2, "the number of sources")?;
        let mut sources = Vec::with_capacity(count);
        for _ in 0..count {
            sources.push(read_source(&mut input)?);
        }
        let opened = read_opened(&mut input)?;
        let known = count as u64;
        // A length, a count and an id: at least 34 bytes each.
        let count = input.count(usize::MAX, 34, "the number of deltas")?;
        let mut deltas: Vec<DeltaRow> = Vec::with_capacity(count);
        for _ in 0..count {
            let len = input.bounded_u32(DELTA_BYTES, "a delta's length")?;
            let reads = input.count(DELTA_SOURCES, 1, "a delta's number of sources")?;
            let mut read = Vec::with_capacity(reads);
            for _ in 0..reads {
                read.push(read_delta_source(&mut input, known, count)?);
            }
            deltas.push(DeltaRow { object: ContentId::from([0; 32]), len, sources: read });
        }
        for delta in &mut deltas {
            delta.object = input.id("a delta's id")?;
        }
        input.finish()?;
        levels(&deltas)?;
        Ok(Self { base, release, sources, opened, deltas })
    }

    /// Checks the patch against its two ends, and says what its deltas make.
    ///
    /// # Errors
    /// If it is the patch of other releases, or does not lead from one to
    /// the other.
    pub fn fit(
        &self,
        base: (&ContentId, &ReleaseManifest),
        release: (&ContentId, &ReleaseManifest),
        changes: &Changes,
    ) -> Result<Fitted<'_>, PatchError> {
        for (end, found, expected) in
            [("base", self.base, *base.0), ("release", self.release, *release.0)]
        {
            if found != expected {
                return Err(PatchError::OtherEnd { end, expected, found });
            }
        }
        for (source_index, source) in self.sources.iter().enumerate() {
            for &row in &source.rows {
                let entry = base.1.tree().entries().get(row as usize);
                if entry.and_then(|entry| entry.file()).is_none() {
                    return Err(PatchError::BadRow { source_index, row });
                }
            }
        }
        let opened = self.opened.as_ref().map_or(&[][..], |opened| &opened.files);
        for &OpenedFile { row, .. } in opened {
            let known = changes.missing.binary_search(&row).is_ok();
            let entry = release.1.tree().entries().get(row as usize);
            if !known || entry.and_then(Entry::file).is_none_or(|(size, _)| size == 0) {
                return Err(PatchError::BadView { row });
            }
        }
        let recipes_len = self.opened.as_ref().map_or(0, |opened| opened.recipes_len);
        let recipes = recipes_len.div_ceil(u64::from(PIECE_BYTES));
        let shapes = patch_layout(release.1, changes, opened).shapes;
        let expected = shapes.len() + usize::try_from(recipes).expect("recipes are bounded");
        if expected != self.deltas.len() {
            return Err(PatchError::DeltaCount { expected, found: self.deltas.len() });
        }
        let levels = levels(&self.deltas)?;
        for (delta, row) in self.deltas.iter().enumerate() {
            if row.made().any(|read| (read < shapes.len()) != (delta < shapes.len())) {
                return Err(PatchError::Apart { delta });
            }
        }
        Ok(Fitted { deltas: &self.deltas, levels, shapes })
    }
}

/// How many deltas stand behind each of `deltas`, one behind the other.
fn levels(deltas: &[DeltaRow]) -> Result<Vec<usize>, PatchError> {
    const UNKNOWN: usize = usize::MAX;
    let mut levels = vec![UNKNOWN; deltas.len()];
    for level in 0..=DELTA_LEVELS {
        for (index, delta) in deltas.iter().enumerate() {
            if levels[index] == UNKNOWN && delta.made().all(|read| levels[read] < level) {
                levels[index] = level;
            }
        }
    }
    match levels.iter().position(|level| *level == UNKNOWN) {
        None => Ok(levels),
        Some(delta) => Err(PatchError::Level { delta }),
    }
}

/// One of `known` sources of a patch, or what one of its `count` deltas makes.
fn read_delta_source(
    input: &mut Reader<'_>,
    known: u64,
    count: usize,
) -> Result<DeltaSource, CodecError> {
    let what = "a delta's source";
    let source = input.varint(what)?;
    let invalid = || CodecError::Invalid {
        what,
        why: format!("the patch has {known} sources and {count} deltas"),
    };
    let fits = |number: u64| u32::try_from(number).map_err(|_| invalid());
    match source.checked_sub(known) {
        None => Ok(DeltaSource::Old(fits(source)?)),
        Some(delta) if delta < count as u64 => Ok(DeltaSource::Made(fits(delta)?)),
        Some(_) => Err(invalid()),
    }
}

/// Rows as gaps.
fn put_rows(out: &mut Writer, rows: impl Iterator<Item = u32>) {
    let mut next = 0;
    for row in rows {
        out.varint(u64::from(row - next));
        next = row + 1;
    }
}

fn read_source(input: &mut Reader<'_>) -> Result<PatchSource, CodecError> {
    let what = "a source's number of rows";
    let (count, opened) = read_tagged(input, ENTRIES, what)?;
    if count == 0 {
        return Err(CodecError::Invalid { what, why: "a source has at least one".to_owned() });
    }
    let rows = read_rows(input, count)?;
    let views = match opened {
        false => None,
        true => Some(read_view_lens(input, count)?),
    };
    Ok(PatchSource { rows, views })
}

/// A count of at most `allowed`, and a mark beside it.
fn read_tagged(
    input: &mut Reader<'_>,
    allowed: usize,
    what: &'static str,
) -> Result<(usize, bool), CodecError> {
    let found = input.bounded((allowed as u64) << 1 | 1, what)?;
    let count = usize::try_from(found >> 1).expect("it is within a million");
    if count > input.remaining() {
        let (found, allowed) = (count as u64, input.remaining() as u64);
        return Err(CodecError::TooLarge { what, found, allowed });
    }
    Ok((count, found & 1 == 1))
}

/// So many ascending rows.
fn read_rows(input: &mut Reader<'_>, count: usize) -> Result<Vec<u32>, CodecError> {
    let what = "a row";
    let mut rows = Vec::with_capacity(count);
    let mut next = 0u64;
    for _ in 0..count {
        let gap = input.bounded(ENTRIES as u64, what)?;
        let row = next + gap;
        if row >= ENTRIES as u64 {
            return Err(CodecError::TooLarge { what, found: row, allowed: ENTRIES as u64 - 1 });
        }
        rows.push(u32::try_from(row).expect("it is within a million"));
        next = row + 1;
    }
    Ok(rows)
}

fn read_view_lens(input: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, CodecError> {
    let what = "a view's length";
    let view_len = |_| match input.bounded(VIEW_BYTES, what)? {
        0 => Err(CodecError::Invalid { what, why: "a view has at least one byte".to_owned() }),
        len => Ok(len),
    };
    (0..count).map(view_len).collect()
}

fn read_opened(input: &mut Reader<'_>) -> Result<Option<OpenedFiles>, CodecError> {
    let count = input.count(OPENED_FILES, 2, "the number of opened files")?;
    if count == 0 {
        return Ok(None);
    }
    let rows = read_rows(input, count)?;
    let view_lens = read_view_lens(input, count)?;
    let codec = input.bounded_u32(u32::MAX, "the codec")?;
    let what = "the recipes' length";
    let recipes_len = input.bounded(RECIPES_BYTES, what)?;
    if recipes_len == 0 {
        return Err(CodecError::Invalid { what, why: "opened files have recipes".to_owned() });
    }
    let recipes = input.id("the recipes' id")?;
    let files = rows.into_iter().zip(view_lens);
    let files = files.map(|(row, view_len)| OpenedFile { row, view_len }).collect();
    Ok(Some(OpenedFiles { codec, files, recipes, recipes_len }))
}
