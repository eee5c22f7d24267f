//! What is encoded comes back, whatever was edited, the same on any machine.

mod edits;
mod trip;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use updraft_delta::limits::{AROUND_BYTES, MAX_LEVEL};
use updraft_delta::{
    Delta, EncodeError, Encoder, Options, Part, ReadAt, Source, Target, apply, header,
};

use crate::edits::executable::{library, mac_library, universal_library, windows_library};
use crate::edits::{Random, edited, program, seeds};
use crate::trip::deltas_of;

const FAST: Options = Options { level: 3 };

#[test]
fn random_edits_come_back() {
    for seed in seeds(80) {
        let mut random = Random(seed);
        let kinds = [2, 4, 60, 255][random.below(4)];
        let files = 1 + random.below(20);
        let mut file = || {
            let len = random.below(20_000);
            random.bytes(len, kinds)
        };
        let olds: Vec<Vec<u8>> = (0..files).map(|_| file()).collect();
        let new = edited(&olds.concat(), &mut random);
        let mut ends: Vec<usize> = (0..random.below(4)).map(|_| random.below(new.len())).collect();
        ends.push(new.len());
        ends.sort_unstable();
        deltas_of(&olds, &new, &ends, &FAST);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_old_and_new_comes_back(
        olds in prop::collection::vec(prop::collection::vec(0u8..4, 0..400), 0..4),
        new in prop::collection::vec(0u8..4, 0..800),
        cut in 0usize..800,
    ) {
        let cut = cut.min(new.len());
        deltas_of(&olds, &new, &[cut, new.len()], &FAST);
    }
}

#[test]
fn an_empty_piece_is_made_of_nothing() {
    let deltas = deltas_of(&[], b"", &[0], &FAST);
    assert_eq!(header(&deltas[0].object).unwrap().target_len, 0);
    assert!(deltas_of(&[b"old".to_vec()], b"", &[], &FAST).is_empty());
}

#[test]
fn moved_addresses_cost_little() {
    let (old, new) = (program(300_000, 0, 0), program(300_000, 150_000, 64));
    let options = Options::default();
    let whole = deltas_of(&[], &new, &[new.len()], &options)[0].object.len();
    let delta = deltas_of(&[old], &new, &[new.len()], &options)[0].object.len();
    assert!(delta * 8 < whole, "{delta} bytes of {whole}");
}

#[test]
fn a_changed_word_in_a_large_text_costs_its_names_and_little_more() {
    let old = Random(5).bytes(1 << 20, 26);
    let mut new = old.clone();
    new.splice(500_000..500_007, *b"changed!!!");
    let delta = &deltas_of(&[old], &new, &[new.len()], &Options::default())[0].object;
    assert!(delta.len() < 40, "{} bytes", delta.len());
}

#[test]
fn only_sources_that_are_read_are_named_and_never_more_than_16() {
    let mut random = Random(11);
    let olds: Vec<Vec<u8>> = (0..40).map(|_| random.bytes(4000, 255)).collect();
    let one = deltas_of(&olds, &olds[7], &[4000], &FAST);
    assert_eq!(one[0].sources, [Source::Old(7)]);
    let all = olds.concat();
    assert_eq!(deltas_of(&olds, &all, &[all.len()], &FAST)[0].sources.len(), 16);
    let none = deltas_of(&olds, &vec![9; 5000], &[5000], &FAST);
    assert!(none[0].sources.is_empty());
}

/// How many deltas stand behind this one, one behind the other.
fn level(deltas: &[Delta], piece: usize) -> usize {
    let read = deltas[piece].sources.iter().map(|source| match source {
        Source::Old(_) => 0,
        Source::Made(other) => 1 + level(deltas, *other),
    });
    read.max().unwrap_or(0)
}

#[test]
fn what_several_pieces_have_anew_is_told_once() {
    let mut random = Random(23);
    let old = random.bytes(200_000, 60);
    let first = [&old[..50_000], &random.bytes(50_000, 60), &old[50_000..]].concat();
    let second = edited(&first, &mut random);
    let third = edited(&second, &mut random);
    let ends = [first.len(), first.len() + second.len(), first.len() + second.len() + third.len()];
    let new = [first, second, third].concat();
    let deltas = deltas_of(&[old], &new, &ends, &FAST);
    let lens: Vec<usize> = deltas.iter().map(|delta| delta.object.len()).collect();
    assert!(lens[0] > 30_000 && lens[1] < 4_000 && lens[2] < 8_000, "{lens:?}");
    assert_eq!(level(&deltas, 0), 0);
    assert_eq!(level(&deltas, 1), 1);
    assert!((1..=MAX_LEVEL).contains(&level(&deltas, 2)));
}

/// Rows of a key and a number, in the order of `keys`.
fn rows(keys: &[u64]) -> Vec<u8> {
    let rows = keys.iter().zip(0u32..);
    rows.flat_map(|(key, row)| [&key.to_le_bytes()[..], &row.to_le_bytes()].concat()).collect()
}

#[test]
fn hashes_in_another_order_are_told_once() {
    let mut random = Random(29);
    let mut keys: Vec<u64> = (0..12_000).map(|_| random.next()).collect();
    let first = rows(&keys);
    keys.sort_unstable();
    let second = rows(&keys);
    let ends = [first.len(), first.len() + second.len()];
    let old = random.bytes(20_000, 255);
    let deltas = deltas_of(&[old], &[first, second].concat(), &ends, &Options::default());
    let lens: Vec<usize> = deltas.iter().map(|delta| delta.object.len()).collect();
    assert!(lens[0] > 96_000 && lens[1] < 70_000, "{lens:?}");
    assert_eq!(level(&deltas, 1), 1);
}

#[test]
fn deltas_are_the_same_on_any_number_of_threads() {
    let mut random = Random(3);
    let old = random.bytes(400_000, 200);
    let new = edited(&old, &mut random);
    let ends: Vec<usize> = (1..8).map(|part| new.len() * part / 7).collect();
    let on_threads = |count: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
        let olds = [old.clone()];
        pool.install(|| deltas_of(&olds, &new, &ends, &Options::default()))
    };
    let alone = on_threads(1);
    assert_eq!(alone, on_threads(2));
    assert_eq!(alone, on_threads(5));
}

