//! The old bytes that one window's encoder reads, in memory.
//!
//! Of a file that is longer than a window, only a part is held, and what is
//! around it: memory follows the window, not the file. An executable is held
//! whole up to a bound, since its references are foreseen only then.

use std::collections::BTreeMap;
use std::ops::Range;

use delta::limits::AROUND_BYTES;
use delta::{Part, may_be_executable};
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::PatchSource;
use rayon::prelude::*;
use store::repository::Repository;

use crate::build::old::{OldError, old_files, old_range};
use crate::build::windows::Window;
use crate::limits::{HEAD_BYTES, WHOLE_EXECUTABLE_BYTES};

/// What is in memory of a source.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// Where in the source they begin.
    begin: u64,
    source_len: u64,
    /// Where in the source copies come from.
    matched: Range<u64>,
}

impl Held {
    fn whole(bytes: Vec<u8>) -> Self {
        let source_len = bytes.len() as u64;
        Self { bytes, begin: 0, source_len, matched: 0..source_len }
    }

    /// The bytes that copies come from.
    pub(super) fn matched(&self) -> &[u8] {
        &self.bytes[self.part().matched]
    }

    pub(super) fn part(&self) -> Part<'_> {
        let place = |at: u64| usize::try_from(at - self.begin).expect("it is in memory");
        Part {
            bytes: &self.bytes,
            begin: self.begin,
            source_len: self.source_len,
            matched: place(self.matched.start)..place(self.matched.end),
        }
    }
}

/// A part of a long file and what is around it; all of it if references in it
/// are foreseen.
fn hold(
    window: &Window,
    part: &Range<u64>,
    base: &ReleaseManifest,
    repository: &Repository,
) -> Result<Held, OldError> {
    let row = window.sources[0].rows[0];
    let (source_len, _) = base.tree().entries()[row as usize].file().expect("a file's row");
    let head = old_range(base, row, 0..HEAD_BYTES, repository)?;
    let is_whole = source_len <= WHOLE_EXECUTABLE_BYTES && may_be_executable(&head);
    let around = AROUND_BYTES as u64;
    let range = match is_whole {
        true => 0..source_len,
        false => part.start.saturating_sub(around)..source_len.min(part.end + around),
    };
    let begin = range.start;
    let bytes = old_range(base, row, range, repository)?;
    Ok(Held { bytes, begin, source_len, matched: part.clone() })
}

/// The sources of a window.
pub(super) fn sources(
    window: &Window,
    base: &ReleaseManifest,
    repository: &Repository,
) -> Result<Vec<Held>, OldError> {
    match &window.part {
        None => load(window, base, repository),
        Some(part) => Ok(vec![hold(window, part, base, repository)?]),
    }
}

fn load(
    window: &Window,
    base: &ReleaseManifest,
    repository: &Repository,
) -> Result<Vec<Held>, OldError> {
    let rows: Vec<u32> = window.sources.iter().flat_map(|source| &source.rows).copied().collect();
    let mut files = old_files(base, &rows, repository)?;
    let mut loaded: Vec<Vec<u8>> = window.sources.par_iter().map(|s| views_of(s, &files)).collect();
    // What is read as it is stands in one source only.
    for (source, bytes) in window.sources.iter().zip(&mut loaded) {
        for row in source.rows.iter().filter(|_| source.views.is_none()) {
            let file = files.remove(row).expect("every row was asked for, once");
            if bytes.is_empty() { *bytes = file } else { bytes.extend_from_slice(&file) }
        }
    }
    Ok(loaded.into_iter().map(Held::whole).collect())
}

/// The views that a source reads, if it reads views.
fn views_of(source: &PatchSource, files: &BTreeMap<u32, Vec<u8>>) -> Vec<u8> {
    let rows = source.rows.iter().filter(|_| source.views.is_some());
    rows.flat_map(|row| container::view(&files[row]).expect("only files with streams are opened"))
        .collect()
}
