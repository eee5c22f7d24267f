//! Which old files are read together, and which new ones are made from them.
//!
//! Large old files are sources by themselves; small ones are packed with
//! their neighbours, since a delta names few sources. Sources are spread over
//! windows that one encoder can read. A new file goes to the window where its
//! old self is, or one of its name that moved, or where it would stand among
//! the old paths. A file that is opened is read as its view, and as it is where
//! that is of use too.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use manifest::release::layout::Shape;
use manifest::release::limits::SMALL_FILE_BYTES;
use manifest::release::patch::PatchSource;
use manifest::release::tree::Tree;

use crate::build::views::OldView;
use crate::limits::SOURCE_PACK_BYTES;

/// Old files of one name that are looked at for where a file came from.
const NAMESAKES: usize = 64;

/// What one encoder reads and makes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The sources.
    pub sources: Vec<PatchSource>,
    /// The bytes of all sources.
    pub source_bytes: u64,
    /// Which bytes of its only source it reads, if that is longer than a window:
    /// what is made from it is made from each of its parts, and the smaller
    /// delta kept.
    pub part: Option<Range<u64>>,
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

/// Spreads the rows `gone` of `base`, some of them `opened`, and the `shapes` of `release` that are
/// to be made, over windows of at most `window_bytes`; at least one. A file
/// longer than any suffix array has several to itself.
#[must_use]
pub fn windows(
    (base, gone, opened): (&Tree, &[u32], &BTreeMap<u32, OldView>),
    release: &Tree,
    shapes: &[Shape],
    (window_bytes, longest_bytes): (u64, u64),
) -> Vec<Window> {
    let mut windows = vec![Window::default()];
    let mut begins: Vec<&str> = vec![""];
    for (source, bytes) in sources(base, gone, opened) {
        if bytes > longest_bytes {
            let path = base.entries()[source.rows[0] as usize].path.as_str();
            for part in parts(bytes, window_bytes) {
                let source_bytes = part.end - part.start;
                let (sources, jobs) = (vec![source.clone()], Vec::new());
                begins.push(path);
                windows.push(Window { sources, source_bytes, part: Some(part), jobs });
            }
            continue;
        }
        let full = windows.last().is_some_and(|last| {
            let over = last.source_bytes > 0 && last.source_bytes + bytes > window_bytes;
            over || last.part.is_some()
        });
        if full {
            begins.push(base.entries()[source.rows[0] as usize].path.as_str());
            windows.push(Window::default());
        }
        let last = windows.last_mut().expect("there is at least one");
        last.source_bytes += bytes;
        last.sources.push(source);
    }
    let moved = Moved::of(base, gone);
    for job in jobs(shapes) {
        // Of a pack's files, most may have stood elsewhere.
        let mut bytes_by_end: BTreeMap<usize, u32> = BTreeMap::new();
        for part in &shapes[job.first].parts {
            let path = release.entries()[part.row as usize].path.as_str();
            let old_path = moved.old_path(path);
            let end = begins.partition_point(|begin| *begin <= old_path);
            *bytes_by_end.entry(end).or_default() += part.len;
        }
        let most = bytes_by_end.into_iter().rev().max_by_key(|(_, bytes)| *bytes);
        let (end, _) = most.expect("a shape has a part");
        let is_part = windows[end - 1].part.is_some();
        // All parts of one file begin at the same path.
        let first = begins.partition_point(|begin| *begin < begins[end - 1]);
        let first = if is_part { first } else { end - 1 };
        for window in &mut windows[first..end] {
            if !is_part || window.part.is_some() {
                window.jobs.push(job);
            }
        }
    }
    windows
}

