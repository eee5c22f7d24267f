//! The chain that a peer shows to be admitted, and the one check of it.
//!
//! Promises that a [`Member`] exists only where every link held: workgroup
//! key, issuer, credential, and the key of the connection's own handshake.

use serde::{Deserialize, Serialize};

use crate::admission::credential::{Credential, DOMAIN, Role, SignedCredential};
use crate::admission::installation::InstallationId;
use crate::admission::issuer::{IssuerError, SignedIssuer};
use crate::admission::limits::{CHAIN_BYTES, CLOCK_SKEW};
use crate::admission::workgroup::{WorkgroupId, WorkgroupTrust};
use crate::example_keys::ExampleKey;
use crate::key::{BadSignature, PublicKey};
use crate::name::ProductName;
use crate::time::UnixTime;

/// An issuer's statement and a credential signed by that issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialChain {
    /// The workgroup's word on the issuer.
    pub issuer: SignedIssuer,
    /// The issuer's word on the installation.
    pub credential: SignedCredential,
}

/// A peer whose whole chain held at the time of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The installation behind the peer.
    pub installation: InstallationId,
    /// Its network identity.
    pub peer_key: PublicKey,
    /// The key that signs its checkpoints.
    pub log_key: PublicKey,
    /// What it may do.
    pub roles: Vec<Role>,
    /// The product it has installed.
    pub product: ProductName,
    /// Whose machine it is.
    pub organisation: String,
    /// Who vouched for it.
    pub issuer: PublicKey,
    /// When its admission ends.
    pub expires: UnixTime,
}

