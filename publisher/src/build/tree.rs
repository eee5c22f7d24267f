//! The directory that becomes a release, and reading runs of its files.
//!
//! Promises that bytes which are handed out as a file's are that file's: a
//! file edited while the release is made stops it instead of spoiling it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use container::list::Facts;
use manifest::content::ContentId;
use manifest::release::tree::{BadPath, Entry, Kind, Tree};
use rustix::fs::{Mode, OFlags};
use store::sums::Summing;
use store::tree::{Found, FoundKind, walk};

use crate::progress::Progress;

/// A directory, and what stood in it when it was read.
#[derive(Debug)]
pub struct SourceTree {
    dir: PathBuf,
    tree: Tree,
}

/// A directory that cannot become a release.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It holds something that a release cannot carry.
    #[error(transparent)]
    Walk(#[from] store::tree::TreeError),
    /// One of its paths is refused.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// Its entries make no tree.
    #[error(transparent)]
    Tree(#[from] manifest::release::tree::TreeError),
    /// There is no file in it.
    #[error("{} holds no file", dir.display())]
    Empty {
        /// The directory.
        dir: PathBuf,
    },
    /// A file is no longer what it was when it was hashed.
    #[error("{} changed while the release was made", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SourceTree {
    /// Walks `dir` and hashes every file in it.
    ///
    /// # Errors
    /// [`SourceError`] naming the first thing that a release cannot carry.
    pub fn read(dir: &Path, progress: &Progress) -> Result<Self, SourceError> {
        let stage = progress.spinner("reading the tree");
        let found = walk(dir, &mut |bytes| stage.advance(bytes))?;
        let entries: Result<Vec<Entry>, BadPath> = found.into_iter().map(entry).collect();
        let tree = Tree::new(entries?)?;
        if !tree.entries().iter().any(|entry| entry.file().is_some()) {
            return Err(SourceError::Empty { dir: dir.to_owned() });
        }
        Ok(Self { dir: dir.to_owned(), tree })
    }

    /// What stood in the directory.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Opens the file in `row` to be read once from its start to its end.
    ///
    /// # Errors
    /// [`SourceError::Read`].
    ///
    /// # Panics
    /// If the row is not a file of this tree.
    pub fn open(&self, row: u32) -> Result<SourceFile, SourceError> {
        let entry = &self.tree.entries()[row as usize];
        let (size, content) = entry.file().expect("only files are opened");
        let path = self.dir.join(entry.path.as_str());
        // A file that became a link since it was hashed must not lead out.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => Ok(SourceFile {
                file: file.into(),
                path,
                at: 0,
                left: size,
                content,
                hasher: blake3::Hasher::new(),
            }),
            Err(error) => Err(SourceError::Read { path, source: error.into() }),
        }
    }

    /// What a list of hashes says of the file in `row`.
    ///
    /// # Errors
    /// As [`SourceTree::bytes`].
    pub fn facts(&self, row: u32) -> Result<Facts, SourceError> {
        let mut file = self.open(row)?;
        let mut summing = Summing::default();
        while file.left > 0 {
            let len = file.left.min(PASSED_BYTES);
            summing.update(&file.next(usize::try_from(len).expect("it is a small number"))?);
        }
        Ok(summing.finish())
    }

    /// All bytes of the file in `row`.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if they are no longer the ones that were
    /// hashed; [`SourceError::Read`].
    pub fn bytes(&self, row: u32) -> Result<Vec<u8>, SourceError> {
        let mut file = self.open(row)?;
        let len = usize::try_from(file.left).expect("a file that is encoded fits in memory");
        file.next(len)
    }
}

/// Bytes that are read at once where nobody keeps them.
const PASSED_BYTES: u64 = 64 << 10;

/// A file that is being read from start to end.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: PathBuf,
    at: u64,
    left: u64,
    content: ContentId,
    hasher: blake3::Hasher,
}

impl SourceFile {
    /// How many bytes were read.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Reads over the next `len` bytes.
    ///
    /// # Errors
    /// As [`SourceFile::next`].
    pub fn pass(&mut self, len: u64) -> Result<(), SourceError> {
        let mut left = len;
        while left > 0 {
            let run = left.min(PASSED_BYTES);
            self.next(usize::try_from(run).expect("it is a small number"))?;
            left -= run;
        }
        Ok(())
    }

    /// The next `len` bytes; with the last of them, the whole is checked.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if the file is shorter than it was or its
    /// content is another; [`SourceError::Read`].
    pub fn next(&mut self, len: usize) -> Result<Vec<u8>, SourceError> {
        let mut bytes = vec![0; len];
        if let Err(error) = self.file.read_exact(&mut bytes) {
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => SourceError::Changed { path: self.path.clone() },
                _ => SourceError::Read { path: self.path.clone(), source: error },
            });
        }
        self.hasher.update(&bytes);
        self.at += len as u64;
        self.left = self.left.saturating_sub(len as u64);
        if self.left == 0 && ContentId::from(self.hasher.finalize()) != self.content {
            return Err(SourceError::Changed { path: self.path.clone() });
        }
        Ok(bytes)
    }
}

fn entry(found: Found) -> Result<Entry, BadPath> {
    let kind = match found.kind {
        FoundKind::Directory => Kind::Directory,
        FoundKind::Symlink { target } => Kind::Symlink { target },
        FoundKind::File { size, content } => Kind::File { size, content },
    };
    Ok(Entry { path: found.path.parse()?, mode: found.mode, kind })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(dir: &Path) -> Result<SourceTree, SourceError> {
        SourceTree::read(dir, &Progress::hidden())
    }

    #[test]
    fn a_file_edited_after_it_was_hashed_stops_the_release() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "before").unwrap();
        let tree = read(dir.path()).unwrap();
        assert_eq!(tree.bytes(0).unwrap(), b"before");
        for edit in ["behind", "short"] {
            fs::write(&file, edit).unwrap();
            let error = tree.bytes(0).unwrap_err();
            assert!(matches!(error, SourceError::Changed { .. }), "{error}");
        }
    }

    #[test]
    fn a_file_that_became_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "text").unwrap();
        fs::write(dir.path().join("g"), "text").unwrap();
        let tree = read(dir.path()).unwrap();
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("g", &file).unwrap();
        assert!(matches!(tree.bytes(0), Err(SourceError::Read { .. })));
    }

    #[test]
    fn a_directory_without_a_file_is_no_release() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        assert!(matches!(read(dir.path()), Err(SourceError::Empty { .. })));
    }
}
