//! Deltas that mean harm: each is refused by name, or makes what it says.

mod edits;
mod forge;

use std::io;

use proptest::prelude::*;
use updraft_delta::format::FormatError;
use updraft_delta::packed::UnpackError;
use updraft_delta::ranges::RangesError;
use updraft_delta::streams::ControlError;
use updraft_delta::words::WordsError;
use updraft_delta::{ApplyError, Encoder, Options, ReadAt, Source, Target, apply, header, limits};

use crate::edits::{Random, edited, program, seeds};
use crate::forge::{
    ADDED, CHANGES, CONTROL, DIFFERENCE, EXTRA, Forged, GAPS, RANGES, WHOLE, control, framed, id,
    number, stored,
};

const MIB: u64 = 1 << 20;

/// Old bytes of any length, without memory for them.
struct Pattern(u64);

impl ReadAt for Pattern {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        assert!(offset + out.len() as u64 <= self.0, "reads stay inside the source");
        out.fill(offset as u8);
        Ok(())
    }
}

/// Old bytes that must not be read.
struct Untouchable(u64);

impl ReadAt for Untouchable {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        panic!("read before the delta was checked");
    }
}

/// Applies `delta` to whatever sources it names; a result fits its bound.
fn applied(delta: &[u8], max_len: u64) -> Result<Vec<u8>, ApplyError> {
    let named = header(delta).map(|header| header.sources).unwrap_or_default();
    let sources: Vec<Pattern> = named.iter().map(|source| Pattern(source.len)).collect();
    let sources: Vec<&dyn ReadAt> = sources.iter().map(|source| source as _).collect();
    let mut out = b"from before".to_vec();
    let done = apply(delta, &sources, max_len, &mut out);
    assert!(out.len() as u64 <= max_len);
    assert!(done.is_ok() || out.is_empty(), "an error leaves nothing behind");
    done.map(|()| out)
}

/// The error of a delta that is not applied.
fn refused(forged: &Forged) -> ApplyError {
    applied(&forged.bytes(), MIB).expect_err("a hostile delta is refused")
}

/// Deltas of every codec and with every section, each with its source and target.
fn sound_deltas() -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let text = Random(1).bytes(30_000, 20);
    let code = program(60_000, 0, 0);
    let mut sparse = text.clone();
    (0..sparse.len()).step_by(40).for_each(|at| sparse[at] = sparse[at].wrapping_add(1));
    let pairs = [
        (Vec::new(), text.clone()),
        (text.clone(), edited(&text, &mut Random(8))),
        (text.clone(), sparse),
        (code, program(60_000, 30_000, 48)),
        (text[..200].to_vec(), text[50..150].to_vec()),
    ];
    let sound = pairs.into_iter().map(|(old, new)| {
        let source = Source { id: id(&old), bytes: &old };
        let encoder = Encoder::new(vec![source], &Options { level: 5 }).unwrap();
        let target = Target { bytes: &new, piece_ends: &[new.len()] };
        let delta = encoder.encode(&[target], &|_| ()).remove(0).remove(0);
        (delta, old, new)
    });
    sound.collect()
}

#[test]
fn a_mutated_delta_makes_the_target_or_nothing() {
    let sound = sound_deltas();
    let mut still_sound = 0;
    for seed in seeds(6000) {
        let mut random = Random(seed);
        let (delta, old, new) = &sound[random.below(sound.len())];
        let mut mutated = delta.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(mutated.len());
            match random.below(4) {
                0 => mutated[at] ^= 1 << random.below(8),
                1 => mutated[at] = random.next() as u8,
                2 => mutated.insert(at, random.next() as u8),
                _ => drop(mutated.remove(at)),
            }
        }
        let given: Vec<&dyn ReadAt> = match header(&mutated) {
            Ok(header) => header.sources.iter().map(|_| old as _).collect(),
            Err(_) => vec![old],
        };
        let max_len = new.len() as u64;
        let mut out = Vec::new();
        match apply(&mutated, &given, max_len, &mut out) {
            Ok(()) => {
                assert!(out == *new, "seed {seed}: other bytes than the target");
                still_sound += 1;
            }
            Err(_) => assert!(out.is_empty(), "seed {seed}: an error leaves nothing behind"),
        }
    }
    println!("{still_sound} of 6000 mutations change nothing that matters");
}

