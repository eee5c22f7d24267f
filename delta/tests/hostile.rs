//! Deltas that mean harm: each is refused by name, or makes what it says.

mod edits;
mod forge;

use std::io;

use proptest::prelude::*;
use updraft_delta::body::BodyError;
use updraft_delta::format::FormatError;
use updraft_delta::old::OldError;
use updraft_delta::{ApplyError, Encoder, Options, ReadAt, Target, apply, header};

use crate::edits::executable::library;
use crate::edits::{Random, edited, program, seeds};
use crate::forge::{CODED, CODED_AND_BARE, Forged, WHOLE, marked, number};

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

/// Applies `delta` to as many sources of so many bytes as it reads; a result
/// fits its bound.
fn applied_to(source_len: u64, delta: &[u8], max_len: u64) -> Result<Vec<u8>, ApplyError> {
    let count = header(delta).map_or(0, |header| header.source_count);
    let pattern = Pattern(source_len);
    let sources: Vec<&dyn ReadAt> = vec![&pattern; count];
    let mut out = b"from before".to_vec();
    let done = apply(delta, &sources, max_len, &mut out);
    assert!(out.len() as u64 <= max_len);
    assert!(done.is_ok() || out.is_empty(), "an error leaves nothing behind");
    done.map(|()| out)
}

fn applied(delta: &[u8], max_len: u64) -> Result<Vec<u8>, ApplyError> {
    applied_to(20_000, delta, max_len)
}

/// The error of a delta that is not applied.
fn refused(forged: &Forged) -> ApplyError {
    applied(&forged.bytes(), MIB).expect_err("a hostile delta is refused")
}

