//! Whether a log is what its installation signed, and which entry is not.
//!
//! `verify` judges one log by one checkpoint. `continuity` judges it by a
//! checkpoint that somebody kept from before: that is what catches an
//! installation which signs another past than it signed then.

use std::fmt;

use crate::admission::installation::InstallationId;
use crate::audit::chain::{Chain, LinkError};
use crate::audit::checkpoint::{Checkpoint, CheckpointError};
use crate::audit::entry::{Entry, EntryError};
use crate::audit::event::{Event, TreeHead};
use crate::audit::hash::LogHash;
use crate::audit::limits::LOG_BYTES;
use crate::audit::merkle::{Tree, leaf_hash};
use crate::key::PublicKey;

/// A log that is what its checkpoint says.
#[derive(Debug, Clone)]
pub struct Verified {
    checkpoint: Checkpoint,
    entries: Vec<Entry>,
    tree: Tree,
    torn_bytes: usize,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The checkpoint cannot be believed, so nothing is known of the log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log is longer than this reader takes.
    #[error("a log is at most {LOG_BYTES} bytes, found {found}")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// A line is no entry any more.
    #[error("entry {entry} was changed: {source}")]
    Unreadable {
        /// Which.
        entry: u64,
        /// What is wrong with the line.
        source: EntryError,
    },
    /// A line is an entry, but not the one that was written.
    #[error("entry {entry} was changed")]
    Changed {
        /// Which.
        entry: u64,
    },
    /// Entries were taken out.
    #[error("{}", missing(*.first, *.last))]
    Missing {
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
    },
    /// Entries stand in another order, or one stands there twice.
    #[error("entry {found} stands where entry {expected} was")]
    Reordered {
        /// The entry that belongs there.
        expected: u64,
        /// The entry that stands there.
        found: u64,
    },
    /// An entry comes from another installation's log.
    #[error("entry {entry} is from the log of {found}")]
    Foreign {
        /// Where it stands.
        entry: u64,
        /// Whose it is.
        found: InstallationId,
    },
    /// The log ends before the last entry that was signed.
    #[error("truncated: {signed} entries were signed, {found} are there")]
    Truncated {
        /// Entries that the checkpoint seals.
        signed: u64,
        /// Entries that are there.
        found: u64,
    },
    /// The entries follow each other, but not to the root that was signed.
    #[error("entry {last}, or a run of entries up to it, was changed after it was signed")]
    WrongRoot {
        /// The last entry that the checkpoint seals.
        last: u64,
    },
    /// The installation now signs fewer entries than it once did.
    #[error("truncated: {older} entries were signed before, now only {newer}")]
    Shrunk {
        /// Entries that the kept checkpoint seals.
        older: u64,
        /// Entries that the new checkpoint seals.
        newer: u64,
    },
    /// The installation signed another past than the one it signed before.
    #[error("rewritten: the first {older} entries are not those that were signed before")]
    Rewritten {
        /// Entries that the kept checkpoint seals.
        older: u64,
    },
    /// The installation signed two logs of the same length.
    #[error("forked: two different logs of {size} entries were signed")]
    Forked {
        /// Entries that both checkpoints seal.
        size: u64,
    },
}

fn missing(first: u64, last: u64) -> String {
    if first == last {
        format!("entry {first} is missing")
    } else {
        format!("entries {first} to {last} are missing")
    }
}

/// How a log relates to a checkpoint kept from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// What was signed then is the beginning of what is there now.
    Unbroken,
    /// The machine was restored from older state and says so itself: the
    /// entry names the kept checkpoint, and the log goes on from before it.
    Restored {
        /// The entry that says so.
        entry: u64,
    },
}

/// Checks a whole log: each line, the links between them, and the root that
/// the checkpoint signs. `log` is lines that end in newlines.
///
/// Entries beyond the checkpoint are allowed, for a writer can lose power
/// between the two: they are linked, but nobody signed them yet. So is the
/// beginning of a line at the end, which is left out.
///
/// # Errors
/// [`Fault`]: the first that is found, reading from the start.
pub fn verify(log: &[u8], checkpoint: &[u8], log_key: &PublicKey) -> Result<Verified, Fault> {
    let checkpoint = Checkpoint::verify(checkpoint, log_key)?;
    if log.len() > LOG_BYTES {
        return Err(Fault::TooLong { found: log.len() });
    }
    let (lines, torn) = lines(log);
    let mut chain = Chain::new(checkpoint.installation());
    let mut tree = Tree::new();
    let mut entries = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        match chain.push(line) {
            Ok(entry) => entries.push(entry),
            Err(error) => return Err(blame(&chain, error, &lines[index..])),
        }
        tree.push(leaf_hash(line));
    }
    let (signed, found) = (checkpoint.size(), chain.size());
    if found < signed {
        return Err(Fault::Truncated { signed, found });
    }
    if tree.root_at(signed) != Some(checkpoint.head().root) {
        return Err(Fault::WrongRoot { last: signed.saturating_sub(1) });
    }
    Ok(Verified { checkpoint, entries, tree, torn_bytes: torn.len() })
}

