//! What was collected, shown: the fleet, one machine's history, all entries.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use manifest::audit::entry::Actor;
use manifest::audit::verify::{Verified, verify};

use crate::clock;
use crate::ending::{CommandError, Ending};
use crate::fleet::{Row, fleet};
use crate::home::Home;
use crate::record::{Record, shown};
use crate::table;
use crate::vault::Vault;

/// Prints to standard output.
///
/// # Errors
/// [`CommandError::Print`].
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
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

pub(crate) fn show_fleet(
    home: &Path,
    json: bool,
    silent_after: u64,
) -> Result<Ending, CommandError> {
    let vault = open_vault(home)?;
    let silent_after = Duration::from_secs(silent_after.saturating_mul(60 * 60));
    let rows = rows(&collected(&vault)?, silent_after);
    let now = clock::now();
    print(&if json { table::json(&rows, now) } else { table::text(&rows, now, vault.dir()) })?;
    Ok(Ending::Done)
}

pub(crate) fn history(home: &Path, machine: &str) -> Result<Ending, CommandError> {
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
        let event = shown(entry.event.to_string().as_bytes());
        writeln!(out, "{:>5}  {}  {event}{by}", entry.seq, entry.moment.wall)?;
    }
    out.flush()?;
    Ok(Ending::Done)
}

pub(crate) fn export(home: &Path, wanted: &[String]) -> Result<Ending, CommandError> {
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
