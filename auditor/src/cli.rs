//! The command line: words in, sentences and an exit code out.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use manifest::admission::credential::InstallationId;
use manifest::admission::workgroup::WorkgroupId;
use manifest::audit::entry::Actor;
use manifest::audit::verify::{Fault, Verified, verify};
use manifest::key::PublicKey;
use store::disk::{DiskError, read_bounded};

use crate::clock;
use crate::fleet::{Row, fleet};
use crate::home::{Home, HomeError, JoinOptions, read_ticket};
use crate::limits::NOTE_BYTES;
use crate::record::Record;
use crate::table;
use crate::vault::{Vault, VaultError, read_log};

/// Collects the logs of a workgroup's machines, verifies each, and keeps the
/// evidence where one was changed.
#[derive(Debug, Parser)]
#[command(name = "updraft-auditor", version, max_term_width = 100)]
struct Arguments {
    /// Where everything is kept [default: /var/lib/updraft/auditor, or
    /// updraft/auditor in $XDG_STATE_HOME for anybody but root]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Join a workgroup with an auditor's ticket, or renew with a newer one
    Join {
        /// The file that `updraft-publisher auditor-ticket` wrote
        ticket: PathBuf,
        /// The root's fingerprint, if you got it from the vendor in another way
        #[arg(long, value_name = "HEX")]
        root_fingerprint: Option<WorkgroupId>,
        /// Accept keys that everyone has; only for demonstrations
        #[arg(long)]
        allow_example_keys: bool,
    },
    /// Show every machine: what it runs, since when, and whether its log is intact
    Fleet {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Call a machine silent that was not seen for this long
        #[arg(long, value_name = "HOURS", default_value_t = 48)]
        silent_after: u64,
    },
    /// Show what one machine's log tells, entry by entry
    History {
        /// The machine's name, or the first digits of its installation's id
        machine: String,
    },
    /// Verify a log offline, as its machine or the auditor keeps it
    Verify {
        /// A directory with entries.jsonl and checkpoint, or a file of lines
        /// beside its checkpoint
        log: PathBuf,
        /// The installation's public log key in hex, or a file with it; not
        /// needed for logs in the auditor's home
        #[arg(long, value_name = "KEY")]
        log_key: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every entry that was collected, as it was signed
    Export {
        /// In which form
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
        /// Only these installations; the first digits of an id are enough
        installations: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON Lines: one entry a line, byte for byte as its machine wrote it
    Jsonl,
}

/// How a command ends; docs/exit-codes.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Done,
    Failed,
    Refused,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::Failed => 1,
            Ending::Refused => 3,
        })
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("cannot use this home: {0}")]
    Home(HomeError),
    #[error("cannot join: {0}")]
    Join(HomeError),
    #[error("cannot read what was collected: {0}")]
    Vault(#[from] VaultError),
    #[error("cannot read the log: {0}")]
    Log(DiskError),
    #[error("{0}")]
    Usage(String),
    #[error("cannot print")]
    Print(#[from] io::Error),
}

impl CommandError {
    const fn ending(&self) -> Ending {
        match self {
            Self::Home(error) | Self::Join(error) if error.is_refusal() => Ending::Refused,
            _ => Ending::Failed,
        }
    }

    /// What a person can do about it.
    const fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Home(HomeError::NotJoined { .. }) => Some(
                "join first: updraft-auditor --home DIR join TICKET, with a ticket made by \
                 updraft-publisher auditor-ticket",
            ),
            Self::Join(HomeError::Ticket(_)) => {
                Some("ask the vendor for a ticket made by updraft-publisher auditor-ticket")
            }
            Self::Join(HomeError::OtherFingerprint { .. }) => {
                Some("do not use this ticket: it leads to another workgroup than you were told")
            }
            Self::Join(HomeError::OtherWorkgroup { .. }) => {
                Some("give each workgroup a home of its own with --home DIR")
            }
            _ => None,
        }
    }
}

/// Runs the program with these arguments, the first of which is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for; the rest is a usage error.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let home = arguments.home.unwrap_or_else(default_home);
    let done = match &arguments.verb {
        Verb::Join { ticket, root_fingerprint, allow_example_keys } => join(
            &home,
            ticket,
            JoinOptions { fingerprint: *root_fingerprint, allow_example_keys: *allow_example_keys },
        ),
        Verb::Fleet { json, silent_after } => show_fleet(&home, *json, *silent_after),
        Verb::History { machine } => history(&home, machine),
        Verb::Verify { log, log_key, json } => verify_log(log, log_key.as_deref(), *json),
        Verb::Export { format: Format::Jsonl, installations } => export(&home, installations),
    };
    done.unwrap_or_else(complain).into()
}

