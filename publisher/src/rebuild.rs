//! Makes a release from an older tree and a patch, as an installation would.
//!
//! Follows the same [`Plan`] as the agent, with one worker, into an empty
//! directory; nothing here is durable. What it proves is that the patch is
//! sound, and what it measures is what applying it costs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use container::Codec;
use container::list::Facts;
use manifest::content::ContentId;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::{PatchError, PatchManifest};
use manifest::release::plan::{Base, Hop, Plan, Wanted};
use manifest::release::tree::{Kind, Tree};
use store::disk::DiskError;
use store::installed::Installed;
use store::links::{self, LinkError, Sink};
use store::repository::{Repository, RepositoryError};
use store::scratch::Scratch;
use store::sums;
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
    /// The patch cannot be followed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The older tree cannot be opened.
    #[error(transparent)]
    Open(#[from] DiskError),
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
/// `old`, the `patch` between them, and the objects in `repository`; `codec`
/// makes the streams of what is closed.
///
/// # Errors
/// [`RebuildError`]; what is in `out` is then of no use.
pub fn rebuild(
    old: &Path,
    (base, release): ((ContentId, &ReleaseManifest), (ContentId, &ReleaseManifest)),
    patch: &PatchManifest,
    (repository, codec): (&Repository, &dyn Codec),
    out: &Path,
) -> Result<(), RebuildError> {
    let (intact, closes) = (|_row| true, |codec, _: &ContentId| codec == container::CODEC);
    let start = Base { id: base.0, manifest: base.1, intact: &intact, closes: &closes };
    let hops = [Hop { patch, to: (&release.0, release.1) }];
    let plan = Plan::new(Some(&start), (&release.0, release.1), &hops)?;
    let (from, to) = (base.1.tree(), release.1.tree());
    let work = Work { out, to, old, from };
    work.lay_out()?;
    for copy in &plan.copies {
        work.copy(copy.to, copy.from)?;
    }
    let installed = Installed::open(old, Arc::new(base.1.clone()))?;
    let scratch = Scratch::new(&std::env::temp_dir())?;
    let object = |id| match repository.object(id) {
        Ok(object) => Ok(object),
        Err(RepositoryError::Disk(error)) => Err(error),
        Err(_) => Ok(None),
    };
    // Before the patch, whose lists of hashes speak of these files, too.
    for step in &plan.plains {
        let bytes = whole(repository, step.object)?;
        for (start, part) in &step.writes {
            let start = *start as usize;
            work.write(part.row, part.offset, &bytes[start..start + part.len as usize])?;
        }
    }
    // One worker, as it is measured.
    links::follow(&plan, &installed, &[release.1], &object, (&scratch, codec), 1, &work)?;
    work.set_modes()
}

fn whole(repository: &Repository, wanted: Wanted) -> Result<Vec<u8>, RebuildError> {
    repository.object(wanted.id)?.ok_or(RebuildError::Missing { id: wanted.id })
}

/// The tree that is being written.
struct Work<'a> {
    out: &'a Path,
    to: &'a Tree,
    old: &'a Path,
    from: &'a Tree,
}

impl Sink<RebuildError> for Work<'_> {
    fn write(&self, row: u32, offset: u64, bytes: &[u8]) -> Result<(), RebuildError> {
        let path = self.path(row);
        let file = OpenOptions::new().write(true).open(&path).map_err(at("open", &path))?;
        file.write_all_at(bytes, offset).map_err(at("write", &path))
    }

    fn copy(&self, row: u32, from_row: u32) -> Result<(), RebuildError> {
        let source = self.old.join(self.from.entries()[from_row as usize].path.as_str());
        let target = self.path(row);
        fs::copy(&source, &target).map_err(at("copy", &source))?;
        fs::set_permissions(&target, Permissions::from_mode(0o600)).map_err(at("open", &target))
    }

    fn facts(&self, row: u32) -> Result<Facts, RebuildError> {
        let path = self.path(row);
        File::open(&path).and_then(sums::facts).map_err(at("read", &path))
    }
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
