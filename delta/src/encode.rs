//! Makes the deltas of a release: every piece by itself, each the smallest way.
//!
//! Promises the same bytes for the same input on any number of threads. Takes
//! about 5 × the bytes of all sources beside the sources themselves, 6 × where
//! pieces are made from others, and 1 × more at most, of long sources 192 MiB,
//! to know what is not there and to find sooner what is. What new pieces share
//! is told by a quarter of their bytes.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use rayon::prelude::*;

use crate::attempt::Attempt;
use crate::image::Image;
use crate::index::{Index, WindowTooLarge};
use crate::kinship::Kinship;
use crate::limits::{AROUND_BYTES, MAX_TARGET_BYTES};
use crate::options::Options;
use crate::read_at::ReadAt;

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
    /// What `apply` must be given, in this order.
    pub sources: Vec<Source>,
}

/// What a delta is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// One of the encoder's sources.
    Old(usize),
    /// What another delta makes: that of this piece, of all pieces of all
    /// targets. [`MAX_LEVEL`](crate::limits::MAX_LEVEL) says how many may stand
    /// behind each other.
    Made(usize),
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
    sources: Vec<Part<'a>>,
    names: Vec<Source>,
    images: Vec<Option<Image>>,
    depth: usize,
    /// Whether pieces are made from old bytes alone.
    is_alone: bool,
}

/// A source of which not every byte need be at hand.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The bytes at hand.
    pub bytes: &'a [u8],
    /// Where in the source they begin.
    pub begin: u64,
    /// How long the source is.
    pub source_len: u64,
    /// Which of `bytes` copies come from.
    pub matched: Range<usize>,
}

impl<'a> Part<'a> {
    /// All of a source.
    #[must_use]
    pub const fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, begin: 0, source_len: bytes.len() as u64, matched: 0..bytes.len() }
    }

    /// Where in the source those bytes begin that copies come from.
    pub(crate) const fn matched_from(&self) -> u64 {
        self.begin + self.matched.start as u64
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.source_len
    }

    /// Whether everything is there that a delta may gather around its copies.
    fn is_enough(&self) -> bool {
        let (before, behind) = (self.matched.start, self.bytes.len() - self.matched.end);
        let left = self.source_len.checked_sub(self.begin + self.bytes.len() as u64);
        (before >= AROUND_BYTES || self.begin == 0)
            && left.is_some_and(|left| behind >= AROUND_BYTES || left == 0)
    }
}

