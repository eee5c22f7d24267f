//! What deltas between real releases cost, beside what others make of them.
//!
//! `cargo run --release -p updraft-delta --example pairs -- DIR [PAIR…]` takes
//! every `DIR/PAIR/{old,new}` (bench/delta/fetch.sh fetches some), or those
//! named; `--ours` leaves the others out, `--beside=NAME` all but one. Files that are the same on both
//! sides are left out; of the others, small ones are packed. Over the same
//! files put one behind the other stand bsdiff, `zstd -19 --patch-from` and
//! HDiffPatch, of these whatever is installed. Everything runs in a process of
//! its own, ours applies on one thread, and every result is compared with the
//! new files. A KB has 1000 bytes; memory is the peak, in MB; *cores* is how
//! many threads ran, or waited for a core, on the average. Behind our line
//! stands how fast the deltas are applied in memory, without any process,
//! beside copying what they make.

#![expect(clippy::disallowed_methods, reason = "a bench reads trees, a clock and its arguments")]

mod ours;
mod peers;
mod process;
mod trees;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use crate::peers::Measured;
use crate::trees::Changed;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["encode", dir] => ours::encode(Path::new(dir)),
        ["apply", dir] => ours::apply(Path::new(dir)),
        ["speed", dir] => ours::speed(Path::new(dir)),
        [] => Err(io::Error::other("usage: pairs [--ours] [--beside=NAME] DIR [PAIR…]")),
        _ => compare_all(&arguments),
    };
    if let Err(why) = done {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn compare_all(arguments: &[String]) -> io::Result<()> {
    let alone = arguments.iter().any(|argument| argument == "--ours");
    let only = arguments.iter().find_map(|argument| argument.strip_prefix("--beside="));
    let beside = |name: &str| !alone && only.is_none_or(|only| only == name);
    let mut named =
        arguments.iter().filter(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let dir = named.next().ok_or_else(|| io::Error::other("which directory?"))?;
    let mut pairs: Vec<PathBuf> = named.map(|pair| dir.join(pair)).collect();
    if pairs.is_empty() {
        let entries = fs::read_dir(&dir)?;
        pairs = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        pairs.retain(|pair| pair.join("old").is_dir() && pair.join("new").is_dir());
        pairs.sort();
    }
    println!(
        "{:16} {:12} {:>9} {:>6} {:>9} {:>6} {:>5} {:>8} {:>6} {:>6} {:>8} {:>6}",
        "pair",
        "by",
        "KB",
        "ours",
        "encode s",
        "ours",
        "cores",
        "MB",
        "apply s",
        "ours",
        "MB/s",
        "MB"
    );
    for pair in pairs {
        compare(&pair, &beside)
            .map_err(|why| io::Error::other(format!("{}: {why}", pair.display())))?;
    }
    Ok(())
}

/// Measures one pair, and prints a line for us and each of those `beside` us.
fn compare(pair: &Path, beside: &dyn Fn(&str) -> bool) -> io::Result<()> {
    let name = pair.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = env::temp_dir().join(format!("updraft-pairs-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let new_bytes = Changed::between(&pair.join("old"), &pair.join("new"))?.write(&dir)?;
    let ours = peers::ours(&dir)?;
    print(&name, "ours", &ours, &ours, new_bytes);
    print!("{name:16} {}", peers::speed_of_ours(&dir)?);
    for (by, measured) in peers::others(&dir, beside)? {
        print(&name, by, &measured, &ours, new_bytes);
    }
    fs::remove_dir_all(&dir)
}

/// One line; ratios are ours to this.
fn print(pair: &str, by: &str, measured: &Measured, ours: &Measured, new_bytes: u64) {
    let (encode, apply) = (measured.encode.cpu.as_secs_f64(), measured.apply.cpu.as_secs_f64());
    let ratio = |ours: f64, this: f64| format!("{:.2}", ours / this.max(0.005));
    println!(
        "{pair:16} {by:12} {:>9.2} {:>6} {encode:>9.1} {:>6} {:>5.2} {:>8} {apply:>6.2} {:>6} {:>8.0} {:>6}",
        measured.bytes as f64 / 1000.0,
        ratio(ours.bytes as f64, measured.bytes as f64),
        ratio(ours.encode.cpu.as_secs_f64(), encode),
        measured.encode.busy,
        measured.encode.peak_bytes / 1_000_000,
        ratio(ours.apply.cpu.as_secs_f64(), apply),
        new_bytes as f64 / apply.max(0.005) / 1e6,
        measured.apply.peak_bytes / 1_000_000,
    );
}
