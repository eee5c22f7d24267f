//! Folders, as tests handle them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies a directory, modes and links and all.
///
/// # Panics
/// If it cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp is there").success());
}

/// Every file below `dir`.
///
/// # Panics
/// If one of its directories cannot be read.
#[must_use]
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("the directory can be read") {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    files
}
