//! One piece, tried several ways: the smallest delta wins.

use std::collections::BTreeSet;

use crate::body::{self, BodyError, Choice, Written};
use crate::control::Copy;
use crate::costs::Costs;
use crate::encode::{Delta, Part, Source};
use crate::format::{self, Codec, Header, Mark, mark};
use crate::hints;
use crate::image::Image;
use crate::index::Index;
use crate::limits::{MAX_SOURCES, max_copies};
use crate::literals::WAYS_APART;
use crate::matcher::{self, Habit};
use crate::mixture;
use crate::old::Old;
use crate::randomness::looks_random;
use crate::read_at::ReadAt;
use crate::segment::Segment;
use crate::selection;
use crate::zones::Zones;

/// Segments with fewer equal bytes are left out: telling the bytes anew, with
/// old ones around at hand, is no longer than telling where they stand.
const MIN_EQUAL_BYTES: [usize; 2] = [32, 16];

/// Numbers that moved are best corrected where they stand, so old bytes are
/// followed far; what was written anew is best not followed at all.
const HABITS: [Habit; 2] = [Habit { gain: 4, strictness: 1 }, Habit { gain: 8, strictness: 4 }];

/// Where nothing is shorter than the bytes themselves, every match counts.
const EAGER: Habit = Habit { gain: 2, strictness: 1 };

/// Segments with fewer equal bytes are never worth their name.
const FEWEST_EQUAL_BYTES: usize = 10;

/// Deltas of no more than this can hardly be any smaller.
const WORTH_TRYING: usize = 192;

/// Old bytes that all may be gathered at little cost.
const SMALL_TEXT: usize = 1 << 20;

/// Deltas of no more than this are tried with short segments too.
const SMALL_DELTA: usize = 16 << 10;

/// Deltas of no more than this are tried every way.
const FEW_BYTES: usize = 8 << 10;

/// Deltas above this owe little to what zones cost to tell.
const NEARLY_NOTHING: usize = 2 << 10;

/// What looks random is looked at in places so far apart, for so many bytes
/// that are known.
const PROBE_EVERY: usize = 32;
const PROBE_BYTES: usize = 12;

/// A mixture, or hints, must promise to save so many bytes.
const LEAST_SAVED: usize = 32;

/// And one byte of so many: what models learn otherwise is not foreseen.
const WORTH_MIXING: usize = 64;
const WORTH_HINTS: usize = 16;

/// One piece and what may be said of it.
pub(crate) struct Attempt<'a> {
    pub(crate) index: &'a Index<'a>,
    /// The index's sources, as they are.
    pub(crate) sources: &'a [Part<'a>],
    /// What each of them is.
    pub(crate) names: &'a [Source],
    /// Images of those that are old executables.
    pub(crate) images: &'a [Option<Image>],
    /// The image of the whole new file.
    pub(crate) image: Option<&'a Image>,
    /// Where in the new file the piece begins.
    pub(crate) start: usize,
    pub(crate) piece: &'a [u8],
    /// What is matched instead of the piece.
    pub(crate) masked: &'a [u8],
    /// How many places are looked at for one that repeats itself.
    pub(crate) depth: usize,
    /// Whether more than one way is tried where the first brings little.
    pub(crate) thorough: bool,
}

/// The smallest delta so far.
struct Best {
    delta: Delta,
    /// Its segments, unless it is the piece as it is.
    told: Option<Vec<Segment>>,
    tried: Vec<Tried>,
}

/// Segments that were tried.
struct Tried {
    segments: Vec<Segment>,
    /// The length of their delta.
    len: usize,
    costs: Costs,
}

/// What an attempt found.
pub(crate) struct Found {
    pub(crate) delta: Delta,
    tried: Vec<Tried>,
}

impl Best {
    fn len(&self) -> usize {
        self.delta.object.len()
    }
}

