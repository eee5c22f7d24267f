//! The memory that applying takes, whatever the delta says.
//!
//! Each delta is applied by a process of its own: memory that an earlier one
//! freed would hide what the next one takes.

#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "a process is started, and its peak read")]

mod edits;
mod forge;

use std::process::Command;
use std::{env, fs, io};

use updraft_delta::{ReadAt, apply, limits};

use crate::edits::Random;
use crate::forge::{
    CHANGES, CONTROL, DIFFERENCE, EXTRA, Forged, GAPS, RANGES, WHOLE, control, framed, id, number,
    signed, stored,
};

const MIB: usize = 1 << 20;

/// What a worker may take beside the result, by docs/delta.md.
const ALLOWED_KIB: u64 = 16 << 10;

/// A source that no delta could be made to hold in memory.
const SOURCE_LEN: u64 = 1 << 40;

/// Old bytes without memory for them.
struct Zeros(u64);

impl ReadAt for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        Ok(())
    }
}

/// A line of proc(5)'s status, in KiB.
fn status(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    found.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// Applies the delta in the file that `DELTA` names, and prints how far that
/// raised the peak, in KiB.
#[test]
#[ignore = "started by the other test, once for each delta"]
fn worker() {
    let delta = fs::read(env::var("DELTA").unwrap()).unwrap();
    let before = status("VmRSS:");
    let mut out = Vec::new();
    apply(&delta, &[&Zeros(SOURCE_LEN)], MIB as u64, &mut out).unwrap();
    println!("peak {}", status("VmHWM:") - before);
}

/// How far applying `delta` raises the peak of a process, in KiB.
fn peak_of_applying(name: &str, delta: &[u8]) -> u64 {
    let file = env::temp_dir().join(format!("updraft-delta-{name}-{}", std::process::id()));
    fs::write(&file, delta).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "worker", "--ignored", "--nocapture"])
        .env("DELTA", &file)
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let peak = printed.lines().find_map(|line| line.strip_prefix("peak "));
    peak.unwrap_or_else(|| panic!("{printed}")).parse().unwrap()
}

/// As many ranges as their list can name, and together as long as a prefix may be.
fn widest_prefix() -> Vec<u8> {
    let count = limits::MAX_RANGES_BYTES / 3;
    let each = limits::MAX_PREFIX_BYTES / count;
    stored(&[number(1), number(each as u64)].concat().repeat(count))
}

#[test]
fn applying_stays_under_16_mib() {
    let noise = Random(1).bytes(MIB, 255);

    // All of a piece as one stream behind the longest prefix.
    let mut whole = Forged::new(WHOLE, &noise, &[]);
    whole.sources = vec![([0; 32], SOURCE_LEN)];
    let whole = whole
        .with(RANGES, stored(&[number(7), number(limits::MAX_PREFIX_BYTES as u64)].concat()))
        .with(EXTRA, framed(&noise, &vec![0; limits::MAX_PREFIX_BYTES], MIB as u64));

    // The most segments, half of the piece copied and changed throughout, half extra.
    let segments = limits::max_segments(MIB as u64) as usize;
    let half = MIB / 2;
    let each = half / segments;
    let mut list = control(&[(each as u64, 0, each as u64)]).repeat(segments - 1);
    list.extend(control(&[(0, 0, (half - each * (segments - 1)) as u64)]));
    let change = 0x0102_0304;
    let words = half / 4;
    let changed = |at: usize| [4, 3, 2, 1][at % 4];
    let extra_len = MIB - half;
    let (mut target, mut copied, mut extra) = (Vec::new(), 0, 0);
    for segment in 0..segments {
        let last = segment + 1 == segments;
        let (before, len) = if last { (0, half - copied) } else { (each, each) };
        target.extend_from_slice(&noise[extra..extra + before]);
        target.extend((copied..copied + len).map(changed));
        (extra, copied) = (extra + before, copied + len);
    }
    target.extend_from_slice(&noise[extra..extra_len]);
    let mut difference = Forged::new(DIFFERENCE, &target, &[]);
    difference.target_id = id(&target);
    difference.sources = vec![([0; 32], SOURCE_LEN)];
    let prefix = vec![0; limits::MAX_PREFIX_BYTES];
    let gaps = vec![0; words];
    let changes = signed(change).repeat(words);
    let difference = difference
        .with(RANGES, widest_prefix())
        .with(CONTROL, framed(&list, &[], list.len() as u64))
        .with(GAPS, framed(&gaps, &[], gaps.len() as u64))
        .with(CHANGES, framed(&changes, &[], changes.len() as u64))
        .with(EXTRA, framed(&noise[..extra_len], &prefix, extra_len as u64));

    for (name, forged) in [("whole", whole), ("difference", difference)] {
        let peak = peak_of_applying(name, &forged.bytes());
        println!("{name}: {peak} KiB");
        assert!(peak > 2048, "{name}: {peak} KiB cannot be all");
        assert!(peak < ALLOWED_KIB, "{name}: {peak} KiB beyond the start");
    }
}