#[test]
fn a_delta_cut_short_is_refused_at_every_length() {
    for (delta, old, new) in sound_deltas() {
        let given: &[&dyn ReadAt] = &[&old];
        let step = 1 + delta.len() / 500;
        for len in (0..delta.len().min(120)).chain((120..delta.len()).step_by(step)) {
            let mut out = Vec::new();
            apply(&delta[..len], given, new.len() as u64, &mut out).unwrap_err();
        }
    }
}

/// Streams of random numbers, packed soundly: what random bytes never reach.
#[test]
fn random_streams_in_sound_sections_never_panic() {
    for seed in seeds(4000) {
        let mut random = Random(seed);
        let small = |random: &mut Random| match random.below(12) {
            0 => random.next(),
            1 => u64::MAX - random.next() % 3,
            2 => random.next() % (1 << 40),
            _ => random.next() % 60,
        };
        let stream = |random: &mut Random| {
            let count = random.below(40);
            let numbers: Vec<Vec<u8>> = (0..count).map(|_| number(small(random))).collect();
            stored(&numbers.concat())
        };
        let mut forged = Forged::new((seed % 2) as u8, &vec![0; random.below(3000)], &[]);
        let sources = random.below(4);
        forged.sources = (0..sources).map(|_| ([0; 32], random.next() % 2000)).collect();
        for tag in RANGES..=EXTRA {
            if random.below(3) > 0 {
                forged = forged.with(tag, stream(&mut random));
            }
        }
        drop(applied(&forged.bytes(), 4000));
    }
}

proptest! {
    #[test]
    fn random_bytes_are_no_delta(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(applied(&bytes, MIB).is_err());
        let mut behind_magic = b"UDel\x01".to_vec();
        behind_magic.extend(bytes);
        prop_assert!(applied(&behind_magic, MIB).is_err());
    }
}

#[test]
fn what_is_no_delta_says_so() {
    let sound = Forged::new(WHOLE, b"x", &[]).with(EXTRA, stored(b"x"));
    assert_eq!(applied(&sound.bytes(), 1).unwrap(), b"x");
    let with = |at: usize, byte: u8| {
        let mut bytes = sound.bytes();
        bytes[at] = byte;
        header(&bytes).unwrap_err()
    };
    assert_eq!(header(b"").unwrap_err(), FormatError::NotADelta);
    assert_eq!(with(0, b'u'), FormatError::NotADelta);
    assert_eq!(with(4, 2), FormatError::UnknownVersion { found: 2 });
    assert_eq!(with(5, 9), FormatError::UnknownCodec { found: 9 });
}

#[test]
fn a_target_of_2_to_the_60_is_refused_before_memory_is_taken() {
    let mut forged = Forged::new(WHOLE, b"", &[]).with(EXTRA, stored(b""));
    forged.target_len = 1 << 60;
    let error = header(&forged.bytes()).unwrap_err();
    assert_eq!(error, FormatError::TargetTooLong { declared: 1 << 60 });
}

#[test]
fn a_result_longer_than_wanted_is_refused_before_anything_is_read() {
    let forged = Forged::new(DIFFERENCE, &[7; 100], &[&[7; 100]])
        .with(CONTROL, stored(&control(&[(0, 0, 100)])));
    let delta = forged.bytes();
    let mut out = Vec::new();
    let error = apply(&delta, &[&Untouchable(100)], 99, &mut out).unwrap_err();
    assert!(matches!(error, ApplyError::TooLong { declared: 100, max_len: 99 }), "{error}");
    assert_eq!(out.capacity(), 0);
    apply(&delta, &[&vec![7; 100]], 100, &mut out).unwrap();
    assert_eq!(out, [7; 100]);
}

#[test]
fn a_delta_longer_than_its_target_explains_is_refused() {
    let forged = Forged::new(WHOLE, b"", &[]).with(EXTRA, vec![0; 2000]);
    let error = header(&forged.bytes()).unwrap_err();
    assert!(matches!(error, FormatError::DeltaTooLong { target_len: 0, .. }), "{error}");
}

#[test]
fn too_many_sources_are_refused() {
    let mut forged = Forged::new(WHOLE, &[0; 2000], &[]);
    forged.sources = vec![([0; 32], 1); 17];
    let error = header(&forged.bytes()).unwrap_err();
    assert_eq!(error, FormatError::TooManySources { declared: 17 });
    forged.sources = Vec::new();
    forged.declared_sources = Some(u64::MAX);
    let error = header(&forged.bytes()).unwrap_err();
    assert_eq!(error, FormatError::TooManySources { declared: u64::MAX });
}

