//! Tickets: one file with all that a machine needs to join, offline.
//!
//! The public part (root, addresses, mirrors) tells nothing that a member
//! does not know; the secret part (the issuer's key) admits whoever holds it.

use serde::{Deserialize, Serialize};

use crate::admission::chain::CredentialChain;
use crate::admission::credential::{Credential, Role, SignedCredential};
use crate::admission::installation::InstallationId;
use crate::admission::issuer::{IssuerError, IssuerStatement, SignedIssuer};
use crate::admission::limits::{TICKET_ADDRESSES, TICKET_BYTES};
use crate::admission::workgroup::{WorkgroupId, WorkgroupTrust};
use crate::key::{PublicKey, SigningKey};
use crate::name::ProductName;
use crate::time::UnixTime;

/// The first field of every ticket file.
const FORMAT: &str = "updraft-ticket/1";

/// A ticket, as read: its issuer is believed only after [`Ticket::verify`].
#[derive(Clone)]
pub struct Ticket {
    /// The bytes of root version 1: where all trust begins.
    pub root: Vec<u8>,
    /// The product to install.
    pub product: ProductName,
    /// Where members or seeders may be met, as multiaddresses; at most 64.
    pub addresses: Vec<String>,
    /// HTTP mirrors of the repository, as base URLs; at most 64.
    pub mirrors: Vec<String>,
    /// The workgroup's word on the issuer.
    pub issuer: SignedIssuer,
    /// The issuer's private key.
    pub issuer_key: SigningKey,
}

/// The file: public and secret parts apart, so that the first can be shown.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    public: Public,
    secret: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Public {
    product: ProductName,
    /// Root is text; as a string its bytes survive exactly.
    root: String,
    addresses: Vec<String>,
    mirrors: Vec<String>,
    issuer: SignedIssuer,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    issuer_key: String,
}

/// A ticket that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The file is larger than any ticket.
    #[error("a ticket has at most {TICKET_BYTES} bytes, found {found}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The file is no ticket.
    #[error("this is not a ticket: {why}")]
    Malformed {
        /// What was wrong with it.
        why: String,
    },
    /// The issuer in it is not to be believed.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The private key does not belong to the issuer that the ticket names.
    #[error("the ticket's private key makes {found}, its issuer is {expected}")]
    OtherKey {
        /// The key the statement is for.
        expected: PublicKey,
        /// The public half of the key in the ticket.
        found: PublicKey,
    },
    /// It is for another role than the one that is wanted.
    #[error("this ticket admits {found:?}, not {wanted:?}")]
    OtherRole {
        /// What the program needs.
        wanted: Role,
        /// What the issuer may grant.
        found: Vec<Role>,
    },
    /// The issuer does not serve the ticket's product.
    #[error("the ticket is for {product}, which its issuer does not serve")]
    OtherProduct {
        /// The product the ticket names.
        product: ProductName,
    },
}

impl Ticket {
    /// The workgroup that the ticket leads to.
    #[must_use]
    pub fn workgroup(&self) -> WorkgroupId {
        WorkgroupId::of_first_root(&self.root)
    }

    /// The ticket as the text of its file, to be kept with mode 0600.
    ///
    /// # Errors
    /// [`TicketError::Malformed`] if root is not text or a list is too long.
    pub fn encode(&self) -> Result<String, TicketError> {
        self.check_bounds()?;
        let root = String::from_utf8(self.root.clone())
            .map_err(|_| TicketError::Malformed { why: "its root is not UTF-8".to_owned() })?;
        let file = File {
            format: FORMAT.to_owned(),
            public: Public {
                product: self.product.clone(),
                root,
                addresses: self.addresses.clone(),
                mirrors: self.mirrors.clone(),
                issuer: self.issuer.clone(),
            },
            secret: Secret { issuer_key: hex::encode(self.issuer_key.seed().as_slice()) },
        };
        let mut text = serde_json::to_string_pretty(&file).expect("plain fields always serialise");
        text.push('\n');
        if text.len() > TICKET_BYTES {
            return Err(TicketError::TooLong { found: text.len() });
        }
        Ok(text)
    }

