//! The auditor's home: its keys, its ticket, and what it collects.
//!
//! ```text
//! ticket.json   the ticket it joined with; written last, so it means "joined"
//! keys/         peer.pem and log.pem
//! trusted/      root.json and its predecessors, and what is signed about members
//! logs/         see `vault`
//! lock          held while `run` runs
//! allow-example-keys   only where keys that everyone has are welcome
//! ```

use std::path::{Path, PathBuf};

use manifest::admission::chain::{CredentialChain, CredentialError, Member};
use manifest::admission::credential::Role;
use manifest::admission::issuer::SignedIssuer;
use manifest::admission::limits::TICKET_BYTES;
use manifest::admission::ticket::{Ticket, TicketError};
use manifest::admission::workgroup::{NoWorkgroup, WorkgroupId, WorkgroupTrust};
use manifest::example_keys::{self, ExampleKey};
use manifest::key::SigningKey;
use manifest::time::UnixTime;
use manifest::trust::rules::TrustError;
use manifest::trust::trusted::TrustedSet;
use store::atomic;
use store::disk::{self, DiskError, read_bounded};
use store::keyfile::{self, KeyFileError};
use store::lock::{HomeLock, LockError};
use store::steps::Steps;
use store::trusted::TrustedFiles;

use crate::vault::{Vault, VaultError};

/// A home whose auditor has joined a workgroup.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
}

/// What an auditor shows to be admitted, and believes of others.
pub struct Admission {
    /// Its network identity.
    pub peer_key: SigningKey,
    /// Its credential, signed just now.
    pub chain: CredentialChain,
    /// What the workgroup's members are judged by.
    pub trust: WorkgroupTrust,
    /// What others see of it.
    pub member: Member,
    /// Where members may be met.
    pub addresses: Vec<String>,
}

/// How `join` shall treat the ticket.
#[derive(Debug, Clone, Copy, Default)]
pub struct JoinOptions {
    /// Root's fingerprint, if it came by a way of its own.
    pub fingerprint: Option<WorkgroupId>,
    /// Whether keys that everyone has are welcome.
    pub allow_example_keys: bool,
}

