//! The view of a file that only is to be read: every stream opened.

use crate::find::{Stream, streams};

/// `file` with the plain text in place of each of its streams; `None` if it
/// has no stream.
#[must_use]
pub fn view(file: &[u8]) -> Option<Vec<u8>> {
    let streams = streams(file);
    if streams.is_empty() { None } else { Some(unfolded(file, &streams)) }
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
