//! Tickets: what a machine, or an auditor, needs to join.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use manifest::admission::issuer::{IssuerError, IssuerStatement};
use manifest::admission::ticket::{Ticket, TicketError};
use manifest::admission::workgroup::WorkgroupId;
use manifest::time::UnixTime;
use store::atomic;
use store::disk::{DiskError, read_bounded};
use store::steps::Steps;

use crate::home::Home;
use crate::issuers::{Issuer, IssuersError, first_root, workgroup};
use crate::keys::Keys;
use crate::limits::NOTE_BYTES;

/// Where a ticket leads, and where it goes.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where members or seeders may be met; if empty, what `seed` noted.
    pub addresses: Vec<String>,
    /// HTTP mirrors of the repository; if empty, what `seed` noted.
    pub mirrors: Vec<String>,
    /// The file to write, or standard output.
    pub out: Option<PathBuf>,
}

/// A ticket that was written.
#[derive(Clone)]
pub struct Written {
    /// The ticket.
    pub ticket: Ticket,
    /// Root's fingerprint.
    pub workgroup: WorkgroupId,
    /// What its issuer may do.
    pub issuer: IssuerStatement,
}

/// A ticket that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TicketWriteError {
    /// The issuer cannot be had.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// The issuer does not hold.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// It makes no ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// An address or mirror that no machine could use.
    #[error("{found:?} is no {what}, which begins with {expected}")]
    Address {
        /// What it should be.
        what: &'static str,
        /// How that begins.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Something else lies where the ticket should go.
    #[error("{} exists and is no ticket; nothing was written", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Writes a ticket of `issuer`, readable by its owner alone.
///
/// # Errors
/// [`TicketWriteError`].
pub fn write(
    home: &Home,
    keys: &Keys,
    issuer: &Issuer,
    options: &Options,
    now: UnixTime,
) -> Result<Written, TicketWriteError> {
    let noted = noted_addresses(home)?;
    let or_noted = |given: &[String], starts: &str| {
        if given.is_empty() {
            noted.iter().filter(|line| line.starts_with(starts)).cloned().collect()
        } else {
            given.to_vec()
        }
    };
    let addresses: Vec<String> = or_noted(&options.addresses, "/");
    let mirrors: Vec<String> = or_noted(&options.mirrors, "http");
    for found in &addresses {
        if !found.starts_with('/') {
            let (what, expected) = ("multiaddress", "/");
            return Err(TicketWriteError::Address { what, expected, found: found.clone() });
        }
    }
    for found in &mirrors {
        if !found.starts_with("http://") && !found.starts_with("https://") {
            let (what, expected) = ("mirror", "http:// or https://");
            return Err(TicketWriteError::Address { what, expected, found: found.clone() });
        }
    }
    let (issuer_key, signed) = issuer.open_or_create(home, keys, None, now)?;
    let trust = workgroup(home)?;
    let statement = signed.verify(&trust, now)?;
    let ticket = Ticket {
        root: first_root(home)?,
        product: home.vendor().product.clone(),
        addresses,
        mirrors,
        issuer: signed,
        issuer_key,
    };
    let text = ticket.encode()?;
    match &options.out {
        None => {
            let failed = |error| DiskError::new("write", "standard output", error);
            std::io::stdout().write_all(text.as_bytes()).map_err(failed)?;
        }
        Some(path) => {
            refuse_occupied(path)?;
            atomic::write(path, text.as_bytes(), 0o600, &Steps::free())?;
        }
    }
    Ok(Written { ticket, workgroup: trust.id(), issuer: statement })
}

/// The addresses and mirrors that a seeder of this home noted.
///
/// # Errors
/// [`DiskError`].
pub fn noted_addresses(home: &Home) -> Result<Vec<String>, DiskError> {
    let bytes = read_bounded(&home.addresses_path(), NOTE_BYTES)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// An older ticket may be replaced, nothing else.
fn refuse_occupied(path: &Path) -> Result<(), TicketWriteError> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DiskError::new("read", path, error).into()),
        Ok(bytes) if Ticket::parse(&bytes).is_ok() => Ok(()),
        Ok(_) => Err(TicketWriteError::Occupied { path: path.to_owned() }),
    }
}
