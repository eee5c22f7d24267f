//! What nobody honest would write: nothing of it panics, or takes more than it may.

#![expect(clippy::disallowed_methods, reason = "golden files are read from the disk")]

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use updraft_container::limits::{CORRECTIONS_BYTES, PLAIN_BYTES, VIEW_BYTES};
use updraft_container::list::{self, Facts, Listed};
use updraft_container::recipe::decode;
use updraft_container::{CloseError, Here, Recipe, Run, close, open, streams, view};

fn read(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect();
    fs::read(path).unwrap()
}

fn golden(name: &str) -> (Vec<u8>, Vec<u8>, Recipe) {
    let (file, view) = (read(name), read(&format!("{name}.view")));
    let mut recipes = decode(&read(&format!("{name}.recipes")), &[view.len() as u64]).unwrap();
    (file, view, recipes.remove(0))
}

/// A small generator, so that a failure names the seed it came from.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn mutated_corrections_are_contained() {
    let (file, view, recipe) = golden("one.gz");
    let mut refused = 0;
    for seed in 0..2000 {
        let mut random = Random(seed);
        let mut mutated = recipe.clone();
        let corrections = &mut mutated.runs[0].corrections;
        for _ in 0..=random.below(3) {
            let at = random.below(corrections.len());
            corrections[at] = u8::try_from(random.below(256)).unwrap();
        }
        match close(&view, &mutated, file.len() as u64, &Here) {
            Ok(made) => assert_eq!(made.len(), file.len(), "seed {seed}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1000, "only {refused} of 2000 were refused");
    assert_eq!(
        close(&view, &recipe, file.len() as u64, &Here),
        Ok(file),
        "afterwards it works as ever"
    );
}

#[test]
fn cut_corrections_are_contained() {
    let (file, view, recipe) = golden("one.gz");
    for len in 0..recipe.runs[0].corrections.len() {
        let mut cut = recipe.clone();
        cut.runs[0].corrections.truncate(len);
        if let Ok(made) = close(&view, &cut, file.len() as u64, &Here) {
            assert_eq!(made.len(), file.len());
        }
    }
}

#[test]
fn endless_corrections_end() {
    let (file, view, recipe) = golden("one.gz");
    for filler in [0x00, 0x55, 0xAA, 0xFF] {
        let mut long = recipe.clone();
        let corrections = &mut long.runs[0].corrections;
        corrections.resize(64 << 10, filler);
        let _ = close(&view, &long, file.len() as u64, &Here);
    }
    let mut random = Random(7);
    for _ in 0..50 {
        let mut long = recipe.clone();
        let corrections = &mut long.runs[0].corrections;
        let noise = (0..16 << 10).map(|_| u8::try_from(random.below(256)).unwrap());
        corrections.truncate(12);
        corrections.extend(noise);
        let _ = close(&view, &long, file.len() as u64, &Here);
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let (file, view, recipe) = golden("two.gz");
    let len = file.len() as u64;
    for wrong in [0, 1, len - 1, len + 1, u64::MAX] {
        let refused = close(&view, &recipe, wrong, &Here);
        assert!(matches!(refused, Err(CloseError::Length { .. })), "{wrong}: {refused:?}");
    }
    let mut far = recipe.clone();
    far.runs[1].plain_len = u64::MAX;
    assert_eq!(close(&view, &far, len, &Here), Err(CloseError::Beyond { index: 1 }));
    let cut = close(&view[..view.len() - 9], &recipe, len, &Here);
    assert!(cut.is_err(), "a view without its end makes no file");
}

#[test]
fn what_is_beyond_the_bounds_never_reaches_the_codec() {
    let plain_len = PLAIN_BYTES + 1;
    let view = vec![0; usize::try_from(plain_len).unwrap()];
    let run = Run { literal_len: 0, plain_len, corrections: vec![0; 8] };
    let refused = close(&view, &Recipe { runs: vec![run], above: None }, 10, &Here);
    assert!(matches!(refused, Err(CloseError::TooLong { .. })), "{refused:?}");
    let corrections = vec![0; usize::try_from(CORRECTIONS_BYTES).unwrap() + 1];
    let run = Run { literal_len: 0, plain_len: 1, corrections };
    let refused = close(&view, &Recipe { runs: vec![run], above: None }, 10, &Here);
    assert!(matches!(refused, Err(CloseError::TooLong { .. })), "{refused:?}");
}

#[test]
fn mutated_lists_are_filled_to_their_length_or_not_at_all() {
    let (list, view) = (read("RECORD"), read("RECORD.view"));
    let facts = |path: &str| {
        let known = list::entries(&list).find(|listed| listed.path == path)?;
        Some(Facts { sha256: known.sha256, len: known.len? })
    };
    let mut came_back = 0;
    for seed in 0..5000 {
        let mut random = Random(seed);
        let (mut file, mut view) = (list.clone(), view.clone());
        for bytes in [&mut file, &mut view] {
            let at = random.below(bytes.len());
            bytes[at] = u8::try_from(random.below(256)).unwrap();
        }
        let len = list.len() as u64;
        if let Ok(made) = list::filled(&view, len, &mut |path| facts(path)) {
            assert_eq!(made.len(), list.len(), "seed {seed}");
            came_back += 1;
        }
        // What is left out because it is known comes back.
        let known = |listed: &Listed<'_>| {
            facts(listed.path).is_some_and(|facts| {
                facts.sha256 == listed.sha256 && listed.len.is_none_or(|len| len == facts.len)
            })
        };
        if let Some(view) = list::masked(&file, &known) {
            let made = list::filled(&view, len, &mut |path| facts(path));
            assert_eq!(made, Ok(file), "seed {seed}");
        }
    }
    assert!((1000..5000).contains(&came_back), "{came_back} of 5000 came back");
}

/// A gzip file of that many zeros, as a bomb is made.
fn bomb(zeros: u64) -> Vec<u8> {
    let zeros = vec![0; usize::try_from(zeros).unwrap()];
    let mut file = read("one.gz")[..18].to_vec();
    file.extend(miniz_oxide::deflate::compress_to_vec(&zeros, 6));
    file.extend([0; 8]);
    file
}

#[test]
fn a_bomb_stays_closed() {
    let file = bomb(VIEW_BYTES + 1);
    assert!(file.len() < 100_000);
    assert!(streams(&file).is_empty());
    assert_eq!(view(&file), None);
    // One that may be viewed, but not closed again.
    let file = bomb(PLAIN_BYTES + 1);
    let found = streams(&file);
    assert_eq!(found.len(), 1);
    assert!(open(&file, &found, &|_| true, &Here).is_none());
}

#[test]
fn cut_files_are_opened_as_far_as_they_go() {
    for name in ["one.gz", "two.gz", "some.zip"] {
        let file = read(name);
        for len in 0..file.len() {
            let cut = &file[..len];
            let found = streams(cut);
            for stream in &found {
                assert!(stream.place.end <= len);
            }
            // These hold no list.
            assert_eq!(view(cut).is_some(), !found.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn edited_files_never_panic_and_come_back_exactly(
        which in 0..3usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = read(["one.gz", "two.gz", "some.zip"][which]);
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let found = streams(&file);
        if let Some(opened) = open(&file, &found, &|_| true, &Here) {
            prop_assert_eq!(close(&opened.view, &opened.recipe, file.len() as u64, &Here), Ok(file));
        }
    }
}