/// Checks that the verified log `now` goes on from the checkpoint `kept`.
///
/// # Errors
/// [`Fault::Shrunk`], [`Fault::Rewritten`] or [`Fault::Forked`]; `kept`, the
/// new checkpoint and the log together prove it to anybody.
pub fn continuity(kept: &Checkpoint, now: &Verified) -> Result<Continuity, Fault> {
    let head = kept.head();
    if now.tree.root_at(head.size) == Some(head.root) && head.size <= now.checkpoint.size() {
        return Ok(Continuity::Unbroken);
    }
    let confessed = now
        .sealed()
        .iter()
        .find(|entry| matches!(&entry.event, Event::Restored { later, .. } if *later == head));
    if let Some(entry) = confessed {
        return Ok(Continuity::Restored { entry: entry.seq });
    }
    let (older, newer) = (head.size, now.checkpoint.size());
    Err(match newer.cmp(&older) {
        std::cmp::Ordering::Less => Fault::Shrunk { older, newer },
        std::cmp::Ordering::Equal => Fault::Forked { size: older },
        std::cmp::Ordering::Greater => Fault::Rewritten { older },
    })
}

/// The first line in which two logs differ, and both lines; `None` if one is
/// the beginning of the other.
#[must_use]
pub fn first_difference<'a>(was: &'a [u8], is: &'a [u8]) -> Option<(u64, &'a [u8], &'a [u8])> {
    let ((was, _), (is, _)) = (lines(was), lines(is));
    let at = was.iter().zip(&is).position(|(was, is)| was != is)?;
    Some((at as u64, was[at], is[at]))
}

/// Whole lines without their newlines, and what stands after the last one.
fn lines(log: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let end = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (whole, torn) = log.split_at(end);
    let lines = match whole.strip_suffix(b"\n") {
        Some(whole) => whole.split(|byte| *byte == b'\n').collect(),
        None => Vec::new(),
    };
    (lines, torn)
}

/// Says which entry is at fault when `rest[0]` cannot follow `chain`.
///
/// One change explains what is seen: where two would, the smaller is named.
fn blame(chain: &Chain, error: LinkError, rest: &[&[u8]]) -> Fault {
    let entry = chain.size();
    let next = rest.get(1).and_then(|line| Entry::parse(line).ok());
    match error {
        LinkError::Entry(source) => Fault::Unreadable { entry, source },
        LinkError::Foreign { found } => Fault::Foreign { entry, found },
        LinkError::Sequence { expected, found } => {
            // An entry that still names our last line follows it: then only its
            // number was changed.
            let here = Entry::parse(rest[0]).ok();
            if here.is_some_and(|here| chain.is_followed_by(&here.prev)) {
                return Fault::Changed { entry };
            }
            let elsewhere = |line: &&[u8]| Entry::parse(line).is_ok_and(|e| e.seq == expected);
            if found < expected || rest.iter().any(elsewhere) {
                return Fault::Reordered { expected, found };
            }
            Fault::Missing { first: expected, last: found - 1 }
        }
        LinkError::Broken { .. } => {
            // Whether this line or the one before it was changed shows in the
            // next: if it vouches for this line, the one before is at fault.
            let this_is_vouched_for = next.is_none_or(|next| next.prev == LogHash::of(rest[0]));
            if this_is_vouched_for && entry > 0 {
                Fault::Changed { entry: entry - 1 }
            } else {
                Fault::Changed { entry }
            }
        }
    }
}

impl Verified {
    /// The checkpoint that seals it.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// All entries, signed or not yet.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries that the checkpoint seals.
    #[must_use]
    pub fn sealed(&self) -> &[Entry] {
        let size = usize::try_from(self.checkpoint.size()).unwrap_or(usize::MAX);
        &self.entries[..size.min(self.entries.len())]
    }

    /// How many entries stand after the checkpoint: linked, not yet signed.
    #[must_use]
    pub fn unsealed_count(&self) -> usize {
        self.entries.len() - self.sealed().len()
    }

    /// Bytes of an unfinished line at the end, which are no entry.
    #[must_use]
    pub const fn torn_bytes(&self) -> usize {
        self.torn_bytes
    }

    /// The tree over all entries, for roots and proofs.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Size and root of the whole log, entries not yet signed included.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        let size = self.tree.size();
        TreeHead { size, root: self.tree.root_at(size).expect("a tree has its own root") }
    }
}

/// The verdict in one line for people.
impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sealed = self.sealed().len();
        write!(f, "intact: {sealed} entries, signed by {}", self.checkpoint.installation())?;
        match self.unsealed_count() {
            0 => Ok(()),
            1 => f.write_str("; 1 more entry not yet signed"),
            more => write!(f, "; {more} more entries not yet signed"),
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
