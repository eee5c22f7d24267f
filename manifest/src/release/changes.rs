//! What differs between two releases, told by content: a file that moved is kept.

use std::collections::HashMap;

use crate::content::ContentId;
use crate::release::layout::row_number;
use crate::release::tree::{Entry, Tree};

/// The files of a release in the light of a base.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Files whose content the base has: (row of the release, row of the
    /// base), the same path where it can be.
    pub kept: Vec<(u32, u32)>,
    /// Rows of the release's files whose content the base lacks, ascending.
    pub missing: Vec<u32>,
    /// Rows of the base's files whose content the release lacks, ascending:
    /// what deltas are made from.
    pub gone: Vec<u32>,
}

/// How many files met which fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// The same content at the same path.
    pub kept: usize,
    /// The same content at another path.
    pub moved: usize,
    /// Another content at the same path.
    pub changed: usize,
    /// A path and a content that the base lacks.
    pub new: usize,
    /// Files of the base that are neither kept, moved nor changed.
    pub deleted: usize,
}

impl Changes {
    /// Compares `release` with `base`; empty files count as kept only where
    /// the base has one.
    #[must_use]
    pub fn between(base: &Tree, release: &Tree) -> Self {
        let held = rows_by_content(base);
        let wanted = rows_by_content(release);
        let mut changes = Self::default();
        for (row, entry) in release.entries().iter().enumerate() {
            let Some((_, content)) = entry.file() else { continue };
            let row = row_number(row);
            match held.get(&content) {
                None => changes.missing.push(row),
                Some(rows) => {
                    let at_path = |held: &&u32| base.entries()[**held as usize].path == entry.path;
                    let from = rows.iter().find(at_path).unwrap_or(&rows[0]);
                    changes.kept.push((row, *from));
                }
            }
        }
        for (row, entry) in base.entries().iter().enumerate() {
            if entry.file().is_some_and(|(_, content)| !wanted.contains_key(&content)) {
                changes.gone.push(row_number(row));
            }
        }
        changes
    }

    /// Counts the fates, for people.
    #[must_use]
    pub fn tally(&self, base: &Tree, release: &Tree) -> Tally {
        let path = |tree: &Tree, row: u32| tree.entries()[row as usize].path.as_str().to_owned();
        let is_file = |tree: &Tree, path: &str| tree.find(path).and_then(Entry::file).is_some();
        let moved = self.kept.iter().filter(|(to, from)| path(release, *to) != path(base, *from));
        let moved = moved.count();
        let changed = self.missing.iter().filter(|row| is_file(base, &path(release, **row)));
        let changed = changed.count();
        let deleted = self.gone.iter().filter(|row| !is_file(release, &path(base, **row)));
        Tally {
            kept: self.kept.len() - moved,
            moved,
            changed,
            new: self.missing.len() - changed,
            deleted: deleted.count(),
        }
    }
}

fn rows_by_content(tree: &Tree) -> HashMap<ContentId, Vec<u32>> {
    let mut rows: HashMap<ContentId, Vec<u32>> = HashMap::new();
    for (row, entry) in tree.entries().iter().enumerate() {
        if let Some((_, content)) = entry.file() {
            rows.entry(content).or_default().push(row_number(row));
        }
    }
    rows
}
