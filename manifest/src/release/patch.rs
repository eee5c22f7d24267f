//! The patch manifest: which delta objects lead from a base to a release.
//!
//! It speaks of the base's and the release's rows and of the layout that
//! follows from them, so it is short; it means nothing without both manifests.

use crate::content::ContentId;
use crate::release::changes::Changes;
use crate::release::codec::{CodecError, Reader, Writer};
use crate::release::layout::{Layout, Shape};
use crate::release::limits::{DELTA_BYTES, DELTA_SOURCES, ENTRIES, MANIFEST_BYTES, PATCH_SOURCES};
use crate::release::manifest::{ReleaseManifest, read_magic};

/// The first bytes of a patch manifest, version 1.
const MAGIC: &[u8; 8] = b"UDpatch\x01";

/// Old bytes that deltas read: files of the base, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchSource {
    /// Rows of the base, ascending, at least one; each is a file.
    pub rows: Vec<u32>,
}

/// How one piece of the patch's layout is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaRow {
    /// The delta object.
    pub object: ContentId,
    /// Its length in bytes.
    pub len: u32,
    /// The sources it reads, in the order in which it names them; at most 16.
    pub sources: Vec<u32>,
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
    /// One delta for each piece of [`patch_layout`].
    pub deltas: Vec<DeltaRow>,
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
}

/// The pieces that a patch makes: the layout of those files of the release
/// whose content the base lacks.
#[must_use]
pub fn patch_layout(release: &ReleaseManifest, changes: &Changes) -> Layout {
    Layout::of_rows(release.tree(), &changes.missing)
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
            out.count(source.rows.len());
            let mut next = 0;
            for &row in &source.rows {
                out.varint(u64::from(row - next));
                next = row + 1;
            }
        }
        out.count(self.deltas.len());
        for delta in &self.deltas {
            out.varint(u64::from(delta.len));
            out.count(delta.sources.len());
            for source in &delta.sources {
                out.varint(u64::from(*source));
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
            sources.push(PatchSource { rows: read_rows(&mut input)? });
        }
        let known = u32::try_from(count).expect("it is within a small bound");
        // A length, a count and an id: at least 34 bytes each.
        let count = input.count(usize::MAX, 34, "the number of deltas")?;
        let mut deltas = Vec::with_capacity(count);
        for _ in 0..count {
            let len = input.bounded_u32(DELTA_BYTES, "a delta's length")?;
            let reads = input.count(DELTA_SOURCES, 1, "a delta's number of sources")?;
            let mut read = Vec::with_capacity(reads);
            for _ in 0..reads {
                let source = input.varint("a delta's source")?;
                let source = u32::try_from(source).ok().filter(|source| *source < known);
                read.push(source.ok_or_else(|| CodecError::Invalid {
                    what: "a delta's source",
                    why: format!("the patch defines {known} sources"),
                })?);
            }
            deltas.push(DeltaRow { object: ContentId::from([0; 32]), len, sources: read });
        }
        for delta in &mut deltas {
            delta.object = input.id("a delta's id")?;
        }
        input.finish()?;
        Ok(Self { base, release, sources, deltas })
    }

    /// Checks the patch against its two ends, and gives the pieces that its
    /// deltas make, in the same order.
    ///
    /// # Errors
    /// If it is the patch of other releases, or does not lead from one to
    /// the other.
    pub fn fit(
        &self,
        base: (&ContentId, &ReleaseManifest),
        release: (&ContentId, &ReleaseManifest),
        changes: &Changes,
    ) -> Result<Vec<Shape>, PatchError> {
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
        let shapes = patch_layout(release.1, changes).shapes;
        if shapes.len() != self.deltas.len() {
            return Err(PatchError::DeltaCount {
                expected: shapes.len(),
                found: self.deltas.len(),
            });
        }
        Ok(shapes)
    }
}

/// Rows as gaps, ascending, at least one.
fn read_rows(input: &mut Reader<'_>) -> Result<Vec<u32>, CodecError> {
    let what = "a source's rows";
    let count = input.count(ENTRIES, 1, what)?;
    if count == 0 {
        return Err(CodecError::Invalid { what, why: "a source has at least one".to_owned() });
    }
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
