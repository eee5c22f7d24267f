//! Which old files are read together, and which new ones are made from them.
//!
//! Large old files are sources by themselves; small ones are packed with
//! their neighbours, since a delta names few sources. Sources are spread over
//! windows that one encoder can read. A new file goes to the window where its
//! old self is, or where it would stand among the old paths.

use std::collections::HashSet;

use manifest::release::layout::Shape;
use manifest::release::limits::SMALL_FILE_BYTES;
use manifest::release::tree::Tree;

use crate::limits::SOURCE_PACK_BYTES;

/// What one encoder reads and makes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The sources: rows of the base, to be read one after the other.
    pub sources: Vec<Vec<u32>>,
    /// The bytes of all sources.
    pub source_bytes: u64,
    /// What is made from them.
    pub jobs: Vec<Job>,
}

/// A pack, or all pieces of one file: shapes that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// The first of its shapes.
    pub first: usize,
    /// How many shapes it has.
    pub count: usize,
    /// The bytes of all of them.
    pub bytes: u64,
}

/// Spreads the rows `gone` of `base`, and the `shapes` of `release` that are
/// to be made, over windows of at most `window_bytes`; at least one.
///
/// A file too large for any suffix array is no source at all.
#[must_use]
pub fn windows(
    base: &Tree,
    gone: &[u32],
    release: &Tree,
    shapes: &[Shape],
    window_bytes: u64,
) -> Vec<Window> {
    let mut windows = vec![Window::default()];
    let mut begins: Vec<&str> = vec![""];
    for (rows, bytes) in sources(base, gone) {
        if bytes > delta::limits::MAX_WINDOW_BYTES as u64 {
            continue;
        }
        let full = windows
            .last()
            .is_some_and(|last| last.source_bytes > 0 && last.source_bytes + bytes > window_bytes);
        if full {
            begins.push(base.entries()[rows[0] as usize].path.as_str());
            windows.push(Window::default());
        }
        let last = windows.last_mut().expect("there is at least one");
        last.source_bytes += bytes;
        last.sources.push(rows);
    }
    for job in jobs(shapes) {
        let row = shapes[job.first].parts[0].row;
        let path = release.entries()[row as usize].path.as_str();
        let window = begins.partition_point(|begin| *begin <= path) - 1;
        windows[window].jobs.push(job);
    }
    windows
}

/// Groups rows into sources, in the order of their first paths.
fn sources(base: &Tree, gone: &[u32]) -> Vec<(Vec<u32>, u64)> {
    let mut sources = Vec::new();
    let mut pack: (Vec<u32>, u64) = (Vec::new(), 0);
    let mut seen = HashSet::new();
    for &row in gone {
        let (size, content) = base.entries()[row as usize].file().expect("gone rows are files");
        // Of equal files one is enough; an empty one serves nobody.
        if size == 0 || !seen.insert(content) {
            continue;
        }
        if size >= SMALL_FILE_BYTES {
            sources.push((vec![row], size));
            continue;
        }
        if pack.1 + size > SOURCE_PACK_BYTES {
            sources.push(std::mem::take(&mut pack));
        }
        pack.0.push(row);
        pack.1 += size;
    }
    if !pack.0.is_empty() {
        sources.push(pack);
    }
    // Rows ascend with their paths.
    sources.sort_unstable_by_key(|(rows, _)| rows[0]);
    sources
}

/// Shapes that are cut from one file belong together.
fn jobs(shapes: &[Shape]) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for (index, shape) in shapes.iter().enumerate() {
        let bytes = u64::from(shape.len);
        match jobs.last_mut() {
            // Only a cut file has a piece that begins within it.
            Some(job) if shape.parts[0].offset > 0 => {
                job.count += 1;
                job.bytes += bytes;
            }
            _ => jobs.push(Job { first: index, count: 1, bytes }),
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use manifest::content::ContentId;
    use manifest::release::layout::Layout;
    use manifest::release::tree::{Entry, Kind};

    use super::*;

    const KIB: u64 = 1 << 10;

    fn tree(files: &[(&str, u64)]) -> Tree {
        let file = |(path, size): &(&str, u64)| Entry {
            path: path.parse().unwrap(),
            mode: 0o644,
            kind: Kind::File { size: *size, content: ContentId::of(path.as_bytes()) },
        };
        Tree::new(files.iter().map(file).collect()).unwrap()
    }

    fn all(tree: &Tree) -> Vec<u32> {
        (0..u32::try_from(tree.entries().len()).unwrap()).collect()
    }

    #[test]
    fn small_files_are_packed_and_large_ones_stand_alone() {
        let base = tree(&[("a", 10), ("b", 300 * KIB), ("c", 20), ("d", 0)]);
        let windows = windows(&base, &all(&base), &base, &[], 1 << 30);
        assert_eq!(windows.len(), 1);
        assert_eq!(windows[0].sources, [vec![0, 2], vec![1]]);
        assert_eq!(windows[0].source_bytes, 300 * KIB + 30);
    }

    #[test]
    fn a_file_is_made_where_its_old_self_is_read() {
        let files = [("a", 900 * KIB), ("b", 900 * KIB), ("c", 3000 * KIB), ("d", 900 * KIB)];
        let base = tree(&files);
        let shapes = Layout::of(&base).shapes;
        let windows = windows(&base, &all(&base), &base, &shapes, 2000 * KIB);
        let sources: Vec<_> = windows.iter().map(|window| window.sources.clone()).collect();
        assert_eq!(sources, [vec![vec![0], vec![1]], vec![vec![2]], vec![vec![3]]]);
        let counts: Vec<Vec<usize>> =
            windows.iter().map(|w| w.jobs.iter().map(|job| job.count).collect()).collect();
        assert_eq!(counts, [vec![1, 1], vec![3], vec![1]]);
    }

    #[test]
    fn without_any_old_file_everything_is_still_made() {
        let base = tree(&[("a", 10)]);
        let release = tree(&[("b", 20), ("c", 2000 * KIB)]);
        let shapes = Layout::of(&release).shapes;
        let windows = windows(&base, &[], &release, &shapes, 1 << 30);
        assert_eq!(windows.len(), 1);
        let made: usize = windows[0].jobs.iter().map(|job| job.count).sum();
        assert_eq!(made, shapes.len());
    }
}