#[test]
fn sources_longer_than_numbers_tell_are_refused() {
    for lens in [vec![u64::MAX, 1], vec![u64::MAX / 2, 2], vec![u64::MAX]] {
        let mut forged = Forged::new(WHOLE, b"", &[]);
        forged.sources = lens.into_iter().map(|len| ([0; 32], len)).collect();
        assert_eq!(header(&forged.bytes()).unwrap_err(), FormatError::SourcesTooLong);
    }
}

#[test]
fn the_wrong_base_is_named() {
    let (old, new) = (vec![3; 500], vec![3; 400]);
    let forged =
        Forged::new(DIFFERENCE, &new, &[&old]).with(CONTROL, stored(&control(&[(0, 0, 400)])));
    let delta = forged.bytes();
    let mut out = Vec::new();
    let mut given = |sources: &[&dyn ReadAt]| apply(&delta, sources, MIB, &mut out);
    given(&[&old]).unwrap();
    let error = given(&[&vec![3; 501]]).unwrap_err();
    let (expected, found) = (Some(500), Some(501));
    assert!(
        matches!(error, ApplyError::WrongSource { index: 0, expected: e, found: f } if (e, f) == (expected, found))
    );
    let error = given(&[]).unwrap_err();
    assert!(matches!(error, ApplyError::WrongSource { expected: Some(500), found: None, .. }));
    let error = given(&[&old, &old]).unwrap_err();
    assert!(matches!(error, ApplyError::WrongSource { index: 1, expected: None, .. }));
    // As long as the right one, but with other bytes.
    let error = given(&[&vec![4; 500]]).unwrap_err();
    assert!(matches!(error, ApplyError::WrongResult { expected, .. } if expected == id(&new)));
    assert!(out.is_empty());
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    struct Shrunk;
    impl ReadAt for Shrunk {
        fn len(&self) -> u64 {
            100
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let forged = Forged::new(DIFFERENCE, &[0; 10], &[&[0; 5], &[0; 100]])
        .with(CONTROL, stored(&control(&[(0, 25, 10)])));
    let mut out = Vec::new();
    let sources: &[&dyn ReadAt] = &[&vec![0; 5], &Shrunk];
    let error = apply(&forged.bytes(), sources, MIB, &mut out).unwrap_err();
    assert!(matches!(error, ApplyError::Read { index: 1, offset: 20, .. }), "{error}");
}

#[test]
fn a_source_that_changes_its_length_is_an_error() {
    struct Shrinking(std::sync::atomic::AtomicU64);
    impl ReadAt for Shrinking {
        fn len(&self) -> u64 {
            self.0.swap(3, std::sync::atomic::Ordering::Relaxed)
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }
    }
    let forged = Forged::new(DIFFERENCE, &[0; 10], &[&[0; 100]])
        .with(CONTROL, stored(&control(&[(0, 20, 10)])));
    let mut out = Vec::new();
    let error = apply(&forged.bytes(), &[&Shrinking(100.into())], MIB, &mut out).unwrap_err();
    assert!(matches!(error, ApplyError::Read { index: 0, offset: 20, .. }), "{error}");
}

#[test]
fn a_bomb_of_zeros_is_refused_at_its_declared_length() {
    let bomb = vec![0; 64 << 20];
    let extra = framed(&bomb, &[], MIB);
    assert!(extra.len() < 10_000);
    let forged = Forged::new(WHOLE, &vec![0; MIB as usize], &[]).with(EXTRA, extra);
    assert!(matches!(refused(&forged), ApplyError::Unpack(UnpackError::Frame)));
    // And one that admits its length.
    let extra = framed(&bomb, &[], 64 << 20);
    let forged = Forged::new(WHOLE, &vec![0; MIB as usize], &[]).with(EXTRA, extra);
    let declared = 64 << 20;
    let error = refused(&forged);
    assert!(
        matches!(error, ApplyError::Unpack(UnpackError::TooLong { declared: d, .. }) if d == declared)
    );
}

#[test]
fn a_bomb_in_any_section_is_refused() {
    let bomb = framed(&vec![0; 1 << 20], &[], 1 << 20);
    for tag in [RANGES, CONTROL, ADDED, GAPS, CHANGES, EXTRA] {
        let sound = Forged::new(DIFFERENCE, &[1; 1000], &[&[1; 1000]]);
        let copy = stored(&control(&[(0, 0, 990)]));
        let mut sections = vec![(RANGES, stored(&[0, 10])), (CONTROL, copy)];
        if tag == ADDED {
            sections.push((ADDED, stored(&[0; 990])));
        } else {
            sections.extend([(GAPS, stored(&[0])), (CHANGES, stored(&[2]))]);
        }
        sections.push((EXTRA, stored(&[1; 10])));
        for section in &mut sections {
            if section.0 == tag {
                section.1 = bomb.clone();
            }
        }
        let error = refused(&Forged { sections, ..sound });
        assert!(
            matches!(error, ApplyError::Unpack(UnpackError::TooLong { .. })),
            "section {tag}: {error}"
        );
    }
}

#[test]
fn a_prefix_longer_than_allowed_is_refused_before_it_is_read() {
    let max = limits::MAX_PREFIX_BYTES as u64;
    let ranges = |len: u64| stored(&[number(5), number(len)].concat());
    let mut forged = Forged::new(WHOLE, b"", &[]);
    forged.sources = vec![([0; 32], 1 << 40)];
    let with = |section| forged.clone().with(RANGES, section).with(EXTRA, stored(b""));
    let fits = with(ranges(max));
    assert_eq!(applied(&fits.bytes(), MIB).unwrap(), b"");
    let error = refused(&with(ranges(max + 1)));
    assert!(matches!(error, ApplyError::Ranges(RangesError::TooLong)), "{error}");
    // Many that each would fit.
    let half = [number(1), number(max / 2)].concat().repeat(3);
    let error = refused(&with(stored(&half)));
    assert!(matches!(error, ApplyError::Ranges(RangesError::TooLong)), "{error}");
}

#[test]
fn ranges_outside_the_sources_are_refused() {
    for (gap, len) in [(990, 11), (1001, 1), (0, 0), (u64::MAX, 1), (5, u64::MAX)] {
        let list = stored(&[number(gap), number(len)].concat());
        let forged =
            Forged::new(WHOLE, b"", &[&[0; 1000]]).with(RANGES, list).with(EXTRA, stored(b""));
        let error = refused(&forged);
        assert!(
            matches!(error, ApplyError::Ranges(RangesError::OutOfBounds { sources_len: 1000 })),
            "{gap} {len}: {error}"
        );
    }
}

#[test]
fn control_that_leads_outside_is_refused() {
    let refused_control = |segments: &[(u64, i64, u64)]| {
        let forged = Forged::new(DIFFERENCE, &[0; 100], &[&[0; 50], &[0; 50]]);
        match refused(&forged.with(CONTROL, stored(&control(segments)))) {
            ApplyError::Control(error) => error,
            other => panic!("{other}"),
        }
    };
    let beyond_target = ControlError::BeyondTarget { target_len: 100 };
    let beyond_sources = ControlError::BeyondSources { sources_len: 100 };
    assert_eq!(refused_control(&[(0, 0, 101)]), beyond_target);
    assert_eq!(refused_control(&[(101, 0, 0)]), beyond_target);
    assert_eq!(refused_control(&[(u64::MAX, 0, 1)]), beyond_target);
    assert_eq!(refused_control(&[(1, 0, u64::MAX)]), beyond_target);
    assert_eq!(refused_control(&[(0, 0, 60), (0, 0, 60)]), beyond_target);
    assert_eq!(refused_control(&[(0, -1, 1)]), beyond_sources);
    assert_eq!(refused_control(&[(0, 1, 100)]), beyond_sources);
    assert_eq!(refused_control(&[(0, i64::MAX, 1)]), beyond_sources);
    assert_eq!(refused_control(&[(0, i64::MIN, 1)]), beyond_sources);
    let overflowing = [(0, 90, 1), (0, i64::MAX, 1)];
    assert_eq!(refused_control(&overflowing), beyond_sources);
}

#[test]
fn a_million_tiny_segments_are_refused() {
    let many = control(&[(0, 0, 1)]).repeat(340_000);
    let target = vec![0; MIB as usize];
    let forged = Forged::new(DIFFERENCE, &target, &[&target])
        .with(CONTROL, framed(&many, &[], many.len() as u64));
    let allowed = limits::max_segments(MIB);
    let error = refused(&forged);
    assert!(
        matches!(error, ApplyError::Control(ControlError::TooMany { allowed: a }) if a == allowed)
    );
}

#[test]
fn sections_that_do_not_fit_are_refused() {
    let base = Forged::new(DIFFERENCE, &[0; 100], &[&[0; 100]]);
    let copy = stored(&control(&[(0, 0, 100)]));
    let extra = stored(&[0; 100]);
    let added = stored(&[0; 100]);
    let (gaps, changes) = (stored(&[0]), stored(&[2]));
    let misfits: [&[(u8, &Vec<u8>)]; 7] = [
        &[],
        &[(EXTRA, &extra)],
        &[(CONTROL, &copy), (GAPS, &gaps)],
        &[(CONTROL, &copy), (CHANGES, &changes)],
        &[(CONTROL, &copy), (ADDED, &added), (GAPS, &gaps), (CHANGES, &changes)],
        &[(CONTROL, &copy), (ADDED, &added), (GAPS, &gaps)],
        &[(CONTROL, &copy), (ADDED, &added), (CHANGES, &changes)],
    ];
    for sections in misfits {
        let sections = sections.iter().map(|(tag, bytes)| (*tag, (*bytes).clone())).collect();
        let error = refused(&Forged { sections, ..base.clone() });
        assert!(matches!(error, ApplyError::Sections), "{error}");
    }
    for tag in [CONTROL, ADDED, GAPS, CHANGES] {
        let whole = Forged { codec: WHOLE, ..base.clone() }.with(tag, stored(&[]));
        assert!(matches!(refused(&whole.with(EXTRA, extra.clone())), ApplyError::Sections));
    }
    for tags in [[CONTROL, CONTROL], [EXTRA, CONTROL], [CONTROL, 0], [CONTROL, 7]] {
        let forged = base.clone().with(tags[0], stored(&[])).with(tags[1], stored(&[]));
        let error = refused(&forged);
        assert!(
            matches!(error, ApplyError::Format(FormatError::Section { found }) if found == tags[1])
        );
    }
}

#[test]
fn streams_of_the_wrong_length_are_refused() {
    let with_extra = |segment, len: usize| {
        let forged = Forged::new(DIFFERENCE, &[0; 100], &[&[0; 100]])
            .with(CONTROL, stored(&control(&[segment])));
        refused(&forged.with(EXTRA, stored(&vec![0; len])))
    };
    let short = with_extra((10, 0, 80), 19);
    let expected = 20;
    assert!(
        matches!(short, ApplyError::StreamLength { stream: "extra", expected: e, found: 19 } if e == expected)
    );
    assert!(matches!(with_extra((10, 0, 80), 21), ApplyError::Unpack(UnpackError::TooLong { .. })));
    let difference = Forged::new(DIFFERENCE, &[0; 100], &[&[0; 100]])
        .with(CONTROL, stored(&control(&[(0, 0, 100)])))
        .with(ADDED, stored(&[0; 99]));
    let error = refused(&difference);
    assert!(matches!(error, ApplyError::StreamLength { stream: "difference", found: 99, .. }));
    let missing = Forged::new(DIFFERENCE, &[0; 100], &[&[0; 100]])
        .with(CONTROL, stored(&control(&[(0, 0, 99)])));
    assert!(matches!(refused(&missing), ApplyError::StreamLength { found: 0, .. }));
}

#[test]
fn words_beyond_the_end_are_refused() {
    let forged = Forged::new(DIFFERENCE, &[0; 100], &[&[0; 100]])
        .with(CONTROL, stored(&control(&[(0, 0, 100)])))
        .with(GAPS, stored(&[100]))
        .with(CHANGES, stored(&[2]));
    let error = refused(&forged);
    assert!(matches!(error, ApplyError::Words(WordsError::BeyondEnd { len: 100 })), "{error}");
}

#[test]
fn a_false_target_is_named() {
    let forged = Forged::new(WHOLE, b"what was promised", &[]);
    let error = refused(&forged.with(EXTRA, stored(b"what was dealt !!")));
    let expected = blake3::hash(b"what was promised");
    assert!(matches!(error, ApplyError::WrongResult { expected: e, .. } if e == expected));
}

#[test]
fn segments_may_run_from_one_source_into_the_next() {
    let sources: [&[u8]; 4] = [b"abc", b"", b"def", b"ghi"];
    let forged =
        Forged::new(DIFFERENCE, b"bcdefgh", &sources).with(CONTROL, stored(&control(&[(0, 1, 7)])));
    let given: Vec<Vec<u8>> = sources.iter().map(|source| source.to_vec()).collect();
    let given: Vec<&dyn ReadAt> = given.iter().map(|source| source as _).collect();
    let mut out = Vec::new();
    apply(&forged.bytes(), &given, 7, &mut out).unwrap();
    assert_eq!(out, b"bcdefgh");
}
