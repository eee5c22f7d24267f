//! Our encoder and decoder, each as a process works with them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use updraft_delta::{Encoder, Options, ReadAt, Target};

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
            let read: Vec<String> = delta.sources.iter().map(usize::to_string).collect();
            fs::write(sources.join(&name), read.join(" "))?;
        }
    }
    Ok(())
}

/// An old file that stays on the disk.
struct OnDisk(File, u64);

impl ReadAt for OnDisk {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
}

/// Makes `out/N` from `deltas/N/*` and `old/*`, piece by piece.
pub(crate) fn apply(dir: &Path) -> io::Result<()> {
    let open = |path: &PathBuf| {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(OnDisk(file, len))
    };
    let old: Vec<OnDisk> = listed(&dir.join("old"))?.iter().map(open).collect::<io::Result<_>>()?;
    fs::create_dir_all(dir.join("out"))?;
    let mut made = Vec::new();
    for target in listed(&dir.join("deltas"))? {
        let mut out = File::create(dir.join("out").join(target.file_name().unwrap_or_default()))?;
        for path in listed(&target)? {
            let delta = fs::read(&path)?;
            let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
            let read = dir.join("sources").join(name(&target)).join(name(&path));
            let read = fs::read_to_string(read)?;
            let read = read.split_whitespace().map(|source| source.parse::<usize>());
            let given: Vec<&dyn ReadAt> = read
                .map(|source| Ok(&old[source.map_err(io::Error::other)?] as _))
                .collect::<io::Result<_>>()?;
            updraft_delta::apply(&delta, &given, PIECE_BYTES as u64, &mut made)
                .map_err(io::Error::other)?;
            out.write_all(&made)?;
        }
    }
    Ok(())
}
