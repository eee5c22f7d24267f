//! Our encoder and decoder, each as a process works with them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use updraft_delta::limits::MAX_LEVEL;
use updraft_delta::{Encoder, Options, ReadAt, Source, Target};

use crate::process::own_cpu;
use crate::trees::PIECE_BYTES;

fn listed(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// Makes `deltas/N/M` for piece M of `new/N` from `old/*`, and `sources/N/M`,
/// which lists those of them that it reads, as a manifest would.
pub(crate) fn encode(dir: &Path) -> io::Result<()> {
    let read = |side: &str| -> io::Result<Vec<Vec<u8>>> {
        listed(&dir.join(side))?.iter().map(fs::read).collect()
    };
    let (old, new) = (read("old")?, read("new")?);
    let sources = old.iter().map(Vec::as_slice).collect();
    let encoder = Encoder::new(sources, &Options::default()).map_err(io::Error::other)?;
    let ends = |bytes: &Vec<u8>| -> Vec<usize> {
        let starts = (0..bytes.len()).step_by(PIECE_BYTES);
        starts.map(|start| (start + PIECE_BYTES).min(bytes.len())).collect()
    };
    let ends: Vec<Vec<usize>> = new.iter().map(ends).collect();
    let targets = new.iter().zip(&ends).map(|(bytes, ends)| Target { bytes, piece_ends: ends });
    let made = encoder.encode(&targets.collect::<Vec<_>>(), &|_| ());
    for (target, deltas) in made.iter().enumerate() {
        let [objects, sources] =
            ["deltas", "sources"].map(|kind| dir.join(kind).join(format!("{target:06}")));
        fs::create_dir_all(&objects)?;
        fs::create_dir_all(&sources)?;
        for (piece, delta) in deltas.iter().enumerate() {
            let name = format!("{piece:06}");
            fs::write(objects.join(&name), &delta.object)?;
            let read = delta.sources.iter().map(|source| match source {
                Source::Old(old) => format!("{old}"),
                Source::Made(piece) => format!("+{piece}"),
            });
            let read: Vec<String> = read.collect();
            fs::write(sources.join(&name), read.join(" "))?;
        }
    }
    Ok(())
}

/// A run of a file that stays on the disk.
struct OnDisk<'a> {
    file: &'a File,
    start: u64,
    len: u64,
}

impl ReadAt for OnDisk<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, self.start + offset)
    }
}

/// A delta, what it reads, and where its piece goes.
struct Step {
    delta: PathBuf,
    reads: Vec<Source>,
    out: usize,
    start: u64,
    len: u64,
}

/// All deltas of `dir`.
fn steps(dir: &Path) -> io::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (out, target) in listed(&dir.join("deltas"))?.into_iter().enumerate() {
        let name = target.file_name().unwrap_or_default();
        let mut start = 0;
        for delta in listed(&target)? {
            let read = dir.join("sources").join(name).join(delta.file_name().unwrap_or_default());
            let read = fs::read_to_string(read)?;
            let reads = read.split_whitespace().map(|source| {
                let number = source.trim_start_matches('+').parse().map_err(io::Error::other)?;
                let is_made = source.starts_with('+');
                Ok(if is_made { Source::Made(number) } else { Source::Old(number) })
            });
            let reads = reads.collect::<io::Result<_>>()?;
            let mut first = [0; 16];
            let read = File::open(&delta)?.read_at(&mut first, 0)?;
            let header = updraft_delta::header(&first[..read]).map_err(io::Error::other)?;
            let len = header.target_len;
            steps.push(Step { delta, reads, out, start, len });
            start += len;
        }
    }
    Ok(steps)
}

/// Makes `out/N` from `deltas/N/*` and `old/*`, piece by piece, those that
/// others are made from first.
pub(crate) fn apply(dir: &Path) -> io::Result<()> {
    let open = |path: &PathBuf| {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    };
    let old: Vec<(File, u64)> =
        listed(&dir.join("old"))?.iter().map(open).collect::<io::Result<_>>()?;
    let steps = steps(dir)?;
    fs::create_dir_all(dir.join("out"))?;
    let files = listed(&dir.join("new"))?.into_iter().map(|new| {
        let out = dir.join("out").join(new.file_name().unwrap_or_default());
        File::options().create_new(true).read(true).write(true).open(out)
    });
    let files: Vec<File> = files.collect::<io::Result<_>>()?;
    let mut done = vec![false; steps.len()];
    let mut made = Vec::new();
    for _ in 0..=MAX_LEVEL {
        for index in 0..steps.len() {
            let Step { delta, reads, out, start, .. } = &steps[index];
            let waits = |source: &Source| matches!(source, Source::Made(other) if !done[*other]);
            if done[index] || reads.iter().any(waits) {
                continue;
            }
            let given = reads.iter().map(|source| match source {
                Source::Old(old_file) => {
                    let (file, len) = &old[*old_file];
                    OnDisk { file, start: 0, len: *len }
                }
                Source::Made(other) => {
                    let Step { out, start, len, .. } = steps[*other];
                    OnDisk { file: &files[out], start, len }
                }
            });
            let given: Vec<OnDisk<'_>> = given.collect();
            let given: Vec<&dyn ReadAt> = given.iter().map(|source| source as _).collect();
            updraft_delta::apply(&fs::read(delta)?, &given, PIECE_BYTES as u64, &mut made)
                .map_err(io::Error::other)?;
            files[*out].write_all_at(&made, *start)?;
            done[index] = true;
        }
    }
    if done.iter().all(|done| *done) {
        return Ok(());
    }
    Err(io::Error::other("deltas are made from each other"))
}

/// How often everything is made in memory; the least processor time counts.
const ROUNDS: usize = 12;

/// Applies all deltas of `dir` in memory, on one thread, and says how fast:
/// ours, and beside it copying what they make.
pub(crate) fn speed(dir: &Path) -> io::Result<()> {
    let read = |side: &str| -> io::Result<Vec<Vec<u8>>> {
        listed(&dir.join(side))?.iter().map(fs::read).collect()
    };
    let (old, new) = (read("old")?, read("new")?);
    let steps = steps(dir)?;
    let deltas = steps.iter().map(|step| fs::read(&step.delta));
    let deltas: Vec<Vec<u8>> = deltas.collect::<io::Result<_>>()?;
    let made = |step: &Step| &new[step.out][step.start as usize..][..step.len as usize];
    let mut out = Vec::with_capacity(PIECE_BYTES);
    let (mut applied, mut copied) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let begun = own_cpu()?;
        for (step, delta) in steps.iter().zip(&deltas) {
            let given = step.reads.iter().map(|source| match source {
                Source::Old(index) => &old[*index][..],
                Source::Made(index) => made(&steps[*index]),
            });
            let given: Vec<&[u8]> = given.collect();
            let given: Vec<&dyn ReadAt> = given.iter().map(|bytes| bytes as _).collect();
            updraft_delta::apply(delta, &given, PIECE_BYTES as u64, &mut out)
                .map_err(io::Error::other)?;
        }
        applied = applied.min((own_cpu()? - begun).as_secs_f64());
        let begun = own_cpu()?;
        for step in &steps {
            out.clear();
            out.extend_from_slice(made(step));
            std::hint::black_box(&mut out);
        }
        copied = copied.min((own_cpu()? - begun).as_secs_f64());
    }
    let bytes = steps.iter().map(|step| step.len).sum::<u64>() as f64;
    let (applied, copied) = (bytes / applied / 1e6, bytes / copied / 1e6);
    println!("in memory: {applied:.0} MB/s applied, {copied:.0} MB/s copied");
    Ok(())
}
