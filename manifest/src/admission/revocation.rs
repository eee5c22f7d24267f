//! Who is a member no more, though a credential still says so.
//!
//! The list is the member `x-updraft` of the delegated role `workgroup`: so
//! snapshot and timestamp protect it from being rolled back or held back, and
//! it travels with the metadata that everyone asks for anyway. An entry counts
//! until what it revokes has ended by itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::admission::installation::InstallationId;
use crate::admission::limits::{REVOCATION_CHARS, REVOCATIONS};
use crate::admission::list::{self, Unreadable};
use crate::key::PublicKey;
use crate::time::UnixTime;

/// The member of `x-updraft` that holds the list.
const LIST: &str = "revoked";

/// What is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// An issuer: every credential it signed, and every ticket with its key.
    Issuer(PublicKey),
    /// One installation.
    Installation(InstallationId),
    /// Whoever shows this peer or log key.
    Key(PublicKey),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(key) => write!(f, "issuer {key}"),
            Self::Installation(id) => write!(f, "installation {id}"),
            Self::Key(key) => write!(f, "key {key}"),
        }
    }
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// What is revoked.
    pub subject: Subject,
    /// When it would have ended by itself; from then on the entry says nothing.
    pub until: UnixTime,
    /// Why, for people.
    pub why: String,
}

/// The list, at most [`REVOCATIONS`] entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revocations(Vec<Revocation>);

/// A list that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevocationsError {
    /// The signed list has another shape.
    #[error("the list of revocations cannot be read: {why}")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
    /// It has too many entries, or one that says too much.
    #[error(
        "the list of revocations takes at most {REVOCATIONS} entries, whose reasons have at most {REVOCATION_CHARS} characters"
    )]
    TooLong,
    /// The same was revoked before.
    #[error("{subject} is revoked already")]
    Already {
        /// What.
        subject: Subject,
    },
}

impl From<Unreadable> for RevocationsError {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Malformed { why } => Self::Malformed { why },
            Unreadable::TooLong => Self::TooLong,
        }
    }
}

impl Revocations {
    /// The list that the extension of the role's file holds.
    ///
    /// # Errors
    /// [`RevocationsError`] if it is none.
    pub fn read(extra: &Map<String, Value>) -> Result<Self, RevocationsError> {
        let list: Vec<Revocation> = list::read(extra, LIST, REVOCATIONS)?;
        if list.iter().any(|entry| entry.why.chars().count() > REVOCATION_CHARS) {
            return Err(RevocationsError::TooLong);
        }
        Ok(Self(list))
    }

    /// As much of the list as this program understands, and why not all of
    /// it: a newer program may revoke what this one has no word for, and must
    /// not lose its older peers by that.
    #[must_use]
    pub fn read_known(extra: &Map<String, Value>) -> (Self, Option<String>) {
        let error = match Self::read(extra) {
            Ok(list) => return (list, None),
            Err(error) => error.to_string(),
        };
        (Self(list::known(extra, LIST, REVOCATIONS)), Some(error))
    }

    /// Writes the list into the extension of the role's file.
    pub fn write(&self, extra: &mut Map<String, Value>) {
        list::set(extra, LIST, &self.0);
    }

    /// Adds an entry, and lets go of those that say nothing at `now` any more.
    ///
    /// # Errors
    /// [`RevocationsError`]; nothing has changed then.
    pub fn add(&mut self, entry: Revocation, now: UnixTime) -> Result<(), RevocationsError> {
        if self.0.iter().any(|known| known.subject == entry.subject && known.until > now) {
            return Err(RevocationsError::Already { subject: entry.subject });
        }
        if entry.why.chars().count() > REVOCATION_CHARS {
            return Err(RevocationsError::TooLong);
        }
        let mut kept: Vec<Revocation> =
            self.0.iter().filter(|known| known.until > now).cloned().collect();
        if kept.len() >= REVOCATIONS {
            return Err(RevocationsError::TooLong);
        }
        kept.push(entry);
        self.0 = kept;
        Ok(())
    }

    /// All entries.
    #[must_use]
    pub fn entries(&self) -> &[Revocation] {
        &self.0
    }

    /// The entry that shuts out whoever `issuer` vouches for as `installation`
    /// with these peer and log `keys`, at `now`, if there is one.
    #[must_use]
    pub fn refuses(
        &self,
        issuer: &PublicKey,
        installation: &InstallationId,
        keys: [&PublicKey; 2],
        now: UnixTime,
    ) -> Option<&Revocation> {
        self.0.iter().filter(|entry| entry.until > now).find(|entry| match &entry.subject {
            Subject::Issuer(revoked) => revoked == issuer,
            Subject::Installation(revoked) => revoked == installation,
            Subject::Key(revoked) => keys.contains(&revoked),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::key;
    use crate::trust::root::EXTENSION;
    use crate::trust::testing::{NOW, day};

    fn entry(seed: u64, until: UnixTime) -> Revocation {
        let subject = Subject::Issuer(key(seed).public());
        Revocation { subject, until, why: "the ticket was posted in a forum".to_owned() }
    }

    #[test]
    fn a_list_is_written_and_read_back() {
        let mut list = Revocations::default();
        list.add(entry(1, day(10)), NOW).unwrap();
        let installation = Subject::Installation(InstallationId::of(&key(2).public()));
        list.add(Revocation { subject: installation, ..entry(2, day(3)) }, NOW).unwrap();
        list.add(Revocation { subject: Subject::Key(key(3).public()), ..entry(3, day(3)) }, NOW)
            .unwrap();
        let mut extra = Map::new();
        list.write(&mut extra);
        assert_eq!(Revocations::read(&extra).unwrap(), list);
        assert_eq!(Revocations::read(&Map::new()).unwrap(), Revocations::default());
    }

    #[test]
    fn what_has_ended_leaves_and_nothing_stands_there_twice() {
        let mut list = Revocations::default();
        list.add(entry(1, day(10)), NOW).unwrap();
        assert!(matches!(list.add(entry(1, day(20)), NOW), Err(RevocationsError::Already { .. })));
        list.add(entry(2, day(30)), day(11)).unwrap();
        assert_eq!(list.entries(), [entry(2, day(30))]);
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        let read = |value: Value| {
            let extra = Map::from_iter([(EXTENSION.to_owned(), json!({ LIST: value }))]);
            Revocations::read(&extra)
        };
        assert!(matches!(read(json!(7)), Err(RevocationsError::Malformed { .. })));
        assert!(matches!(
            read(json!([{"subject": {"moon": 1}}])),
            Err(RevocationsError::Malformed { .. })
        ));
        let long = vec![serde_json::to_value(entry(1, day(1))).unwrap(); REVOCATIONS + 1];
        assert!(matches!(read(long.into()), Err(RevocationsError::TooLong)));
        let newer = json!([{"subject": {"moon": 1}}, entry(2, day(1)), 7]);
        let extra = Map::from_iter([(EXTENSION.to_owned(), json!({ LIST: newer }))]);
        let (known, why) = Revocations::read_known(&extra);
        assert_eq!(known.entries(), [entry(2, day(1))], "what is understood counts");
        assert!(why.unwrap().contains("moon"));
        let mut wordy = entry(1, day(1));
        wordy.why = "x".repeat(REVOCATION_CHARS + 1);
        assert!(matches!(read(json!([wordy])), Err(RevocationsError::TooLong)));
    }
}