impl ReadAt for Part<'_> {
    fn len(&self) -> u64 {
        self.source_len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset.checked_sub(self.begin).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.bytes.read_at(offset, out)
    }
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
        let parts = sources.into_iter().map(Part::whole).collect();
        Ok(Self { is_alone: false, ..Self::over(parts, options)? })
    }

    /// As [`Encoder::new`], but copies come from these `parts` of sources
    /// alone, and pieces are not made from each other: of what is longer than
    /// a window, several encoders may read one part each, and the smallest
    /// delta of each piece be kept.
    ///
    /// References are foreseen only in executables that are at hand as a whole.
    ///
    /// # Errors
    /// `Window` if what copies come from has more than `limits::MAX_WINDOW_BYTES`.
    ///
    /// # Panics
    /// If a part's `matched` is not within its bytes, or of the source's bytes
    /// next to it, on either side, fewer than `limits::AROUND_BYTES` are at
    /// hand where there are more.
    pub fn over(parts: Vec<Part<'a>>, options: &Options) -> Result<Self, EncodeError> {
        assert!(parts.iter().all(Part::is_enough), "what is around a part is at hand");
        if !(1..=22).contains(&options.level) {
            return Err(EncodeError::Level { found: options.level });
        }
        let image = |part: &Part<'_>| part.is_whole().then(|| Image::of(part.bytes)).flatten();
        let images: Vec<Option<Image>> = parts.par_iter().map(image).collect();
        let all = parts.par_iter().zip(&images);
        let matched = all.map(|(part, image)| match masked(part.bytes, image.as_ref()) {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[part.matched.clone()]),
            Cow::Owned(mut bytes) => {
                bytes.truncate(part.matched.end);
                bytes.drain(..part.matched.start);
                Cow::Owned(bytes)
            }
        });
        let index = Index::new(matched.collect())?;
        let names = (0..parts.len()).map(Source::Old).collect();
        let depth = options.depth();
        Ok(Self { index, sources: parts, names, images, depth, is_alone: true })
    }

    /// Sorts the bytes that copies come from, which takes minutes for hundreds
    /// of megabytes; unless it was asked for, the first `encode` does it.
    pub fn sort(&self) {
        self.index.sort();
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
        let read = targets.par_iter().map(|target| {
            let image = Image::of(target.bytes);
            let masked = masked(target.bytes, image.as_ref());
            New { bytes: target.bytes, image, masked }
        });
        let read: Vec<New<'_>> = read.collect();
        let cut = targets
            .iter()
            .zip(&read)
            .map(|(target, new)| pieces(target).into_iter().map(move |place| Piece { new, place }));
        let cut: Vec<Vec<Piece<'_>>> = cut.map(Iterator::collect).collect();
        let pieces: Vec<&Piece<'_>> = cut.iter().flatten().collect();
        let ladder = Ladder::of(self, &pieces);
        // The highest index has the parts of all others.
        ladder.rungs.last().map_or(&self.index, |rung| &rung.index).sort();
        let standing = ladder.levels.par_iter().zip(&ladder.copies);
        let encoded = pieces.par_iter().zip(standing).map(|(piece, (level, copied))| {
            let rung = level.checked_sub(1).map(|below| &ladder.rungs[below]);
            let delta = self.piece(piece, rung, *copied);
            progress(piece.place.len() as u64);
            delta
        });
        let mut encoded = encoded.collect::<Vec<Delta>>().into_iter();
        cut.iter().map(|pieces| encoded.by_ref().take(pieces.len()).collect()).collect()
    }

    /// The smallest delta of a piece that is found, from old bytes and from
    /// those of a `rung`, whether its pieces have runs worth a copy or not.
    fn piece(&self, piece: &Piece<'_>, rung: Option<&Rung<'_>>, copied: bool) -> Delta {
        let alone = self.attempt(piece, None, true).smallest();
        let Some(rung) = rung else { return alone.delta };
        // What new pieces bring has no zones, and a match in them is taken
        // for being longer by a byte: old bytes alone may be the better source.
        // What these hardly shorten is tried with new ones in one way only.
        let is_hard = alone.delta.object.len() > piece.place.len() / 2;
        let both = self.attempt(piece, Some(rung), !is_hard);
        let hinted = both.with_hints(&alone);
        let both = copied.then(|| both.smallest().delta);
        let deltas = [alone.delta].into_iter().chain(hinted).chain(both);
        deltas.min_by_key(|delta| delta.object.len()).expect("one is made from old bytes alone")
    }

    fn attempt<'b>(
        &'b self,
        piece: &'b Piece<'_>,
        rung: Option<&'b Rung<'_>>,
        thorough: bool,
    ) -> Attempt<'b> {
        let Piece { new, place } = piece;
        Attempt {
            index: rung.map_or(&self.index, |rung| &rung.index),
            sources: rung.map_or(&self.sources, |rung| &rung.sources),
            names: rung.map_or(&self.names, |rung| &rung.names),
            images: &self.images,
            image: new.image.as_ref(),
            start: place.start,
            piece: &new.bytes[place.clone()],
            masked: &new.masked[place.clone()],
            depth: self.depth,
            thorough,
        }
    }
}

/// A target as it is matched.
struct New<'a> {
    bytes: &'a [u8],
    image: Option<Image>,
    masked: Cow<'a, [u8]>,
}

/// One piece of it.
struct Piece<'a> {
    new: &'a New<'a>,
    place: Range<usize>,
}

/// What pieces above the lowest level are made from.
struct Ladder<'a> {
    /// The level of each piece.
    levels: Vec<usize>,
    /// Whether it has runs that pieces of lower levels have too.
    copies: Vec<bool>,
    /// For each level but the lowest.
    rungs: Vec<Rung<'a>>,
}

/// Old bytes, and the pieces of lower levels.
struct Rung<'a> {
    index: Index<'a>,
    sources: Vec<Part<'a>>,
    names: Vec<Source>,
}

impl<'a> Ladder<'a> {
    fn of(encoder: &Encoder<'a>, pieces: &[&'a Piece<'a>]) -> Self {
        let all: Vec<&[u8]> =
            pieces.iter().map(|piece| &piece.new.masked[piece.place.clone()]).collect();
        if encoder.is_alone {
            let levels = vec![0; pieces.len()];
            return Self { levels, copies: vec![false; pieces.len()], rungs: Vec::new() };
        }
        let kinship = Kinship::of(encoder.index.text(), &all);
        let mut rungs: Vec<Rung<'a>> = Vec::new();
        for read in kinship.read.iter().take_while(|read| !read.is_empty()) {
            let more: Vec<&[u8]> = read.iter().map(|piece| all[*piece]).collect();
            let below = rungs.last();
            let index = below.map_or(&encoder.index, |rung| &rung.index).with(&more);
            let Some(index) = index else { break };
            let mut sources = below.map_or(&encoder.sources, |rung| &rung.sources).clone();
            let mut names = below.map_or(&encoder.names, |rung| &rung.names).clone();
            for &piece in read {
                let bytes = &pieces[piece].new.bytes[pieces[piece].place.clone()];
                sources.push(Part::whole(bytes));
                names.push(Source::Made(piece));
            }
            rungs.push(Rung { index, sources, names });
        }
        let levels = kinship.levels.into_iter().map(|level| level.min(rungs.len())).collect();
        Self { levels, copies: kinship.copies, rungs }
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
