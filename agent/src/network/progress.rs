//! How far a transfer is, for `status` and for the demo's live table.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use manifest::content::ContentId;
use manifest::release::plan::Wanted;
use serde::{Deserialize, Serialize};

/// Bytes of a block, the unit in which objects are requested.
const BLOCK_BYTES: u64 = 32 << 10;

/// The objects that a transfer wants, shared by everything that fetches.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    summary: Summary,
    missing: HashMap<ContentId, u64>,
}

/// The figures of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Objects that are wanted.
    pub objects: u64,
    /// Objects that are here.
    pub objects_done: u64,
    /// Blocks that are wanted.
    pub blocks: u64,
    /// Blocks that are here.
    pub blocks_done: u64,
    /// Bytes that are wanted.
    pub bytes: u64,
    /// Bytes that are here.
    pub bytes_done: u64,
}

impl Progress {
    fn with<R>(&self, change: impl FnOnce(&mut Counts) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A transfer of `wanted` begins, of which `held` are here already.
    pub fn begin(&self, wanted: &[Wanted], held: impl Fn(&Wanted) -> bool) {
        self.with(|counts| {
            *counts = Counts::default();
            for wanted in wanted {
                counts.summary.objects += 1;
                counts.summary.blocks += wanted.len.div_ceil(BLOCK_BYTES);
                counts.summary.bytes += wanted.len;
                counts.missing.insert(wanted.id, wanted.len);
            }
        });
        for wanted in wanted.iter().filter(|wanted| held(wanted)) {
            self.arrived(wanted.id);
        }
    }

    /// An object has arrived whole.
    pub fn arrived(&self, id: ContentId) {
        self.with(|counts| {
            if let Some(len) = counts.missing.remove(&id) {
                counts.summary.objects_done += 1;
                counts.summary.blocks_done += len.div_ceil(BLOCK_BYTES);
                counts.summary.bytes_done += len;
            }
        });
    }

    /// The figures, with `blocks` of objects that are not whole yet.
    #[must_use]
    pub fn summary(&self, partial_blocks: u64) -> Summary {
        self.with(|counts| {
            let mut summary = counts.summary;
            summary.blocks_done = (summary.blocks_done + partial_blocks).min(summary.blocks);
            summary
        })
    }

    /// The objects that are wanted and not here, in the order of their ids.
    #[must_use]
    pub fn missing(&self) -> Vec<ContentId> {
        let mut missing: Vec<ContentId> =
            self.with(|counts| counts.missing.keys().copied().collect());
        missing.sort_unstable();
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_count_once_and_blocks_with_them() {
        let wanted: Vec<Wanted> = [1u8, 2, 3]
            .map(|n| Wanted { id: ContentId::of(&[n]), len: u64::from(n) * (32 << 10) + 1 })
            .to_vec();
        let progress = Progress::default();
        progress.begin(&wanted, |held| held.id == wanted[0].id);
        progress.arrived(wanted[1].id);
        progress.arrived(wanted[1].id);
        progress.arrived(ContentId::of(b"unknown"));
        let summary = progress.summary(1);
        assert_eq!((summary.objects, summary.objects_done), (3, 2));
        assert_eq!((summary.blocks, summary.blocks_done), (2 + 3 + 4, 2 + 3 + 1));
        assert_eq!(progress.missing(), [wanted[2].id]);
        assert_eq!(progress.summary(100).blocks_done, 9);
    }
}
