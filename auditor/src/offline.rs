//! `verify`: one log, without a network.

use std::path::Path;

use manifest::admission::installation::InstallationId;
use manifest::audit::verify::{Fault, Verified, verify};
use manifest::key::PublicKey;
use store::disk::read_bounded;

use crate::ending::{CommandError, Ending};
use crate::limits::NOTE_BYTES;
use crate::record::Record;
use crate::show::print;
use crate::vault::read_log;

pub(crate) fn verify_log(
    log: &Path,
    log_key: Option<&str>,
    json: bool,
) -> Result<Ending, CommandError> {
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
    let dirs = log.ancestors().take(4).filter(|dir| !dir.is_file());
    let noted = dirs.map(|dir| dir.join("record.json"));
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
