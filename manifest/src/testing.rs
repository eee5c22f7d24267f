//! Seeded keys, workgroups and members for tests of this and higher floors.

use std::time::Duration;

use crate::admission::chain::CredentialChain;
use crate::admission::credential::Role;
use crate::admission::issuer::{IssuerStatement, SignedIssuer};
use crate::admission::limits::{CREDENTIAL_LIFE, ISSUER_LIFE};
use crate::admission::ticket::Ticket;
use crate::admission::workgroup::{WorkgroupId, WorkgroupTrust};
use crate::key::SigningKey;
use crate::time::UnixTime;

/// A key that grows from a number.
#[must_use]
pub fn key(seed: u64) -> SigningKey {
    let mut bytes = [0x5A; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    SigningKey::from_seed(&bytes)
}

/// A workgroup whose every key is known, for product `hello`.
#[derive(Debug, Clone)]
pub struct TestWorkgroup {
    /// The bytes that stand for its first root.
    pub root: Vec<u8>,
    /// Its one workgroup key.
    pub workgroup_key: SigningKey,
    /// What its members believe.
    pub trust: WorkgroupTrust,
}

impl TestWorkgroup {
    /// The workgroup that grows from `seed`; other seeds are strangers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let root = format!("root of workgroup {seed}").into_bytes();
        let workgroup_key = key(seed.wrapping_add(0x1000_0000));
        let id = WorkgroupId::of_first_root(&root);
        let trust = WorkgroupTrust::new(id, vec![workgroup_key.public()])
            .expect("one key is within the bounds");
        Self { root, workgroup_key, trust }
    }

    /// An issuer statement for `roles` under this workgroup, from `now` on.
    #[must_use]
    pub fn statement(&self, issuer: &SigningKey, roles: &[Role], now: UnixTime) -> IssuerStatement {
        IssuerStatement {
            workgroup: self.trust.id(),
            issuer: issuer.public(),
            organisation: "Test Organisation".to_owned(),
            products: vec!["hello".parse().expect("a plain name")],
            roles: roles.to_vec(),
            credential_seconds: CREDENTIAL_LIFE.as_secs(),
            expires: now.after(ISSUER_LIFE),
        }
    }

    /// A ticket whose issuer may grant `roles`, signed at `now`.
    #[must_use]
    pub fn ticket(&self, roles: &[Role], now: UnixTime) -> Ticket {
        let issuer_key = key(0x2000_0000);
        let issuer =
            SignedIssuer::sign(&self.statement(&issuer_key, roles, now), &self.workgroup_key)
                .expect("the statement keeps its bounds");
        Ticket {
            root: self.root.clone(),
            product: "hello".parse().expect("a plain name"),
            addresses: Vec::new(),
            mirrors: Vec::new(),
            issuer,
            issuer_key,
        }
    }

    /// The peer key of installation number `who`.
    #[must_use]
    pub fn peer_key(who: u64) -> SigningKey {
        key(who.wrapping_mul(2).wrapping_add(0x3000_0000))
    }

    /// The log key of installation number `who`.
    #[must_use]
    pub fn log_key(who: u64) -> SigningKey {
        key(who.wrapping_mul(2).wrapping_add(0x3000_0001))
    }

    /// A credential for installation number `who`, good for 30 days from `now`.
    #[must_use]
    pub fn credential(&self, who: u64, role: Role, now: UnixTime) -> CredentialChain {
        let (log_key, peer_key) = (Self::log_key(who), Self::peer_key(who));
        self.ticket(&[role], now)
            .admit(&self.trust, role, &log_key, &peer_key, now)
            .expect("the ticket is good")
    }

    /// A credential that ended a minute before `now`.
    #[must_use]
    pub fn expired_credential(&self, who: u64, role: Role, now: UnixTime) -> CredentialChain {
        let then = now.before(CREDENTIAL_LIFE + Duration::from_secs(60));
        self.credential(who, role, then)
    }
}
