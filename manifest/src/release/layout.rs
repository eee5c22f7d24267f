//! How files become pieces: large ones are cut, small ones packed.
//!
//! A layout follows from paths and sizes alone, so that nobody has to send it.

use crate::release::limits::{PACK_FLOOR_BYTES, PIECE_BYTES, SMALL_FILE_BYTES};
use crate::release::tree::{Entry, Tree};

/// A run of one file within a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The file's row in its tree.
    pub row: u32,
    /// Where in the file the run begins.
    pub offset: u64,
    /// How many bytes it has; at least one.
    pub len: u32,
}

/// The runs that follow each other in a piece; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The runs, in order.
    pub parts: Vec<Part>,
    /// The piece's length: 1 byte to 1 MiB.
    pub len: u32,
}

/// The pieces of some of a tree's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The pieces, in order of their first file.
    pub shapes: Vec<Shape>,
}

impl Layout {
    /// The layout of a whole tree.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let rows: Vec<u32> = (0..tree.entries().len()).map(row_number).collect();
        Self::of_rows(tree, &rows)
    }

    /// The layout of the files among `rows`, which ascend; rows that are not
    /// files, and empty files, have no pieces.
    ///
    /// # Panics
    /// If a row is not of this tree.
    #[must_use]
    pub fn of_rows(tree: &Tree, rows: &[u32]) -> Self {
        Self::of_views(tree, rows, |_| None)
    }

    /// As [`Layout::of_rows`], but what is cut and packed of a file for which
    /// `view_len` says so are that many bytes of its view.
    ///
    /// # Panics
    /// If a row is not of this tree.
    #[must_use]
    pub fn of_views(tree: &Tree, rows: &[u32], view_len: impl Fn(u32) -> Option<u64>) -> Self {
        let mut packer = Packer::default();
        for &row in rows {
            let entry = &tree.entries()[row as usize];
            let Some((size, _)) = entry.file() else { continue };
            match view_len(row).unwrap_or(size) {
                0 => {}
                len if len < SMALL_FILE_BYTES => packer.pack(row, entry, len),
                len => packer.cut(row, len),
            }
        }
        packer.finish()
    }

    /// How many pieces [`Layout::of`] would cut at the least from large
    /// files, without building it: a bound to check before memory is taken.
    #[must_use]
    pub fn cut_count(tree: &Tree) -> u64 {
        let large = tree.entries().iter().filter_map(Entry::file).map(|(size, _)| size);
        large
            .filter(|size| *size >= SMALL_FILE_BYTES)
            .map(|size| size.div_ceil(u64::from(PIECE_BYTES)))
            .sum()
    }
}

/// The row as it is written in parts.
pub(crate) fn row_number(row: usize) -> u32 {
    u32::try_from(row).expect("a tree has at most a million entries")
}

#[derive(Default)]
struct Packer {
    shapes: Vec<Shape>,
    open: Vec<Part>,
    open_bytes: u32,
}

impl Packer {
    fn pack(&mut self, row: u32, entry: &Entry, size: u64) {
        let len = u32::try_from(size).expect("a small file is under 256 KiB");
        if self.open_bytes + len > PIECE_BYTES {
            self.close();
        }
        self.open.push(Part { row, offset: 0, len });
        self.open_bytes += len;
        // Where a pack ends depends on one path, not on what came before, so
        // that a new file disturbs its own pack and few others.
        let says_so = blake3::hash(entry.path.as_str().as_bytes()).as_bytes()[0] < 16;
        if says_so && self.open_bytes >= PACK_FLOOR_BYTES {
            self.close();
        }
    }

    fn cut(&mut self, row: u32, size: u64) {
        let mut offset = 0;
        while offset < size {
            let len = u64::from(PIECE_BYTES).min(size - offset);
            let part_len = u32::try_from(len).expect("a piece is at most 1 MiB");
            self.shapes
                .push(Shape { parts: vec![Part { row, offset, len: part_len }], len: part_len });
            offset += len;
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let parts = std::mem::take(&mut self.open);
            self.shapes.push(Shape { parts, len: std::mem::take(&mut self.open_bytes) });
        }
    }

    fn finish(mut self) -> Layout {
        self.close();
        Layout { shapes: self.shapes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentId;
    use crate::release::tree::Kind;

    fn tree(sizes: &[(&str, u64)]) -> Tree {
        let file = |(path, size): &(&str, u64)| Entry {
            path: path.parse().unwrap(),
            mode: 0o644,
            kind: Kind::File { size: *size, content: ContentId::of(path.as_bytes()) },
        };
        Tree::new(sizes.iter().map(file).collect()).unwrap()
    }

    #[test]
    fn large_files_are_cut_and_small_ones_packed() {
        let tree = tree(&[("a", 10), ("b", 0), ("c", 3 << 20), ("d", 20), ("e", (1 << 20) + 1)]);
        let layout = Layout::of(&tree);
        let lens: Vec<u32> = layout.shapes.iter().map(|shape| shape.len).collect();
        assert_eq!(lens, [1 << 20, 1 << 20, 1 << 20, 1 << 20, 1, 30]);
        assert_eq!(Layout::cut_count(&tree), 5);
        let rows: Vec<u32> = layout.shapes[5].parts.iter().map(|part| part.row).collect();
        assert_eq!(rows, [0, 3]);
    }

    #[test]
    fn every_byte_is_in_exactly_one_piece() {
        let names: Vec<String> = (0..3000u64).map(|i| format!("{i:05}")).collect();
        let sizes: Vec<(&str, u64)> = names
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), (i as u64).wrapping_mul(7919) % 300_000))
            .collect();
        let tree = tree(&sizes);
        let mut covered = vec![0u64; sizes.len()];
        for shape in Layout::of(&tree).shapes {
            assert!(shape.len <= PIECE_BYTES && shape.len > 0);
            assert_eq!(shape.len, shape.parts.iter().map(|part| part.len).sum::<u32>());
            for part in shape.parts {
                assert_eq!(part.offset, covered[part.row as usize], "runs follow each other");
                covered[part.row as usize] += u64::from(part.len);
            }
        }
        for (row, (_, size)) in sizes.iter().enumerate() {
            assert_eq!(covered[row], *size);
        }
    }

    #[test]
    fn a_new_file_disturbs_few_packs() {
        let names: Vec<String> = (0..4000).map(|i| format!("{i:05}")).collect();
        let shapes = |skip: usize| {
            let sizes: Vec<(&str, u64)> = names
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != skip)
                .map(|(_, name)| (name.as_str(), 9000))
                .collect();
            let tree = tree(&sizes);
            let name = |part: &Part| tree.entries()[part.row as usize].path.to_string();
            Layout::of(&tree)
                .shapes
                .iter()
                .map(|shape| shape.parts.iter().map(name).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        };
        let (all, without) = (shapes(usize::MAX), shapes(100));
        let disturbed = all.iter().filter(|pack| !without.contains(pack)).count();
        assert!(disturbed <= 6 && all.len() > 40, "{disturbed} of {}", all.len());
    }
}
