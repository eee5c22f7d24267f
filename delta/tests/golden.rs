//! Files that a decoder of this format must make, and the example of docs/delta.md.

#![expect(clippy::disallowed_methods, reason = "golden files are read from the disk")]

mod edits;
mod forge;

use std::fs;
use std::path::PathBuf;

use updraft_delta::{Encoder, Options, ReadAt, Source, Target, apply, header};

use crate::edits::program;
use crate::forge::{
    ADDED, CONTROL, DIFFERENCE, EXTRA, Forged, RANGES, WHOLE, control, framed, id, number, stored,
};

/// Where the golden files lie: CASE.delta, CASE.new and CASE.old-0, CASE.old-1, ….
fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect()
}

#[test]
fn golden_deltas_make_golden_files() {
    for (case, sources) in [("whole", 0), ("prefix", 1), ("difference", 2), ("words", 1)] {
        let delta = fs::read(data(&format!("{case}.delta"))).unwrap();
        let new = fs::read(data(&format!("{case}.new"))).unwrap();
        let old = (0..sources).map(|at| fs::read(data(&format!("{case}.old-{at}"))).unwrap());
        let old: Vec<Vec<u8>> = old.collect();
        let header = header(&delta).unwrap();
        assert_eq!((header.target_len, header.target_id), (new.len() as u64, id(&new)), "{case}");
        let named: Vec<_> = header.sources.iter().map(|source| (source.id, source.len)).collect();
        let given: Vec<_> = old.iter().map(|old| (id(old), old.len() as u64)).collect();
        assert_eq!(named, given, "{case}");
        let sources: Vec<&dyn ReadAt> = old.iter().map(|old| old as _).collect();
        let mut made = Vec::new();
        apply(&delta, &sources, new.len() as u64, &mut made).unwrap();
        assert_eq!(made, new, "{case}");
    }
}

#[test]
fn the_example_of_the_docs_makes_its_target() {
    let docs = include_str!("../../docs/delta.md");
    let example = docs.split("```").find_map(|block| block.strip_prefix("bytes\n")).unwrap();
    // Of each line, the bytes stand before what they mean.
    let lines = example.lines().map(|line| line.split("  ").next().unwrap_or_default());
    let digits: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let delta: Vec<u8> = digits.iter().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let mut made = Vec::new();
    let old = b"The old fox sleeps in the barn.\n".to_vec();
    apply(&delta, &[&old], 100, &mut made).unwrap();
    assert_eq!(made, b"The red fox sleeps all day in the barn.\n");
}

#[test]
#[ignore = "writes the golden files anew, when the format changes"]
fn write_golden_files() {
    let text = |from: usize, to: usize| -> Vec<u8> {
        (from..to)
            .flat_map(|line| format!("line {line} of {}\n", line * 7 % 31).into_bytes())
            .collect()
    };
    let write = |case: &str, delta: &[u8], new: &[u8], old: &[&[u8]]| {
        fs::create_dir_all(data("")).unwrap();
        fs::write(data(&format!("{case}.delta")), delta).unwrap();
        fs::write(data(&format!("{case}.new")), new).unwrap();
        for (at, old) in old.iter().enumerate() {
            fs::write(data(&format!("{case}.old-{at}")), old).unwrap();
        }
    };

    let new = text(0, 60);
    let whole = Forged::new(WHOLE, &new, &[]).with(EXTRA, framed(&new, b"", new.len() as u64));
    write("whole", &whole.bytes(), &new, &[]);

    let old = text(20, 90);
    let ranges = [number(0), number(256), number(64), number(512)].concat();
    let prefix = [&old[..256], &old[320..832]].concat();
    let whole = Forged::new(WHOLE, &new, &[&old])
        .with(RANGES, stored(&ranges))
        .with(EXTRA, framed(&new, &prefix, new.len() as u64));
    write("prefix", &whole.bytes(), &new, &[&old]);

    let old = [text(0, 30), text(30, 60)];
    let mut new = [&old[1][100..300], b"something new", &old[0][10..110]].concat();
    (0..200).step_by(9).for_each(|at| new[at] = new[at].wrapping_sub(2));
    let mut added = vec![0; 300];
    (0..200).step_by(9).for_each(|at| added[at] = 254);
    let first = old[0].len() as i64;
    let list = control(&[(0, first + 100, 200), (13, 10 - 213 - first - 100, 100)]);
    let difference = Forged::new(DIFFERENCE, &new, &[&old[0], &old[1]])
        .with(CONTROL, stored(&list))
        .with(ADDED, framed(&added, b"", 300))
        .with(EXTRA, stored(b"something new"));
    write("difference", &difference.bytes(), &new, &[&old[0], &old[1]]);

    let (old, new) = (program(9_000, 0, 0), program(9_000, 4_000, 40));
    let encoder =
        Encoder::new(vec![Source { id: id(&old), bytes: &old }], &Options::default()).unwrap();
    let target = Target { bytes: &new, piece_ends: &[new.len()] };
    write("words", &encoder.encode(&[target], &|_| ())[0][0], &new, &[&old]);
}
