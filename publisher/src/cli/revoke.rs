//! The commands that shut members out.

use std::io;
use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use manifest::admission::installation::InstallationId;
use manifest::admission::limits::TICKET_BYTES;
use manifest::admission::revocation::Subject;
use manifest::admission::ticket::Ticket;
use manifest::key::PublicKey;
use store::disk::read_bounded;
use store::steps::Steps;

use crate::cli::args::Common;
use crate::cli::failure::Failure;
use crate::cli::{json, keys, open};
use crate::clock::now;
use crate::publish::Session;
use crate::revoke;

/// Shut out a machine, a ticket, an issuer or a key
#[derive(Debug, Subcommand)]
pub(crate) enum Revoke {
    /// Every machine that joined with this ticket, and the ticket itself
    Ticket {
        /// The ticket's file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Why, for those who ask; at most 100 characters
        #[arg(long, default_value = "revoked by the vendor")]
        why: String,
    },
    /// Every machine whose credential this issuer signed
    Issuer {
        /// Its public key in hex
        key: PublicKey,
        /// Why, for those who ask; at most 100 characters
        #[arg(long, default_value = "revoked by the vendor")]
        why: String,
    },
    /// One machine, by the id of its installation
    Machine {
        /// The installation, as `updraft-agent status` and `updraft-auditor fleet --json` show it
        installation: InstallationId,
        /// Why, for those who ask; at most 100 characters
        #[arg(long, default_value = "revoked by the vendor")]
        why: String,
    },
    /// Whoever shows this peer or log key
    Key {
        /// The public key in hex
        key: PublicKey,
        /// Why, for those who ask; at most 100 characters
        #[arg(long, default_value = "revoked by the vendor")]
        why: String,
    },
    /// Show who is shut out
    List {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run_revoke(common: &Common, command: Revoke) -> Result<(), Failure> {
    let doing = "revoke";
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(doing, error);
    let home = open(common, doing)?;
    let (subject, why) = match command {
        Revoke::List { json: as_json } => return list(common, as_json),
        Revoke::Issuer { key, why } => (Subject::Issuer(key), why),
        Revoke::Machine { installation, why } => (Subject::Installation(installation), why),
        Revoke::Key { key, why } => (Subject::Key(key), why),
        Revoke::Ticket { file, why } => {
            let bytes = read_bounded(&file, TICKET_BYTES as u64).map_err(|error| failed(&error))?;
            let missing = || io::Error::other(format!("there is no {}", file.display()));
            let bytes = bytes.ok_or_else(|| failed(&missing()))?;
            let ticket = Ticket::parse(&bytes).map_err(|error| failed(&error))?;
            (Subject::Issuer(ticket.issuer_key.public()), why)
        }
    };
    let mut session = Session::open(&home, &keys(common, &home), &Steps::free())
        .map_err(|error| failed(&error))?;
    let entry =
        revoke::revoke(&mut session, subject, why, now()).map_err(|error| failed(&error))?;
    println!("{} is revoked until {}.", entry.subject, entry.until);
    println!("Members that hear of it close their connections to it and let it in no more.");
    println!("It keeps what it has, and whatever a mirror serves to everyone.");
    match subject {
        Subject::Issuer(_) => println!(
            "Write a new ticket for the machines that are to stay: updraft-publisher ticket."
        ),
        Subject::Installation(_) | Subject::Key(_) => {
            println!("Whoever still has its ticket can join anew under another id: to end that,");
            println!("revoke the ticket too.");
        }
    }
    Ok(())
}

fn list(common: &Common, as_json: bool) -> Result<(), Failure> {
    let doing = "list who is revoked";
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(doing, error);
    let home = open(common, doing)?;
    let session = Session::open(&home, &keys(common, &home), &Steps::free())
        .map_err(|error| failed(&error))?;
    let revoked = revoke::list(&session).map_err(|error| failed(&error))?;
    if as_json {
        json(&revoked.entries());
        return Ok(());
    }
    if revoked.entries().is_empty() {
        println!("Nobody is revoked.");
    }
    for entry in revoked.entries() {
        println!("{}  until {}  {}", entry.subject, entry.until, entry.why);
    }
    Ok(())
}