impl Attempt<'_> {
    /// The smallest delta found.
    pub(crate) fn smallest(&self) -> Found {
        let target_mark = mark(&blake3::hash(self.piece));
        let mut best = Best { delta: self.whole(target_mark), told: None, tried: Vec::new() };
        if looks_random(self.piece) && !self.is_known() {
            return Found { delta: best.delta, tried: best.tried };
        }
        let [first, second] = HABITS;
        self.try_habit(&mut best, target_mark, first);
        // Of what is packed already another habit finds as little.
        if !self.is_packed(&best) && self.thorough {
            self.try_habit(&mut best, target_mark, second);
        }
        self.try_mixture(&mut best, target_mark);
        let is_hard = best.len() > self.piece.len() / 2;
        // All old bytes are at hand, and help what is nearly told or badly.
        let is_cheap_to_try = self.index.text().len() <= SMALL_TEXT
            && best.len() > WORTH_TRYING
            && (best.len() <= FEW_BYTES || best.len() > self.piece.len() / 8);
        if self.thorough
            && (is_hard || is_cheap_to_try)
            && let Some([short, hint]) = self.last_resorts()
        {
            self.offer(&mut best, target_mark, short);
            // What is packed is like nothing that could be gathered.
            if !self.is_packed(&best) {
                self.offer(&mut best, target_mark, hint);
            }
        }
        if !self.is_packed(&best)
            && let Some(hinted) = self.hinted(&best.tried)
        {
            self.offer(&mut best, target_mark, hinted);
        }
        let Best { delta: mut smallest, told, tried } = best;
        if let Some(segments) = told
            && smallest.object.len() <= FEW_BYTES
        {
            // Hashes have no context, and few bytes may yet be much alike.
            let mut ways: Vec<(bool, u32)> = (1..WAYS_APART).map(|apart| (true, apart)).collect();
            if self.image.is_some() && smallest.object.len() <= NEARLY_NOTHING {
                // Where few references changed, telling zones costs more than they save.
                ways.extend((0..WAYS_APART).map(|apart| (false, apart)));
            }
            for (zoned, apart) in ways {
                let (coded, _) = self.coded(target_mark, &segments, (zoned, apart));
                if coded.object.len() < smallest.object.len() {
                    smallest = coded;
                }
            }
        }
        Found { delta: smallest, tried }
    }

    /// A delta of what another attempt found, with fewer sources, and hints.
    pub(crate) fn with_hints(&self, found: &Found) -> Option<Delta> {
        let segments = self.hinted(&found.tried)?;
        let is_allowed = segments.len() as u64 <= max_copies(self.piece.len() as u64);
        let target_mark = mark(&blake3::hash(self.piece));
        is_allowed.then(|| self.coded(target_mark, &segments, (true, 0)).0)
    }

    /// Whether any run of some length is an old one: what looks random has no
    /// short ones that are worth a copy, and to look for those takes longest.
    fn is_known(&self) -> bool {
        let probes = (0..self.masked.len()).step_by(PROBE_EVERY);
        let mut found = probes.map(|at| self.index.longest(&self.masked[at..]).len);
        found.any(|len| len >= PROBE_BYTES)
    }

    /// Whether much is new and nothing made that shorter.
    fn is_packed(&self, best: &Best) -> bool {
        let copied = best.told.iter().flatten().map(|segment| segment.len).sum::<usize>();
        let missing = self.piece.len() - copied;
        let is_much = missing > self.piece.len() / 4 && missing > WORTH_TRYING;
        is_much && best.len() > missing / 16 * 15
    }

    /// Tries the segments that are found in this way.
    fn try_habit(&self, best: &mut Best, target_mark: Mark, habit: Habit) {
        let found = matcher::segments(self.index, self.masked, habit);
        let found = selection::within_sources(self.index, self.masked, &found);
        let mut smallest = usize::MAX;
        for min_equal in MIN_EQUAL_BYTES {
            let segments = selection::worth_naming(self.index, self.masked, &found, min_equal);
            smallest = smallest.min(self.offer(best, target_mark, segments));
            if smallest > SMALL_DELTA {
                break;
            }
        }
    }

    /// Takes the delta of these segments if it is the smallest; gives its
    /// length, of none if there are too many.
    fn offer(&self, best: &mut Best, target_mark: Mark, segments: Vec<Segment>) -> usize {
        if let Some(tried) = best.tried.iter().find(|tried| tried.segments == segments) {
            return tried.len;
        }
        if segments.len() as u64 > max_copies(self.piece.len() as u64) {
            return usize::MAX;
        }
        let (coded, costs) = self.coded(target_mark, &segments, (true, 0));
        let len = coded.object.len();
        best.tried.push(Tried { segments: segments.clone(), len, costs });
        if len < best.len() {
            (best.delta, best.told) = (coded, Some(segments));
        }
        len
    }

    /// Tries the best segments and others that were tried, each where they are
    /// cheaper.
    fn try_mixture(&self, best: &mut Best, target_mark: Mark) {
        best.tried.sort_by_key(|tried| tried.len);
        let [first, others @ ..] = &best.tried[..] else { return };
        let mixed = others.iter().map(|other| {
            let ways = [first, other].map(|tried| (&tried.segments[..], &tried.costs));
            mixture::mixed(self.index, self.piece.len(), ways[0], ways[1])
        });
        let Some((segments, saved)) = mixed.max_by_key(|(_, saved)| *saved) else { return };
        let least = LEAST_SAVED.max(first.len / WORTH_MIXING) as u64;
        let sources: BTreeSet<usize> =
            segments.iter().map(|segment| self.index.source_of(segment.old)).collect();
        if saved >= least * 8 * 256 && sources.len() <= MAX_SOURCES {
            self.offer(best, target_mark, segments);
        }
    }

    /// Segments that were tried, and hints before them, where these promise
    /// the smallest delta.
    fn hinted(&self, tried: &[Tried]) -> Option<Vec<Segment>> {
        // What is masked is not what would be gathered.
        if self.image.is_some() {
            return None;
        }
        let smallest = tried.iter().map(|tried| tried.len).min()?;
        let least = LEAST_SAVED.max(smallest / WORTH_HINTS);
        let promised = tried.iter().filter_map(|tried| {
            let least = least + tried.len - smallest;
            let (hints, saved) =
                hints::hints(self.index, self.piece, &tried.segments, &tried.costs, least)?;
            Some((tried.len.saturating_sub(saved), [&hints[..], &tried.segments].concat()))
        });
        promised.min_by_key(|(len, _)| *len).map(|(_, segments)| segments)
    }

    /// What may serve where bytes are hard to shorten: even short segments, or
    /// a copy of nothing, from where most of the piece may come from, that all
    /// around it is gathered.
    fn last_resorts(&self) -> Option<[Vec<Segment>; 2]> {
        let found = matcher::segments(self.index, self.masked, EAGER);
        let found = selection::within_sources(self.index, self.masked, &found);
        let longest = found.iter().max_by_key(|segment| (segment.len, segment.old))?;
        let source = self.index.span(self.index.source_of(longest.old));
        let old = longest.old.saturating_sub(longest.new).max(source.start);
        let hint = Segment { new: 0, old, len: 0 };
        let short = selection::worth_naming(self.index, self.masked, &found, FEWEST_EQUAL_BYTES);
        Some([short, vec![hint]])
    }

    /// The piece as it is.
    fn whole(&self, target_mark: Mark) -> Delta {
        let target_len = self.piece.len() as u64;
        let header = Header { target_len, target_mark, source_count: 0 };
        Delta { object: format::write(Codec::Whole, &header, self.piece), sources: Vec::new() }
    }

    /// The piece as copies of `segments`, and what lies between; whether with
    /// zones, and how literals are told apart.
    fn coded(
        &self,
        target_mark: Mark,
        segments: &[Segment],
        (zoned, apart): (bool, u32),
    ) -> (Delta, Costs) {
        let places = segments.iter().map(|segment| segment.old);
        let used = Used::new(self.index, self.sources, places);
        let mut made = 0;
        let copies = segments.iter().map(|segment| {
            let extra = segment.new - made;
            made = segment.new_end();
            Copy { extra, address: used.address(self.index, segment.old), len: segment.len }
        });
        let copies: Vec<Copy> = copies.collect();
        let target_len = self.piece.len() as u64;
        let header = Header { target_len, target_mark, source_count: used.sources.len() };
        let zones = if zoned { self.zones(&used, segments) } else { Zones::default() };
        let choice = Choice { zones: &zones, copies: &copies, depth: self.depth, apart };
        let given = used.sources.iter().map(|&source| &self.sources[source] as &dyn ReadAt);
        let given: Vec<&dyn ReadAt> = given.collect();
        let written = Old::new(&header, &given)
            .map_err(BodyError::Old)
            .and_then(|old| body::write(self.piece, &choice, &old));
        let Written { has_bare, body, costs } =
            written.expect("segments lie within the piece and its sources");
        let object = format::write(Codec::Coded { bare: has_bare }, &header, &body);
        let sources = used.sources.iter().map(|source| self.names[*source]).collect();
        (Delta { object, sources }, costs)
    }
}

