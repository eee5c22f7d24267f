//! Our encoder and decoder, each as a process works with them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use updraft_delta::{Encoder, Mark, Options, ReadAt, Source, Target, header, mark};

use crate::trees::PIECE_BYTES;

fn listed(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn id(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// Makes `deltas/N/M` for piece M of `new/N` from `old/*`, and `marks` of these.
pub(crate) fn encode(dir: &Path) -> io::Result<()> {
    let read = |side: &str| -> io::Result<Vec<Vec<u8>>> {
        listed(&dir.join(side))?.iter().map(fs::read).collect()
    };
    let (old, new) = (read("old")?, read("new")?);
    let ids: Vec<[u8; 32]> = old.iter().map(|bytes| id(bytes)).collect();
    let sources = old.iter().zip(&ids).map(|(bytes, id)| Source { id: *id, bytes });
    let encoder = Encoder::new(sources.collect(), &Options::default()).map_err(io::Error::other)?;
    let ends = |bytes: &Vec<u8>| -> Vec<usize> {
        let starts = (0..bytes.len()).step_by(PIECE_BYTES);
        starts.map(|start| (start + PIECE_BYTES).min(bytes.len())).collect()
    };
    let ends: Vec<Vec<usize>> = new.iter().map(ends).collect();
    let targets = new.iter().zip(&ends).map(|(bytes, ends)| Target { bytes, piece_ends: ends });
    let made = encoder.encode(&targets.collect::<Vec<_>>(), &|_| ());
    for (target, deltas) in made.iter().enumerate() {
        let place = dir.join("deltas").join(format!("{target:06}"));
        fs::create_dir_all(&place)?;
        for (piece, delta) in deltas.iter().enumerate() {
            fs::write(place.join(format!("{piece:06}")), delta)?;
        }
    }
    fs::write(dir.join("marks"), ids.iter().flat_map(mark).collect::<Vec<u8>>())
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
    let marks = fs::read(dir.join("marks"))?;
    let marks = marks.chunks_exact(8).map(|mark| Mark::try_from(mark).expect("eight bytes"));
    let open = |path: &PathBuf| {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(OnDisk(file, len))
    };
    let old: Vec<OnDisk> = listed(&dir.join("old"))?.iter().map(open).collect::<io::Result<_>>()?;
    let old: BTreeMap<Mark, &OnDisk> = marks.zip(&old).collect();
    fs::create_dir_all(dir.join("out"))?;
    let mut made = Vec::new();
    for target in listed(&dir.join("deltas"))? {
        let mut out = File::create(dir.join("out").join(target.file_name().unwrap_or_default()))?;
        for path in listed(&target)? {
            let delta = fs::read(path)?;
            let named = header(&delta).map_err(io::Error::other)?;
            let given: Vec<&dyn ReadAt> =
                named.sources.iter().map(|source| old[&source.mark] as _).collect();
            updraft_delta::apply(&delta, &given, PIECE_BYTES as u64, &mut made)
                .map_err(io::Error::other)?;
            out.write_all(&made)?;
        }
    }
    Ok(())
}
