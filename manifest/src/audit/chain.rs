//! The end of a log: what the next entry must say, and what the tree is then.
//!
//! Writer and reader share this one rule, so that a log that its writer
//! accepted is one that every reader accepts.

use crate::admission::installation::InstallationId;
use crate::audit::checkpoint::origin;
use crate::audit::entry::{Actor, Entry, EntryError};
use crate::audit::event::{Event, TreeHead};
use crate::audit::hash::LogHash;
use crate::audit::merkle::{Frontier, leaf_hash};
use crate::audit::moment::Moment;

/// The state of a log after its last entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    installation: InstallationId,
    last: LogHash,
    tree: Frontier,
}

/// A line that cannot be the next one of this log.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is no entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// It belongs to another log.
    #[error("the entry is of installation {found}")]
    Foreign {
        /// The installation it names.
        found: InstallationId,
    },
    /// Its number is not the next.
    #[error("expected entry {expected}, found entry {found}")]
    Sequence {
        /// The number that comes next.
        expected: u64,
        /// The number that stands there.
        found: u64,
    },
    /// It follows another entry than the one before it.
    #[error("the entry names {found} as the one before it, which has {expected}")]
    Broken {
        /// The hash of the line before it.
        expected: LogHash,
        /// The hash that it names.
        found: LogHash,
    },
}

impl Chain {
    /// The empty log of an installation.
    #[must_use]
    pub fn new(installation: InstallationId) -> Self {
        let last = LogHash::of(origin(&installation).as_bytes());
        Self { installation, last, tree: Frontier::new() }
    }

    /// Whose log it is.
    #[must_use]
    pub const fn installation(&self) -> InstallationId {
        self.installation
    }

    /// Number of entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// What a checkpoint of the log as it is now signs.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.tree.size(), root: self.tree.root() }
    }

    /// The entry that tells of `event` next. It is part of the log only once
    /// its line is written and pushed.
    #[must_use]
    pub const fn next(&self, by: Actor, moment: Moment, event: Event) -> Entry {
        Entry {
            seq: self.tree.size(),
            prev: self.last,
            installation: self.installation,
            by,
            moment,
            event,
        }
    }

    /// Takes the next line, given without its newline.
    ///
    /// # Errors
    /// [`LinkError`]; the chain is then as it was.
    pub fn push(&mut self, line: &[u8]) -> Result<Entry, LinkError> {
        let entry = Entry::parse(line)?;
        if entry.installation != self.installation {
            return Err(LinkError::Foreign { found: entry.installation });
        }
        if entry.seq != self.tree.size() {
            return Err(LinkError::Sequence { expected: self.tree.size(), found: entry.seq });
        }
        if entry.prev != self.last {
            return Err(LinkError::Broken { expected: self.last, found: entry.prev });
        }
        self.last = LogHash::of(line);
        self.tree.push(leaf_hash(line));
        Ok(entry)
    }

    /// Whether an entry with this `prev` claims to follow the last one.
    pub(crate) fn is_followed_by(&self, prev: &LogHash) -> bool {
        self.last == *prev
    }
}
