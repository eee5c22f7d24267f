//! The workgroup: an id that never changes and the keys that speak for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::admission::limits::WORKGROUP_KEYS;
use crate::admission::revocation::Revocations;
use crate::content::{ContentId, NotAContentId};
use crate::key::{BadSignature, PublicKey, Signature};

/// A workgroup: the blake3 of the bytes of its root version 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkgroupId(ContentId);

impl WorkgroupId {
    /// The workgroup that begins with these bytes of root version 1.
    #[must_use]
    pub fn of_first_root(root: &[u8]) -> Self {
        Self(ContentId::of(root))
    }

    /// The id as its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Display for WorkgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for WorkgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkgroupId({})", &self.to_string()[..12])
    }
}

impl FromStr for WorkgroupId {
    type Err = NotAContentId;

    fn from_str(text: &str) -> Result<Self, NotAContentId> {
        text.parse().map(Self)
    }
}

/// What a member must know to judge credentials: taken from verified root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkgroupTrust {
    id: WorkgroupId,
    keys: Vec<PublicKey>,
    revoked: Revocations,
}

/// A root with no workgroup key, or with more than may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("root names {found} workgroup keys, expected one or two")]
pub struct WrongKeyCount {
    /// How many root names.
    pub found: usize,
}

impl WorkgroupTrust {
    /// Trust in the workgroup `id`, spoken for by one or two `keys`.
    ///
    /// # Errors
    /// [`WrongKeyCount`] for any other number of keys.
    pub fn new(id: WorkgroupId, keys: Vec<PublicKey>) -> Result<Self, WrongKeyCount> {
        if keys.is_empty() || keys.len() > WORKGROUP_KEYS {
            return Err(WrongKeyCount { found: keys.len() });
        }
        Ok(Self { id, keys, revoked: Revocations::default() })
    }

    /// The same, with these members shut out.
    #[must_use]
    pub fn without(self, revoked: Revocations) -> Self {
        Self { revoked, ..self }
    }

    /// Who is shut out.
    #[must_use]
    pub const fn revoked(&self) -> &Revocations {
        &self.revoked
    }

    /// Which workgroup this is.
    #[must_use]
    pub const fn id(&self) -> WorkgroupId {
        self.id
    }

    /// The keys that may sign issuers, one or two.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Checks that one of the workgroup's keys signed `message` in `domain`.
    ///
    /// # Errors
    /// [`BadSignature`], naming the first key, if none did.
    pub(crate) fn verify(
        &self,
        domain: &str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        if self.keys.iter().any(|key| key.verify(domain, message, signature).is_ok()) {
            return Ok(());
        }
        Err(BadSignature { key: self.keys[0] })
    }
}
