//! Entries: who, what and when, as one canonical JSON line.
//!
//! A line parses only if it is exactly the bytes that encoding its value
//! again would give: two different lines are never the same entry.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::admission::installation::InstallationId;
use crate::audit::event::Event;
use crate::audit::hash::LogHash;
use crate::audit::limits::LINE_BYTES;
use crate::audit::moment::{BootId, Moment};
use crate::canonical;
use crate::time::UnixTime;

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log, counted from 0: the index of its leaf.
    pub seq: u64,
    /// SHA-256 of the line before, without its newline; for the first entry
    /// the SHA-256 of the log's origin, `updraft/` and the installation id.
    pub prev: LogHash,
    /// Whose log this is.
    pub installation: InstallationId,
    /// Who made it happen.
    pub by: Actor,
    /// When it was written.
    pub moment: Moment,
    /// What happened.
    pub event: Event,
}

/// Who made something happen, written `agent` or `uid:1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The agent by itself.
    Agent,
    /// A person, through the agent's socket.
    Owner {
        /// The person's user id on the machine.
        uid: u32,
    },
}

/// A line that is no entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The line is longer than any entry may be.
    #[error("a line is at most {LINE_BYTES} bytes, found {found}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The line is no JSON.
    #[error("the line is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The line says the same as another line would.
    #[error("the line is not in canonical form")]
    NotCanonical,
    /// A field is missing or holds something else.
    #[error("{0}")]
    Field(#[source] serde_json::Error),
    /// The event does not say what it is.
    #[error("the event names no kind")]
    NoKind,
}

/// The fields of a line; unknown ones are covered by the hash and ignored.
#[derive(Serialize, Deserialize)]
struct Fields {
    boot: BootId,
    by: Actor,
    event: Event,
    installation: InstallationId,
    monotonic: u64,
    prev: LogHash,
    seq: u64,
    wall: UnixTime,
}

impl Entry {
    /// Reads one line, given without its newline.
    ///
    /// # Errors
    /// [`EntryError`] for everything that [`Self::to_line`] or a newer agent
    /// would not have written.
    pub fn parse(line: &[u8]) -> Result<Self, EntryError> {
        if line.len() > LINE_BYTES {
            return Err(EntryError::TooLong { found: line.len() });
        }
        let value: Value = serde_json::from_slice(line).map_err(EntryError::NotJson)?;
        if canonical::to_vec(&value).ok().as_deref() != Some(line) {
            return Err(EntryError::NotCanonical);
        }
        let kind = value.get("event").and_then(|event| event.get("kind"));
        if !kind.is_some_and(Value::is_string) {
            return Err(EntryError::NoKind);
        }
        let fields: Fields = serde_json::from_value(value).map_err(EntryError::Field)?;
        Ok(Self {
            seq: fields.seq,
            prev: fields.prev,
            installation: fields.installation,
            by: fields.by,
            moment: Moment { wall: fields.wall, monotonic: fields.monotonic, boot: fields.boot },
            event: fields.event,
        })
    }

    /// The entry as its line, without the newline.
    ///
    /// # Errors
    /// [`EntryError`] if the line would not parse again: too long, or an
    /// [`Event::Other`] that is no event.
    pub fn to_line(&self) -> Result<Vec<u8>, EntryError> {
        let fields = Fields {
            boot: self.moment.boot.clone(),
            by: self.by,
            event: self.event.clone(),
            installation: self.installation,
            monotonic: self.moment.monotonic,
            prev: self.prev,
            seq: self.seq,
            wall: self.moment.wall,
        };
        let value = serde_json::to_value(fields).map_err(EntryError::Field)?;
        let line = canonical::to_vec(&value).map_err(|_| EntryError::NotCanonical)?;
        // Written so that it can be read: an entry that the auditor refuses
        // would look like tampering.
        Self::parse(&line)?;
        Ok(line)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Owner { uid } => write!(f, "uid:{uid}"),
        }
    }
}

impl FromStr for Actor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("an actor is agent or uid:NUMBER, found {text:.80?}");
        if text == "agent" {
            return Ok(Self::Agent);
        }
        let uid = text.strip_prefix("uid:").ok_or_else(refused)?;
        let actor = Self::Owner { uid: uid.parse().map_err(|_| refused())? };
        if actor.to_string() == text { Ok(actor) } else { Err(refused()) }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
