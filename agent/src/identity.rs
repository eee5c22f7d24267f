//! Who this installation is: its two keys, its ticket and its credential.

use std::path::PathBuf;
use std::time::Duration;

use manifest::admission::chain::{CredentialChain, CredentialError, Member};
use manifest::admission::credential::Role;
use manifest::admission::installation::InstallationId;
use manifest::admission::issuer::SignedIssuer;
use manifest::admission::limits::TICKET_BYTES;
use manifest::admission::ticket::{Ticket, TicketError};
use manifest::admission::workgroup::{NoWorkgroup, WorkgroupId, WorkgroupTrust};
use manifest::key::SigningKey;
use manifest::time::UnixTime;
use store::atomic;
use store::disk::{DiskError, read_bounded};
use store::keyfile::{self, KeyFileError};
use store::steps::Steps;

use crate::home::Home;
use crate::limits::{CREDENTIAL_FILE_BYTES, RENEW_BEFORE};

/// An installation's identity, as its home keeps it.
#[derive(Clone)]
pub struct Identity {
    /// The network identity.
    pub peer_key: SigningKey,
    /// Signs checkpoints; its hash is the installation's id.
    pub log_key: SigningKey,
    /// What the installation joined with.
    pub ticket: Ticket,
    /// What admits it.
    pub chain: CredentialChain,
    credential: PathBuf,
    ticket_path: PathBuf,
}

/// An identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nothing has joined here.
    #[error("no installation has joined in {}", home.display())]
    NotJoined {
        /// The home.
        home: PathBuf,
    },
    /// A key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The ticket cannot be used.
    #[error("{}: {source}", path.display())]
    Ticket {
        /// The ticket's file.
        path: PathBuf,
        /// What is wrong with it.
        source: TicketError,
    },
    /// The credential cannot be used.
    #[error("{}: {source}", path.display())]
    Credential {
        /// The credential's file.
        path: PathBuf,
        /// What is wrong with it.
        source: CredentialError,
    },
    /// Root does not say who speaks for the workgroup.
    #[error(transparent)]
    Workgroup(#[from] NoWorkgroup),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Identity {
    /// Reads the identity in `home`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open(home: &Home) -> Result<Self, IdentityError> {
        if !home.is_joined() {
            return Err(IdentityError::NotJoined { home: home.dir().to_owned() });
        }
        let (ticket_path, credential) = (home.ticket(), home.credential());
        let ticket = read_bounded(&ticket_path, TICKET_BYTES as u64)?.unwrap_or_default();
        let ticket = Ticket::parse(&ticket)
            .map_err(|source| IdentityError::Ticket { path: ticket_path.clone(), source })?;
        let chain = read_bounded(&credential, CREDENTIAL_FILE_BYTES)?.unwrap_or_default();
        let chain = CredentialChain::parse(&chain)
            .map_err(|source| IdentityError::Credential { path: credential.clone(), source })?;
        let peer_key = keyfile::read(&home.peer_key())?;
        let log_key = keyfile::read(&home.log_key())?;
        Ok(Self { peer_key, log_key, ticket, chain, credential, ticket_path })
    }

    /// The installation's id.
    #[must_use]
    pub fn installation(&self) -> InstallationId {
        InstallationId::of(&self.log_key.public())
    }

    /// The workgroup that was joined.
    #[must_use]
    pub fn workgroup(&self) -> WorkgroupId {
        self.ticket.workgroup()
    }

    /// The credential, checked as a peer would check it.
    ///
    /// # Errors
    /// [`IdentityError::Credential`].
    pub fn member(&self, trust: &WorkgroupTrust, now: UnixTime) -> Result<Member, IdentityError> {
        self.chain
            .verify(trust, &self.peer_key.public(), now)
            .map_err(|source| IdentityError::Credential { path: self.credential.clone(), source })
    }

    /// Takes what the vendor says now of the ticket's issuer in place of what
    /// the ticket says, where that does not hold any more, and makes it
    /// durable; says whether it did.
    ///
    /// # Errors
    /// [`IdentityError`]; the ticket is then as it was.
    pub fn take_statement(
        &mut self,
        newer: SignedIssuer,
        trust: &WorkgroupTrust,
        now: UnixTime,
    ) -> Result<bool, IdentityError> {
        let Some(ticket) = self.ticket.with_newer(newer, trust, now) else { return Ok(false) };
        let wrong = |source| IdentityError::Ticket { path: self.ticket_path.clone(), source };
        let text = ticket.encode().map_err(wrong)?;
        atomic::write(&self.ticket_path, text.as_bytes(), 0o600, &Steps::free())?;
        self.ticket = ticket;
        Ok(true)
    }

    /// Signs a new credential with the ticket, if the old one does not admit
    /// any more, ends soon, or shows less than the vendor says of its issuer
    /// now, and makes it durable; says who it admits then.
    ///
    /// # Errors
    /// [`IdentityError`]; the old credential stays.
    pub fn renew(
        &mut self,
        trust: &WorkgroupTrust,
        now: UnixTime,
    ) -> Result<Option<Member>, IdentityError> {
        let good = self.member(trust, now);
        let newest = self.chain.issuer == *self.ticket.statement(trust);
        if newest && good.is_ok_and(|member| member.expires > now.after(RENEW_BEFORE)) {
            return Ok(None);
        }
        let path = || self.credential.clone();
        let chain = self
            .ticket
            .admit(trust, Role::Member, &self.log_key, &self.peer_key, now)
            .map_err(|source| IdentityError::Ticket { path: path(), source })?;
        let bytes =
            chain.encode().map_err(|source| IdentityError::Credential { path: path(), source })?;
        atomic::write(&self.credential, &bytes, 0o600, &Steps::free())?;
        self.chain = chain;
        self.member(trust, now).map(Some)
    }

    /// How long the credential still admits, at `now`.
    #[must_use]
    pub fn remaining(&self, trust: &WorkgroupTrust, now: UnixTime) -> Duration {
        self.member(trust, now).map_or(Duration::ZERO, |member| member.expires.since(now))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.installation())
    }
}
