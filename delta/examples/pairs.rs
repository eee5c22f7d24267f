//! What deltas between real releases cost, each applied and compared.
//!
//! `cargo run --release -p updraft-delta --example pairs -- DIR [PAIR…]` takes
//! every `DIR/PAIR/{old,new}` (bench/delta/fetch.sh fetches some), or those
//! named. Files that are the same on both sides are left out; of the others,
//! small ones are packed. Beside ours stand, over the same files put one
//! behind the other, zstd with all old bytes as prefix, and bsdiff where that
//! program is installed. A KB has 1000 bytes.

#![expect(clippy::disallowed_methods, reason = "a bench reads trees, a clock and its arguments")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs, io};

use updraft_delta::{Encoder, Options, ReadAt, Source, Target, apply, header};
use zstd_safe::{CCtx, CParameter};

/// Files shorter than this are packed.
const PACKED_BELOW: usize = 256 << 10;
/// The most bytes of a piece.
const PIECE_BYTES: usize = 1 << 20;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let Some(dir) = arguments.next() else {
        eprintln!("usage: pairs DIR [PAIR…], where DIR/PAIR/old and DIR/PAIR/new are trees");
        return ExitCode::from(2);
    };
    let mut pairs: Vec<PathBuf> = arguments.map(|pair| dir.join(pair)).collect();
    if pairs.is_empty() {
        pairs = fs::read_dir(&dir)
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        pairs.retain(|pair| pair.join("old").is_dir() && pair.join("new").is_dir());
        pairs.sort();
    }
    println!(
        "{:18} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9} {:>10} {:>10} {:>10}",
        "pair",
        "new KB",
        "full KB",
        "delta KB",
        "objects",
        "CPU s",
        "apply MB/s",
        "zstd KB",
        "bsdiff KB",
        "bsdiff s"
    );
    let mut code = ExitCode::SUCCESS;
    for pair in pairs {
        match measure(&pair) {
            Ok(row) => println!("{row}"),
            Err(why) => {
                eprintln!("{}: {why}", pair.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// Encodes, applies and compares one pair, and gives its row of the table.
fn measure(pair: &Path) -> io::Result<String> {
    let name = pair.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (old, new) = (Tree::read(&pair.join("old"))?, Tree::read(&pair.join("new"))?);
    let (old_packs, new_packs) = (old.without(&new), new.without(&old));

    let cpu = cpu_time();
    let sources: Vec<Source<'_>> = old_packs.iter().map(Pack::as_source).collect();
    let encoder = Encoder::new(sources, &Options::default()).map_err(io::Error::other)?;
    let ends: Vec<Vec<usize>> = new_packs.iter().map(Pack::piece_ends).collect();
    let targets: Vec<Target<'_>> = new_packs
        .iter()
        .zip(&ends)
        .map(|(pack, ends)| Target { bytes: &pack.bytes, piece_ends: ends })
        .collect();
    let deltas = encoder.encode(&targets, &|_| ());
    let encode_cpu = cpu_time() - cpu;
    drop(encoder);

    let by_id: BTreeMap<[u8; 32], &Pack> = old_packs.iter().map(|pack| (pack.id, pack)).collect();
    let mut rounds = 0;
    let cpu = cpu_time();
    let mut apply_cpu = Duration::ZERO;
    // The clock ticks every 10 ms: a short apply is measured several times.
    while apply_cpu < Duration::from_millis(300) {
        for (target, deltas) in targets.iter().zip(&deltas) {
            compare(target.bytes, deltas, &by_id)?;
        }
        apply_cpu = cpu_time() - cpu;
        rounds += 1;
    }

    let old_bytes: Vec<u8> = old_packs.iter().flat_map(|pack| &pack.bytes).copied().collect();
    let new_bytes: Vec<u8> = new_packs.iter().flat_map(|pack| &pack.bytes).copied().collect();
    let full: usize = new.packs().iter().map(|pack| zstd(&pack.bytes, &[])).sum();
    let patch_from = zstd(&new_bytes, &old_bytes);
    let bsdiff = bsdiff(&old_bytes, &new_bytes)?;

    let kb = |bytes: usize| format!("{:.2}", bytes as f64 / 1000.0);
    let delta_bytes = deltas.iter().flatten().map(Vec::len).sum();
    Ok(format!(
        "{name:18} {:>9} {:>9} {:>9} {:>9} {:>7.1} {:>10.0} {:>10} {:>10} {:>10}",
        kb(new_bytes.len()),
        kb(full),
        kb(delta_bytes),
        deltas.iter().map(Vec::len).sum::<usize>(),
        encode_cpu.as_secs_f64(),
        (rounds * new_bytes.len()) as f64 / apply_cpu.as_secs_f64() / 1e6,
        kb(patch_from),
        bsdiff.map_or_else(|| "-".to_owned(), |(bytes, _)| kb(bytes)),
        bsdiff.map_or_else(|| "-".to_owned(), |(_, cpu)| format!("{:.1}", cpu.as_secs_f64())),
    ))
}

/// Applies all deltas of a target, and compares what they make with it.
fn compare(target: &[u8], deltas: &[Vec<u8>], old: &BTreeMap<[u8; 32], &Pack>) -> io::Result<()> {
    let (mut made, mut at) = (Vec::new(), 0);
    for delta in deltas {
        let header = header(delta).map_err(io::Error::other)?;
        let given: Vec<&dyn ReadAt> =
            header.sources.iter().map(|source| &old[&source.id].bytes as _).collect();
        apply(delta, &given, PIECE_BYTES as u64, &mut made).map_err(io::Error::other)?;
        if !target[at..].starts_with(&made) {
            return Err(io::Error::other("a piece does not compare equal"));
        }
        at += made.len();
    }
    if at == target.len() { Ok(()) } else { Err(io::Error::other("a target is not complete")) }
}

/// The files of a directory, in the order of their paths.
struct Tree {
    files: Vec<(blake3::Hash, Vec<u8>)>,
}

impl Tree {
    fn read(dir: &Path) -> io::Result<Self> {
        let mut paths = BTreeSet::new();
        let mut dirs = vec![dir.to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    dirs.push(entry.path());
                } else if kind.is_file() {
                    paths.insert(entry.path());
                }
            }
        }
        let read = |path: PathBuf| fs::read(path).map(|bytes| (blake3::hash(&bytes), bytes));
        Ok(Self { files: paths.into_iter().map(read).collect::<io::Result<_>>()? })
    }

    /// Its files that `other` does not have, in packs.
    fn without(&self, other: &Self) -> Vec<Pack> {
        let mut known: BTreeSet<[u8; 32]> =
            other.files.iter().map(|(id, _)| *id.as_bytes()).collect();
        let changed = self.files.iter().filter(|(id, _)| known.insert(*id.as_bytes()));
        Pack::all(changed.map(|(_, bytes)| &bytes[..]))
    }

    fn packs(&self) -> Vec<Pack> {
        Pack::all(self.files.iter().map(|(_, bytes)| &bytes[..]))
    }
}

/// A file, or several small ones one behind the other.
struct Pack {
    id: [u8; 32],
    bytes: Vec<u8>,
}

impl Pack {
    fn all<'a>(files: impl Iterator<Item = &'a [u8]>) -> Vec<Self> {
        let mut packs = Vec::new();
        let mut open = Vec::new();
        let close = |bytes: Vec<u8>| Self { id: *blake3::hash(&bytes).as_bytes(), bytes };
        for file in files {
            if file.len() >= PACKED_BELOW {
                packs.push(close(file.to_vec()));
                continue;
            }
            if open.len() + file.len() > PIECE_BYTES {
                packs.push(close(std::mem::take(&mut open)));
            }
            open.extend_from_slice(file);
        }
        packs.extend((!open.is_empty()).then(|| close(open)));
        packs
    }

    fn as_source(&self) -> Source<'_> {
        Source { id: self.id, bytes: &self.bytes }
    }

    fn piece_ends(&self) -> Vec<usize> {
        (0..self.bytes.len())
            .step_by(PIECE_BYTES)
            .map(|start| (start + PIECE_BYTES).min(self.bytes.len()))
            .collect()
    }
}

