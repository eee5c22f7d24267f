//! How far a transfer is, for `status` and for the demo's live table.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use manifest::content::ContentId;
use manifest::release::plan::Wanted;
use serde::{Deserialize, Serialize};

use crate::network::peers::Partial;

/// Bytes of a block, the unit in which objects are requested.
const BLOCK_BYTES: u64 = 32 << 10;

/// The objects that a transfer wants, shared by everything that fetches.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    summary: Summary,
    /// Every object that is wanted: its length, and whether it is here.
    wanted: BTreeMap<ContentId, (u64, bool)>,
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
                counts.wanted.insert(wanted.id, (wanted.len, false));
            }
        });
        for wanted in wanted.iter().filter(|wanted| held(wanted)) {
            self.arrived(wanted.id);
        }
    }

    /// An object has arrived whole.
    pub fn arrived(&self, id: ContentId) {
        self.with(|counts| {
            if let Some((len, here @ false)) = counts.wanted.get_mut(&id) {
                *here = true;
                counts.summary.objects_done += 1;
                counts.summary.blocks_done += len.div_ceil(BLOCK_BYTES);
                counts.summary.bytes_done += *len;
            }
        });
    }

    /// The figures of what is whole here.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.with(|counts| counts.summary)
    }

    /// The figures, and every object that is wanted in the order of their
    /// ids, with the blocks that are here: all of one that is whole, those in
    /// `partial` of another.
    #[must_use]
    pub fn view(&self, partial: Vec<Partial>) -> (Summary, Vec<Partial>) {
        let mut partial: HashMap<ContentId, Partial> =
            partial.into_iter().map(|object| (object.id, object)).collect();
        self.with(|counts| {
            let mut summary = counts.summary;
            let objects = counts.wanted.iter().map(|(&id, &(len, here))| {
                let none = || usize::try_from(len.div_ceil(BLOCK_BYTES)).unwrap_or(0);
                if here {
                    return Partial { id, len, blocks: "1".repeat(none()) };
                }
                let object = partial.remove(&id).filter(|object| object.len == len);
                let object =
                    object.unwrap_or_else(|| Partial { id, len, blocks: "0".repeat(none()) });
                summary.blocks_done += object.blocks.bytes().filter(|b| *b == b'1').count() as u64;
                object
            });
            let objects = objects.collect();
            (summary, objects)
        })
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
        assert_eq!((progress.summary().objects, progress.summary().objects_done), (3, 2));
        let partial = Partial { id: wanted[2].id, len: wanted[2].len, blocks: "0110".to_owned() };
        let (summary, objects) = progress.view(vec![partial.clone()]);
        assert_eq!((summary.blocks, summary.blocks_done), (2 + 3 + 4, 2 + 3 + 2));
        let blocks = |at: usize| {
            let found = objects.iter().find(|object| object.id == wanted[at].id);
            found.map(|object| object.blocks.as_str())
        };
        assert_eq!([blocks(0), blocks(1), blocks(2)], [Some("11"), Some("111"), Some("0110")]);
        let (_, objects) = progress.view(Vec::new());
        assert!(objects.iter().any(|object| object.blocks == "0000"), "{objects:?}");
    }
}
