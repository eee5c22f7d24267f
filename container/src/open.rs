//! Opens a file such that it can be closed again to the very same bytes.
//!
//! Promises that closing was tried: a stream that would not come back
//! exactly, or whose corrections would weigh too much, stays as it is.

use crate::codec::Codec;
use crate::find::Stream;
use crate::inflate::inflate;
use crate::limits::{PLAIN_BYTES, SHORTEST_STREAM, VIEW_BYTES};
use crate::recipe::{Recipe, Run};
use crate::view::unfolded;

/// Corrections of more than a quarter of the stream speak of a compressor that
/// is not understood.
const WORTHWHILE: usize = 4;

/// A file that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The file with the plain text in place of some of its streams.
    pub view: Vec<u8>,
    /// What turns the view back into the file.
    pub recipe: Recipe,
}

/// Opens those of the file's `streams` for which `wanted`, given the stream's
/// own bytes, says so, by `codec`; `None` if none can be closed again.
#[must_use]
pub fn open(
    file: &[u8],
    streams: &[Stream],
    wanted: &dyn Fn(&[u8]) -> bool,
    codec: &dyn Codec,
) -> Option<Opened> {
    let mut runs = Vec::new();
    let mut opened = Vec::new();
    let mut at = 0;
    let mut view_bytes = file.len() as u64;
    for stream in streams {
        let packed = &file[stream.place.clone()];
        let longer = view_bytes - packed.len() as u64 + stream.plain.len() as u64;
        if longer > VIEW_BYTES || !wanted(packed) {
            continue;
        }
        if let Some(corrections) = corrections(packed, &stream.plain, codec) {
            runs.push(Run {
                literal_len: (stream.place.start - at) as u64,
                plain_len: stream.plain.len() as u64,
                corrections,
            });
            opened.push(stream);
            at = stream.place.end;
            view_bytes = longer;
        }
    }
    if runs.is_empty() {
        return None;
    }
    Some(Opened { view: unfolded(file, opened), recipe: Recipe { runs, above: None } })
}

/// The view that `recipe` turns back into `file`: what [`open`] made of it,
/// made again at little cost; `None` if the recipe is another file's.
#[must_use]
pub fn reopen(file: &[u8], recipe: &Recipe) -> Option<Vec<u8>> {
    let mut view = Vec::with_capacity(file.len());
    let mut rest = file;
    for run in &recipe.runs {
        let literal_len = usize::try_from(run.literal_len).ok()?;
        let (literal, after) = rest.split_at_checked(literal_len)?;
        view.extend_from_slice(literal);
        let plain_len = usize::try_from(run.plain_len.min(PLAIN_BYTES)).ok()?;
        let inflated = inflate(after, plain_len)?;
        view.extend_from_slice(&inflated.plain);
        rest = &after[inflated.len..];
    }
    view.extend_from_slice(rest);
    Some(view)
}

/// What turns `plain` into the stream `packed`, if anything short does.
fn corrections(packed: &[u8], plain: &[u8], codec: &dyn Codec) -> Option<Vec<u8>> {
    if packed.len() < SHORTEST_STREAM || plain.len() as u64 > PLAIN_BYTES {
        return None;
    }
    let corrections = codec.corrections(packed, plain)?;
    if corrections.len() > packed.len() / WORTHWHILE {
        return None;
    }
    let back = codec.stream(plain, &corrections).ok()?;
    (back == packed).then_some(corrections)
}