/// A home that cannot be used, or a ticket that does not lead into one.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nobody joined here.
    #[error("no auditor has joined at {}", dir.display())]
    NotJoined {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no such ticket file.
    #[error("there is no ticket at {}", path.display())]
    NoTicket {
        /// Where it should be.
        path: PathBuf,
    },
    /// The ticket does not admit an auditor.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The ticket is of a workgroup that the owner did not mean.
    #[error("the ticket's root has the fingerprint {found}, expected {expected}")]
    OtherFingerprint {
        /// What was asked for.
        expected: WorkgroupId,
        /// What the ticket has.
        found: WorkgroupId,
    },
    /// The home belongs to another workgroup.
    #[error("{} is of workgroup {joined}, the ticket is of {found}", dir.display())]
    OtherWorkgroup {
        /// The home.
        dir: PathBuf,
        /// Its workgroup.
        joined: WorkgroupId,
        /// The ticket's.
        found: WorkgroupId,
    },
    /// The root in the ticket or the home cannot be trusted.
    #[error("its root cannot be trusted")]
    Root(#[from] TrustError),
    /// Root does not say who speaks for the workgroup.
    #[error(transparent)]
    NoWorkgroup(#[from] NoWorkgroup),
    /// A key that everyone has stands where a secret one must.
    #[error(transparent)]
    ExampleKey(#[from] ExampleKey),
    /// The credential made from the ticket does not hold.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A private key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The system gives no randomness for keys.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
    /// Another auditor runs here.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What was collected cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl HomeError {
    /// Whether something was not to be trusted, rather than not to be had.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Ticket(_)
                | Self::OtherFingerprint { .. }
                | Self::OtherWorkgroup { .. }
                | Self::Root(_)
                | Self::NoWorkgroup(_)
                | Self::ExampleKey(_)
                | Self::Credential(_)
        )
    }
}

/// Reads a ticket file; believes nothing of it yet.
///
/// # Errors
/// [`HomeError::NoTicket`], [`HomeError::Ticket`], [`HomeError::Disk`].
pub fn read_ticket(path: &Path) -> Result<Ticket, HomeError> {
    let bytes = read_bounded(path, TICKET_BYTES as u64)?;
    let bytes = bytes.ok_or_else(|| HomeError::NoTicket { path: path.to_owned() })?;
    Ok(Ticket::parse(&bytes)?)
}

impl Home {
    /// Joins with `ticket`, or renews with a newer one of the same workgroup:
    /// checks it, makes the keys, and keeps it.
    ///
    /// # Errors
    /// [`HomeError`]; whoever had joined here before still has.
    pub fn join(
        dir: &Path,
        ticket: &Ticket,
        options: JoinOptions,
        now: UnixTime,
    ) -> Result<Self, HomeError> {
        let found = ticket.workgroup();
        if let Some(expected) = options.fingerprint.filter(|expected| *expected != found) {
            return Err(HomeError::OtherFingerprint { expected, found });
        }
        let root = TrustedSet::from_root(&ticket.root)?;
        let trust = WorkgroupTrust::of(found, &root)?;
        if !options.allow_example_keys {
            example_keys::refuse(&ticket.issuer_key.public())?;
            trust.keys().iter().try_for_each(example_keys::refuse)?;
        }
        ticket.verify(&trust, Role::Auditor, now)?;

        let home = Self { dir: dir.to_owned() };
        match home.ticket() {
            Ok(before) if before.workgroup() != found => {
                let joined = before.workgroup();
                return Err(HomeError::OtherWorkgroup { dir: dir.to_owned(), joined, found });
            }
            Ok(_) => {}
            Err(HomeError::NotJoined { .. }) => home.prepare(ticket)?,
            Err(error) => return Err(error),
        }
        if options.allow_example_keys {
            atomic::write(&home.example_path(), b"", 0o600, &Steps::free())?;
        }
        let text = ticket.encode()?;
        atomic::write(&home.ticket_path(), text.as_bytes(), 0o600, &Steps::free())?;
        Ok(home)
    }

    /// Makes everything but the ticket.
    fn prepare(&self, ticket: &Ticket) -> Result<(), HomeError> {
        let keys = self.dir.join("keys");
        disk::create_dirs(&keys, 0o700)?;
        for name in ["peer.pem", "log.pem"] {
            // A join that was cut short leaves keys that are as good as new.
            if !keys.join(name).exists() {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(HomeError::Randomness)?;
                keyfile::create(&keys.join(name), &SigningKey::from_seed(&seed))?;
            }
        }
        let trusted = self.trusted()?;
        trusted.persist("1.root.json", &ticket.root)?;
        Ok(trusted.persist("root.json", &ticket.root)?)
    }

    /// Opens the home in `dir`.
    ///
    /// # Errors
    /// [`HomeError::NotJoined`].
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let home = Self { dir: dir.to_owned() };
        if home.ticket_path().exists() {
            Ok(home)
        } else {
            Err(HomeError::NotJoined { dir: dir.to_owned() })
        }
    }

    /// The home in `dir` as a place of collected logs, joined or not.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// There if keys that everyone has are welcome.
    fn example_path(&self) -> PathBuf {
        self.dir.join("allow-example-keys")
    }

    fn ticket_path(&self) -> PathBuf {
        self.dir.join("ticket.json")
    }

    fn ticket(&self) -> Result<Ticket, HomeError> {
        match read_ticket(&self.ticket_path()) {
            Err(HomeError::NoTicket { .. }) => Err(HomeError::NotJoined { dir: self.dir.clone() }),
            other => other,
        }
    }

    /// The trusted metadata.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    pub fn trusted(&self) -> Result<TrustedFiles, HomeError> {
        Ok(TrustedFiles::open(&self.dir.join("trusted"), Steps::free())?)
    }

    /// The workgroup, by the newest metadata that is trusted.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn trust(&self) -> Result<WorkgroupTrust, HomeError> {
        let id = self.ticket()?.workgroup();
        let trust = WorkgroupTrust::of(id, &TrustedSet::load(&self.trusted()?.load()?)?)?;
        let trust = trust.with_example_keys(self.example_path().exists());
        trust.keys().iter().try_for_each(|key| trust.refuse_example(key))?;
        Ok(trust)
    }

    /// Takes what the vendor says now of the ticket's issuer in place of what
    /// the ticket says, where that does not hold any more; says whether it did.
    ///
    /// # Errors
    /// [`HomeError`]; the ticket is then as it was.
    pub fn take_statement(&self, newer: SignedIssuer, now: UnixTime) -> Result<bool, HomeError> {
        let (ticket, trust) = (self.ticket()?, self.trust()?);
        let Some(ticket) = ticket.with_newer(newer, &trust, now) else { return Ok(false) };
        atomic::write(&self.ticket_path(), ticket.encode()?.as_bytes(), 0o600, &Steps::free())?;
        Ok(true)
    }

    /// Admits this auditor anew: the ticket is at hand, so its credential is
    /// never older than it must be.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn admission(&self, now: UnixTime) -> Result<Admission, HomeError> {
        let ticket = self.ticket()?;
        let trust = self.trust()?;
        let peer_key = keyfile::read(&self.dir.join("keys/peer.pem"))?;
        let log_key = keyfile::read(&self.dir.join("keys/log.pem"))?;
        let chain = ticket.admit(&trust, Role::Auditor, &log_key, &peer_key, now)?;
        let member = chain.verify(&trust, &peer_key.public(), now)?;
        Ok(Admission { peer_key, chain, trust, member, addresses: ticket.addresses })
    }

    /// What was collected.
    ///
    /// # Errors
    /// [`HomeError::Vault`].
    pub fn vault(&self) -> Result<Vault, HomeError> {
        Ok(Vault::open(&self.dir.join("logs"), Steps::free())?)
    }

    /// Holds the home for one running auditor.
    ///
    /// # Errors
    /// [`HomeError::Lock`].
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        Ok(HomeLock::take(&self.dir.join("lock"))?)
    }
}
