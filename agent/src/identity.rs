//! Who this installation is: its two keys, its ticket and its credential.

use std::path::PathBuf;
use std::time::Duration;

use manifest::admission::chain::{CredentialChain, CredentialError, Member};
use manifest::admission::credential::Role;
use manifest::admission::installation::InstallationId;
use manifest::admission::limits::TICKET_BYTES;
use manifest::admission::revocation::{Revocations, RevocationsError};
use manifest::admission::ticket::{Ticket, TicketError};
use manifest::admission::workgroup::{WorkgroupId, WorkgroupTrust, WrongKeyCount};
use manifest::key::SigningKey;
use manifest::time::UnixTime;
use manifest::trust::root::NoWorkgroupKeys;
use manifest::trust::trusted::TrustedSet;
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
    /// Root names no workgroup.
    #[error(transparent)]
    Root(#[from] NoWorkgroupKeys),
    /// Root names too many workgroup keys.
    #[error(transparent)]
    Keys(#[from] WrongKeyCount),
    /// What was signed about revocations is none.
    #[error(transparent)]
    Revocations(#[from] RevocationsError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What a member believes: the workgroup `id`, whose keys root names, without
/// those who are revoked.
///
/// # Errors
/// [`IdentityError`] if root names no key, or too many, or what was signed is
/// no list of revocations.
pub fn workgroup_trust(
    id: WorkgroupId,
    trusted: &TrustedSet,
) -> Result<WorkgroupTrust, IdentityError> {
    let trust = WorkgroupTrust::new(id, trusted.root().workgroup_keys()?)?;
    Ok(trust.without(Revocations::of(trusted)?))
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
            .map_err(|source| IdentityError::Ticket { path: ticket_path, source })?;
        let chain = read_bounded(&credential, CREDENTIAL_FILE_BYTES)?.unwrap_or_default();
        let chain = CredentialChain::parse(&chain)
            .map_err(|source| IdentityError::Credential { path: credential.clone(), source })?;
        let peer_key = keyfile::read(&home.peer_key())?;
        let log_key = keyfile::read(&home.log_key())?;
        Ok(Self { peer_key, log_key, ticket, chain, credential })
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

    /// Signs a new credential with the ticket, if the old one does not admit
    /// any more or ends soon, and makes it durable; says who it admits then.
    ///
    /// # Errors
    /// [`IdentityError`]; the old credential stays.
    pub fn renew(
        &mut self,
        trust: &WorkgroupTrust,
        now: UnixTime,
    ) -> Result<Option<Member>, IdentityError> {
        let good = self.member(trust, now);
        if good.is_ok_and(|member| member.expires > now.after(RENEW_BEFORE)) {
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
