//! Makes the deltas of a release: every piece by itself, each the smallest way.
//!
//! Promises the same bytes for the same input on any number of threads. Takes
//! about 5 × the bytes of all sources beside the sources themselves.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::attempt::Attempt;
use crate::image::Image;
use crate::index::{Index, WindowTooLarge};
use crate::limits::MAX_TARGET_BYTES;
use crate::options::Options;

/// A new file or pack, to be made piece by piece.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// Where each piece ends; the last at the end of `bytes`.
    pub piece_ends: &'a [usize],
}

/// One piece, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The delta object.
    pub object: Vec<u8>,
    /// Which of the encoder's sources `apply` must be given, in this order.
    pub sources: Vec<usize>,
}

/// Sources that no encoder can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// They are longer than one window.
    #[error(transparent)]
    Window(#[from] WindowTooLarge),
    /// There is no such level.
    #[error("{found} is no level, there are 1 to 22")]
    Level {
        /// The level asked for.
        found: i32,
    },
}

/// Makes deltas against one set of sources.
pub struct Encoder<'a> {
    index: Index<'a>,
    sources: Vec<&'a [u8]>,
    images: Vec<Option<Image>>,
    depth: usize,
}

impl<'a> Encoder<'a> {
    /// Reads all `sources`, old files or packs of several, so that each may serve every target.
    ///
    /// Of a delta only the 16 sources that bring most can be used: many small
    /// files are better given as a few packs.
    ///
    /// # Errors
    /// `Window` if the sources have more than `limits::MAX_WINDOW_BYTES`.
    pub fn new(sources: Vec<&'a [u8]>, options: &Options) -> Result<Self, EncodeError> {
        if !(1..=22).contains(&options.level) {
            return Err(EncodeError::Level { found: options.level });
        }
        let images: Vec<Option<Image>> =
            sources.par_iter().map(|source| Image::of(source)).collect();
        let both = sources.par_iter().zip(&images);
        let matched = both.map(|(source, image)| masked(source, image.as_ref()));
        let index = Index::new(matched.collect())?;
        Ok(Self { index, sources, images, depth: options.depth() })
    }

    /// A delta object for every piece of every target, in their order.
    ///
    /// `progress` hears the length of each piece as its delta is done.
    ///
    /// # Panics
    /// If the ends of a target's pieces are not in order, the last is not the
    /// target's end, or a piece is longer than `limits::MAX_TARGET_BYTES`.
    #[must_use]
    pub fn encode(
        &self,
        targets: &[Target<'_>],
        progress: &(dyn Fn(u64) + Sync),
    ) -> Vec<Vec<Delta>> {
        let encoded = |target: &Target<'_>| -> Vec<Delta> {
            let image = Image::of(target.bytes);
            let masked = masked(target.bytes, image.as_ref());
            let each = pieces(target).into_par_iter().map(|place| {
                let attempt = Attempt {
                    index: &self.index,
                    sources: &self.sources,
                    images: &self.images,
                    image: image.as_ref(),
                    start: place.start,
                    piece: &target.bytes[place.clone()],
                    masked: &masked[place],
                    depth: self.depth,
                };
                let delta = attempt.smallest();
                progress(attempt.piece.len() as u64);
                delta
            });
            each.collect()
        };
        targets.par_iter().map(encoded).collect()
    }
}

/// The bytes that are matched.
fn masked<'a>(bytes: &'a [u8], image: Option<&Image>) -> Cow<'a, [u8]> {
    image.map_or(Cow::Borrowed(bytes), |image| image.masked(bytes))
}

fn pieces(target: &Target<'_>) -> Vec<Range<usize>> {
    assert_eq!(
        target.piece_ends.last().copied().unwrap_or(0),
        target.bytes.len(),
        "the last piece ends with the target"
    );
    let mut start = 0;
    let cut = target.piece_ends.iter().map(|&end| {
        let piece = start..end;
        assert!(piece.len() as u64 <= MAX_TARGET_BYTES, "a piece of {} bytes", piece.len());
        assert!(end <= target.bytes.len() && start <= end, "pieces end in order");
        start = end;
        piece
    });
    cut.collect()
}
