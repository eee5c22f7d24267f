//! Makes the release's bytes out of what was fetched and what is installed,
//! and writes them where the applier compares them all.
//!
//! Deltas are decoded here, on the network side. Each is verified before it
//! is decoded, its result after it, and the whole release at the end.

use container::Codec;
use container::list::Facts;
use manifest::content::ContentId;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::plan::{Copy, PlainStep};
use store::disk::DiskError;
use store::installed::{Installed, PieceError};
use store::links::{self, LinkError, Sink, each};
use store::stage::{StageError, Staging};

use crate::limits::ASSEMBLY_THREADS;
use crate::network::ahead::Ahead;
use crate::network::shelf::Shelf;

/// What keeps a release from being made.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// An object was fetched and is gone, or was damaged since.
    #[error("object {id} is missing or was damaged after it was fetched")]
    Missing {
        /// Which.
        id: ContentId,
    },
    /// A patch cannot be followed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// An installed file changed since the plan was made.
    #[error(transparent)]
    Piece(#[from] PieceError),
    /// The release cannot be written.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What is not to be tried again: without it the release can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The whole patch.
    Patch,
    /// The view of the file with this content.
    File(ContentId),
}

impl AssembleError {
    /// What is at fault, if leaving it out may well help.
    #[must_use]
    pub const fn blame(&self) -> Option<Blame> {
        match self {
            Self::Link(LinkError::Close { content, .. }) => Some(Blame::File(*content)),
            Self::Link(error) if error.blames_patch() => Some(Blame::Patch),
            Self::Stage(StageError::Differs { .. }) => Some(Blame::Patch),
            _ => None,
        }
    }
}

/// One thing to do; none depends on another.
#[derive(Clone, Copy)]
pub enum Step<'a> {
    /// A file that the base has.
    Copy(&'a Copy),
    /// A plain piece.
    Plain(&'a PlainStep),
}

impl Step<'_> {
    /// Whether it needs nothing but what is installed.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        match self {
            Self::Copy(_) => true,
            Self::Plain(step) => step.local.is_some(),
        }
    }
}

/// Writes every byte of the release of `ahead` that is not written yet; waits
/// for the disk, and for `codec`, which makes the streams of what a patch
/// opened.
///
/// # Errors
/// The first [`AssembleError`].
pub fn assemble(ahead: &Ahead, shelf: &Shelf, codec: &dyn Codec) -> Result<(), AssembleError> {
    let (prepared, staging) = (&**ahead.prepared(), ahead.staging());
    let plan = &prepared.plan;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(ASSEMBLY_THREADS);
    let base = prepared.base.as_ref();
    each(threads, &ahead.left(), |step| take(*step, base, Some(shelf), staging))?;
    if plan.links.is_empty() {
        return Ok(());
    }
    let base = base.expect("a plan without a base follows no patch");
    let ways = prepared.between.iter().map(|manifest| &**manifest);
    let manifests: Vec<&ReleaseManifest> = ways.chain([&*prepared.manifest]).collect();
    let scratch = staging.scratch()?;
    let object = |id| shelf.object(id);
    let staged = Staged { staging, base };
    links::follow(plan, base, &manifests, &object, (&scratch, codec), threads, &staged)
}

/// The release that is staged.
struct Staged<'a> {
    staging: &'a Staging,
    base: &'a Installed,
}

impl Sink<AssembleError> for Staged<'_> {
    fn write(&self, row: u32, offset: u64, bytes: &[u8]) -> Result<(), AssembleError> {
        Ok(self.staging.write(row, offset, bytes)?)
    }

    fn copy(&self, row: u32, from_row: u32) -> Result<(), AssembleError> {
        Ok(self.staging.copy(row, self.base, from_row)?)
    }

    fn facts(&self, row: u32) -> Result<Facts, AssembleError> {
        Ok(self.staging.facts(row)?)
    }
}

/// Does one thing with the bytes of `base`, or of `shelf`.
///
/// # Errors
/// [`AssembleError`]: [`AssembleError::Missing`] also without a shelf.
pub(super) fn take(
    step: Step<'_>,
    base: Option<&Installed>,
    shelf: Option<&Shelf>,
    staging: &Staging,
) -> Result<(), AssembleError> {
    match step {
        Step::Copy(copy) => {
            let base = base.expect("a plan without a base copies nothing");
            Ok(staging.copy(copy.to, base, copy.from)?)
        }
        Step::Plain(step) => {
            let id = step.object.id;
            let bytes = match (&step.local, base, shelf) {
                (Some(shape), Some(base), _) => base.piece(id, shape)?,
                (_, _, Some(shelf)) => shelf.object(id)?.ok_or(AssembleError::Missing { id })?,
                _ => return Err(AssembleError::Missing { id }),
            };
            Ok(write(step, &bytes, staging)?)
        }
    }
}

/// Writes what is needed of a plain piece.
///
/// # Errors
/// As [`Staging::write_run`].
pub(super) fn write(step: &PlainStep, piece: &[u8], staging: &Staging) -> Result<(), StageError> {
    step.writes.iter().try_for_each(|(at, part)| staging.write_run(*at, part, piece))
}