/// Deltas of every codec and with every part, each with its source and target.
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
        (library(150, false), library(150, true)),
        (Vec::new(), Random(4).bytes(500, 255)),
    ];
    let sound = pairs.into_iter().map(|(old, new)| {
        let encoder = Encoder::new(vec![&old], &Options { level: 5 }).unwrap();
        let target = Target { bytes: &new, piece_ends: &[new.len()] };
        let delta = encoder.encode(&[target], &|_| ()).remove(0).remove(0).object;
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
            Ok(header) => vec![old; header.source_count],
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

/// Any bytes are a stream of decisions: random ones lead everywhere.
#[test]
fn random_decisions_never_panic() {
    for seed in seeds(20_000) {
        let mut random = Random(seed);
        let target_len = random.below(6000);
        let len = random.below(400);
        let bare = random.below(8) == 0;
        let mut body = if bare { number(random.next() % 100) } else { Vec::new() };
        // What is likely is coded as high bits: skewed bytes take other turns.
        let (skew, zeros) = (random.next() as u8, random.below(3) as u32);
        body.extend((0..len).map(|_| (random.next() as u8 & !(0x80u8 >> zeros)) | skew & 0x3f));
        let codec = if bare { CODED_AND_BARE } else { CODED };
        let forged = Forged::new(codec, &vec![0; target_len], random.below(4) as u8, &body);
        drop(applied_to(random.next() % 20_000, &forged.bytes(), 6000));
    }
}

/// The first decisions are those of a sound delta, the others are not.
#[test]
fn a_sound_beginning_excuses_nothing() {
    let sound = sound_deltas();
    for seed in seeds(4000) {
        let mut random = Random(seed);
        let (delta, old, new) = &sound[random.below(sound.len())];
        let header_len = 9;
        let kept = (header_len + random.below(delta.len())).min(delta.len());
        let mut forged = delta[..kept].to_vec();
        let len = random.below(300);
        forged.extend(random.bytes(len, 255));
        let given: Vec<&dyn ReadAt> = vec![old; header(delta).unwrap().source_count];
        let mut out = Vec::new();
        if apply(&forged, &given, new.len() as u64, &mut out).is_ok() {
            assert!(out == *new, "seed {seed}");
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_no_delta(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(applied(&bytes, MIB).is_err());
        let mut behind_magic = vec![0xd5];
        behind_magic.extend(bytes);
        prop_assert!(applied(&behind_magic, MIB).is_err());
    }
}

#[test]
fn what_is_no_delta_says_so() {
    let sound = Forged::new(WHOLE, b"x", 0, b"x");
    assert_eq!(applied(&sound.bytes(), 1).unwrap(), b"x");
    let with = |at: usize, byte: u8| {
        let mut bytes = sound.bytes();
        bytes[at] = byte;
        header(&bytes).unwrap_err()
    };
    assert_eq!(header(b"").unwrap_err(), FormatError::NotADelta);
    assert_eq!(with(0, b'u'), FormatError::NotADelta);
    assert_eq!(with(0, 0xd1), FormatError::UnknownVersion { found: 1 });
    assert_eq!(with(0, 0xd3), FormatError::UnknownVersion { found: 3 });
    assert_eq!(with(1, 0x40), FormatError::Contradiction);
    assert_eq!(with(1, 1), FormatError::Contradiction);
}

#[test]
fn a_target_of_2_to_the_60_is_refused_before_memory_is_taken() {
    let mut forged = Forged::new(WHOLE, b"", 0, b"");
    forged.target_len = 1 << 60;
    let error = header(&forged.bytes()).unwrap_err();
    assert_eq!(error, FormatError::TargetTooLong { declared: 1 << 60 });
}

/// The delta that makes `new` of `old`, which is not empty.
fn encoded(old: &[u8], new: &[u8]) -> Vec<u8> {
    let encoder = Encoder::new(vec![old], &Options::default()).unwrap();
    let target = Target { bytes: new, piece_ends: &[new.len()] };
    encoder.encode(&[target], &|_| ()).remove(0).remove(0).object
}

#[test]
fn a_result_longer_than_wanted_is_refused_before_anything_is_read() {
    let old = Random(2).bytes(400, 255);
    let delta = encoded(&old, &old);
    let mut out = Vec::new();
    let error = apply(&delta, &[&Untouchable(400)], 399, &mut out).unwrap_err();
    assert!(matches!(error, ApplyError::TooLong { declared: 400, max_len: 399 }), "{error}");
    assert_eq!(out.capacity(), 0);
    apply(&delta, &[&old], 400, &mut out).unwrap();
    assert_eq!(out, old);
}

#[test]
fn a_delta_longer_than_its_target_explains_is_refused() {
    let forged = Forged::new(WHOLE, b"", 0, &[0; 2000]);
    let error = header(&forged.bytes()).unwrap_err();
    assert!(matches!(error, FormatError::DeltaTooLong { target_len: 0, .. }), "{error}");
}

#[test]
fn too_many_sources_are_refused() {
    let forged = Forged::new(CODED, &[0; 2000], 17, &[]);
    let error = header(&forged.bytes()).unwrap_err();
    assert_eq!(error, FormatError::TooManySources { declared: 17 });
}

#[test]
fn sources_longer_than_places_are_refused() {
    let forged = Forged::new(CODED, b"", 2, b"").bytes();
    for lens in [[u64::MAX, 1], [1 << 61, 1 << 61], [0, u64::MAX], [1 << 62, 0]] {
        let sources = lens.map(Untouchable);
        let error = apply(&forged, &[&sources[0], &sources[1]], MIB, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, ApplyError::Old(OldError::TooLong)), "{error}");
    }
}

#[test]
fn the_wrong_base_is_noticed() {
    let old = Random(3).bytes(500, 255);
    let new = old[50..450].to_vec();
    let delta = encoded(&old, &new);
    let mut out = Vec::new();
    let mut given = |sources: &[&dyn ReadAt]| apply(&delta, sources, MIB, &mut out);
    given(&[&old]).unwrap();
    let wrong = |error: ApplyError| match error {
        ApplyError::Old(OldError::SourceCount { expected, found }) => (expected, found),
        other => panic!("{other}"),
    };
    assert_eq!(wrong(given(&[]).unwrap_err()), (1, 0));
    assert_eq!(wrong(given(&[&old, &old]).unwrap_err()), (1, 2));
    let error = given(&[&vec![3; 449]]).unwrap_err();
    assert!(matches!(error, ApplyError::Body(BodyError::Control(_))), "{error}");
    // As long as the right one, but with other bytes.
    let error = given(&[&vec![4; 500]]).unwrap_err();
    assert!(matches!(error, ApplyError::WrongResult { expected, .. } if expected == marked(&new)));
    assert!(out.is_empty());
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    struct Shrunk;
    impl ReadAt for Shrunk {
        fn len(&self) -> u64 {
            500
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let old = Random(3).bytes(500, 255);
    let mut out = Vec::new();
    let error = apply(&encoded(&old, &old[20..]), &[&Shrunk], MIB, &mut out).unwrap_err();
    assert!(
        matches!(error, ApplyError::Old(OldError::Read { index: 0, offset: 20, .. })),
        "{error}"
    );
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
    let old = Random(3).bytes(500, 255);
    let mut out = Vec::new();
    let shrinking = Shrinking(500.into());
    let error = apply(&encoded(&old, &old[20..]), &[&shrinking], MIB, &mut out).unwrap_err();
    assert!(matches!(error, ApplyError::Old(OldError::Read { offset: 20, .. })), "{error}");
}

#[test]
fn more_bare_bytes_than_there_are_are_refused() {
    let cut = Forged::new(CODED_AND_BARE, &[0; 9], 0, &number(u64::MAX));
    assert!(matches!(refused(&cut), ApplyError::Body(BodyError::CutShort)));
}

#[test]
fn a_whole_delta_of_another_length_is_refused() {
    let mut forged = Forged::new(WHOLE, b"four", 0, b"fives");
    let length = |error| matches!(error, ApplyError::Length { declared: 4, found: 5 });
    assert!(length(refused(&forged)));
    forged.body.truncate(3);
    assert!(matches!(refused(&forged), ApplyError::Length { declared: 4, found: 3 }));
}

#[test]
fn a_false_target_is_named() {
    let mut forged = Forged::new(WHOLE, b"what was promised", 0, b"what was dealt !!");
    let expected = marked(b"what was promised");
    let error = refused(&forged);
    assert!(matches!(error, ApplyError::WrongResult { expected: e, .. } if e == expected));
    forged.target_mark = marked(b"what was dealt !!");
    applied(&forged.bytes(), MIB).unwrap();
}
