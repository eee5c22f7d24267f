//! The bytes of an earlier release, made again from its pieces.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use manifest::content::ContentId;
use manifest::release::manifest::ReleaseManifest;
use store::repository::{Repository, RepositoryError};

/// Old bytes that the repository no longer has.
#[derive(Debug, thiserror::Error)]
pub enum OldError {
    /// A piece of the old release is gone.
    #[error("the repository lacks piece {piece} of {version}; use fewer --bases")]
    Missing {
        /// The piece.
        piece: ContentId,
        /// The release it belongs to.
        version: String,
    },
    /// The repository cannot give it.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// The bytes of the files in `rows` of a release whose pieces are in
/// `repository`, by row.
///
/// # Errors
/// [`OldError`].
///
/// # Panics
/// If a row is not a file of the release.
pub fn old_files(
    release: &ReleaseManifest,
    rows: &[u32],
    repository: &Repository,
) -> Result<BTreeMap<u32, Vec<u8>>, OldError> {
    let wanted: BTreeSet<u32> = rows.iter().copied().collect();
    let mut files: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for &row in &wanted {
        let (size, _) = release.tree().entries()[row as usize].file().expect("rows of files");
        let size = usize::try_from(size).expect("what is encoded fits in memory");
        files.insert(row, Vec::with_capacity(size));
    }
    for piece in release.pieces() {
        if !piece.shape.parts.iter().any(|part| wanted.contains(&part.row)) {
            continue;
        }
        let bytes = object(release, piece.id, repository)?;
        let mut rest = bytes.as_slice();
        for part in &piece.shape.parts {
            let (run, after) = rest.split_at(part.len as usize);
            // The runs of a file come in the order of the pieces.
            if let Some(file) = files.get_mut(&part.row) {
                file.extend_from_slice(run);
            }
            rest = after;
        }
    }
    Ok(files)
}

/// The bytes in `range` of the file in `row`, as far as it has any there.
///
/// # Errors
/// [`OldError`].
pub fn old_range(
    release: &ReleaseManifest,
    row: u32,
    range: Range<u64>,
    repository: &Repository,
) -> Result<Vec<u8>, OldError> {
    let len = usize::try_from(range.end - range.start).expect("what is encoded fits in memory");
    let mut bytes = Vec::with_capacity(len);
    for piece in release.pieces() {
        let mut at = 0;
        for part in &piece.shape.parts {
            let (begin, place) = (part.offset, at);
            let end = begin + u64::from(part.len);
            at += part.len as usize;
            if part.row != row || end <= range.start || begin >= range.end {
                continue;
            }
            let object = object(release, piece.id, repository)?;
            let within = |offset: u64| place + (offset - begin) as usize;
            let (from, to) = (range.start.max(begin), range.end.min(end));
            bytes.extend_from_slice(&object[within(from)..within(to)]);
        }
    }
    Ok(bytes)
}

/// A piece of `release`.
fn object(
    release: &ReleaseManifest,
    piece: ContentId,
    repository: &Repository,
) -> Result<Vec<u8>, OldError> {
    repository
        .object(piece)?
        .ok_or_else(|| OldError::Missing { piece, version: release.about().version.to_string() })
}
