//! The files in which two trees differ, small ones packed, as files to work on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Files shorter than this are packed.
const PACKED_BELOW: usize = 256 << 10;
/// The most bytes of a piece, and of a pack.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// What is only in the old tree, and what is only in the new.
pub(crate) struct Changed {
    old: Vec<Vec<u8>>,
    new: Vec<Vec<u8>>,
}

impl Changed {
    pub(crate) fn between(old: &Path, new: &Path) -> io::Result<Self> {
        let (old, new) = (files(old)?, files(new)?);
        let without = |these: &[(blake3::Hash, Vec<u8>)], those: &[(blake3::Hash, Vec<u8>)]| {
            let mut known: BTreeSet<[u8; 32]> =
                those.iter().map(|(id, _)| *id.as_bytes()).collect();
            let changed = these.iter().filter(|(id, _)| known.insert(*id.as_bytes()));
            packs(changed.map(|(_, bytes)| &bytes[..]))
        };
        Ok(Self { old: without(&old, &new), new: without(&new, &old) })
    }

    /// Writes `old/N` and `new/N`, and all of them as `old.all` and `new.all`;
    /// gives how many bytes are new.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<u64> {
        for (side, packs) in [("old", &self.old), ("new", &self.new)] {
            fs::create_dir_all(dir.join(side))?;
            for (index, pack) in packs.iter().enumerate() {
                fs::write(dir.join(side).join(format!("{index:06}")), pack)?;
            }
            fs::write(dir.join(format!("{side}.all")), packs.concat())?;
        }
        Ok(self.new.iter().map(|pack| pack.len() as u64).sum())
    }
}

/// The files under a directory with their blake3, in the order of their paths.
fn files(dir: &Path) -> io::Result<Vec<(blake3::Hash, Vec<u8>)>> {
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
    paths.into_iter().map(read).collect()
}

fn packs<'a>(files: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut packs = Vec::new();
    let mut open = Vec::new();
    for file in files {
        if file.len() >= PACKED_BELOW {
            packs.push(file.to_vec());
            continue;
        }
        if open.len() + file.len() > PIECE_BYTES {
            packs.push(std::mem::take(&mut open));
        }
        open.extend_from_slice(file);
    }
    packs.extend((!open.is_empty()).then_some(open));
    packs
}