/// The length of `bytes` as one zstd frame, `prefix` being known.
fn zstd(bytes: &[u8], prefix: &[u8]) -> usize {
    let window_log = usize::BITS - (bytes.len() + prefix.len()).leading_zeros();
    let sound = "parameters are within zstd's bounds and the output has room";
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(19)).expect(sound);
    context.set_parameter(CParameter::WindowLog(window_log.clamp(10, 31))).expect(sound);
    // What `zstd --patch-from` does where old files are long.
    context.set_parameter(CParameter::EnableLongDistanceMatching(!prefix.is_empty())).expect(sound);
    context.ref_prefix(prefix).expect(sound);
    context.compress2(&mut out, bytes).expect(sound)
}

/// The length of a patch by bsdiff and the CPU time it took, if it is installed.
fn bsdiff(old: &[u8], new: &[u8]) -> io::Result<Option<(usize, Duration)>> {
    let dir = env::temp_dir().join(format!("updraft-pairs-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let [old_path, new_path, patch] = ["old", "new", "patch"].map(|name| dir.join(name));
    fs::write(&old_path, old)?;
    fs::write(&new_path, new)?;
    let cpu = cpu_time_of_children();
    let ran = Command::new("bsdiff").args([&old_path, &new_path, &patch]).status();
    let taken = match ran {
        Ok(status) if status.success() => {
            Some((fs::metadata(&patch)?.len() as usize, cpu_time_of_children() - cpu))
        }
        _ => None,
    };
    fs::remove_dir_all(&dir)?;
    Ok(taken)
}

fn cpu_time() -> Duration {
    ticks(13)
}

fn cpu_time_of_children() -> Duration {
    ticks(15)
}

/// User and system time from the given field of proc(5)'s stat, in ticks of 10 ms.
fn ticks(field: usize) -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks = fields.skip(field - 2).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
