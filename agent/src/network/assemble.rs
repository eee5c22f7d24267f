//! Makes the release's bytes out of what was fetched and what is installed,
//! and writes them where the applier compares them all.
//!
//! Deltas are decoded here, on the network side. Each is verified before it
//! is decoded, its result after it, and the whole release at the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use delta::read_at::ReadAt;
use manifest::content::ContentId;
use manifest::release::plan::{DeltaStep, PlainStep};
use store::disk::DiskError;
use store::installed::{Installed, PieceError};
use store::stage::{StageError, Staging};

use crate::limits::ASSEMBLY_THREADS;
use crate::network::prepare::Prepared;
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
    /// A delta did not make its piece.
    #[error("delta {id} does not apply: {source}")]
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
    /// A delta reads what is no file of the base.
    #[error("delta {id} reads files that the base does not have")]
    Source {
        /// Which.
        id: ContentId,
    },
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

impl AssembleError {
    /// Whether the patch is at fault: without it the release can be made.
    #[must_use]
    pub const fn blames_patch(&self) -> bool {
        matches!(self, Self::Delta { .. } | Self::Length { .. } | Self::Source { .. })
    }
}

/// One thing to do; none depends on another.
enum Step<'a> {
    Copy(&'a manifest::release::plan::Copy),
    Delta(&'a DeltaStep),
    Plain(&'a PlainStep),
}

/// Writes every byte of the release of `prepared` to `staging`; waits for the
/// disk.
///
/// # Errors
/// The first [`AssembleError`].
pub fn assemble(
    prepared: &Prepared,
    shelf: &Shelf,
    staging: &Staging,
) -> Result<(), AssembleError> {
    let plan = &prepared.plan;
    let copies = plan.copies.iter().map(Step::Copy);
    let steps: Vec<Step<'_>> = copies
        .chain(plan.deltas.iter().map(Step::Delta))
        .chain(plan.plains.iter().map(Step::Plain))
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(ASSEMBLY_THREADS);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut out = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let base = prepared.base.as_ref();
            if let Err(error) = take(step, base, shelf, staging, &mut out) {
                stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut result = work();
        for other in others {
            let theirs = other.join().expect("assembling does not panic");
            result = result.and(theirs);
        }
        result
    })
}

fn take(
    step: &Step<'_>,
    base: Option<&Installed>,
    shelf: &Shelf,
    staging: &Staging,
    out: &mut Vec<u8>,
) -> Result<(), AssembleError> {
    let object = |id: ContentId| shelf.object(id)?.ok_or(AssembleError::Missing { id });
    match step {
        Step::Copy(copy) => {
            let base = base.expect("a plan without a base copies nothing");
            Ok(staging.copy(copy.to, base, copy.from)?)
        }
        Step::Delta(step) => {
            let id = step.object.id;
            let base = base.expect("a plan without a base has no deltas");
            let joined: Option<Vec<_>> =
                step.sources.iter().map(|rows| base.joined(rows)).collect();
            let joined = joined.ok_or(AssembleError::Source { id })?;
            let sources: Vec<&dyn ReadAt> = joined.iter().map(|one| one as &dyn ReadAt).collect();
            let expected = step.shape.len;
            delta::apply(&object(id)?, &sources, u64::from(expected), out)
                .map_err(|source| AssembleError::Delta { id, source })?;
            if out.len() != expected as usize {
                return Err(AssembleError::Length { id, expected, found: out.len() });
            }
            Ok(staging.write_shape(&step.shape, out)?)
        }
        Step::Plain(step) => {
            let id = step.object.id;
            let bytes = match (&step.local, base) {
                (Some(shape), Some(base)) => base.piece(id, shape)?,
                _ => object(id)?,
            };
            for (at, part) in &step.writes {
                staging.write_run(*at, part, &bytes)?;
            }
            Ok(())
        }
    }
}