impl Member {
    /// Whether the credential grants `role`.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// A chain that admits nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The frame is larger than a chain may be.
    #[error("a credential chain has at most {CHAIN_BYTES} bytes, found {found}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The bytes are no chain, or no credential.
    #[error("the credential cannot be read: {why}")]
    Malformed {
        /// What was wrong with it.
        why: String,
    },
    /// The issuer is not to be believed.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// One of the three signatures does not hold.
    #[error("the credential is not signed by its {signer} key {}", .source.key)]
    NotSigned {
        /// Which of the three.
        signer: &'static str,
        /// The check that failed.
        source: BadSignature,
    },
    /// It was issued for another workgroup.
    #[error("the credential is for workgroup {found}, this one is {expected}")]
    OtherWorkgroup {
        /// Ours.
        expected: WorkgroupId,
        /// The one it names.
        found: WorkgroupId,
    },
    /// It grants something that its issuer must not grant.
    #[error("the credential goes beyond its issuer: {what}")]
    Wider {
        /// The field that is too wide, with both values.
        what: String,
    },
    /// The installation id is not the blake3 of the log key.
    #[error("the credential names installation {found}, its log key makes it {expected}")]
    WrongInstallation {
        /// What the log key says.
        expected: InstallationId,
        /// What is written.
        found: InstallationId,
    },
    /// Somebody else's credential: the handshake proved another key.
    #[error("the credential is for peer key {named}, the connection proved {proved}")]
    OtherPeer {
        /// The key in the credential.
        named: PublicKey,
        /// The key of the handshake.
        proved: PublicKey,
    },
    /// It rests on a key that everyone has.
    #[error(transparent)]
    Example(#[from] ExampleKey),
    /// Its time is over.
    #[error("the credential expired at {expired}, now is {now}")]
    Expired {
        /// When it ended.
        expired: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The vendor has shut it out.
    #[error("{what} is revoked: {why}")]
    Revoked {
        /// What is revoked.
        what: String,
        /// Why, as the vendor says.
        why: String,
    },
    /// It is dated in the future, beyond what clocks disagree.
    #[error("the credential is valid from {issued}, now is {now}; one of the clocks is wrong")]
    NotYet {
        /// When it says it was signed.
        issued: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
}

impl CredentialChain {
    /// The chain as bytes, for the frame of the handshake.
    ///
    /// # Errors
    /// [`CredentialError::TooLong`] if it would not fit.
    pub fn encode(&self) -> Result<Vec<u8>, CredentialError> {
        let bytes = serde_json::to_vec(self).expect("plain fields always serialise");
        if bytes.len() > CHAIN_BYTES {
            return Err(CredentialError::TooLong { found: bytes.len() });
        }
        Ok(bytes)
    }

    /// Reads a chain; believes nothing of it yet.
    ///
    /// # Errors
    /// `TooLong` before reading, or `Malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, CredentialError> {
        if bytes.len() > CHAIN_BYTES {
            return Err(CredentialError::TooLong { found: bytes.len() });
        }
        serde_json::from_slice(bytes)
            .map_err(|error| CredentialError::Malformed { why: error.to_string() })
    }

    /// Whether this is the chain of somebody who was a member of `workgroup`
    /// once, as far as can be told without believing its issuer: it names the
    /// workgroup and the key that the handshake proved, and its three
    /// signatures hold.
    #[must_use]
    pub fn claims(&self, workgroup: WorkgroupId, handshake_key: &PublicKey) -> bool {
        let signed = &self.credential;
        let text = signed.statement.as_bytes();
        let Ok(credential) = serde_json::from_str::<Credential>(&signed.statement) else {
            return false;
        };
        let keys = [
            (&credential.issuer, &signed.by_issuer),
            (&credential.log_key, &signed.by_log_key),
            (&credential.peer_key, &signed.by_peer_key),
        ];
        credential.workgroup == workgroup
            && credential.peer_key == *handshake_key
            && keys.iter().all(|(key, signature)| key.verify(DOMAIN, text, signature).is_ok())
    }

    /// When the credential says that it ends, whoever signed it; nothing if it
    /// cannot be read. For a chain of one's own.
    #[must_use]
    pub fn says_it_ends(&self) -> Option<UnixTime> {
        let credential = serde_json::from_str::<Credential>(&self.credential.statement);
        credential.ok().map(|credential| credential.expires)
    }

    /// Admits the peer whose handshake proved `handshake_key`.
    ///
    /// # Errors
    /// The first link that does not hold, outermost first.
    pub fn verify(
        &self,
        trust: &WorkgroupTrust,
        handshake_key: &PublicKey,
        now: UnixTime,
    ) -> Result<Member, CredentialError> {
        let issuer = trust.issuer(&self.issuer, now)?;
        let text = self.credential.statement.as_bytes();
        let signed = |signer, key: &PublicKey, signature| {
            key.verify(DOMAIN, text, signature)
                .map_err(|source| CredentialError::NotSigned { signer, source })
        };
        signed("issuer's", &issuer.issuer, &self.credential.by_issuer)?;
        let credential: Credential = serde_json::from_slice(text)
            .map_err(|error| CredentialError::Malformed { why: error.to_string() })?;
        signed("log", &credential.log_key, &self.credential.by_log_key)?;
        signed("peer", &credential.peer_key, &self.credential.by_peer_key)?;

        if credential.workgroup != trust.id() {
            return Err(CredentialError::OtherWorkgroup {
                expected: trust.id(),
                found: credential.workgroup,
            });
        }
        let expected = InstallationId::of(&credential.log_key);
        if credential.installation != expected {
            return Err(CredentialError::WrongInstallation {
                expected,
                found: credential.installation,
            });
        }
        if credential.peer_key != *handshake_key {
            return Err(CredentialError::OtherPeer {
                named: credential.peer_key,
                proved: *handshake_key,
            });
        }
        for key in [&issuer.issuer, &credential.log_key, &credential.peer_key] {
            trust.refuse_example(key)?;
        }
        let wider = |what: String| Err(CredentialError::Wider { what });
        if credential.issuer != issuer.issuer {
            return wider(format!(
                "it names issuer {}, the statement is for {}",
                credential.issuer, issuer.issuer
            ));
        }
        if !issuer.products.contains(&credential.product) {
            return wider(format!("product {} is not the issuer's", credential.product));
        }
        if credential.roles.is_empty() {
            return wider("it grants no role at all".to_owned());
        }
        if let Some(role) = credential.roles.iter().find(|role| !issuer.roles.contains(role)) {
            return wider(format!("the issuer may not grant the role {role:?}"));
        }
        if credential.expires > credential.issued.after(issuer.credential_life()) {
            return wider(format!(
                "it lives from {} to {}, the issuer allows {} seconds",
                credential.issued, credential.expires, issuer.credential_seconds
            ));
        }
        if credential.issued > now.after(CLOCK_SKEW) {
            return Err(CredentialError::NotYet { issued: credential.issued, now });
        }
        if credential.expires <= now {
            return Err(CredentialError::Expired { expired: credential.expires, now });
        }
        let member = Member {
            installation: credential.installation,
            peer_key: credential.peer_key,
            log_key: credential.log_key,
            roles: credential.roles,
            product: credential.product,
            organisation: issuer.organisation,
            issuer: issuer.issuer,
            // Whatever the credential says, nobody outlives his issuer.
            expires: credential.expires.min(issuer.expires),
        };
        let keys = [&member.peer_key, &member.log_key];
        match trust.revoked().refuses(&member.issuer, &member.installation, keys, now) {
            None => Ok(member),
            Some(entry) => Err(CredentialError::Revoked {
                what: entry.subject.to_string(),
                why: entry.why.clone(),
            }),
        }
    }
}
