//! Makes the deltas of a release: every piece by itself, each the smallest way.
//!
//! Promises the same bytes for the same input on any number of threads. Takes
//! about 5 × the bytes of all sources beside the sources themselves.

use std::ops::Range;

use rayon::prelude::*;

use crate::format::{self, Codec, Header, SourceRef, Tag};
use crate::index::{Index, WindowTooLarge};
use crate::limits::{MAX_RANGES_BYTES, MAX_TARGET_BYTES, max_segments};
use crate::matcher;
use crate::options::Options;
use crate::packed::Packer;
use crate::ranges;
use crate::segment::Segment;
use crate::selection;
use crate::streams::Streams;

/// Segments with fewer equal bytes than one of these are left out, whichever
/// makes the smaller delta.
const MIN_EQUAL_BYTES: [usize; 2] = [24, 80];

/// An old file, or a pack of several.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The blake3 of `bytes`.
    pub id: [u8; 32],
    /// The whole file.
    pub bytes: &'a [u8],
}

/// A new file or pack, to be made piece by piece.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// Where each piece ends; the last at the end of `bytes`.
    pub piece_ends: &'a [usize],
}

/// Sources that no encoder can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// They are longer than one window.
    #[error(transparent)]
    Window(#[from] WindowTooLarge),
    /// zstd has no such level.
    #[error("{found} is no level of zstd, it has 1 to 22")]
    Level {
        /// The level asked for.
        found: i32,
    },
}

/// Makes deltas against one set of sources.
pub struct Encoder<'a> {
    index: Index<'a>,
    sources: Vec<SourceRef>,
    packer: Packer,
}

impl<'a> Encoder<'a> {
    /// Reads all `sources`, so that each may serve every target.
    ///
    /// Of a delta only the 16 sources that bring most can be used: many small
    /// files are better given as a few packs.
    ///
    /// # Errors
    /// `Window` if the sources have more than `limits::MAX_WINDOW_BYTES`.
    pub fn new(sources: Vec<Source<'a>>, options: &Options) -> Result<Self, EncodeError> {
        if !(1..=22).contains(&options.level) {
            return Err(EncodeError::Level { found: options.level });
        }
        let bytes: Vec<&[u8]> = sources.iter().map(|source| source.bytes).collect();
        let index = Index::new(&bytes)?;
        let sources = sources
            .iter()
            .map(|source| SourceRef { id: source.id, len: source.bytes.len() as u64 })
            .collect();
        Ok(Self { index, sources, packer: Packer { level: options.level } })
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
    ) -> Vec<Vec<Vec<u8>>> {
        let pieces: Vec<Vec<&[u8]>> = targets.iter().map(pieces).collect();
        let encoded = |pieces: &Vec<&[u8]>| -> Vec<Vec<u8>> {
            let each = pieces.par_iter().map(|piece| {
                let delta = self.delta(piece);
                progress(piece.len() as u64);
                delta
            });
            each.collect()
        };
        pieces.par_iter().map(encoded).collect()
    }

    /// The smallest delta that makes `piece`.
    fn delta(&self, piece: &[u8]) -> Vec<u8> {
        let target_id = *blake3::hash(piece).as_bytes();
        let work = Work { encoder: self, piece, target_id };
        let found = matcher::segments(&self.index, piece);
        let found = selection::within_sources(&self.index, piece, &found);
        let ranges = ranges::gather(&self.index, &found);
        let mut deltas = vec![work.whole(&[])];
        deltas.extend((!ranges.is_empty()).then(|| work.whole(&ranges)));
        for min_equal in MIN_EQUAL_BYTES {
            let segments = selection::worth_naming(&self.index, piece, &found, min_equal);
            let allowed = max_segments(piece.len() as u64);
            if !segments.is_empty() && segments.len() as u64 <= allowed {
                deltas.push(work.difference(&segments, &[]));
                deltas.push(work.difference(&segments, &ranges));
            }
        }
        let smallest = deltas.into_iter().min_by_key(Vec::len);
        smallest.expect("a piece can always be packed whole")
    }
}

