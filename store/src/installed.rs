//! A release as it lies on the disk, beside what its manifest says.
//!
//! Promises that a piece read from here hashes to its id, or is not handed
//! out; and that a report names every file that differs. Changes nothing.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use delta::read_at::ReadAt;
use manifest::content::ContentId;
use manifest::release::layout::{Part, Shape};
use manifest::release::manifest::ReleaseManifest;
use manifest::release::tree::{Entry, Kind};
use rustix::fs::FileType;

use crate::beneath::Beneath;
use crate::disk::DiskError;
use crate::hashing;
use crate::limits::EXTRA_PATHS;

/// A directory that holds a release.
#[derive(Debug, Clone)]
pub struct Installed {
    root: Arc<Beneath>,
    manifest: Arc<ReleaseManifest>,
}

/// How a row of the manifest differs on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The row of the manifest's tree.
    pub row: u32,
    /// Its path.
    pub path: String,
    /// How it differs.
    pub how: Difference,
}

/// What was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Nothing stands there.
    #[error("missing")]
    Missing,
    /// Something of another kind stands there.
    #[error("not a {expected}")]
    Kind {
        /// What it should be.
        expected: &'static str,
    },
    /// The file is longer or shorter.
    #[error("{found} bytes long, expected {expected}")]
    Size {
        /// What the manifest says.
        expected: u64,
        /// What was found.
        found: u64,
    },
    /// The file holds other bytes.
    #[error("its bytes hash to {found}, expected {expected}")]
    Content {
        /// What the manifest says.
        expected: ContentId,
        /// What was found.
        found: ContentId,
    },
    /// The link points elsewhere.
    #[error("points to {found:?}, expected {expected:?}")]
    Target {
        /// What the manifest says.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The permission bits differ.
    #[error("mode {found:04o}, expected {expected:04o}")]
    Mode {
        /// What the manifest says.
        expected: u32,
        /// What was found.
        found: u32,
    },
    /// It cannot be read.
    #[error("cannot be read: {why}")]
    Unreadable {
        /// What the system said.
        why: String,
    },
}

/// What an inspection found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Every row that differs, in the order of the manifest.
    pub damaged: Vec<Damage>,
    /// Paths that the manifest does not know, sorted; at most
    /// [`EXTRA_PATHS`].
    pub extra: Vec<String>,
    /// How many files were hashed.
    pub files: u64,
    /// How many bytes were hashed.
    pub bytes: u64,
}

impl Report {
    /// Whether every row is as the manifest says; extra files do not matter.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.damaged.is_empty()
    }

    /// The rows of files whose bytes cannot be used; a wrong mode is no
    /// reason to fetch a file again.
    #[must_use]
    pub fn unusable_rows(&self) -> HashSet<u32> {
        let unusable = |damage: &&Damage| !matches!(damage.how, Difference::Mode { .. });
        self.damaged.iter().filter(unusable).map(|damage| damage.row).collect()
    }
}

impl Installed {
    /// The release `manifest` in the directory `dir`.
    ///
    /// # Errors
    /// [`DiskError`] if there is no such directory.
    pub fn open(dir: &Path, manifest: Arc<ReleaseManifest>) -> Result<Self, DiskError> {
        Ok(Self { root: Arc::new(Beneath::open(dir)?), manifest })
    }

    /// What should be here.
    #[must_use]
    pub fn manifest(&self) -> &ReleaseManifest {
        &self.manifest
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.root.dir()
    }

    /// Compares every row with the disk, reading every byte, and lists what
    /// stands there besides.
    #[must_use]
    pub fn inspect(&self) -> Report {
        let mut report = Report::default();
        for (row, entry) in self.manifest.tree().entries().iter().enumerate() {
            if let Some(how) = self.compare(entry, &mut report) {
                let row = u32::try_from(row).expect("a tree has at most a million rows");
                report.damaged.push(Damage { row, path: entry.path.to_string(), how });
            }
        }
        let mut extra = BTreeSet::new();
        self.find_extra("", &mut extra);
        report.extra = extra.into_iter().collect();
        report
    }

    fn compare(&self, entry: &Entry, report: &mut Report) -> Option<Difference> {
        let path = entry.path.as_str();
        let unreadable = |error: DiskError| Difference::Unreadable { why: why(&error) };
        let look = match self.root.look(path) {
            Ok(Some(look)) => look,
            Ok(None) => return Some(Difference::Missing),
            Err(error) => return Some(unreadable(error)),
        };
        match &entry.kind {
            Kind::Directory if look.kind != FileType::Directory => {
                return Some(Difference::Kind { expected: "directory" });
            }
            Kind::Directory => {}
            Kind::Symlink { target } => {
                if look.kind != FileType::Symlink {
                    return Some(Difference::Kind { expected: "symlink" });
                }
                return match self.root.link_target(path) {
                    Ok(found) if found == target.as_bytes() => None,
                    Ok(found) => {
                        let found = String::from_utf8_lossy(&found).into_owned();
                        Some(Difference::Target { expected: target.clone(), found })
                    }
                    Err(error) => Some(unreadable(error)),
                };
            }
            Kind::File { size, content } => {
                if look.kind != FileType::RegularFile {
                    return Some(Difference::Kind { expected: "file" });
                }
                if look.size != *size {
                    return Some(Difference::Size { expected: *size, found: look.size });
                }
                match self.hash(path, *size) {
                    Ok((found, _)) if found != *size => {
                        return Some(Difference::Size { expected: *size, found });
                    }
                    Ok((_, found)) if found != *content => {
                        return Some(Difference::Content { expected: *content, found });
                    }
                    Ok(_) => {
                        report.files += 1;
                        report.bytes += size;
                    }
                    Err(error) => return Some(unreadable(error)),
                }
            }
        }
        (look.mode != entry.mode)
            .then_some(Difference::Mode { expected: entry.mode, found: look.mode })
    }

