//! Files that a decoder of this format must make, and the example of docs/delta.md.

#![expect(clippy::disallowed_methods, reason = "golden files are read from the disk")]

mod edits;
mod forge;

use std::fs;
use std::path::PathBuf;

use updraft_delta::{Encoder, Options, ReadAt, Target, apply, header};

use crate::edits::executable::library;
use crate::edits::{Random, program};
use crate::forge::{Forged, WHOLE, marked};

/// Where the golden files lie: CASE.delta, CASE.new and CASE.old-0, CASE.old-1, ….
fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect()
}

const EXAMPLE_OLD: &[u8] = b"The old fox sleeps in the barn, where it is warm and dry.\n";
const EXAMPLE_NEW: &[u8] = b"The red fox sleeps all day in the barn, where it is warm and dry.\n";

#[test]
fn golden_deltas_make_golden_files() {
    let cases = [
        ("whole", 0),
        ("text", 2),
        ("bare", 0),
        ("words", 1),
        ("zones", 1),
        ("big", 1),
        ("little", 1),
    ];
    for (case, sources) in cases {
        let delta = fs::read(data(&format!("{case}.delta"))).unwrap();
        let new = fs::read(data(&format!("{case}.new"))).unwrap();
        let old = (0..sources).map(|at| fs::read(data(&format!("{case}.old-{at}"))).unwrap());
        let old: Vec<Vec<u8>> = old.collect();
        let header = header(&delta).unwrap();
        assert_eq!(
            (header.target_len, header.target_mark),
            (new.len() as u64, marked(&new)),
            "{case}"
        );
        assert_eq!(header.source_count, sources, "{case}");
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
    apply(&delta, &[&EXAMPLE_OLD.to_vec()], 100, &mut made).unwrap();
    assert_eq!(made, EXAMPLE_NEW);
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

    let encoded = |old: &[&[u8]], new: &[u8]| {
        let encoder = Encoder::new(old.to_vec(), &Options::default()).unwrap();
        let made = encoder.encode(&[Target { bytes: new, piece_ends: &[new.len()] }], &|_| ());
        made[0][0].object.clone()
    };
    println!("the example of the docs: {:02x?}", encoded(&[EXAMPLE_OLD], EXAMPLE_NEW));
    let new = text(0, 60);
    write("whole", &Forged::new(WHOLE, &new, 0, &new).bytes(), &new, &[]);
    let old = [text(0, 30), Random(6).bytes(600, 20)];
    let mut new = [&old[1][100..300], b"something new", &old[0][10..210]].concat();
    (0..200).step_by(31).for_each(|at| new[at] = new[at].wrapping_sub(2));
    let old = [&old[0][..], &old[1]];
    write("text", &encoded(&old, &new), &new, &old);
    let new = [text(3, 900), Random(5).bytes(17_000, 255)].concat();
    write("bare", &encoded(&[], &new), &new, &[]);
    let (old, new) = (program(9_000, 0, 0), program(9_000, 4_000, 40));
    write("words", &encoded(&[&old], &new), &new, &[&old]);
    let (old, new) = (library(60, false), library(60, true));
    write("zones", &encoded(&[&old], &new), &new, &[&old]);
    // Numbers of four bytes that grew, before others that stay; in the second
    // file they are the upper 20 bits of what might be an instruction.
    let numbers = |bytes: fn(u32) -> [u8; 4], by: u32| -> Vec<u8> {
        let all = (0..300u32).map(|at| at.wrapping_mul(0x9e37_79b1) ^ at << 7);
        all.flat_map(|at| [bytes(at.wrapping_add(by)), bytes(at >> 9)].concat()).collect()
    };
    let (old, new) = (numbers(u32::to_be_bytes, 0), numbers(u32::to_be_bytes, 0x1fed));
    write("big", &encoded(&[&old], &new), &new, &[&old]);
    let (old, new) = (numbers(u32::to_le_bytes, 0), numbers(u32::to_le_bytes, 0x1fe_d000));
    write("little", &encoded(&[&old], &new), &new, &[&old]);
}
