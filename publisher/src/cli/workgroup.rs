//! The commands about who speaks for the workgroup, and about its issuers.

use std::time::Duration;

use clap::Subcommand;
use manifest::key::PublicKey;
use manifest::time::UnixTime;
use manifest::trust::role::RoleName;
use serde_json::json;
use store::steps::Steps;

use crate::cli::args::Common;
use crate::cli::failure::Failure;
use crate::cli::keys::{hand_out, refuse_pending};
use crate::cli::{json, keys, open};
use crate::clock::now;
use crate::issuers::workgroup;
use crate::publish::Session;
use crate::rotation::{self, IssuerState, Step};

/// Look at who speaks for the workgroup, and replace its key
#[derive(Debug, Subcommand)]
pub(crate) enum Workgroup {
    /// Show the workgroup's keys
    Show {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Begin to replace the workgroup's key: both count until `finish`
    Rotate,
    /// Let go of the workgroup's older key
    Finish,
}

/// Look after the issuers, whose keys are in tickets
#[derive(Debug, Subcommand)]
pub(crate) enum IssuerCommand {
    /// Show the issuers: whose machines they admit, and until when
    List {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Let an issuer, and the tickets that hold its key, live years longer
    Renew {
        /// The issuer, as `issuer list` calls it
        name: String,
    },
    /// Allow an issuer less than its tickets say
    Narrow {
        /// The issuer, as `issuer list` calls it
        name: String,
        /// How many days its credentials may live
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3650))]
        credential_days: Option<u64>,
        /// When it ends, such as 2027-06-30T00:00:00Z
        #[arg(long, value_name = "TIME", required_unless_present = "credential_days")]
        until: Option<UnixTime>,
    },
}

pub(crate) fn run_workgroup(common: &Common, command: &Workgroup) -> Result<(), Failure> {
    match command {
        Workgroup::Show { json } => show(common, *json),
        Workgroup::Rotate => {
            let doing = "rotate the workgroup's key";
            let (mut session, named) = begin(common, doing)?;
            if named.len() == 1 {
                refuse_pending(doing, &session, &RoleName::ROOT)?;
            }
            let step = rotation::rotate(&mut session, now());
            match step.map_err(|error| Failure::new(doing, &error))? {
                Step::Published(issuers) => {
                    println!("A newer key speaks for the workgroup too.");
                    println!("Signed anew with it: {}.", issuers.join(", "));
                    println!("Machines follow when they next ask. Keep a copy of the new key.");
                    println!(
                        "Next, after some weeks: updraft-publisher workgroup finish. Whoever is"
                    );
                    println!("off until then is led back by any other machine.");
                    Ok(())
                }
                Step::Proposed(proposal) => {
                    println!(
                        "The new key is made; root has to name it. Not all its keys are here."
                    );
                    hand_out(&proposal)?;
                    println!("Once it is public: updraft-publisher workgroup rotate, once more.");
                    Ok(())
                }
                Step::Done => {
                    println!("Both keys count, and every issuer is signed by the newer one.");
                    println!("Next: updraft-publisher workgroup finish");
                    Ok(())
                }
            }
        }
        Workgroup::Finish => {
            let doing = "let go of the older workgroup key";
            let (mut session, _) = begin(common, doing)?;
            refuse_pending(doing, &session, &RoleName::ROOT)?;
            let step = rotation::finish(&mut session, now());
            match step.map_err(|error| Failure::new(doing, &error))? {
                Step::Proposed(proposal) => {
                    println!("Root has to name the newer key alone. Not all its keys are here.");
                    hand_out(&proposal)
                }
                Step::Published(_) | Step::Done => {
                    println!("The newer key alone speaks for the workgroup.");
                    println!("The older one is in keys/retired/ and signs nothing any more.");
                    Ok(())
                }
            }
        }
    }
}

/// Opens the home to write to it, and tells who speaks for the workgroup now.
fn begin(common: &Common, doing: &'static str) -> Result<(Session, Vec<PublicKey>), Failure> {
    let home = open(common, doing)?;
    let session = Session::open(&home, &keys(common, &home), &Steps::free())
        .map_err(|error| Failure::new(doing, &error))?;
    let named = session.metadata().root().workgroup_keys();
    let named = named.map_err(|error| Failure::new(doing, &error))?;
    Ok((session, named))
}

fn show(common: &Common, as_json: bool) -> Result<(), Failure> {
    let doing = "show the workgroup";
    let home = open(common, doing)?;
    let trust = workgroup(&home).map_err(|error| Failure::new(doing, &error))?;
    if as_json {
        json(&json!({ "workgroup": trust.id(), "keys": trust.keys() }));
        return Ok(());
    }
    println!("workgroup  {}", trust.id());
    for (key, age) in
        trust.keys().iter().zip(["", "  (newer: `workgroup finish` lets the other go)"])
    {
        println!("key        {key}{age}");
    }
    Ok(())
}

pub(crate) fn run_issuer(common: &Common, command: IssuerCommand) -> Result<(), Failure> {
    match command {
        IssuerCommand::List { json: as_json } => {
            let doing = "list the issuers";
            let home = open(common, doing)?;
            let found =
                rotation::list(&home, now()).map_err(|error| Failure::new(doing, &error))?;
            if as_json {
                json(&found);
            } else {
                found.iter().for_each(show_issuer);
            }
            Ok(())
        }
        IssuerCommand::Renew { name } => {
            let doing = "renew the issuer";
            let (mut session, _) = begin(common, doing)?;
            rotation::renew(&mut session, &name, now())
                .map_err(|error| Failure::new(doing, &error))?;
            settled(&session, &name)
        }
        IssuerCommand::Narrow { name, credential_days, until } => {
            let doing = "narrow the issuer";
            let (mut session, _) = begin(common, doing)?;
            let life = credential_days.map(|days| Duration::from_secs(days * 24 * 60 * 60));
            rotation::narrow(&mut session, &name, life, until, now())
                .map_err(|error| Failure::new(doing, &error))?;
            settled(&session, &name)
        }
    }
}

/// Shows an issuer as it is after a change.
fn settled(session: &Session, name: &str) -> Result<(), Failure> {
    let states = rotation::list(session.home(), now())
        .map_err(|error| Failure::new("show the issuer", &error))?;
    states.iter().filter(|state| state.name == name).for_each(show_issuer);
    println!("It is public: members go by it, whatever older tickets say.");
    Ok(())
}

fn show_issuer(state: &IssuerState) {
    let roles: Vec<String> =
        state.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
    println!("{}: {} of {}", state.name, roles.join(", "), state.organisation);
    println!("  key      {}", state.key);
    let days = state.credential_seconds / (24 * 60 * 60);
    println!("  until    {}; its credentials live {days} days", state.expires);
    if let Some(why) = &state.revoked {
        println!("  revoked  {why}");
    } else if let Some(why) = &state.problem {
        println!("  admits nobody: {why}");
    } else if !state.is_newest {
        println!("  signed by the workgroup's older key: updraft-publisher workgroup rotate");
    }
}
