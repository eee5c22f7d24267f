//! Issuers: who may sign credentials, for whom, and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::admission::credential::Role;
use crate::admission::limits::{ORGANISATION_CHARS, PRODUCTS};
use crate::admission::workgroup::{WorkgroupId, WorkgroupTrust};
use crate::key::{BadSignature, PublicKey, Signature, SigningKey};
use crate::name::ProductName;
use crate::time::UnixTime;

/// The domain of a workgroup key's signature on an issuer statement.
const DOMAIN: &str = "updraft/issuer/1";

/// What a workgroup key says of an issuer's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerStatement {
    /// The workgroup that this issuer serves.
    pub workgroup: WorkgroupId,
    /// The key that will sign credentials.
    pub issuer: PublicKey,
    /// Whose machines these are; at most 64 characters.
    pub organisation: String,
    /// The products whose installations it may admit; 1 to 8.
    pub products: Vec<ProductName>,
    /// The roles it may grant; at least one.
    pub roles: Vec<Role>,
    /// The longest life of a credential, in seconds.
    pub credential_seconds: u64,
    /// When the issuer ends, and with it every credential it signed.
    pub expires: UnixTime,
}

/// An issuer statement as signed: the exact text, and the signature over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedIssuer {
    statement: String,
    signature: Signature,
}

/// An issuer statement that is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// The text is no issuer statement.
    #[error("the issuer statement cannot be read: {why}")]
    Malformed {
        /// What was wrong with it.
        why: String,
    },
    /// No workgroup key signed it.
    #[error("the issuer is signed by no key of this workgroup (key {} was expected)", .0.key)]
    NotSigned(BadSignature),
    /// It belongs to another workgroup.
    #[error("the issuer belongs to workgroup {found}, this one is {expected}")]
    OtherWorkgroup {
        /// Ours.
        expected: WorkgroupId,
        /// The one it names.
        found: WorkgroupId,
    },
    /// Its time is over.
    #[error("the issuer expired at {expired}, now is {now}")]
    Expired {
        /// When it ended.
        expired: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
}

impl IssuerStatement {
    /// The longest life of a credential under this issuer.
    #[must_use]
    pub const fn credential_life(&self) -> Duration {
        Duration::from_secs(self.credential_seconds)
    }

    /// Checks that the issuer has not ended.
    ///
    /// # Errors
    /// [`IssuerError::Expired`].
    pub const fn check_time(&self, now: UnixTime) -> Result<(), IssuerError> {
        if self.expires.seconds() <= now.seconds() {
            return Err(IssuerError::Expired { expired: self.expires, now });
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), IssuerError> {
        let malformed = |why: String| Err(IssuerError::Malformed { why });
        if self.organisation.chars().count() > ORGANISATION_CHARS {
            return malformed(format!(
                "the organisation's name is longer than {ORGANISATION_CHARS} characters"
            ));
        }
        if self.products.is_empty() || self.products.len() > PRODUCTS {
            return malformed(format!(
                "it names {} products, expected 1 to {PRODUCTS}",
                self.products.len()
            ));
        }
        if self.roles.is_empty() || self.roles.len() > Role::ALL.len() {
            return malformed(format!("it names {} roles", self.roles.len()));
        }
        Ok(())
    }
}

impl SignedIssuer {
    /// Signs `statement` with a key that root names as a workgroup key.
    ///
    /// # Errors
    /// [`IssuerError::Malformed`] if the statement breaks its own bounds.
    pub fn sign(
        statement: &IssuerStatement,
        workgroup_key: &SigningKey,
    ) -> Result<Self, IssuerError> {
        statement.check_bounds()?;
        let statement = serde_json::to_string(statement).expect("plain fields always serialise");
        let signature = workgroup_key.sign(DOMAIN, statement.as_bytes());
        Ok(Self { statement, signature })
    }

    /// The statement, once its signature, workgroup and time hold.
    ///
    /// # Errors
    /// The first of the rules that it breaks; nothing in it is read before
    /// its signature holds.
    pub fn verify(
        &self,
        trust: &WorkgroupTrust,
        now: UnixTime,
    ) -> Result<IssuerStatement, IssuerError> {
        let statement = self.verify_but_time(trust)?;
        statement.check_time(now)?;
        Ok(statement)
    }

    /// The statement, once its signature and workgroup hold, ended or not.
    ///
    /// # Errors
    /// As [`SignedIssuer::verify`].
    pub fn verify_but_time(&self, trust: &WorkgroupTrust) -> Result<IssuerStatement, IssuerError> {
        trust
            .verify(DOMAIN, self.statement.as_bytes(), &self.signature)
            .map_err(IssuerError::NotSigned)?;
        let statement = self.unverified()?;
        statement.check_bounds()?;
        if statement.workgroup != trust.id() {
            return Err(IssuerError::OtherWorkgroup {
                expected: trust.id(),
                found: statement.workgroup,
            });
        }
        Ok(statement)
    }

    /// Bytes of its text.
    #[must_use]
    pub const fn text_len(&self) -> usize {
        self.statement.len()
    }

    /// The statement as it stands, whoever signed it: for its author, who
    /// looks after it.
    ///
    /// # Errors
    /// [`IssuerError::Malformed`].
    pub fn unverified(&self) -> Result<IssuerStatement, IssuerError> {
        serde_json::from_str(&self.statement)
            .map_err(|error| IssuerError::Malformed { why: error.to_string() })
    }

    /// The key that it says something of. Nothing is believed of it: the key
    /// only tells where to look for what the vendor says now.
    #[must_use]
    pub fn names(&self) -> Option<PublicKey> {
        self.unverified().ok().map(|statement| statement.issuer)
    }
}
