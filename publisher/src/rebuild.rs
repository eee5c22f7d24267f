//! Makes a release from an older tree and a patch, as an installation would.
//!
//! Follows the same [`Plan`] as the agent, with one worker, into an empty
//! directory; nothing here is durable. What it proves is that the patch is
//! sound, and what it measures is what applying it costs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use delta::{ApplyError, ReadAt};
use manifest::content::ContentId;
use manifest::release::layout::Part;
use manifest::release::limits::PIECE_BYTES;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::{PatchError, PatchManifest};
use manifest::release::plan::{Base, Plan, Wanted};
use manifest::release::tree::{Kind, Tree};
use store::repository::{Repository, RepositoryError};
use store::tree::{Found, walk};

/// A release that could not be made again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The patch is for other releases.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// An object is not in the repository.
    #[error("the repository lacks object {id}")]
    Missing {
        /// The object.
        id: ContentId,
    },
    /// The repository cannot give an object.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A delta does not make its piece.
    #[error("delta {id} cannot be applied")]
    Apply {
        /// The delta object.
        id: ContentId,
        /// Why not.
        source: ApplyError,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One of the trees to be compared cannot be read.
    #[error(transparent)]
    Walk(#[from] store::tree::TreeError),
    /// What was made is not what should have been.
    #[error("{path} differs: expected {expected}, found {found}")]
    Differs {
        /// The path within the tree.
        path: String,
        /// What stands there in the new tree.
        expected: String,
        /// What was made.
        found: String,
    },
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RebuildError {
    move |source| RebuildError::Disk { doing, path: path.to_owned(), source }
}

/// Makes `release` in the empty directory `out` from the tree of `base` in
/// `old`, the `patch` between them, and the objects in `repository`.
///
/// # Errors
/// [`RebuildError`]; what is in `out` is then of no use.
pub fn rebuild(
    old: &Path,
    base: (ContentId, &ReleaseManifest),
    release: (ContentId, &ReleaseManifest),
    patch: &PatchManifest,
    repository: &Repository,
    out: &Path,
) -> Result<(), RebuildError> {
    let intact = |_row| true;
    let start = Base { id: base.0, manifest: base.1, intact: &intact };
    let plan = Plan::new(Some(&start), (&release.0, release.1), Some(patch))?;
    let (from, to) = (base.1.tree(), release.1.tree());
    let work = Work { out, to };
    work.lay_out()?;
    for copy in &plan.copies {
        let source = old.join(from.entries()[copy.from as usize].path.as_str());
        let target = work.path(copy.to);
        fs::copy(&source, &target).map_err(at("copy", &source))?;
        fs::set_permissions(&target, Permissions::from_mode(0o600)).map_err(at("open", &target))?;
    }
    let mut bytes = Vec::new();
    for step in &plan.deltas {
        let delta = object(repository, step.object)?;
        let sources: Vec<OldBytes<'_>> =
            step.sources.iter().map(|rows| OldBytes::new(old, from, rows)).collect();
        let sources: Vec<&dyn ReadAt> = sources.iter().map(|source| source as _).collect();
        bytes.clear();
        delta::apply(&delta, &sources, u64::from(PIECE_BYTES), &mut bytes)
            .map_err(|source| RebuildError::Apply { id: step.object.id, source })?;
        let mut start = 0;
        for part in &step.shape.parts {
            work.write(part, &bytes[start..start + part.len as usize])?;
            start += part.len as usize;
        }
    }
    for step in &plan.plains {
        let bytes = object(repository, step.object)?;
        for (start, part) in &step.writes {
            let start = *start as usize;
            work.write(part, &bytes[start..start + part.len as usize])?;
        }
    }
    work.set_modes()
}

fn object(repository: &Repository, wanted: Wanted) -> Result<Vec<u8>, RebuildError> {
    repository.object(wanted.id)?.ok_or(RebuildError::Missing { id: wanted.id })
}

/// The tree that is being written.
struct Work<'a> {
    out: &'a Path,
    to: &'a Tree,
}

impl Work<'_> {
    fn path(&self, row: u32) -> PathBuf {
        self.out.join(self.to.entries()[row as usize].path.as_str())
    }

    /// Directories, links and files without their bytes.
    fn lay_out(&self) -> Result<(), RebuildError> {
        for entry in self.to.entries() {
            let path = self.out.join(entry.path.as_str());
            match &entry.kind {
                Kind::Directory => fs::create_dir(&path).map_err(at("create", &path))?,
                Kind::Symlink { target } => {
                    symlink(target, &path).map_err(at("link", &path))?;
                }
                Kind::File { .. } => {
                    File::create_new(&path).map_err(at("create", &path))?;
                }
            }
        }
        Ok(())
    }

    fn write(&self, part: &Part, bytes: &[u8]) -> Result<(), RebuildError> {
        let path = self.path(part.row);
        let file = OpenOptions::new().write(true).open(&path).map_err(at("open", &path))?;
        file.write_all_at(bytes, part.offset).map_err(at("write", &path))
    }

    fn set_modes(&self) -> Result<(), RebuildError> {
        // What a directory holds comes before it: it may end without the
        // permission to enter it.
        for entry in self.to.entries().iter().rev() {
            if !matches!(entry.kind, Kind::Symlink { .. }) {
                let path = self.out.join(entry.path.as_str());
                let mode = Permissions::from_mode(entry.mode);
                fs::set_permissions(&path, mode).map_err(at("set the mode of", &path))?;
            }
        }
        Ok(())
    }
}

