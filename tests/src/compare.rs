//! Compares two trees: every byte, every mode, every link.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What stands at one path.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Directory { mode: u32 },
    Link { target: PathBuf },
    File { mode: u32, content: blake3::Hash },
}

/// The paths at which two trees differ, each with what differs; empty if
/// they are equal byte for byte and mode for mode.
///
/// # Errors
/// If one of them cannot be read.
pub fn differences(expected: &Path, found: &Path) -> io::Result<Vec<String>> {
    let (expected, found) = (read(expected)?, read(found)?);
    let mut told = Vec::new();
    for (path, there) in &expected {
        match found.get(path) {
            None => told.push(format!("{} is missing", path.display())),
            Some(here) if here != there => {
                told.push(format!("{}: expected {there:?}, found {here:?}", path.display()));
            }
            Some(_) => {}
        }
    }
    let extra = found.keys().filter(|path| !expected.contains_key(*path));
    told.extend(extra.map(|path| format!("{} should not be there", path.display())));
    Ok(told)
}

fn read(root: &Path) -> io::Result<BTreeMap<PathBuf, Found>> {
    let mut tree = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let path = folder.join(entry?.file_name());
            let full = root.join(&path);
            let meta = fs::symlink_metadata(&full)?;
            let mode = meta.permissions().mode() & 0o7777;
            let found = if meta.is_dir() {
                folders.push(path.clone());
                Found::Directory { mode }
            } else if meta.is_symlink() {
                Found::Link { target: fs::read_link(&full)? }
            } else {
                Found::File { mode, content: blake3::hash(&fs::read(&full)?) }
            };
            tree.insert(path, found);
        }
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_told() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for side in [a.path(), b.path()] {
            fs::write(side.join("same"), "1").unwrap();
            fs::write(side.join("bytes"), "1").unwrap();
            fs::write(side.join("mode"), "1").unwrap();
        }
        assert!(differences(a.path(), b.path()).unwrap().is_empty());
        fs::write(b.path().join("bytes"), "2").unwrap();
        fs::set_permissions(b.path().join("mode"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(a.path().join("gone"), "").unwrap();
        fs::write(b.path().join("more"), "").unwrap();
        assert_eq!(differences(a.path(), b.path()).unwrap().len(), 4);
    }
}