    /// Hashes the file, reading little more than it should have even if it
    /// grows meanwhile.
    fn hash(&self, path: &str, size: u64) -> Result<(u64, ContentId), DiskError> {
        let file = self.root.read(path)?.take(size + 1);
        hashing::hash(file, size)
            .map_err(|error| DiskError::new("read", self.dir().join(path), error))
    }

    fn find_extra(&self, dir: &str, extra: &mut BTreeSet<String>) {
        // A directory that cannot be listed is in the report as damaged.
        let Ok(names) = self.root.list(dir) else { return };
        for name in names {
            let name = String::from_utf8_lossy(&name);
            let path = if dir.is_empty() { name.into_owned() } else { format!("{dir}/{name}") };
            if extra.len() == EXTRA_PATHS {
                return;
            }
            match self.manifest.tree().find(&path) {
                None => {
                    extra.insert(path);
                }
                Some(entry) if entry.kind == Kind::Directory => self.find_extra(&path, extra),
                Some(_) => {}
            }
        }
    }

    /// Whether the file of `row` holds the bytes it should.
    #[must_use]
    pub fn file_is_intact(&self, row: u32) -> bool {
        let Some(entry) = self.manifest.tree().entries().get(row as usize) else { return false };
        let Some((size, content)) = entry.file() else { return false };
        self.hash(entry.path.as_str(), size).is_ok_and(|found| found == (size, content))
    }

    /// The bytes of `shape`, whose runs are rows of this release; checked to
    /// be `id`.
    ///
    /// # Errors
    /// [`PieceError::Damaged`] with the rows whose files differ.
    pub fn piece(&self, id: ContentId, shape: &Shape) -> Result<Vec<u8>, PieceError> {
        let mut bytes = vec![0; shape.len as usize];
        let mut at = 0;
        let read = shape.parts.iter().try_for_each(|part| {
            let end = at + part.len as usize;
            let out = bytes.get_mut(at..end).ok_or(io::ErrorKind::InvalidInput)?;
            at = end;
            self.read_part(part, out)
        });
        if read.is_ok() && ContentId::of(&bytes) == id {
            return Ok(bytes);
        }
        let mut rows: Vec<u32> = shape.parts.iter().map(|part| part.row).collect();
        rows.dedup();
        rows.retain(|row| !self.file_is_intact(*row));
        Err(PieceError::Damaged { id, rows })
    }

    fn read_part(&self, part: &Part, out: &mut [u8]) -> io::Result<()> {
        let entry = self.manifest.tree().entries().get(part.row as usize);
        let entry = entry.ok_or(io::ErrorKind::InvalidInput)?;
        let file = self.root.read(entry.path.as_str()).map_err(|error| error.source)?;
        file.read_exact_at(out, part.offset)
    }

    /// The files of `rows`, one after the other, as a delta's source; `None`
    /// if one of them is no file of this release.
    #[must_use]
    pub fn joined(&self, rows: &[u32]) -> Option<Joined> {
        let mut files = Vec::with_capacity(rows.len());
        let mut len = 0u64;
        for &row in rows {
            let entry = self.manifest.tree().entries().get(row as usize)?;
            let (size, _) = entry.file()?;
            files.push((len, entry.path.to_string()));
            len = len.checked_add(size)?;
        }
        Some(Joined { root: Arc::clone(&self.root), files, len, open: Mutex::new(None) })
    }

    /// The root directory, for copies into a slot.
    pub(crate) fn root(&self) -> &Beneath {
        &self.root
    }
}

/// The bytes on disk are not the piece.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    /// Files were changed.
    #[error("piece {id} cannot be read from the installed files: {} of them differ", rows.len())]
    Damaged {
        /// The piece.
        id: ContentId,
        /// The rows whose files differ; empty if they were mended meanwhile.
        rows: Vec<u32>,
    },
}

/// Several installed files read as one, each opened when it is needed.
///
/// Their bytes are not checked here: whoever reads checks what it makes.
#[derive(Debug)]
pub struct Joined {
    root: Arc<Beneath>,
    /// Where each begins, and its path.
    files: Vec<(u64, String)>,
    len: u64,
    /// The file read last: a delta reads mostly forward.
    open: Mutex<Option<(usize, std::fs::File)>>,
}

impl ReadAt for Joined {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= self.len);
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut offset, mut out) = (offset, out);
        while !out.is_empty() {
            // The last file that begins at or before the offset; empty files
            // that share its beginning come before it.
            let index = self.files.partition_point(|(start, _)| *start <= offset) - 1;
            let (start, path) = &self.files[index];
            let next = self.files.get(index + 1).map_or(self.len, |(start, _)| *start);
            let here = usize::try_from(next - offset).unwrap_or(usize::MAX).min(out.len());
            if open.as_ref().is_none_or(|(opened, _)| *opened != index) {
                let file = self.root.read(path).map_err(|error| error.source)?;
                *open = Some((index, file));
            }
            let (_, file) = open.as_ref().expect("it was opened just now");
            let (now, rest) = out.split_at_mut(here);
            file.read_exact_at(now, offset - start)?;
            (out, offset) = (rest, offset + here as u64);
        }
        Ok(())
    }
}

/// The reason within a [`DiskError`], for a line of a report.
fn why(error: &DiskError) -> String {
    error.source.to_string()
}
