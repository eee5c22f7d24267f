//! Sound deltas whose decisions are changed one by one, behind the coder.

mod edits;

use updraft_delta::testing::{decisions, retold};
use updraft_delta::{Encoder, Options, ReadAt, Target, apply, header};

use crate::edits::executable::library;
use crate::edits::{Random, edited, program, seeds};

/// A delta, what it is made from, what it makes, and its decisions.
struct Sound {
    delta: Vec<u8>,
    old: Vec<u8>,
    new: Vec<u8>,
    told: Vec<u32>,
}

impl Sound {
    fn new(old: Vec<u8>, new: Vec<u8>) -> Self {
        let encoder = Encoder::new(vec![&old], &Options { level: 5 }).unwrap();
        let target = Target { bytes: &new, piece_ends: &[new.len()] };
        let delta = encoder.encode(&[target], &|_| ()).remove(0).remove(0).object;
        let told =
            decisions(&delta, &vec![&old as &dyn ReadAt; header(&delta).unwrap().source_count]);
        Self { delta, old, new, told }
    }

    fn sources(&self) -> Vec<&dyn ReadAt> {
        vec![&self.old; header(&self.delta).unwrap().source_count]
    }
}

/// Of text, of programs, of executables with tables, and of what is all new.
fn all() -> Vec<Sound> {
    let text = Random(1).bytes(9000, 20);
    let pairs = [
        (text.clone(), edited(&text, &mut Random(8))),
        (program(20_000, 0, 0), program(20_000, 9000, 48)),
        (library(40, false), library(40, true)),
        (Vec::new(), [Random(3).bytes(60_000, 20), Random(4).bytes(20_000, 255)].concat()),
    ];
    pairs.into_iter().map(|(old, new)| Sound::new(old, new)).collect()
}

#[test]
fn a_delta_is_told_again_as_it_was() {
    let mut long = 0;
    for Sound { delta, old, new, told } in all() {
        let sources: Vec<&dyn ReadAt> = vec![&old; header(&delta).unwrap().source_count];
        assert!(told.len() > 50, "{}", told.len());
        assert!(retold(&delta, &sources, &told).unwrap() == delta);
        let mut made = Vec::new();
        apply(&delta, &sources, new.len() as u64, &mut made).unwrap();
        assert!(made == new);
        long += usize::from(delta.len() > 16 << 10);
    }
    assert!(long > 0, "one stream has two states");
}

#[test]
fn changed_decisions_make_the_target_or_nothing() {
    let all = all();
    let mut changed_body = 0;
    for seed in seeds(1500) {
        let mut random = Random(seed);
        let sound = &all[random.below(all.len())];
        let mut told = sound.told.clone();
        // What comes first decides most.
        let reach = [20, 200, 2000, usize::MAX][random.below(4)];
        for _ in 0..1 + random.below(4) {
            let at = random.below(told.len().min(reach));
            match random.below(5) {
                0 => told[at] ^= 1 << random.below(16),
                1 => told[at] = random.next() as u32,
                2 => told.insert(at, random.next() as u32),
                3 if told.len() > 1 => drop(told.remove(at)),
                // One decision stays, so that there is one to change.
                _ => told.truncate(at + 1),
            }
        }
        let sources = sound.sources();
        let Some(delta) = retold(&sound.delta, &sources, &told) else { continue };
        changed_body += usize::from(delta != sound.delta);
        let mut made = b"from before".to_vec();
        match apply(&delta, &sources, sound.new.len() as u64, &mut made) {
            Ok(()) => assert!(made == sound.new, "seed {seed}: other bytes than the target"),
            Err(_) => assert!(made.is_empty(), "seed {seed}: an error leaves nothing behind"),
        }
    }
    assert!(changed_body > 500, "{changed_body} deltas were changed");
}
