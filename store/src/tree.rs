//! A directory as the files of a release.
//!
//! Promises the same list for the same tree on any machine: paths in byte
//! order, each parent before what it holds. Refuses what a release cannot
//! carry: sockets, devices, pipes, setuid and setgid bits, names that are not
//! UTF-8. Follows no symlink.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use manifest::content::ContentId;

use crate::disk::{DiskError, at};
use crate::hashing::hash_file;
use crate::limits::{TREE_DEPTH, TREE_ENTRIES};

/// One thing found in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where, relative to the tree, with `/` between components.
    pub path: String,
    /// Its permission bits, at most 0o777; 0o777 for a symlink.
    pub mode: u32,
    /// What it is.
    pub kind: FoundKind,
}

/// What a thing in a tree can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// A directory.
    Directory,
    /// A symlink, and where it points, as written.
    Symlink {
        /// The text of the link.
        target: String,
    },
    /// A plain file.
    File {
        /// Its length in bytes.
        size: u64,
        /// The blake3 of its bytes.
        content: ContentId,
    },
}

/// A tree that cannot be a release.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A thing that a release cannot carry.
    #[error("{} is a {what}; a release holds only files, directories and symlinks", path.display())]
    Special {
        /// The thing.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A setuid, setgid or sticky bit on a file.
    #[error("{} has mode {mode:04o}; a release carries no setuid, setgid or sticky file",
        path.display())]
    Privileged {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A name or link text that is not UTF-8.
    #[error("{path:?} has a name or link text that is not UTF-8")]
    NotUtf8 {
        /// The path, lossy.
        path: PathBuf,
    },
    /// Too much, or too deep.
    #[error("the tree has more than {limit} {what} (at {})", path.display())]
    TooMuch {
        /// Entries, or levels of directories.
        what: &'static str,
        /// How many there may be.
        limit: usize,
        /// Where the limit was met.
        path: PathBuf,
    },
    /// Not a directory at all.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Lists the tree beneath `dir`, hashing every file; `progress` is told the
/// bytes of each file as it was read.
///
/// # Errors
/// [`TreeError`] naming the first thing that cannot be part of a release.
pub fn walk(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Vec<Found>, TreeError> {
    if !dir.is_dir() {
        return Err(TreeError::NotADirectory { path: dir.to_owned() });
    }
    let mut found = Vec::new();
    descend(dir, "", 0, &mut found, progress)?;
    // Directories are visited in name order, which is not the order of whole
    // paths: "a-b" sorts before "a/b".
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn descend(
    dir: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<Found>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), TreeError> {
    if depth > TREE_DEPTH {
        let (what, limit) = ("levels of directories", TREE_DEPTH);
        return Err(TreeError::TooMuch { what, limit, path: dir.to_owned() });
    }
    for entry in fs::read_dir(dir).map_err(at("list", dir))? {
        let entry = entry.map_err(at("list", dir))?;
        let path = entry.path();
        if found.len() == TREE_ENTRIES {
            return Err(TreeError::TooMuch { what: "entries", limit: TREE_ENTRIES, path });
        }
        let not_utf8 = || TreeError::NotUtf8 { path: path.clone() };
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(not_utf8)?;
        let inner = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let metadata = fs::symlink_metadata(&path).map_err(at("look at", &path))?;
        let kind = metadata.file_type();
        let mode = metadata.mode() & 0o7777;
        if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(at("read link", &path))?;
            let target = target.to_str().ok_or_else(not_utf8)?.to_owned();
            found.push(Found { path: inner, mode: 0o777, kind: FoundKind::Symlink { target } });
        } else if kind.is_dir() {
            // A directory's setgid and sticky bits come from the machine the
            // tree was built on and mean nothing elsewhere.
            let kind = FoundKind::Directory;
            found.push(Found { path: inner.clone(), mode: mode & 0o777, kind });
            descend(&path, &inner, depth + 1, found, progress)?;
        } else if kind.is_file() {
            if mode & !0o777 != 0 {
                return Err(TreeError::Privileged { path, mode });
            }
            let (size, content) = hash_file(&path)?;
            progress(size);
            found.push(Found { path: inner, mode, kind: FoundKind::File { size, content } });
        } else {
            return Err(TreeError::Special { path, what: special(kind) });
        }
    }
    Ok(())
}

fn special(kind: fs::FileType) -> &'static str {
    if kind.is_socket() {
        "socket"
    } else if kind.is_fifo() {
        "named pipe"
    } else if kind.is_block_device() {
        "block device"
    } else if kind.is_char_device() {
        "character device"
    } else {
        "thing of unknown kind"
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn list(dir: &Path) -> Result<Vec<Found>, TreeError> {
        walk(dir, &mut |_| {})
    }

    #[test]
    fn paths_come_in_byte_order_with_modes_and_links() {
        let dir = tree();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir(at("a")).unwrap();
        fs::write(at("a/b"), "inner").unwrap();
        fs::write(at("a-b"), "outer").unwrap();
        fs::set_permissions(at("a-b"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../outside", at("link")).unwrap();
        let found = list(dir.path()).unwrap();
        let paths: Vec<_> = found.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["a", "a-b", "a/b", "link"]);
        assert_eq!(found[1].mode, 0o755);
        let content = ContentId::of(b"outer");
        assert_eq!(found[1].kind, FoundKind::File { size: 5, content });
        assert_eq!(found[3].kind, FoundKind::Symlink { target: "../outside".to_owned() });
    }

    #[test]
    fn a_socket_is_refused_by_name() {
        let dir = tree();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
        let error = list(dir.path()).unwrap_err().to_string();
        assert!(error.contains("/s is a socket"), "{error}");
    }

    #[test]
    fn a_pipe_is_refused() {
        let dir = tree();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("p"), mode).unwrap();
        assert!(matches!(list(dir.path()), Err(TreeError::Special { what: "named pipe", .. })));
    }

    #[test]
    fn a_setuid_file_is_refused() {
        let dir = tree();
        fs::write(dir.path().join("su"), "x").unwrap();
        fs::set_permissions(dir.path().join("su"), fs::Permissions::from_mode(0o4755)).unwrap();
        assert!(matches!(list(dir.path()), Err(TreeError::Privileged { mode: 0o4755, .. })));
    }

    #[test]
    fn a_name_that_is_not_utf8_is_refused() {
        let dir = tree();
        fs::write(dir.path().join(OsStr::from_bytes(b"\xff")), "x").unwrap();
        assert!(matches!(list(dir.path()), Err(TreeError::NotUtf8 { .. })));
        let dir = tree();
        symlink(OsStr::from_bytes(b"\xff"), dir.path().join("link")).unwrap();
        assert!(matches!(list(dir.path()), Err(TreeError::NotUtf8 { .. })));
    }

    #[test]
    fn a_file_is_no_tree() {
        let dir = tree();
        fs::write(dir.path().join("f"), "x").unwrap();
        assert!(matches!(list(&dir.path().join("f")), Err(TreeError::NotADirectory { .. })));
    }
}
