//! What peers have done wrong, and what follows: parole, then a ban.
//!
//! Every block can be told true from false, so a false one convicts exactly
//! the peer that sent it. Once may be a broken disk: the peer is then asked
//! for one block at a time until it has been right often enough. Twice is a
//! ban. Records belong to peer keys: a new connection starts nothing anew.

use std::collections::HashMap;
use std::time::Instant;

use manifest::content::ContentId;
use manifest::key::PublicKey;

use crate::limits::{BAN, MAX_RECORDS, PAROLE_BLOCKS};

/// What a peer did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// It sent a block that is not the object's.
    #[error("block {block} of object {object} is false")]
    FalseBlock {
        /// The object.
        object: ContentId,
        /// Which block.
        block: u32,
    },
    /// It sent block hashes that do not lead to the object's id.
    #[error("the block list of object {object} is false")]
    FalseList {
        /// The object.
        object: ContentId,
    },
    /// It sent blocks that were never asked for.
    #[error("it sent what was not asked for")]
    Unasked,
    /// It broke the protocol.
    #[error("it broke the protocol: {0}")]
    Protocol(String),
    /// It asked for more than anyone may.
    #[error("it asked for too much: {0}")]
    Flood(&'static str),
    /// It says that it holds blocks, and sends none for as long as it is asked.
    #[error("it says that it holds blocks, and sends none")]
    Withheld,
    /// It passed on the word of a member who never said it.
    #[error("it passed on an address that is signed by somebody else, or by nobody")]
    FalseRecord,
    /// It passed on an announcement that the program refuted.
    #[error("it announced what is false")]
    FalseAnnouncement,
    /// It answered with metadata that the program refuted.
    #[error("it answered with metadata that nobody has signed")]
    FalseAnswer,
}

/// What follows from an offence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentence {
    /// It is still talked to, with caution.
    Parole,
    /// It is let go, and kept away for a while.
    Ban,
}

#[derive(Debug, Clone)]
struct Record {
    banned_until: Option<Instant>,
    /// Blocks still to be right before the record is clean.
    owes: u32,
    at: Instant,
}

/// The records of all peers that ever offended.
#[derive(Debug, Default)]
pub struct Standing {
    records: HashMap<PublicKey, Record>,
}

impl Standing {
    /// Takes note of an offence, and says what follows.
    pub fn offend(&mut self, now: Instant, peer: PublicKey, what: &Misbehaviour) -> Sentence {
        self.make_room(now);
        let grave = match what {
            // A connection whose frames cannot be followed is of no use.
            // Everybody checks a signature before passing it on.
            Misbehaviour::Protocol(_) | Misbehaviour::Flood(_) | Misbehaviour::FalseRecord => true,
            Misbehaviour::FalseBlock { .. }
            | Misbehaviour::FalseList { .. }
            | Misbehaviour::Unasked
            | Misbehaviour::Withheld
            | Misbehaviour::FalseAnnouncement
            | Misbehaviour::FalseAnswer => false,
        };
        let record =
            self.records.entry(peer).or_insert(Record { banned_until: None, owes: 0, at: now });
        record.at = now;
        if grave || record.owes > 0 {
            record.banned_until = Some(now + BAN);
            record.owes = PAROLE_BLOCKS;
            Sentence::Ban
        } else {
            record.owes = PAROLE_BLOCKS;
            Sentence::Parole
        }
    }

    /// Takes note of a block that was true.
    pub fn was_right(&mut self, peer: &PublicKey) {
        if let Some(record) = self.records.get_mut(peer) {
            record.owes = record.owes.saturating_sub(1);
            if record.owes == 0 && record.banned_until.is_none() {
                self.records.remove(peer);
            }
        }
    }

    /// Whether the peer should be given one block at a time.
    #[must_use]
    pub fn on_parole(&self, peer: &PublicKey) -> bool {
        self.records.get(peer).is_some_and(|record| record.owes > 0)
    }

    /// Whether the peer is to be kept away.
    #[must_use]
    pub fn is_banned(&self, now: Instant, peer: &PublicKey) -> bool {
        self.records.get(peer).and_then(|record| record.banned_until).is_some_and(|at| now < at)
    }

    /// Forgets the oldest record when there are too many.
    fn make_room(&mut self, now: Instant) {
        if self.records.len() < MAX_RECORDS {
            return;
        }
        self.records.retain(|_, record| record.banned_until.is_some_and(|at| now < at));
        if self.records.len() >= MAX_RECORDS {
            let oldest = self.records.iter().min_by_key(|(_, record)| record.at);
            if let Some(peer) = oldest.map(|(peer, _)| *peer) {
                self.records.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    const LIE: Misbehaviour = Misbehaviour::Unasked;

    fn peer(n: u16) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        PublicKey::from_bytes(bytes)
    }

    #[test]
    fn once_is_parole_twice_is_a_ban_for_a_while() {
        let now = epoch();
        let mut standing = Standing::default();
        assert_eq!(standing.offend(now, peer(1), &LIE), Sentence::Parole);
        assert!(standing.on_parole(&peer(1)) && !standing.is_banned(now, &peer(1)));
        assert_eq!(standing.offend(now, peer(1), &LIE), Sentence::Ban);
        assert!(standing.is_banned(now, &peer(1)));
        assert!(!standing.is_banned(now + BAN, &peer(1)));
        // Out again, but still on parole.
        assert_eq!(standing.offend(now + BAN, peer(1), &LIE), Sentence::Ban);
        assert!(!standing.on_parole(&peer(2)));
    }

    #[test]
    fn being_right_for_long_ends_parole() {
        let now = epoch();
        let mut standing = Standing::default();
        standing.offend(now, peer(1), &LIE);
        (0..PAROLE_BLOCKS).for_each(|_| standing.was_right(&peer(1)));
        assert!(!standing.on_parole(&peer(1)));
        assert_eq!(standing.offend(now, peer(1), &LIE), Sentence::Parole);
    }

    #[test]
    fn a_broken_protocol_is_a_ban_at_once() {
        let mut standing = Standing::default();
        let what = Misbehaviour::Protocol("kind 77".into());
        assert_eq!(standing.offend(epoch(), peer(1), &what), Sentence::Ban);
    }

    #[test]
    fn records_stay_bounded() {
        let start = epoch();
        let mut standing = Standing::default();
        for n in 0..2 * MAX_RECORDS as u16 {
            let now = start + std::time::Duration::from_millis(n.into());
            standing.offend(now, peer(n), &Misbehaviour::Flood("test"));
            assert!(standing.records.len() <= MAX_RECORDS);
        }
    }
}
