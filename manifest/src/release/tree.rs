//! A release's tree: what stands at which path.
//!
//! A [`Tree`] exists only if it can be written beneath a directory without
//! ever leaving it: every parent is a directory of the same tree.

use std::fmt;
use std::str::FromStr;

use crate::content::ContentId;
use crate::release::limits::{COMPONENT_BYTES, ENTRIES, PATH_BYTES, TREE_BYTES};

/// A path beneath the release's directory: components joined by `/`, none
/// of them empty, `.` or `..`, without a zero byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

/// A path that could lead out of the tree, or that no disk would take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path {path:?} is refused: {why}")]
pub struct BadPath {
    /// The path, at most its first 200 characters.
    pub path: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

impl TreePath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that holds it; `None` at the top of the tree.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }
}

impl FromStr for TreePath {
    type Err = BadPath;

    fn from_str(path: &str) -> Result<Self, BadPath> {
        let refuse = |why| Err(BadPath { path: path.chars().take(200).collect(), why });
        if path.is_empty() {
            return refuse("it is empty");
        }
        if path.len() > PATH_BYTES {
            return refuse("it is longer than 4096 bytes");
        }
        if path.starts_with('/') {
            return refuse("it is absolute");
        }
        if path.contains('\0') {
            return refuse("it contains a zero byte");
        }
        for component in path.split('/') {
            match component {
                "" => return refuse("it has an empty component"),
                "." | ".." => return refuse("it has a component . or .."),
                _ if component.len() > COMPONENT_BYTES => {
                    return refuse("a component is longer than 255 bytes");
                }
                _ => {}
            }
        }
        Ok(Self(path.to_owned()))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// One row of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub path: TreePath,
    /// Permission bits, within `0o777`; of a link always `0o777`.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link; its target is never followed by us.
    Symlink {
        /// The text of the link, 1 to 4096 bytes without a zero byte.
        target: String,
    },
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// The blake3 of all of it.
        content: ContentId,
    },
}

impl Entry {
    /// Length and content, if it is a file.
    #[must_use]
    pub const fn file(&self) -> Option<(u64, ContentId)> {
        match self.kind {
            Kind::File { size, content } => Some((size, content)),
            _ => None,
        }
    }
}

/// The rows of a release in ascending order of their paths' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<Entry>,
    total_bytes: u64,
}

/// Rows that make no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// More rows than a release may have.
    #[error("the tree has {found} entries, at most {ENTRIES} are allowed")]
    TooManyEntries {
        /// How many there are.
        found: usize,
    },
    /// Two rows for one path, or rows out of order.
    #[error("the path {path} stands twice or out of order")]
    OutOfOrder {
        /// The second of the two.
        path: TreePath,
    },
    /// Something stands beneath a link, a file, or nothing.
    #[error("the parent of {path} is not a directory of the tree")]
    NoParent {
        /// The row whose parent is missing.
        path: TreePath,
    },
    /// Setuid, setgid, sticky or unknown bits.
    #[error("{path} has mode {mode:o}, only permission bits up to 777 are allowed")]
    Mode {
        /// The row.
        path: TreePath,
        /// Its mode.
        mode: u32,
    },
    /// A link's text that no disk would take.
    #[error("the link {path} has a target of {found} bytes, or one with a zero byte")]
    Target {
        /// The row.
        path: TreePath,
        /// The target's length in bytes.
        found: usize,
    },
    /// More bytes than any release has.
    #[error("the tree declares more than {TREE_BYTES} bytes, up to {path}")]
    TooLarge {
        /// The row that goes beyond.
        path: TreePath,
    },
}

impl Tree {
    /// Checks rows in ascending order of path.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn new(entries: Vec<Entry>) -> Result<Self, TreeError> {
        if entries.len() > ENTRIES {
            return Err(TreeError::TooManyEntries { found: entries.len() });
        }
        let mut total_bytes = 0u64;
        for (row, entry) in entries.iter().enumerate() {
            let path = || entry.path.clone();
            if row > 0 && entries[row - 1].path >= entry.path {
                return Err(TreeError::OutOfOrder { path: path() });
            }
            if let Some(parent) = entry.path.parent() {
                // Rows before this one are in order already.
                let found = entries[..row].binary_search_by(|e| e.path.as_str().cmp(parent));
                if !found.is_ok_and(|at| entries[at].kind == Kind::Directory) {
                    return Err(TreeError::NoParent { path: path() });
                }
            }
            if entry.mode & !0o777 != 0 {
                return Err(TreeError::Mode { path: path(), mode: entry.mode });
            }
            match &entry.kind {
                Kind::Directory => {}
                Kind::Symlink { target } => {
                    let found = target.len();
                    if found == 0 || found > PATH_BYTES || target.contains('\0') {
                        return Err(TreeError::Target { path: path(), found });
                    }
                }
                Kind::File { size, .. } => {
                    total_bytes = total_bytes
                        .checked_add(*size)
                        .filter(|total| *total <= TREE_BYTES)
                        .ok_or_else(|| TreeError::TooLarge { path: path() })?;
                }
            }
        }
        Ok(Self { entries, total_bytes })
    }

    /// The rows, in ascending order of path.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The sum of all files' lengths.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The row that stands at `path`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        Some(&self.entries[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: path.parse().unwrap(), mode: 0o755, kind }
    }

    fn file(path: &str, size: u64) -> Entry {
        entry(path, Kind::File { size, content: ContentId::of(path.as_bytes()) })
    }

    #[test]
    fn a_path_that_escapes_is_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "a\0b",
            &"a".repeat(256),
        ] {
            assert!(bad.parse::<TreePath>().is_err(), "{bad:?}");
        }
        for good in ["a", "a/b", "..a", "a..", ".hidden", "ü/ß"] {
            assert!(good.parse::<TreePath>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_file_beneath_a_link_is_refused() {
        let link = Kind::Symlink { target: "/etc".to_owned() };
        let refused = Tree::new(vec![entry("a", link), file("a/passwd", 1)]).unwrap_err();
        assert!(matches!(refused, TreeError::NoParent { .. }));
        assert!(Tree::new(vec![entry("a", Kind::Directory), file("a/passwd", 1)]).is_ok());
    }

    #[test]
    fn setuid_is_refused() {
        let mut tool = file("tool", 1);
        tool.mode = 0o4755;
        assert!(matches!(Tree::new(vec![tool]), Err(TreeError::Mode { mode: 0o4755, .. })));
    }

    #[test]
    fn two_to_the_sixtieth_bytes_are_refused() {
        assert!(matches!(Tree::new(vec![file("a", 1 << 60)]), Err(TreeError::TooLarge { .. })));
        let many = (0..20).map(|i| file(&format!("{i:02}"), u64::MAX / 2)).collect();
        assert!(matches!(Tree::new(many), Err(TreeError::TooLarge { .. })));
    }

    #[test]
    fn one_path_stands_once() {
        let twice = Tree::new(vec![file("a", 1), file("a", 2)]);
        assert!(matches!(twice, Err(TreeError::OutOfOrder { .. })));
    }
}