#[test]
fn progress_hears_of_every_byte() {
    let new = Random(1).bytes(5000, 9);
    let heard = AtomicU64::new(0);
    let encoder = Encoder::new(Vec::new(), &FAST).unwrap();
    let targets = [
        Target { bytes: &new, piece_ends: &[1000, 1000, 5000] },
        Target { bytes: &new[..77], piece_ends: &[77] },
    ];
    let deltas = encoder.encode(&targets, &|bytes| {
        heard.fetch_add(bytes, Ordering::Relaxed);
    });
    assert_eq!(deltas.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(heard.into_inner(), 5077);
}

#[test]
fn bytes_that_repeat_themselves_are_encoded_in_time() {
    // Every position matches everywhere: the worst a matcher can meet.
    let old = vec![0; 1 << 20];
    let mut new = old.clone();
    (0..new.len()).step_by(5000).for_each(|at| new[at] = 1);
    deltas_of(&[old], &new, &[new.len()], &FAST);
    let old = b"ab".repeat(200_000);
    let new = b"abb".repeat(100_000);
    deltas_of(&[old], &new, &[new.len()], &FAST);
}

#[test]
fn a_level_that_does_not_exist_is_refused() {
    for found in [0, -5, 23] {
        let refused = Encoder::new(Vec::new(), &Options { level: found }).err();
        assert_eq!(refused, Some(EncodeError::Level { found }));
    }
}

#[test]
fn executables_whose_code_moved_cost_little() {
    for (make, most) in [
        (library as fn(_, _) -> _, 5000),
        (windows_library, 9000),
        (mac_library, 9000),
        (universal_library, 30_000),
    ] {
        let (old, new): (Vec<u8>, Vec<u8>) = (make(3000, false), make(3000, true));
        let ends: Vec<usize> = (1..=4).map(|part| new.len() * part / 4).collect();
        let deltas = deltas_of(&[old], &new, &ends, &Options::default());
        let all: usize = deltas.iter().map(|delta| delta.object.len()).sum();
        println!("{all} bytes for {}", new.len());
        assert!(all < most, "{all} bytes for {}", new.len());
    }
}

#[test]
fn damaged_executables_come_back() {
    for seed in seeds(120) {
        let mut random = Random(seed);
        let make = [library, windows_library, mac_library, universal_library][random.below(4)];
        let (mut old, mut new) = (make(150, false), make(150, true));
        if random.below(4) == 0 {
            // The same bytes for another processor.
            [&mut old, &mut new].into_iter().for_each(|file| file[18] = 183);
        }
        let damage = |bytes: &[u8], random: &mut Random| {
            let mut damaged = bytes.to_vec();
            // Headers and the table of sections, at the end, are hit as well.
            for _ in 0..random.below(30) {
                let at = match random.below(3) {
                    0 => random.below(64),
                    1 => damaged.len() - 1 - random.below(600),
                    _ => random.below(damaged.len()),
                };
                damaged[at] = random.next() as u8;
            }
            damaged.truncate(damaged.len() - random.below(4) * random.below(200));
            damaged
        };
        let (old, new) = (damage(&old, &mut random), damage(&new, &mut random));
        let new = if random.below(3) == 0 { edited(&new, &mut random) } else { new };
        let cut = random.below(new.len());
        deltas_of(&[old], &new, &[cut, new.len()], &FAST);
    }
}

#[test]
fn parts_of_a_long_source_are_read_where_they_are() {
    for seed in seeds(20) {
        let mut random = Random(seed);
        let first = random.bytes(3000, 60);
        let old = match seed % 3 {
            0 => library(30, false),
            _ => random.bytes(40_000, 60),
        };
        let new = if seed % 3 == 0 { library(30, true) } else { edited(&old, &mut random) };
        let ends = [new.len() / 2, new.len()];
        let halves = [0..old.len() / 2, old.len() / 2..old.len()].map(|part| {
            let nothing = Part { matched: 0..0, ..Part::whole(&first) };
            let parts = vec![nothing, Part { matched: part, ..Part::whole(&old) }];
            let encoder = Encoder::over(parts, &FAST).unwrap();
            encoder.encode(&[Target { bytes: &new, piece_ends: &ends }], &|_| ()).remove(0)
        });
        for (piece, (start, end)) in [(0, ends[0]), (ends[0], ends[1])].into_iter().enumerate() {
            for delta in halves.iter().map(|deltas| &deltas[piece]) {
                assert!(!delta.sources.contains(&Source::Old(0)), "nothing of it is matched");
                let given: Vec<&dyn ReadAt> = delta.sources.iter().map(|_| &old as _).collect();
                let mut out = Vec::new();
                apply(&delta.object, &given, (end - start) as u64, &mut out).unwrap();
                assert!(out == new[start..end], "piece {start}..{end}");
            }
            // Edits of a few hundred bytes leave most of it where it was.
            let smaller = halves.iter().map(|deltas| deltas[piece].object.len()).min().unwrap();
            assert!(smaller * 4 < (end - start) * 3, "{smaller} bytes of {}", end - start);
        }
    }
}

#[test]
fn of_a_long_source_only_what_is_around_a_part_is_held() {
    let mut random = Random(7);
    // Nothing of it repeats, so what is far from a copy is not missed.
    let old = random.bytes(3 * AROUND_BYTES, 255);
    let mut new = old[AROUND_BYTES..AROUND_BYTES + 200_000].to_vec();
    new[90_000..100_000].copy_from_slice(&random.bytes(10_000, 255));
    let halves = [0..old.len() / 2, old.len() / 2..old.len()];
    let [whole, held] = [false, true].map(|is_held| {
        let deltas = halves.clone().map(|matched| {
            let mut part = Part { matched: matched.clone(), ..Part::whole(&old) };
            if is_held {
                let begin = matched.start.saturating_sub(AROUND_BYTES);
                let end = old.len().min(matched.end + AROUND_BYTES);
                part.bytes = &old[begin..end];
                part.begin = begin as u64;
                part.matched = matched.start - begin..matched.end - begin;
            }
            let encoder = Encoder::over(vec![part], &FAST).unwrap();
            encoder.encode(&[Target { bytes: &new, piece_ends: &[new.len()] }], &|_| ()).remove(0)
        });
        deltas.map(|mut deltas| deltas.remove(0))
    });
    assert_eq!(whole, held);
    let mut out = Vec::new();
    apply(&held[0].object, &[&old], new.len() as u64, &mut out).unwrap();
    assert!(out == new);
}

#[test]
#[should_panic(expected = "at hand")]
fn a_part_without_what_is_around_it_is_refused() {
    let bytes = [0; 100];
    let part = Part { source_len: 101, ..Part::whole(&bytes) };
    let _ = Encoder::over(vec![part], &FAST);
}
