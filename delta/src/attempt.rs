//! One piece, tried several ways: the smallest delta wins.
//!
//! Ways that cost much time are tried only where they may win: where a delta
//! is small, a few bytes count and little is there to pack; where it is large,
//! differences that lie everywhere are known to beat a prefix, and the reverse.

use std::ops::Range;

use crate::format::{self, Codec, Header, SourceRef, Tag};
use crate::index::Index;
use crate::limits::{MAX_RANGES_BYTES, max_segments};
use crate::matcher;
use crate::packed::Packer;
use crate::ranges;
use crate::segment::Segment;
use crate::selection;
use crate::streams::Streams;
use crate::words::Words;

/// Segments with fewer equal bytes are left out, for a prefix serves them better.
const MIN_EQUAL_BYTES: usize = 96;

/// And with fewer than this, where there is no prefix.
const MIN_EQUAL_BYTES_WITHOUT_PREFIX: usize = 24;

/// Deltas below this are tried every way.
const SMALL_DELTA: usize = 16 << 10;

/// Which of two streams will pack smaller shows at this level too.
const GLANCE: Packer = Packer { level: 9 };

/// One piece and what may be said of it.
pub(crate) struct Attempt<'a> {
    index: &'a Index<'a>,
    sources: &'a [SourceRef],
    packer: Packer,
    piece: &'a [u8],
    target_id: [u8; 32],
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        index: &'a Index<'a>,
        sources: &'a [SourceRef],
        packer: Packer,
        piece: &'a [u8],
    ) -> Self {
        let target_id = *blake3::hash(piece).as_bytes();
        Self { index, sources, packer, piece, target_id }
    }

    /// The smallest delta found.
    pub(crate) fn smallest(&self) -> Vec<u8> {
        let found = matcher::segments(self.index, self.piece);
        let found = selection::within_sources(self.index, self.piece, &found);
        let ranges = ranges::gather(self.index, &found);
        let mut tried = Smallest::default();

        let changed = self.differences(&found, MIN_EQUAL_BYTES, &ranges, &mut tried);
        if tried.is_small() {
            self.differences(&found, MIN_EQUAL_BYTES_WITHOUT_PREFIX, &ranges, &mut tried);
        }
        let few_changes = changed < tried.len() / 8;
        if !ranges.is_empty() && (tried.is_small() || few_changes) {
            tried.add(self.whole(&ranges));
        }
        let equal: usize =
            found.iter().map(|segment| segment.equal_bytes(self.index.text(), self.piece)).sum();
        if equal < self.piece.len() / 4 {
            tried.add(self.whole(&[]));
        }
        tried.delta.unwrap_or_else(|| self.whole(&[]))
    }

    /// The piece as one stream, with old `ranges` as its prefix.
    fn whole(&self, ranges: &[Range<usize>]) -> Vec<u8> {
        let used = Used::new(self.index, ranges.iter().map(|range| range.start));
        let mut sections = Vec::new();
        let prefix = self.prefix(ranges, &used, &mut sections);
        sections.push((Tag::Extra, self.packer.pack(self.piece, &prefix)));
        self.write(Codec::Whole, &used, &sections)
    }

    /// The piece as differences to those of `found` that are worth naming, with
    /// and without old `ranges` as prefix of what is new.
    ///
    /// Gives the length of what changes old bytes into new ones.
    fn differences(
        &self,
        found: &[Segment],
        min_equal: usize,
        ranges: &[Range<usize>],
        tried: &mut Smallest,
    ) -> usize {
        let segments = selection::worth_naming(self.index, self.piece, found, min_equal);
        if segments.is_empty() || segments.len() as u64 > max_segments(self.piece.len() as u64) {
            return usize::MAX;
        }
        let mut changing: Option<Vec<(Tag, Vec<u8>)>> = None;
        for ranges in [ranges, &[]] {
            let starts = segments.iter().map(|segment| segment.old);
            let starts = starts.chain(ranges.iter().map(|range| range.start));
            let used = Used::new(self.index, starts);
            let address = |old| used.address(self.index, old);
            let streams = Streams::new(self.piece, &segments, self.index.text(), address);
            let mut sections = Vec::new();
            let prefix = if streams.extra.is_empty() {
                Vec::new()
            } else {
                self.prefix(ranges, &used, &mut sections)
            };
            sections.push((Tag::Control, self.packer.pack(&streams.control, &[])));
            let changing = changing.get_or_insert_with(|| self.changing(&streams));
            sections.extend(changing.iter().cloned());
            if !streams.extra.is_empty() {
                sections.push((Tag::Extra, self.packer.pack(&streams.extra, &prefix)));
            }
            tried.add(self.write(Codec::Difference, &used, &sections));
            if !tried.is_small() {
                break;
            }
        }
        changing.iter().flatten().map(|(_, packed)| packed.len()).sum()
    }

    /// The sections that change old bytes into new ones.
    fn changing(&self, streams: &Streams) -> Vec<(Tag, Vec<u8>)> {
        if streams.old == streams.new {
            return Vec::new();
        }
        let difference = [(Tag::Difference, streams.difference())];
        let words = Words::between(&streams.old, &streams.new);
        let words = [(Tag::Gaps, words.gaps), (Tag::Changes, words.changes)];
        let glanced = |sections: &[(Tag, Vec<u8>)]| -> usize {
            sections.iter().map(|(_, bytes)| GLANCE.pack(bytes, &[]).len() + 3).sum()
        };
        let fits = words.iter().all(|(_, bytes)| bytes.len() <= self.piece.len());
        let chosen: &[(Tag, Vec<u8>)] =
            if fits && glanced(&words) < glanced(&difference) { &words } else { &difference };
        chosen.iter().map(|(tag, bytes)| (*tag, self.packer.pack(bytes, &[]))).collect()
    }

    /// The bytes of `ranges`; their list goes to `sections`.
    fn prefix(
        &self,
        ranges: &[Range<usize>],
        used: &Used,
        sections: &mut Vec<(Tag, Vec<u8>)>,
    ) -> Vec<u8> {
        let named: Vec<Range<u64>> = ranges
            .iter()
            .map(|range| {
                let start = used.address(self.index, range.start);
                start..start + range.len() as u64
            })
            .collect();
        let list = ranges::write(&named);
        if ranges.is_empty() || list.len() > MAX_RANGES_BYTES {
            return Vec::new();
        }
        sections.push((Tag::Ranges, self.packer.pack(&list, &[])));
        ranges.iter().flat_map(|range| &self.index.text()[range.clone()]).copied().collect()
    }

    fn write(&self, codec: Codec, used: &Used, sections: &[(Tag, Vec<u8>)]) -> Vec<u8> {
        let sources = used.sources.iter().map(|&source| self.sources[source]).collect();
        let target_len = self.piece.len() as u64;
        let header = Header { target_len, target_id: self.target_id, sources };
        format::write(codec, &header, sections)
    }
}

/// The smallest delta so far.
#[derive(Default)]
struct Smallest {
    delta: Option<Vec<u8>>,
}

impl Smallest {
    fn add(&mut self, delta: Vec<u8>) {
        if delta.len() < self.len() {
            self.delta = Some(delta);
        }
    }

    fn len(&self) -> usize {
        self.delta.as_ref().map_or(usize::MAX, Vec::len)
    }

    fn is_small(&self) -> bool {
        self.len() < SMALL_DELTA
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