fn pieces<'a>(target: &Target<'a>) -> Vec<&'a [u8]> {
    assert_eq!(
        target.piece_ends.last().copied().unwrap_or(0),
        target.bytes.len(),
        "the last piece ends with the target"
    );
    let mut start = 0;
    let cut = target.piece_ends.iter().map(|&end| {
        let piece = &target.bytes[start..end];
        assert!(piece.len() as u64 <= MAX_TARGET_BYTES, "a piece of {} bytes", piece.len());
        start = end;
        piece
    });
    cut.collect()
}

/// One piece, being tried several ways.
struct Work<'a> {
    encoder: &'a Encoder<'a>,
    piece: &'a [u8],
    target_id: [u8; 32],
}

impl Work<'_> {
    /// The piece as one stream, with old `ranges` as its prefix.
    fn whole(&self, ranges: &[Range<usize>]) -> Vec<u8> {
        let used = Used::new(&self.encoder.index, ranges.iter().map(|range| range.start));
        let mut sections = Vec::new();
        let prefix = self.prefix(ranges, &used, &mut sections);
        sections.push((Tag::Extra, self.encoder.packer.pack(self.piece, &prefix)));
        self.write(Codec::Whole, &used, &sections)
    }

    /// The piece as differences to `segments`, with old `ranges` as prefix of what is new.
    fn difference(&self, segments: &[Segment], ranges: &[Range<usize>]) -> Vec<u8> {
        let index = &self.encoder.index;
        let packer = self.encoder.packer;
        let starts = segments.iter().map(|segment| segment.old);
        let used = Used::new(index, starts.chain(ranges.iter().map(|range| range.start)));
        let streams =
            Streams::new(self.piece, segments, index.text(), |old| used.address(index, old));
        let mut sections = Vec::new();
        let prefix = self.prefix(ranges, &used, &mut sections);
        sections.push((Tag::Control, packer.pack(&streams.control, &[])));
        if streams.difference.iter().any(|byte| *byte != 0) {
            sections.push((Tag::Difference, packer.pack(&streams.difference, &[])));
        }
        if !streams.extra.is_empty() {
            sections.push((Tag::Extra, packer.pack(&streams.extra, &prefix)));
        }
        self.write(Codec::Difference, &used, &sections)
    }

    /// The bytes of `ranges`; their list goes to `sections`.
    fn prefix(
        &self,
        ranges: &[Range<usize>],
        used: &Used,
        sections: &mut Vec<(Tag, Vec<u8>)>,
    ) -> Vec<u8> {
        let Encoder { index, packer, .. } = self.encoder;
        let named: Vec<Range<u64>> = ranges
            .iter()
            .map(|range| {
                let start = used.address(index, range.start);
                start..start + range.len() as u64
            })
            .collect();
        let list = ranges::write(&named);
        if ranges.is_empty() || list.len() > MAX_RANGES_BYTES {
            return Vec::new();
        }
        sections.push((Tag::Ranges, packer.pack(&list, &[])));
        ranges.iter().flat_map(|range| &index.text()[range.clone()]).copied().collect()
    }

    fn write(&self, codec: Codec, used: &Used, sections: &[(Tag, Vec<u8>)]) -> Vec<u8> {
        let sources = used.sources.iter().map(|&source| self.encoder.sources[source]).collect();
        let target_len = self.piece.len() as u64;
        let header = Header { target_len, target_id: self.target_id, sources };
        format::write(codec, &header, sections)
    }
}

/// The sources that one delta reads, and where each begins in its addresses.
struct Used {
    sources: Vec<usize>,
    starts: Vec<u64>,
}

impl Used {
    /// The sources that hold the bytes at `places` of the index's text.
    fn new(index: &Index<'_>, places: impl Iterator<Item = usize>) -> Self {
        let mut sources: Vec<usize> = places.map(|place| index.source_of(place)).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut start = 0;
        let starts = sources.iter().map(|&source| {
            let here = start;
            start += index.span(source).len() as u64;
            here
        });
        let starts = starts.collect();
        Self { sources, starts }
    }

    /// Where the byte at `place` of the index's text stands in the delta's sources.
    fn address(&self, index: &Index<'_>, place: usize) -> u64 {
        let source = index.source_of(place);
        let rank = self.sources.binary_search(&source).expect("every place read was counted");
        self.starts[rank] + (place - index.span(source).start) as u64
    }
}