    /// Reads a ticket file; believes nothing of it yet.
    ///
    /// # Errors
    /// `TooLong` before reading, or `Malformed` with the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, TicketError> {
        if bytes.len() > TICKET_BYTES {
            return Err(TicketError::TooLong { found: bytes.len() });
        }
        let malformed = |why: String| TicketError::Malformed { why };
        let file: File =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if file.format != FORMAT {
            let found: String = file.format.chars().take(80).collect();
            return Err(malformed(format!("its format is {found:?}, expected {FORMAT:?}")));
        }
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        hex::decode_to_slice(&file.secret.issuer_key, seed.as_mut_slice())
            .map_err(|_| malformed("issuer_key is not 64 hex digits".to_owned()))?;
        let ticket = Self {
            root: file.public.root.into_bytes(),
            product: file.public.product,
            addresses: file.public.addresses,
            mirrors: file.public.mirrors,
            issuer: file.public.issuer,
            issuer_key: SigningKey::from_seed(&seed),
        };
        ticket.check_bounds()?;
        Ok(ticket)
    }

    fn check_bounds(&self) -> Result<(), TicketError> {
        for (what, list) in [("addresses", &self.addresses), ("mirrors", &self.mirrors)] {
            if list.len() > TICKET_ADDRESSES {
                return Err(TicketError::Malformed {
                    why: format!("{} {what}, at most {TICKET_ADDRESSES} fit", list.len()),
                });
            }
        }
        Ok(())
    }

    /// Checks that the issuer is the workgroup's, that its key is the one
    /// enclosed, and that it may admit to `wanted`.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn verify(
        &self,
        trust: &WorkgroupTrust,
        wanted: Role,
        now: UnixTime,
    ) -> Result<IssuerStatement, TicketError> {
        let issuer = trust.issuer(&self.issuer, now)?;
        let found = self.issuer_key.public();
        if issuer.issuer != found {
            return Err(TicketError::OtherKey { expected: issuer.issuer, found });
        }
        if !issuer.roles.contains(&wanted) {
            return Err(TicketError::OtherRole { wanted, found: issuer.roles });
        }
        if !issuer.products.contains(&self.product) {
            return Err(TicketError::OtherProduct { product: self.product.clone() });
        }
        Ok(issuer)
    }

    /// What is to be shown of the issuer: what the vendor says of it now, else
    /// what the ticket came with.
    #[must_use]
    pub fn statement<'a>(&'a self, trust: &'a WorkgroupTrust) -> &'a SignedIssuer {
        trust.statement_of(&self.issuer_key.public()).unwrap_or(&self.issuer)
    }

    /// The ticket with `newer` in place of its issuer's statement, where that
    /// one does not hold any more and `newer` does.
    #[must_use]
    pub fn with_newer(
        &self,
        newer: SignedIssuer,
        trust: &WorkgroupTrust,
        now: UnixTime,
    ) -> Option<Self> {
        let own = self.issuer_key.public();
        let is_ours = newer.verify(trust, now).is_ok_and(|statement| statement.issuer == own);
        let is_needed = self.issuer.verify(trust, now).is_err();
        (is_ours && is_needed).then(|| Self { issuer: newer, ..self.clone() })
    }

    /// Admits an installation, offline: signs a credential for its two keys
    /// that lives as long as the issuer allows, from `now`.
    ///
    /// # Errors
    /// As [`Ticket::verify`].
    pub fn admit(
        &self,
        trust: &WorkgroupTrust,
        role: Role,
        log_key: &SigningKey,
        peer_key: &SigningKey,
        now: UnixTime,
    ) -> Result<CredentialChain, TicketError> {
        let issuer = self.verify(trust, role, now)?;
        let credential = Credential {
            workgroup: trust.id(),
            issuer: issuer.issuer,
            installation: InstallationId::of(&log_key.public()),
            log_key: log_key.public(),
            peer_key: peer_key.public(),
            product: self.product.clone(),
            roles: vec![role],
            issued: now,
            expires: now.after(issuer.credential_life()),
        };
        Ok(CredentialChain {
            issuer: self.statement(trust).clone(),
            credential: SignedCredential::sign(&credential, &self.issuer_key, log_key, peer_key),
        })
    }
}
