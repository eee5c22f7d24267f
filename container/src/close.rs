//! Turns a view back into its file.
//!
//! Promises at most the bytes that were declared, and that nothing a recipe
//! says ends the program. Whether the file is the right one, only its hash
//! tells: corrections come from whoever signed the release.

use preflate_rs::recreate_whole_deflate_stream;

use crate::limits::{CORRECTIONS_BYTES, PLAIN_BYTES};
use crate::quiet::contained;
use crate::recipe::Recipe;

/// Why a view did not become its file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// A run goes beyond the view.
    #[error("run {index} goes beyond the view")]
    Beyond {
        /// Which run.
        index: usize,
    },
    /// A stream or its corrections are longer than is allowed.
    #[error(
        "a stream of {plain_len} bytes of plain text has {corrections_len} bytes of corrections"
    )]
    TooLong {
        /// The plain text's length.
        plain_len: u64,
        /// The corrections' length.
        corrections_len: u64,
    },
    /// The corrections do not fit the plain text.
    #[error("a stream cannot be reconstructed: {why}")]
    Corrections {
        /// What was found, in the words of what reconstructs it.
        why: String,
    },
    /// A list names a file that is not there.
    #[error("it lists {path}, which is not there")]
    Unlisted {
        /// As it is named.
        path: String,
    },
    /// The file would have another length.
    #[error("the file would have {found} bytes or more, expected {expected}")]
    Length {
        /// The length declared.
        expected: u64,
        /// How many there would be.
        found: u64,
    },
}

/// The file of `file_len` bytes that `view` was made from.
///
/// Takes memory for the file, and twelve times the plain text of one stream.
///
/// # Errors
/// [`CloseError`].
pub fn close(view: &[u8], recipe: &Recipe, file_len: u64) -> Result<Vec<u8>, CloseError> {
    let mut file = Vec::new();
    let mut rest = view;
    let mut append = |bytes: &[u8]| {
        let found = (file.len() + bytes.len()) as u64;
        if found > file_len {
            return Err(CloseError::Length { expected: file_len, found });
        }
        file.extend_from_slice(bytes);
        Ok(())
    };
    for (index, run) in recipe.runs.iter().enumerate() {
        let mut take = |len: u64| {
            let len = usize::try_from(len).ok();
            let cut = len.and_then(|len| rest.split_at_checked(len));
            let (taken, after) = cut.ok_or(CloseError::Beyond { index })?;
            rest = after;
            Ok(taken)
        };
        append(take(run.literal_len)?)?;
        append(&reconstruct(take(run.plain_len)?, &run.corrections)?)?;
    }
    append(rest)?;
    let found = file.len() as u64;
    if found != file_len {
        return Err(CloseError::Length { expected: file_len, found });
    }
    Ok(file)
}

/// The stream that has this plain text and these corrections.
pub(crate) fn reconstruct(plain: &[u8], corrections: &[u8]) -> Result<Vec<u8>, CloseError> {
    let (plain_len, corrections_len) = (plain.len() as u64, corrections.len() as u64);
    if plain_len > PLAIN_BYTES || corrections_len > CORRECTIONS_BYTES {
        return Err(CloseError::TooLong { plain_len, corrections_len });
    }
    match contained(|| recreate_whole_deflate_stream(plain, corrections)) {
        Some(Ok(stream)) => Ok(stream),
        Some(Err(error)) => Err(CloseError::Corrections { why: error.to_string() }),
        None => Err(CloseError::Corrections { why: "the codec gave up".to_owned() }),
    }
}
