//! Turns a view back into its file.
//!
//! Promises at most the bytes that were declared, and that nothing a recipe
//! says ends the program. Whether the file is the right one, only its hash
//! tells: corrections come from whoever signed the release.

use crate::codec::Codec;
use crate::limits::PLAIN_BYTES;
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
    /// A stream takes too long, or more memory than it may.
    #[error("a stream of {plain_len} bytes of plain text is not made in the time that it has")]
    Slow {
        /// The plain text's length.
        plain_len: u64,
    },
    /// Nobody is there to make streams.
    #[error("streams cannot be made: {why}")]
    Nobody {
        /// Why not.
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

/// The most bytes that are taken or given at once, but for streams.
const CHUNK_BYTES: u64 = 256 << 10;

/// The file of `file_len` bytes that `view` was made from.
///
/// Takes memory for the file, and what [`close_to`] takes.
///
/// # Errors
/// [`CloseError`].
pub fn close(
    view: &[u8],
    recipe: &Recipe,
    file_len: u64,
    codec: &dyn Codec,
) -> Result<Vec<u8>, CloseError> {
    let (mut rest, mut file) = (view, Vec::new());
    let next = &mut |bytes: &mut [u8]| {
        let (taken, after) = rest.split_at(bytes.len());
        bytes.copy_from_slice(taken);
        rest = after;
        Ok(())
    };
    let give = &mut |bytes: &[u8]| {
        file.extend_from_slice(bytes);
        Ok(())
    };
    close_to(view.len() as u64, next, recipe, file_len, codec, give)?;
    Ok(file)
}

/// Gives the file of `file_len` bytes, one part after the other, that a view
/// of `view_len` bytes was made from; `next` fills in the view's next bytes,
/// `codec` makes the streams.
///
/// Takes twelve times the plain text of one stream, the longest, and little
/// else. Never gives more than `file_len` bytes.
///
/// # Errors
/// [`CloseError`], and what `next` and `give` say; what was given until then
/// is of no use.
pub fn close_to<E: From<CloseError>>(
    view_len: u64,
    next: &mut dyn FnMut(&mut [u8]) -> Result<(), E>,
    recipe: &Recipe,
    file_len: u64,
    codec: &dyn Codec,
    give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (mut left, mut given) = (view_len, 0u64);
    let mut append = |bytes: &[u8]| {
        given = given.saturating_add(bytes.len() as u64);
        if given > file_len {
            return Err(CloseError::Length { expected: file_len, found: given }.into());
        }
        give(bytes)
    };
    let mut buffer = Vec::new();
    let mut copy = |mut len: u64, append: &mut dyn FnMut(&[u8]) -> Result<(), E>| {
        while len > 0 {
            let chunk = len.min(CHUNK_BYTES);
            len -= chunk;
            buffer.resize(usize::try_from(chunk).expect("it is a small bound"), 0);
            next(&mut buffer)?;
            append(&buffer)?;
        }
        Ok::<_, E>(())
    };
    for (index, run) in recipe.runs.iter().enumerate() {
        let after = left.checked_sub(run.literal_len).and_then(|l| l.checked_sub(run.plain_len));
        left = after.ok_or(CloseError::Beyond { index })?;
        let (plain_len, corrections_len) = (run.plain_len, run.corrections.len() as u64);
        if plain_len > PLAIN_BYTES {
            return Err(CloseError::TooLong { plain_len, corrections_len }.into());
        }
        copy(run.literal_len, &mut append)?;
        let mut plain = Vec::new();
        copy(run.plain_len, &mut |bytes| {
            plain.extend_from_slice(bytes);
            Ok(())
        })?;
        append(&codec.stream(&plain, &run.corrections)?)?;
    }
    copy(left, &mut append)?;
    if given != file_len {
        return Err(CloseError::Length { expected: file_len, found: given }.into());
    }
    Ok(())
}
