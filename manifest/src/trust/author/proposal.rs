//! A new root on its way between the people who must sign it.
//!
//! A proposal is one file: the root that is in force, and the one that shall
//! follow it with the signatures it has so far. It passes from hand to hand on
//! a stick, is signed where each key lies, and copies of it that went
//! different ways are merged. docs/publisher.md shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical;
use crate::key::{PublicKey, SigningKey};
use crate::time::UnixTime;
use crate::trust::author::lifetimes::Lifetimes;
use crate::trust::author::repository::{NewFile, Page, Repository};
use crate::trust::authority::{Authority, BelowThreshold};
use crate::trust::key::{KeyId, KeyMaterial};
use crate::trust::role::{MetadataVersion, RoleName};
use crate::trust::root::Root;
use crate::trust::signed::{FormatError, Signed, Verified};

/// The first member of every proposal.
pub const FORMAT: &str = "updraft-root-proposal/1";

/// The longest proposal, in bytes: two roots as JSON texts.
pub const PROPOSAL_BYTES: u64 = 1 << 20;

/// A root that waits for signatures.
#[derive(Debug, Clone)]
pub struct Proposal {
    before: Verified<Root>,
    after: Root,
    /// What is signed.
    message: Vec<u8>,
    signed: Value,
    signatures: BTreeMap<KeyId, String>,
}

/// A proposal that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// It is no proposal.
    #[error("this is no {FORMAT}: {why}")]
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// One of its roots cannot be read or written.
    #[error("its root cannot be read")]
    Root(#[source] FormatError),
    /// The root in force is not signed by its own keys.
    #[error("the root it follows does not hold: {0}")]
    Before(#[source] BelowThreshold),
    /// The new root does not follow the one in force.
    #[error("it proposes root version {found}, expected {expected}")]
    Version {
        /// One more than the version in force.
        expected: MetadataVersion,
        /// What it proposes.
        found: MetadataVersion,
    },
    /// Nothing would change.
    #[error("nothing would change")]
    Nothing,
    /// The key signs neither the root in force nor the new one.
    #[error("{key} is a key of neither root: its signature would count for nothing")]
    Stranger {
        /// The key.
        key: PublicKey,
    },
    /// The two are not copies of one proposal.
    #[error("the two propose different roots")]
    Different,
    /// Too few have signed.
    #[error("{whose} root takes {threshold} signatures and has {found}")]
    Unfinished {
        /// `the present` or `the new`.
        whose: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        threshold: u64,
    },
}

/// How far one of the two thresholds is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// How many must sign.
    pub threshold: u64,
    /// Keys that have signed.
    pub signed: Vec<KeyId>,
    /// Keys that have not.
    pub missing: Vec<KeyId>,
}

impl Quorum {
    /// Whether enough have signed.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.signed.len() as u64 >= self.threshold
    }
}

/// One thing that a new root does differently, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Change(String);

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    follows: String,
    root: String,
}

impl Proposal {
    /// `after` shall follow `before`; its version is set to the next.
    ///
    /// # Errors
    /// [`ProposalError::Root`] if no reader would accept `after`.
    pub fn new(before: Verified<Root>, after: Root) -> Result<Self, ProposalError> {
        let after = Root { version: before.version.next(), ..after };
        let mut signed = serde_json::to_value(&after).expect("metadata has only string keys");
        signed["_type"] = "root".into();
        let file = canonical::to_file(&json!({ "signatures": [], "signed": signed }));
        let file = file.map_err(|error| ProposalError::Root(error.into()))?;
        Self::of(before, &file)
    }

    fn of(before: Verified<Root>, file: &[u8]) -> Result<Self, ProposalError> {
        let root = Signed::<Root>::parse(file).map_err(ProposalError::Root)?;
        let malformed = |why: &str| ProposalError::Malformed { why: why.to_owned() };
        let value: Value =
            serde_json::from_slice(file).map_err(|error| malformed(&error.to_string()))?;
        let signed = value.get("signed").cloned().ok_or_else(|| malformed("nothing is signed"))?;
        let (after, message, signatures) = root.into_draft();
        let expected = before.version.next();
        if after.version != expected {
            return Err(ProposalError::Version { expected, found: after.version });
        }
        let signatures = signatures.into_iter().map(|(id, sig)| (id, hex::encode(sig))).collect();
        Ok(Self { before, after, message, signed, signatures })
    }

