//! Manifests as objects, and the deltas between them.
//!
//! A manifest whole is often larger than the patch it describes, so whoever
//! has an older one fetches the difference.

use delta::{EncodeError, Encoder, Options, Target};
use manifest::content::ContentId;
use manifest::trust::custom::ManifestDelta;
use store::repository::{Repository, RepositoryError};

/// A manifest that could not be put.
#[derive(Debug, thiserror::Error)]
pub enum ManifestPutError {
    /// The encoder refuses.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The repository does not take it.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Puts a manifest into `repository` as an object, so that peers can serve
/// it; gives its id and what it weighs packed.
///
/// # Errors
/// [`ManifestPutError::Repository`].
pub fn put_manifest(
    bytes: &[u8],
    repository: &Repository,
    level: i32,
) -> Result<(ContentId, u64), ManifestPutError> {
    let id = ContentId::of(bytes);
    repository.put_piece(id, bytes, level)?;
    let packed = repository.stored(id)?.map_or(bytes.len() as u64, |stored| stored.file_len);
    Ok((id, packed))
}

/// Puts the delta that makes manifest `bytes` from `base` into `repository`.
///
/// # Errors
/// [`ManifestPutError`].
pub fn put_manifest_delta(
    base: &[u8],
    bytes: &[u8],
    repository: &Repository,
    options: &Options,
) -> Result<ManifestDelta, ManifestPutError> {
    let id = ContentId::of(base);
    let encoder = Encoder::new(vec![base], options)?;
    let target = Target { bytes, piece_ends: &[bytes.len()] };
    let mut deltas = encoder.encode(&[target], &|_| ()).concat();
    // A manifest is one piece, and an empty one no manifest.
    let delta = deltas.pop().expect("a target has a piece").object;
    let object = ContentId::of(&delta);
    repository.put_object(object, &delta)?;
    Ok(ManifestDelta { base: id, object, length: delta.len() as u64 })
}
