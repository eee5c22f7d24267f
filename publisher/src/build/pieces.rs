//! The plain pieces of a tree, put into the repository.
//!
//! Reads each file once, in order, while other threads pack what was read;
//! a batch at a time, so that memory does not grow with the release.

use manifest::content::ContentId;
use manifest::release::layout::{Layout, Shape};
use rayon::prelude::*;
use store::repository::{Repository, RepositoryError};

use crate::build::tree::{SourceError, SourceFile, SourceTree};
use crate::limits::PIECE_BATCH;
use crate::progress::Progress;

/// The pieces of a release, as they lie in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutPieces {
    /// Their ids, in the order of the layout.
    pub ids: Vec<ContentId>,
    /// How many of them the repository did not have.
    pub new: usize,
    /// What whoever has nothing downloads: the files of all distinct pieces.
    pub packed_bytes: u64,
}

/// Pieces that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    /// The tree cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The repository does not take them.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Puts every piece of `source` into `repository`, packed at zstd `level`.
///
/// # Errors
/// [`PieceError`]; what was put until then harms nobody.
pub fn put_pieces(
    source: &SourceTree,
    repository: &Repository,
    level: i32,
    progress: &Progress,
) -> Result<PutPieces, PieceError> {
    let layout = Layout::of(source.tree());
    let stage = progress.stage("packing pieces", source.tree().total_bytes());
    let mut put = PutPieces::default();
    let mut seen = std::collections::HashSet::new();
    let mut open = None;
    for batch in layout.shapes.chunks(PIECE_BATCH) {
        let bytes: Vec<Vec<u8>> =
            batch.iter().map(|shape| read(source, shape, &mut open)).collect::<Result<_, _>>()?;
        let done: Vec<(ContentId, bool, u64)> = bytes
            .par_iter()
            .map(|bytes| {
                let id = ContentId::of(bytes);
                let new = repository.put_piece(id, bytes, level)?;
                let packed = repository.stored(id)?.map_or(0, |stored| stored.file_len);
                stage.advance(bytes.len() as u64);
                Ok((id, new, packed))
            })
            .collect::<Result<_, RepositoryError>>()?;
        for (id, new, packed) in done {
            put.ids.push(id);
            if seen.insert(id) {
                put.new += usize::from(new);
                put.packed_bytes += packed;
            }
        }
    }
    Ok(put)
}

/// A file that is being read piece by piece, and its row.
pub(super) type OpenFile = (u32, SourceFile);

/// The bytes of one piece. A file that is cut stays `open` between its
/// pieces, so that the last of them shows whether the whole still holds.
pub(super) fn read(
    source: &SourceTree,
    shape: &Shape,
    open: &mut Option<OpenFile>,
) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::with_capacity(shape.len as usize);
    for part in &shape.parts {
        let mut file = match open.take() {
            Some((row, file)) if row == part.row && part.offset > 0 => file,
            _ => source.open(part.row)?,
        };
        bytes.append(&mut file.next(part.len as usize)?);
        *open = Some((part.row, file));
    }
    Ok(bytes)
}

/// Goes on in the file that `shape` is cut from to where it begins, if that is
/// not its start.
pub(super) fn reach(
    source: &SourceTree,
    shape: &Shape,
    open: &mut Option<OpenFile>,
) -> Result<(), SourceError> {
    let part = shape.parts[0];
    if part.offset > 0 {
        let before = open.take().filter(|(row, file)| *row == part.row && file.at() <= part.offset);
        let mut file = match before {
            Some((_, file)) => file,
            None => source.open(part.row)?,
        };
        file.pass(part.offset - file.at())?;
        *open = Some((part.row, file));
    }
    Ok(())
}