/// Says what went wrong, why, and what to do next.
fn complain(error: CommandError) -> Ending {
    // Whoever reads our output stopped reading: that is no failure.
    if matches!(&error, CommandError::Print(io) if io.kind() == io::ErrorKind::BrokenPipe) {
        return Ending::Done;
    }
    let mut text = format!("updraft-auditor: {error}");
    let mut cause = match &error {
        CommandError::Home(error) | CommandError::Join(error) => std::error::Error::source(error),
        CommandError::Vault(error) => std::error::Error::source(error),
        CommandError::Log(error) => std::error::Error::source(error),
        CommandError::Usage(_) => None,
        CommandError::Print(error) => Some(error as &dyn std::error::Error),
    };
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{text}");
    if let Some(step) = error.next_step() {
        eprintln!("  {step}");
    }
    error.ending()
}

fn default_home() -> PathBuf {
    let system = PathBuf::from("/var/lib");
    let state = if rustix::process::geteuid().is_root() {
        system
    } else {
        let xdg = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
        xdg.filter(|path| path.is_absolute()).or_else(home).unwrap_or(system)
    };
    state.join("updraft/auditor")
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn join(home: &Path, ticket: &Path, options: JoinOptions) -> Result<Ending, CommandError> {
    let now = clock::now();
    let ticket = read_ticket(ticket).map_err(CommandError::Join)?;
    let joined = Home::join(home, &ticket, options, now).map_err(CommandError::Join)?;
    let admission = joined.admission(now).map_err(CommandError::Join)?;
    let compare = if options.fingerprint.is_some() {
        "as you expected"
    } else {
        "compare it with what the vendor published"
    };
    print(&format!(
        "joined the workgroup of {} as auditor of {}\n\
         root fingerprint {} ({compare})\n",
        ticket.product,
        admission.member.organisation,
        ticket.workgroup(),
    ))?;
    Ok(Ending::Done)
}

/// Everything collected: each record, and its log if that is intact here.
fn collected(vault: &Vault) -> Result<Vec<(Record, Option<Verified>)>, CommandError> {
    let mut installations = Vec::new();
    for record in vault.records()? {
        let log = vault.log(&record.installation, &record.log_key)?;
        // What is damaged here says nothing; its record says that it is.
        let verified =
            log.and_then(|log| verify(&log.lines, &log.checkpoint, &record.log_key).ok());
        installations.push((record, verified));
    }
    Ok(installations)
}

fn open_vault(home: &Path) -> Result<Vault, CommandError> {
    Home::open(home).and_then(|home| home.vault()).map_err(CommandError::Home)
}

fn rows(installations: &[(Record, Option<Verified>)], silent_after: Duration) -> Vec<Row> {
    let entries = installations.iter().map(|(record, verified)| {
        (record, verified.as_ref().map_or(&[][..], |verified| verified.entries()))
    });
    fleet(entries, clock::now(), silent_after)
}

fn show_fleet(home: &Path, json: bool, silent_after: u64) -> Result<Ending, CommandError> {
    let vault = open_vault(home)?;
    let silent_after = Duration::from_secs(silent_after.saturating_mul(60 * 60));
    let rows = rows(&collected(&vault)?, silent_after);
    let now = clock::now();
    print(&if json { table::json(&rows, now) } else { table::text(&rows, now, vault.dir()) })?;
    Ok(Ending::Done)
}

fn history(home: &Path, machine: &str) -> Result<Ending, CommandError> {
    let vault = open_vault(home)?;
    let installations = collected(&vault)?;
    let rows = rows(&installations, Duration::MAX);
    let is_meant = |row: &&Row| {
        row.machine.as_deref() == Some(machine) || row.installation.starts_with(machine)
    };
    let meant: Vec<&Row> = rows.iter().filter(is_meant).collect();
    let row = match meant[..] {
        [row] => row,
        [] => return Err(CommandError::Usage(format!("no machine is called {machine:?}"))),
        _ => {
            let ids: Vec<&str> = meant.iter().map(|row| &row.installation[..10]).collect();
            let ids = ids.join(", ");
            let text = format!("{machine:?} is the name of several installations: {ids}");
            return Err(CommandError::Usage(text));
        }
    };
    let found = installations.iter().find(|(r, _)| r.installation.to_string() == row.installation);
    let entries =
        found.and_then(|(_, verified)| verified.as_ref()).map_or(&[][..], Verified::entries);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for entry in entries {
        let by = match entry.by {
            Actor::Agent => String::new(),
            by @ Actor::Owner { .. } => format!(" (by {by})"),
        };
        writeln!(out, "{:>5}  {}  {}{by}", entry.seq, entry.moment.wall, entry.event)?;
    }
    out.flush()?;
    Ok(Ending::Done)
}

fn verify_log(log: &Path, log_key: Option<&str>, json: bool) -> Result<Ending, CommandError> {
    let log_key = log_key_for(log, log_key)?;
    let read = read_log(log).map_err(CommandError::Log)?;
    let verdict = verify(&read.lines, &read.checkpoint, &log_key);
    let ending = if verdict.is_ok() { Ending::Done } else { Ending::Refused };
    print(&if json { verdict_json(&verdict, &log_key) } else { verdict_text(&verdict) })?;
    Ok(ending)
}

fn verdict_text(verdict: &Result<Verified, Fault>) -> String {
    match verdict {
        Ok(verified) => {
            let mut text = format!("{verified}\n");
            if let Some(last) = verified.entries().last() {
                let (wall, event) = (last.moment.wall, &last.event);
                text.push_str(&format!("last entry: {wall} {event}\n"));
            }
            text
        }
        Err(fault @ Fault::Checkpoint(_)) => format!("NOT VERIFIED: {fault}\n"),
        Err(fault) => format!("TAMPERED: {fault}\n"),
    }
}

fn verdict_json(verdict: &Result<Verified, Fault>, log_key: &PublicKey) -> String {
    let installation = InstallationId::of(log_key).to_string();
    let value = match verdict {
        Ok(verified) => serde_json::json!({
            "intact": true,
            "installation": installation,
            "signed_entries": verified.sealed().len(),
            "unsigned_entries": verified.unsealed_count(),
        }),
        Err(fault) => serde_json::json!({
            "intact": false,
            "installation": installation,
            "fault": fault.to_string(),
        }),
    };
    format!("{value:#}\n")
}

/// The log key that was given, or the one that the auditor noted beside a log
/// that it keeps.
fn log_key_for(log: &Path, given: Option<&str>) -> Result<PublicKey, CommandError> {
    let usage = |text: String| CommandError::Usage(text);
    if let Some(given) = given {
        if let Ok(key) = given.parse() {
            return Ok(key);
        }
        let bytes = read_bounded(Path::new(given), NOTE_BYTES).map_err(CommandError::Log)?;
        let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        return match text.map(|text| text.parse()) {
            Some(Ok(key)) => Ok(key),
            Some(Err(error)) => Err(usage(format!("{given} holds no log key: {error}"))),
            None => Err(usage(format!("{given} is neither a log key in hex nor a file with one"))),
        };
    }
    // Evidence lies two directories below the record of its installation.
    let noted = log.ancestors().take(4).map(|dir| dir.join("record.json"));
    for path in noted {
        if let Some(bytes) = read_bounded(&path, NOTE_BYTES).map_err(CommandError::Log)? {
            let record: Result<Record, _> = serde_json::from_slice(&bytes);
            return match record {
                Ok(record) => Ok(record.log_key),
                Err(error) => Err(usage(format!("{}: {error}", path.display()))),
            };
        }
    }
    Err(usage("whose log is it? Name its public log key with --log-key KEY".to_owned()))
}

fn export(home: &Path, wanted: &[String]) -> Result<Ending, CommandError> {
    let vault = open_vault(home)?;
    let records = vault.records()?;
    for id in wanted {
        if !records.iter().any(|record| record.installation.to_string().starts_with(id)) {
            return Err(CommandError::Usage(format!("no installation begins with {id:?}")));
        }
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    for record in records {
        let id = record.installation.to_string();
        if !wanted.is_empty() && !wanted.iter().any(|wanted| id.starts_with(wanted)) {
            continue;
        }
        if let Some(log) = vault.log(&record.installation, &record.log_key)? {
            out.write_all(&log.lines)?;
        }
    }
    out.flush()?;
    Ok(Ending::Done)
}