/// Old files by their names, to find those that moved.
struct Moved<'a> {
    paths: HashSet<&'a str>,
    by_name: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Moved<'a> {
    fn of(base: &'a Tree, gone: &[u32]) -> Self {
        let mut by_name: HashMap<&str, Vec<&str>> = HashMap::new();
        for &row in gone {
            let path = base.entries()[row as usize].path.as_str();
            by_name.entry(name(path)).or_default().push(path);
        }
        Self { paths: by_name.values().flatten().copied().collect(), by_name }
    }

    /// Where the file that is now at `path` stood, as far as names tell: of
    /// several of its name, where most of the directories above are the same.
    fn old_path(&self, path: &'a str) -> &'a str {
        let others = match self.by_name.get(name(path)) {
            Some(others) if !self.paths.contains(path) => &others[..others.len().min(NAMESAKES)],
            _ => return path,
        };
        let alike = |other: &str| {
            let both = path.rsplit('/').zip(other.rsplit('/'));
            both.take_while(|(one, other)| one == other).count()
        };
        // The first of those that are alike.
        others.iter().rev().copied().max_by_key(|other| alike(other)).unwrap_or(path)
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// As few parts of a long file as fit into windows.
fn parts(bytes: u64, window_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let count = bytes.div_ceil(window_bytes);
    let len = bytes.div_ceil(count);
    (0..count).map(move |part| part * len..((part + 1) * len).min(bytes))
}

/// A pack of small files that is being filled.
#[derive(Default)]
struct Pack {
    rows: Vec<u32>,
    views: Vec<u64>,
    bytes: u64,
}

impl Pack {
    fn close(&mut self, is_opened: bool) -> Option<(PatchSource, u64)> {
        let pack = std::mem::take(self);
        let views = is_opened.then_some(pack.views);
        (!pack.rows.is_empty()).then_some((PatchSource { rows: pack.rows, views }, pack.bytes))
    }
}

/// Groups rows into sources, in the order of their first paths.
fn sources(base: &Tree, gone: &[u32], opened: &BTreeMap<u32, OldView>) -> Vec<(PatchSource, u64)> {
    let mut sources = Vec::new();
    let mut packs = [Pack::default(), Pack::default()];
    let mut seen = HashSet::new();
    for &row in gone {
        let (size, content) = base.entries()[row as usize].file().expect("gone rows are files");
        // Of equal files one is enough; an empty one serves nobody.
        if size == 0 || !seen.insert(content) {
            continue;
        }
        let view = opened.get(&row);
        let closed = view.is_none_or(|view| view.closed_too).then_some((false, size));
        for (is_opened, len) in closed.into_iter().chain(view.map(|view| (true, view.len))) {
            if len >= SMALL_FILE_BYTES {
                let views = is_opened.then(|| vec![len]);
                sources.push((PatchSource { rows: vec![row], views }, len));
                continue;
            }
            let pack = &mut packs[usize::from(is_opened)];
            if pack.bytes + len > SOURCE_PACK_BYTES {
                sources.extend(pack.close(is_opened));
            }
            pack.rows.push(row);
            pack.views.push(len);
            pack.bytes += len;
        }
    }
    let [mut closed, mut views] = packs;
    sources.extend(closed.close(false).into_iter().chain(views.close(true)));
    // Rows ascend with their paths.
    sources.sort_by_key(|(source, _)| (source.rows[0], source.views.is_some()));
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
    use std::collections::BTreeSet;

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
        let above = files
            .iter()
            .flat_map(|(path, _)| path.match_indices('/').map(|(end, _)| &path[..end]))
            .collect::<BTreeSet<_>>();
        let directory =
            |path: &&str| Entry { path: path.parse().unwrap(), mode: 0o755, kind: Kind::Directory };
        let entries = files.iter().map(file).chain(above.iter().map(directory));
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Tree::new(entries).unwrap()
    }

    fn all(tree: &Tree) -> Vec<u32> {
        let files = (0..).zip(tree.entries()).filter(|(_, entry)| entry.file().is_some());
        files.map(|(row, _)| row).collect()
    }

    fn rows(window: &Window) -> Vec<Vec<u32>> {
        window.sources.iter().map(|source| source.rows.clone()).collect()
    }

    #[test]
    fn opened_files_are_read_as_views() {
        let base = tree(&[("a", 10), ("b", 20), ("c", 30), ("d", 300 * KIB)]);
        let view = |len, closed_too| OldView { len, closed_too };
        let opened = [(1, view(60, false)), (2, view(400 * KIB, true)), (3, view(70, false))];
        let found = windows((&base, &all(&base), &opened.into()), &base, &[], (1 << 30, 1 << 30));
        let source = |rows: &[u32], views: Option<Vec<u64>>| {
            let rows = rows.to_vec();
            PatchSource { rows, views }
        };
        let expected = [
            source(&[0, 2], None),
            source(&[1, 3], Some(vec![60, 70])),
            source(&[2], Some(vec![400 * KIB])),
        ];
        assert_eq!(found[0].sources, expected);
        assert_eq!(found[0].source_bytes, 10 + 30 + 60 + 70 + 400 * KIB);
    }

    #[test]
    fn small_files_are_packed_and_large_ones_stand_alone() {
        let base = tree(&[("a", 10), ("b", 300 * KIB), ("c", 20), ("d", 0)]);
        let windows =
            windows((&base, &all(&base), &BTreeMap::new()), &base, &[], (1 << 30, 1 << 30));
        assert_eq!(windows.len(), 1);
        assert_eq!(rows(&windows[0]), [vec![0, 2], vec![1]]);
        assert_eq!(windows[0].source_bytes, 300 * KIB + 30);
    }

    #[test]
    fn a_file_is_made_where_its_old_self_is_read() {
        let files = [("a", 900 * KIB), ("b", 900 * KIB), ("c", 3000 * KIB), ("d", 900 * KIB)];
        let base = tree(&files);
        let shapes = Layout::of(&base).shapes;
        let windows = windows(
            (&base, &all(&base), &BTreeMap::new()),
            &base,
            &shapes,
            (2000 * KIB, 4000 * KIB),
        );
        let sources: Vec<_> = windows.iter().map(rows).collect();
        assert_eq!(sources, [vec![vec![0], vec![1]], vec![vec![2]], vec![vec![3]]]);
        let counts: Vec<Vec<usize>> =
            windows.iter().map(|w| w.jobs.iter().map(|job| job.count).collect()).collect();
        assert_eq!(counts, [vec![1, 1], vec![3], vec![1]]);
    }

    #[test]
    fn a_file_that_moved_is_made_where_its_old_self_is_read() {
        let base = tree(&[
            ("a/lib/one.so", 1500 * KIB),
            ("m/lib/two.so", 1500 * KIB),
            ("z/lib/one.so", 1500 * KIB),
        ]);
        let made_in = |path: &str| {
            let release = tree(&[(path, 1000 * KIB)]);
            let shapes = Layout::of(&release).shapes;
            let found = windows(
                (&base, &all(&base), &BTreeMap::new()),
                &release,
                &shapes,
                (2000 * KIB, 4000 * KIB),
            );
            assert_eq!(found.len(), 3);
            found.iter().position(|window| !window.jobs.is_empty()).unwrap()
        };
        assert_eq!(made_in("b/two.so"), 1);
        assert_eq!(made_in("c/z/lib/one.so"), 2);
        // Nobody has this name, and this one stayed where it was.
        assert_eq!(made_in("b/three.so"), 0);
        assert_eq!(made_in("a/lib/one.so"), 0);
    }

    #[test]
    fn a_file_too_long_for_one_window_is_read_in_parts() {
        let base = tree(&[("a", 900 * KIB), ("b", 5000 * KIB), ("c", 900 * KIB)]);
        let shapes = Layout::of(&base).shapes;
        let limits = (2000 * KIB, 4000 * KIB);
        let windows = windows((&base, &all(&base), &BTreeMap::new()), &base, &shapes, limits);
        let sources: Vec<_> = windows.iter().map(rows).collect();
        assert_eq!(
            sources,
            [vec![vec![0]], vec![vec![1]], vec![vec![1]], vec![vec![1]], vec![vec![2]]]
        );
        let parts: Vec<u64> = windows.iter().map(|w| w.source_bytes).collect();
        assert_eq!(parts.iter().sum::<u64>(), 6800 * KIB);
        assert!(windows[1..4].iter().all(|window| window.part.is_some()));
        assert!(windows[1..4].iter().all(|window| window.source_bytes <= 2000 * KIB));
        // All parts make the same, others nothing twice.
        let counts: Vec<Vec<usize>> =
            windows.iter().map(|w| w.jobs.iter().map(|job| job.count).collect()).collect();
        assert_eq!(counts, [vec![1], vec![5], vec![5], vec![5], vec![1]]);
    }

    #[test]
    fn without_any_old_file_everything_is_still_made() {
        let base = tree(&[("a", 10)]);
        let release = tree(&[("b", 20), ("c", 2000 * KIB)]);
        let shapes = Layout::of(&release).shapes;
        let windows =
            windows((&base, &[], &BTreeMap::new()), &release, &shapes, (1 << 30, 1 << 30));
        assert_eq!(windows.len(), 1);
        let made: usize = windows[0].jobs.iter().map(|job| job.count).sum();
        assert_eq!(made, shapes.len());
    }
}