impl Attempt<'_> {
    /// The zones of the executable that brings most of the piece.
    fn zones(&self, used: &Used, segments: &[Segment]) -> Zones {
        let Some(image) = self.image else { return Zones::default() };
        let brought = |source: usize| -> usize {
            let span = self.index.span(source);
            let here = segments.iter().filter(|segment| span.contains(&segment.old));
            here.map(|segment| segment.len).sum()
        };
        let with_image = used.sources.iter().zip(&used.starts);
        let with_image = with_image
            .filter_map(|(at, start)| Some((*at, *start, self.images.get(*at)?.as_ref()?)));
        let main = with_image.max_by_key(|(source, start, _)| (brought(*source), *start));
        main.map_or_else(Zones::default, |(_, address, old)| {
            Zones::new(old.zones(address, image), self.start as u64)
        })
    }
}

/// The sources that one delta reads, and where each begins in its addresses.
struct Used {
    sources: Vec<usize>,
    starts: Vec<u64>,
    /// Where those bytes of each begin that are in the index.
    matched_from: Vec<u64>,
}

impl Used {
    /// The sources that hold the bytes at `places` of the index's text.
    fn new(index: &Index<'_>, given: &[Part<'_>], places: impl Iterator<Item = usize>) -> Self {
        let mut sources: Vec<usize> = places.map(|place| index.source_of(place)).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut start = 0;
        let starts = sources.iter().map(|&source| {
            let here = start;
            start += given[source].source_len;
            here
        });
        let starts: Vec<u64> = starts.collect();
        let matched = sources.iter().zip(&starts);
        let matched = matched.map(|(&source, start)| start + given[source].matched_from());
        let matched_from = matched.collect();
        Self { sources, starts, matched_from }
    }

    /// Where the byte at `place` of the index's text stands in the delta's sources.
    fn address(&self, index: &Index<'_>, place: usize) -> u64 {
        let source = index.source_of(place);
        let rank = self.sources.binary_search(&source).expect("every place read was counted");
        self.matched_from[rank] + (place - index.span(source).start) as u64
    }
}
