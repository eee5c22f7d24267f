//! The memory that applying takes, whatever the delta says.
//!
//! Each delta is applied by a process of its own: memory that an earlier one
//! freed would hide what the next one takes.

#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "a process is started, and its peak read")]

mod edits;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::{env, fs, io};

use updraft_delta::{Encoder, Options, ReadAt, Target, apply};

use crate::edits::Random;
use crate::edits::executable::library;

const MIB: usize = 1 << 20;

/// What a worker may take beside the result, by docs/delta.md.
const ALLOWED_KIB: u64 = 16 << 10;

/// Old bytes that stay on the disk.
struct OnDisk(File);

impl ReadAt for OnDisk {
    fn len(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
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
    let old = OnDisk(File::open(env::var("OLD").unwrap()).unwrap());
    let before = status("VmRSS:");
    let mut out = Vec::new();
    apply(&delta, &[&old], MIB as u64, &mut out).unwrap();
    println!("peak {}", status("VmHWM:") - before);
}

/// How far making `new` of `old` raises the peak of a process, in KiB.
fn peak_of_applying(name: &str, old: &[u8], new: &[u8]) -> u64 {
    let encoder = Encoder::new(vec![old], &Options { level: 3 }).unwrap();
    let target = Target { bytes: new, piece_ends: &[new.len()] };
    let delta = encoder.encode(&[target], &|_| ()).remove(0).remove(0).object;
    let dir = env::temp_dir().join(format!("updraft-delta-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("delta"), delta).unwrap();
    fs::write(dir.join("old"), old).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "worker", "--ignored", "--nocapture"])
        .env("DELTA", dir.join("delta"))
        .env("OLD", dir.join("old"))
        .output()
        .unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let peak = printed.lines().find_map(|line| line.strip_prefix("peak "));
    peak.unwrap_or_else(|| panic!("{printed}")).parse().unwrap()
}

#[test]
fn applying_stays_under_16_mib() {
    // Runs taken from all over the old file, as short as they are worth it:
    // the most copies, and the most old bytes gathered around them.
    let old = Random(1).bytes(20 * MIB, 255);
    let noise = Random(2).bytes(MIB, 255);
    let scattered: Vec<u8> = (0..MIB / 48)
        .flat_map(|run| {
            let from = run * 950;
            [&old[from..from + 40], &noise[run * 8..run * 8 + 8]].concat()
        })
        .collect();
    let program = library(7000, true);
    let pairs = [
        ("scattered", old, scattered),
        ("program", library(7000, false), program[program.len() - MIB..].to_vec()),
    ];
    for (name, old, new) in pairs {
        let peak = peak_of_applying(name, &old, &new);
        println!("{name}: {peak} KiB");
        assert!(peak > 1024, "{name}: {peak} KiB cannot be all");
        assert!(peak < ALLOWED_KIB, "{name}: {peak} KiB beyond the start");
    }
}
