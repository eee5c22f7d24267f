//! The workgroup: an id that never changes and the keys that speak for it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::admission::issuer::{IssuerError, IssuerStatement, SignedIssuer};
use crate::admission::issuers::Issuers;
use crate::admission::limits::WORKGROUP_KEYS;
use crate::admission::revocation::Revocations;
use crate::content::{ContentId, NotAContentId};
use crate::example_keys::{self, ExampleKey};
use crate::key::{BadSignature, PublicKey, Signature};
use crate::time::UnixTime;
use crate::trust::role::RoleName;
use crate::trust::root::NoWorkgroupKeys;
use crate::trust::trusted::TrustedSet;

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
    /// What the vendor says of issuers now, whatever older statements say.
    issuers: BTreeMap<PublicKey, (SignedIssuer, IssuerStatement)>,
    unread: Option<String>,
    example_keys: bool,
}

/// A root with no workgroup key, or with more than may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("root names {found} workgroup keys, expected one or two")]
pub struct WrongKeyCount {
    /// How many root names.
    pub found: usize,
}

/// A root that does not say who speaks for the workgroup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWorkgroup {
    /// It names no key at all.
    #[error(transparent)]
    Keys(#[from] NoWorkgroupKeys),
    /// It names more than may overlap.
    #[error(transparent)]
    Count(#[from] WrongKeyCount),
}

impl WorkgroupTrust {
    /// Trust in the workgroup `id` by verified metadata: its keys by root,
    /// what is said of issuers and who is shut out by the file of the role
    /// `workgroup`.
    ///
    /// # Errors
    /// [`NoWorkgroup`] if root names no key, or too many.
    pub fn of(id: WorkgroupId, trusted: &TrustedSet) -> Result<Self, NoWorkgroup> {
        let trust = Self::new(id, trusted.root().workgroup_keys()?)?;
        let Some(file) = trusted.targets(&RoleName::WORKGROUP) else { return Ok(trust) };
        let (revoked, why_not_all) = Revocations::read_known(&file.extra);
        let (issuers, why) = Issuers::read_known(&file.extra);
        let trust = trust.without(revoked).with_issuers(&issuers);
        Ok(Self { unread: why_not_all.or(why), ..trust })
    }

    /// Trust in the workgroup `id`, spoken for by one or two `keys`.
    ///
    /// # Errors
    /// [`WrongKeyCount`] for any other number of keys.
    pub fn new(id: WorkgroupId, keys: Vec<PublicKey>) -> Result<Self, WrongKeyCount> {
        if keys.is_empty() || keys.len() > WORKGROUP_KEYS {
            return Err(WrongKeyCount { found: keys.len() });
        }
        let (revoked, issuers, unread) = Default::default();
        Ok(Self { id, keys, revoked, issuers, unread, example_keys: false })
    }

    /// The same, where keys that everyone has are welcome if `welcome`.
    #[must_use]
    pub fn with_example_keys(self, welcome: bool) -> Self {
        Self { example_keys: welcome, ..self }
    }

    /// Lets a key pass, unless everyone has it and that is not welcome.
    ///
    /// # Errors
    /// [`ExampleKey`].
    pub fn refuse_example(&self, key: &PublicKey) -> Result<(), ExampleKey> {
        if self.example_keys { Ok(()) } else { example_keys::refuse(key) }
    }

    /// The same, where these statements count before older ones. What no key
    /// of this workgroup signed is left out.
    #[must_use]
    pub fn with_issuers(mut self, issuers: &Issuers) -> Self {
        for signed in issuers.entries() {
            if let Ok(statement) = signed.verify_but_time(&self) {
                self.issuers.insert(statement.issuer, (signed.clone(), statement));
            }
        }
        self
    }

    /// Why some of what was signed about members could not be read, if so.
    #[must_use]
    pub fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
    }

    /// What the vendor says now of the issuer with this key, where that may
    /// differ from what was said when its tickets were written.
    #[must_use]
    pub fn statement_of(&self, issuer: &PublicKey) -> Option<&SignedIssuer> {
        self.issuers.get(issuer).map(|(signed, _)| signed)
    }

    /// What counts of the issuer that `shown` speaks of, at `now`: what the
    /// vendor lists, else what is shown.
    ///
    /// # Errors
    /// [`IssuerError`] of the statement that counts.
    pub fn issuer(
        &self,
        shown: &SignedIssuer,
        now: UnixTime,
    ) -> Result<IssuerStatement, IssuerError> {
        let listed = shown.names().and_then(|key| self.issuers.get(&key));
        let Some((_, statement)) = listed else { return shown.verify(self, now) };
        statement.check_time(now)?;
        Ok(statement.clone())
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
