//! What the auditor notes about one installation beside its log.

use manifest::admission::chain::Member;
use manifest::admission::installation::InstallationId;
use manifest::key::PublicKey;
use manifest::name::ProductName;
use manifest::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::limits::{FINDINGS, SHOWN_CHARS};

/// One installation, as its credential and its readings show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The installation.
    pub installation: InstallationId,
    /// Signs its checkpoints.
    pub log_key: PublicKey,
    /// Its network identity when last seen.
    pub peer_key: PublicKey,
    /// Whose machine it is, as its issuer says.
    pub organisation: String,
    /// What it has installed.
    pub product: ProductName,
    /// Who vouches for it.
    pub issuer: PublicKey,
    /// When it was first admitted.
    pub first_seen: UnixTime,
    /// When it was last connected.
    pub last_seen: UnixTime,
    /// When its log was last read and judged.
    pub last_read: Option<UnixTime>,
    /// What its log was then.
    pub standing: Standing,
    /// What was found wrong with it, ever; evidence lies beside this file.
    pub findings: Vec<Finding>,
}

/// What is thought of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "log", rename_all = "lowercase")]
pub enum Standing {
    /// It was never read.
    Unread,
    /// It could not be read or judged.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// Every entry is as it was signed.
    Intact,
    /// The machine came back from older state, and said so.
    Restored {
        /// The entry that says so.
        entry: u64,
    },
    /// It is not what was signed.
    Tampered {
        /// What is wrong, as in `entry 7 was changed`.
        sentence: String,
    },
}

/// Something found wrong with a log, with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// When it was found.
    pub found: UnixTime,
    /// What it is.
    pub sentence: String,
    /// The first entry that differs from the copy kept before.
    pub entry: Option<u64>,
    /// That line as it was kept.
    pub was: Option<String>,
    /// The line that was offered instead.
    pub is: Option<String>,
    /// The directory of the evidence, beside the record.
    pub evidence: String,
}

impl Record {
    /// An installation that was just admitted for the first time.
    #[must_use]
    pub fn new(member: &Member, now: UnixTime) -> Self {
        Self {
            installation: member.installation,
            log_key: member.log_key,
            peer_key: member.peer_key,
            organisation: member.organisation.clone(),
            product: member.product.clone(),
            issuer: member.issuer,
            first_seen: now,
            last_seen: now,
            last_read: None,
            standing: Standing::Unread,
            findings: Vec::new(),
        }
    }

    /// Notes that it was admitted again, perhaps with a new credential.
    pub fn see(&mut self, member: &Member, now: UnixTime) {
        self.peer_key = member.peer_key;
        self.organisation.clone_from(&member.organisation);
        self.product = member.product.clone();
        self.issuer = member.issuer;
        self.last_seen = now;
    }

    /// Adds a finding, unless the same evidence is there already; the first
    /// ones are kept when there are too many.
    pub fn accuse(&mut self, finding: Finding) {
        self.standing = Standing::Tampered { sentence: finding.sentence.clone() };
        let is_known = self.findings.iter().any(|known| known.evidence == finding.evidence);
        if !is_known && self.findings.len() < FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Foreign bytes as a text that cannot steer a terminal.
#[must_use]
pub fn plain(bytes: &[u8]) -> String {
    let replaced = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(bytes).chars().map(replaced).collect()
}

/// Foreign bytes as people may see them on a terminal, cut to a line's length.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let text = plain(bytes);
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_bytes_cannot_steer_a_terminal() {
        assert_eq!(shown(b"a\x1b[31mb\xff\n"), "a\u{fffd}[31mb\u{fffd}\u{fffd}");
        assert_eq!(shown(&[b'x'; 1000]).chars().count(), SHOWN_CHARS + 1);
    }
}
