//! Sound deltas, their decisions changed one by one behind the coder, make
//! their target or nothing.

#![no_main]

use std::sync::LazyLock;

use delta::testing::{decisions, retold};
use delta::{Encoder, Options, ReadAt, Target, apply, header};
use libfuzzer_sys::fuzz_target;

#[path = "../../delta/tests/edits/mod.rs"]
mod edits;

use edits::executable::library;
use edits::{Random, edited, program};

/// A delta, what it is made from, what it makes, and its decisions.
struct Sound {
    delta: Vec<u8>,
    old: Vec<u8>,
    new: Vec<u8>,
    told: Vec<u32>,
}

impl Sound {
    fn new((old, new): (Vec<u8>, Vec<u8>)) -> Self {
        let encoder = Encoder::new(vec![&old], &Options { level: 5 }).unwrap();
        let target = Target { bytes: &new, piece_ends: &[new.len()] };
        let delta = encoder.encode(&[target], &|_| ()).remove(0).remove(0).object;
        let sources: Vec<&dyn ReadAt> = vec![&old; header(&delta).unwrap().source_count];
        let told = decisions(&delta, &sources);
        Self { delta, old, new, told }
    }
}

/// Of text, of programs, of executables with tables, and of what is all new.
static ALL: LazyLock<Vec<Sound>> = LazyLock::new(|| {
    let text = Random(1).bytes(4000, 20);
    let pairs = [
        (text.clone(), edited(&text, &mut Random(8))),
        (program(9000, 0, 0), program(9000, 4000, 48)),
        (library(30, false), library(30, true)),
        (Vec::new(), [Random(3).bytes(40_000, 20), Random(4).bytes(9000, 255)].concat()),
    ];
    pairs.into_iter().map(Sound::new).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((which, edits)) = bytes.split_first() else { return };
    let sound = &ALL[usize::from(*which) % ALL.len()];
    let mut told = sound.told.clone();
    // Each edit: what is done, where, and a value.
    for edit in edits.as_chunks::<5>().0 {
        let [kind, low, high, value, more] = *edit;
        let at = usize::from(u16::from_le_bytes([low, high])) % told.len().max(1);
        let value = u32::from(u16::from_le_bytes([value, more]));
        match kind % 4 {
            0 if at < told.len() => told[at] = value,
            1 => told.insert(at, value),
            2 if at < told.len() => drop(told.remove(at)),
            _ => told.truncate(at + 1),
        }
    }
    let sources: Vec<&dyn ReadAt> = vec![&sound.old; header(&sound.delta).unwrap().source_count];
    let Some(delta) = retold(&sound.delta, &sources, &told) else { return };
    let mut made = Vec::new();
    match apply(&delta, &sources, sound.new.len() as u64, &mut made) {
        Ok(()) => assert!(made == sound.new),
        Err(_) => assert!(made.is_empty()),
    }
});
