//! Credentials: the binding of an installation's two keys to its workgroup.

use serde::{Deserialize, Serialize};

use crate::admission::installation::InstallationId;
use crate::admission::workgroup::WorkgroupId;
use crate::key::{PublicKey, Signature, SigningKey};
use crate::name::ProductName;
use crate::time::UnixTime;

/// The domain of the three signatures on a credential.
pub(crate) const DOMAIN: &str = "updraft/credential/1";

/// What its holder may do in the workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Fetch and serve.
    Member,
    /// Speak as the vendor's own seeder, holding everything.
    Seeder,
    /// Collect logs.
    Auditor,
    /// Cosign checkpoints.
    Witness,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 4] = [Self::Member, Self::Seeder, Self::Auditor, Self::Witness];
}

/// What issuer, log key and peer key say together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The workgroup it admits to.
    pub workgroup: WorkgroupId,
    /// The issuer's key, as its statement names it.
    pub issuer: PublicKey,
    /// The installation: the blake3 of `log_key`.
    pub installation: InstallationId,
    /// Signs the installation's checkpoints.
    pub log_key: PublicKey,
    /// The network identity; must be the key of the handshake.
    pub peer_key: PublicKey,
    /// The product installed, one of the issuer's.
    pub product: ProductName,
    /// What it may do, all of it within the issuer's roles.
    pub roles: Vec<Role>,
    /// When it was signed.
    pub issued: UnixTime,
    /// When it ends, at most the issuer's longest life after `issued`.
    pub expires: UnixTime,
}

/// A credential as signed: the exact text and the three signatures over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCredential {
    pub(crate) statement: String,
    pub(crate) by_issuer: Signature,
    pub(crate) by_log_key: Signature,
    pub(crate) by_peer_key: Signature,
}

impl SignedCredential {
    /// Signs `credential` with the three keys that it names.
    #[must_use]
    pub fn sign(
        credential: &Credential,
        issuer: &SigningKey,
        log_key: &SigningKey,
        peer_key: &SigningKey,
    ) -> Self {
        let statement = serde_json::to_string(credential).expect("plain fields always serialise");
        let sign = |key: &SigningKey| key.sign(DOMAIN, statement.as_bytes());
        Self {
            by_issuer: sign(issuer),
            by_log_key: sign(log_key),
            by_peer_key: sign(peer_key),
            statement,
        }
    }
}
