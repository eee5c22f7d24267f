//! The view of a file that only is to be read: every stream opened, or every
//! hash of a list left out.

use crate::find::{Stream, each_stream, streams};
use crate::list;

/// `file` with the plain text in place of each of its streams, or without the
/// hashes that it lists; `None` if it has neither.
#[must_use]
pub fn view(file: &[u8]) -> Option<Vec<u8>> {
    let streams = streams(file);
    match streams.is_empty() {
        true => list::masked(file, &|_| true),
        false => Some(unfolded(file, &streams)),
    }
}

/// Gives what [`view`] makes of `file` to `give`, one part after the other;
/// whether it has a view. Holds one plain text at a time, or a list.
///
/// # Errors
/// What `give` says.
pub fn view_to<E>(file: &[u8], give: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<bool, E> {
    let mut at = 0;
    each_stream(file, &mut |stream| {
        give(&file[at..stream.place.start])?;
        at = stream.place.end;
        give(&stream.plain)
    })?;
    if at > 0 {
        give(&file[at..])?;
        return Ok(true);
    }
    match list::masked(file, &|_| true) {
        None => Ok(false),
        Some(list) => give(&list).map(|()| true),
    }
}

/// `file` with the plain text in place of each of `streams`, which ascend.
pub(crate) fn unfolded<'a>(file: &[u8], streams: impl IntoIterator<Item = &'a Stream>) -> Vec<u8> {
    let mut view = Vec::with_capacity(file.len());
    let mut at = 0;
    for stream in streams {
        view.extend_from_slice(&file[at..stream.place.start]);
        view.extend_from_slice(&stream.plain);
        at = stream.place.end;
    }
    view.extend_from_slice(&file[at..]);
    view
}
