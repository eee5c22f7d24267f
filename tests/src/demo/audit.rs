//! The last act: an auditor collects five logs, and one is doctored.

use std::fs;
use std::path::Path;

use crate::cast::Cast;
use crate::programs::Program;

/// Issues an auditor's ticket and joins with it.
pub(super) fn join(cast: &Cast, home: &Path) -> Result<(), String> {
    let ticket = cast.stage.join("auditor.ticket");
    let told = |error: crate::programs::ProgramError| error.to_string();
    let path = ticket.to_string_lossy();
    cast.vendor(&["auditor-ticket", "--out", &path]).map_err(told)?;
    let joined = cast.programs.run(Program::Auditor, home, &["join", &path]);
    joined.map(drop).map_err(told)
}

/// How often the auditor is sent out when it did not meet everyone: whoever
/// was just started may be known at its old address only.
const ROUNDS: usize = 4;

/// The auditor's exit code where some logs could not be read.
const SOME_MISSING: i32 = 4;

/// Collects every log once.
pub(super) fn collect(cast: &Cast, home: &Path) -> Result<(), String> {
    let expect = cast.machines.len().to_string();
    let args = ["run", "--once", "--no-dns-sd", "--wait", "20", "--expect", &expect];
    for _ in 0..ROUNDS {
        // A doctored log is a finding, which has an exit code of its own.
        let output = cast.programs.output(Program::Auditor, home, &args);
        let output = output.map_err(|error| error.to_string())?;
        fs::write(cast.stage.join("auditor.log"), &output.stderr).map_err(|e| e.to_string())?;
        if output.status.code() != Some(SOME_MISSING) {
            return Ok(());
        }
    }
    Err(format!("the auditor did not meet all {expect} machines"))
}

/// What the auditor knows of the fleet, as it shows it.
pub(super) fn fleet(cast: &Cast, home: &Path) -> Result<String, String> {
    let output = cast.programs.output(Program::Auditor, home, &["fleet"]);
    let output = output.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Changes one word in the log of machine number `index`, as somebody would
/// who wants a failed update not to have happened.
pub(super) fn doctor(cast: &Cast, index: usize) -> Result<String, String> {
    let path = cast.machines[index].home.join("log/entries.jsonl");
    let log = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut lines: Vec<String> = log.lines().map(str::to_owned).collect();
    let at = lines
        .iter()
        .rposition(|line| line.contains("rolled-back"))
        .ok_or("no entry tells of a rollback")?;
    lines[at] = lines[at].replacen("rolled-back", "committed", 1);
    fs::write(&path, lines.join("\n") + "\n").map_err(|error| error.to_string())?;
    Ok(format!("entry {at} of {}: rolled-back became committed", path.display()))
}