/// Old files one after the other, opened one at a time as they are read.
struct OldBytes<'a> {
    dir: &'a Path,
    /// Each file's path and where it ends.
    files: Vec<(&'a str, u64)>,
    open: Mutex<Option<(usize, File)>>,
}

impl<'a> OldBytes<'a> {
    fn new(dir: &'a Path, tree: &'a Tree, rows: &[u32]) -> Self {
        let files = rows.iter().scan(0, |end, row| {
            let entry = &tree.entries()[*row as usize];
            *end += entry.file().map_or(0, |(size, _)| size);
            Some((entry.path.as_str(), *end))
        });
        Self { dir, files: files.collect(), open: Mutex::new(None) }
    }
}

impl ReadAt for OldBytes<'_> {
    fn len(&self) -> u64 {
        self.files.last().map_or(0, |(_, end)| *end)
    }

    fn read_at(&self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let mut open = self.open.lock().map_err(|_| io::Error::other("a reader panicked"))?;
        while !out.is_empty() {
            let index = self.files.partition_point(|(_, end)| *end <= offset);
            let Some(&(path, end)) = self.files.get(index) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let start = index.checked_sub(1).map_or(0, |before| self.files[before].1);
            let here = usize::try_from(end - offset).unwrap_or(usize::MAX).min(out.len());
            let (head, rest) = out.split_at_mut(here);
            let file = match open.take() {
                Some((opened, file)) if opened == index => file,
                _ => File::open(self.dir.join(path))?,
            };
            file.read_exact_at(head, offset - start)?;
            *open = Some((index, file));
            offset += here as u64;
            out = rest;
        }
        Ok(())
    }
}

/// Checks that two directories hold the same: every path, mode, link and byte.
///
/// # Errors
/// [`RebuildError::Differs`] naming the first path that does not match.
pub fn compare(expected: &Path, found: &Path) -> Result<(), RebuildError> {
    let expected = walk(expected, &mut |_| ())?;
    let found = walk(found, &mut |_| ())?;
    let (mut left, mut right) = (expected.iter().peekable(), found.iter().peekable());
    loop {
        let (path, expected, found) = match (left.peek(), right.peek()) {
            (None, None) => return Ok(()),
            (Some(one), Some(other)) if one == other => {
                left.next();
                right.next();
                continue;
            }
            (Some(one), Some(other)) if one.path == other.path => {
                (&one.path, describe(one), describe(other))
            }
            (Some(one), other) if other.is_none_or(|other| one.path < other.path) => {
                (&one.path, describe(one), "nothing".to_owned())
            }
            (_, Some(other)) => (&other.path, "nothing".to_owned(), describe(other)),
            (Some(one), None) => (&one.path, describe(one), "nothing".to_owned()),
        };
        return Err(RebuildError::Differs { path: path.clone(), expected, found });
    }
}

fn describe(found: &Found) -> String {
    format!("{:?} with mode {:03o}", found.kind, found.mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_read_as_one() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("a", "0123"), ("b", ""), ("c", "456789")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let entries = walk(dir.path(), &mut |_| ()).unwrap();
        let entries = entries.iter().map(|found| manifest::release::tree::Entry {
            path: found.path.parse().unwrap(),
            mode: found.mode,
            kind: match found.kind {
                store::tree::FoundKind::File { size, content } => Kind::File { size, content },
                _ => Kind::Directory,
            },
        });
        let tree = Tree::new(entries.collect()).unwrap();
        let bytes = OldBytes::new(dir.path(), &tree, &[0, 1, 2]);
        assert_eq!(bytes.len(), 10);
        for start in 0..10_usize {
            for end in start..=10 {
                let mut out = vec![0; end - start];
                bytes.read_at(start as u64, &mut out).unwrap();
                assert_eq!(out, b"0123456789"[start..end]);
            }
        }
        assert!(bytes.read_at(9, &mut [0; 2]).is_err());
    }

    #[test]
    fn a_difference_is_named() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join("f"), "same").unwrap();
        fs::write(other.path().join("f"), "same").unwrap();
        assert!(compare(one.path(), other.path()).is_ok());
        fs::set_permissions(other.path().join("f"), Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(one.path().join("f"), Permissions::from_mode(0o755)).unwrap();
        let error = compare(one.path(), other.path()).unwrap_err().to_string();
        assert!(error.contains("755") && error.contains("600"), "{error}");
        fs::write(one.path().join("e"), "more").unwrap();
        let error = compare(one.path(), other.path()).unwrap_err().to_string();
        assert!(error.starts_with("e differs") && error.contains("nothing"), "{error}");
        let error = compare(other.path(), one.path()).unwrap_err().to_string();
        assert!(error.starts_with("e differs: expected nothing"), "{error}");
    }
}