    /// Reads a proposal; the root that it follows must hold by itself.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProposalError> {
        let malformed = |why: String| ProposalError::Malformed { why };
        if bytes.len() as u64 > PROPOSAL_BYTES {
            let why = format!("expected at most {PROPOSAL_BYTES} bytes, found {}", bytes.len());
            return Err(malformed(why));
        }
        let Written { format, follows, root } =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if format != FORMAT {
            return Err(malformed(format!("its format is {format:.80}")));
        }
        let before = Signed::<Root>::parse(follows.as_bytes()).map_err(ProposalError::Root)?;
        let before = before.verify_by_itself().map_err(ProposalError::Before)?;
        Self::of(before, root.as_bytes())
    }

    /// The proposal as a file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let written = Written {
            format: FORMAT.to_owned(),
            follows: text(self.before.bytes()),
            root: text(&self.file()),
        };
        let mut bytes = serde_json::to_vec_pretty(&written).expect("texts always serialise");
        bytes.push(b'\n');
        bytes
    }

    /// The root that is in force.
    #[must_use]
    pub const fn before(&self) -> &Verified<Root> {
        &self.before
    }

    /// The root that shall follow.
    #[must_use]
    pub const fn after(&self) -> &Root {
        &self.after
    }

    /// Signs with `key`; whether its signature is new.
    ///
    /// # Errors
    /// [`ProposalError::Stranger`] if nobody asks for it.
    pub fn sign(&mut self, key: &SigningKey) -> Result<bool, ProposalError> {
        let public = key.public();
        let ids: BTreeSet<KeyId> = [self.before.root_authority(), self.after.root_authority()]
            .iter()
            .flat_map(|authority| ids_of(authority, &KeyMaterial::Ed25519(public)))
            .collect();
        if ids.is_empty() {
            return Err(ProposalError::Stranger { key: public });
        }
        let signature = key.sign_raw(&self.message).to_string();
        let before = self.signatures.clone();
        self.signatures.extend(ids.into_iter().map(|id| (id, signature.clone())));
        Ok(self.signatures != before)
    }

    /// Takes the signatures of another copy; gives how many were new.
    ///
    /// # Errors
    /// [`ProposalError::Different`] if it is no copy of this one.
    pub fn merge(&mut self, other: &Self) -> Result<usize, ProposalError> {
        if self.message != other.message || self.before.bytes() != other.before.bytes() {
            return Err(ProposalError::Different);
        }
        let mut new = 0;
        for (id, signature) in &other.signatures {
            // A wrong signature must not take the place of a right one.
            if other.is_right(id, signature) && self.signatures.get(id) != Some(signature) {
                self.signatures.insert(id.clone(), signature.clone());
                new += 1;
            }
        }
        Ok(new)
    }

    fn is_right(&self, id: &KeyId, signature: &str) -> bool {
        let Ok(signature) = hex::decode(signature) else { return false };
        [self.before.root_authority(), self.after.root_authority()].iter().any(|authority| {
            let mut keys = authority.keys();
            keys.any(|(known, key)| known == id && key.verifies(&self.message, &signature))
        })
    }

    /// How far the present root's threshold and the new one's are met.
    #[must_use]
    pub fn quorums(&self) -> [Quorum; 2] {
        [self.before.root_authority(), self.after.root_authority()].map(|authority| {
            let mut quorum = Quorum {
                threshold: authority.threshold(),
                signed: Vec::new(),
                missing: Vec::new(),
            };
            let mut counted = BTreeSet::new();
            for (id, material) in authority.keys() {
                let has = self.signatures.get(id).is_some_and(|sig| self.is_right(id, sig));
                if !counted.insert(material) {
                    continue;
                }
                if has { &mut quorum.signed } else { &mut quorum.missing }.push(id.clone());
            }
            quorum
        })
    }

    /// What the new root does differently.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let (before, after) = (&*self.before, &self.after);
        let mut changes = Vec::new();
        let mut tell = |text: String| changes.push(Change(text));
        let authorities = |root: &Root| {
            [
                (RoleName::ROOT, root.root_authority()),
                (RoleName::TARGETS, root.targets_authority()),
                (RoleName::SNAPSHOT, root.snapshot_authority()),
                (RoleName::TIMESTAMP, root.timestamp_authority()),
            ]
        };
        for ((role, old), (_, new)) in authorities(before).into_iter().zip(authorities(after)) {
            let (was, is) = (old.materials(), new.materials());
            for (id, _) in new.keys().filter(|(_, material)| !was.contains(material)) {
                tell(format!("{role} may be signed by {id}"));
            }
            for (id, _) in old.keys().filter(|(_, material)| !is.contains(material)) {
                tell(format!("{role} may no longer be signed by {id}"));
            }
            if old.threshold() != new.threshold() {
                let (old, new) = (old.threshold(), new.threshold());
                tell(format!("{role} takes {new} signatures instead of {old}"));
            }
        }
        let workgroup = |root: &Root| root.workgroup_keys().unwrap_or_default();
        let (was, is) = (workgroup(before), workgroup(after));
        for key in is.iter().filter(|key| !was.contains(key)) {
            tell(format!("{key} becomes a key of the workgroup"));
        }
        for key in was.iter().filter(|key| !is.contains(key)) {
            tell(format!("{key} is no longer a key of the workgroup"));
        }
        if before.expires != after.expires {
            tell(format!("root ends {} instead of {}", after.expires, before.expires));
        }
        changes
    }

    /// The new root, once enough have signed it.
    ///
    /// # Errors
    /// [`ProposalError::Unfinished`].
    pub fn finish(self) -> Result<Verified<Root>, ProposalError> {
        for (quorum, whose) in self.quorums().into_iter().zip(["the present", "the new"]) {
            if !quorum.is_met() {
                let (found, threshold) = (quorum.signed.len(), quorum.threshold);
                return Err(ProposalError::Unfinished { whose, found, threshold });
            }
        }
        let root = Signed::<Root>::parse(&self.file()).map_err(ProposalError::Root)?;
        Ok(root.verify_after(&self.before).expect("both thresholds were just seen to be met"))
    }

    fn file(&self) -> Vec<u8> {
        let signatures = self.signatures.iter();
        let signatures: Vec<Value> =
            signatures.map(|(id, sig)| json!({ "keyid": id.as_str(), "sig": sig })).collect();
        canonical::to_file(&json!({ "signatures": signatures, "signed": self.signed }))
            .expect("it was read from canonical JSON")
    }
}

impl Repository {
    /// The root under the pen as a proposal that others may sign.
    ///
    /// # Errors
    /// [`ProposalError`], also if nothing was ever published.
    pub fn propose_root(
        &self,
        now: UnixTime,
        lifetimes: &Lifetimes,
    ) -> Result<Proposal, ProposalError> {
        let before = self.root.published.clone().ok_or(ProposalError::Nothing)?;
        let after = Root { expires: now.after(lifetimes.root), ..self.root.content.clone() };
        Proposal::new(before, after)
    }

    /// Takes a root that was signed elsewhere as the one in force; gives its
    /// file, which must be public before anything that its keys sign.
    pub fn adopt_root(&mut self, root: Verified<Root>) -> NewFile {
        let name = RoleName::ROOT.versioned_file_name(root.version);
        let file = NewFile { name, bytes: root.bytes().to_vec() };
        self.root = Page::published(root);
        file
    }
}

/// The ids under which `authority` knows a key.
fn ids_of(authority: &Authority, key: &KeyMaterial) -> Vec<KeyId> {
    authority.keys().filter(|(_, known)| *known == key).map(|(id, _)| id.clone()).collect()
}

#[cfg(test)]
#[path = "proposal_tests.rs"]
mod tests;
