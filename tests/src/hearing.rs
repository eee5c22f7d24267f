//! When machines hear of a release: have metadata that they have verified.
//!
//! Both ends are read off the files that say so, whose times the kernel keeps:
//! the vendor's timestamp, which is written last, and the one that an agent
//! keeps once it believes it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::cast::Cast;
use crate::programs::wait_for;

/// A timestamp's version, and since when it lies where it lies.
fn timestamp(path: &Path) -> Option<(u64, SystemTime)> {
    let since = fs::metadata(path).ok()?.modified().ok()?;
    let timestamp: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some((timestamp["signed"]["version"].as_u64()?, since))
}

/// The version of what the vendor published last, and when.
#[must_use]
pub fn published(cast: &Cast) -> Option<(u64, SystemTime)> {
    timestamp(&cast.vendor.join("repository/metadata/timestamp.json"))
}

/// Since when a machine believes this version, or a later one.
#[must_use]
pub fn believed(cast: &Cast, machine: usize, version: u64) -> Option<SystemTime> {
    let (found, since) = timestamp(&cast.machines[machine].home.join("trusted/timestamp.json"))?;
    (found >= version).then_some(since)
}

/// Waits until these machines believe what the vendor published last; how long
/// after `since` each did, the first first.
///
/// # Errors
/// Which machine did not within `patience`.
pub fn all_believe(
    cast: &Cast,
    machines: impl Iterator<Item = usize>,
    since: SystemTime,
    patience: Duration,
) -> Result<Vec<Duration>, String> {
    let (version, _) = published(cast).ok_or("nothing was published")?;
    let mut took = Vec::new();
    for machine in machines {
        let what = format!("{} to believe timestamp {version}", cast.machines[machine].name);
        let at = wait_for(&what, patience, || believed(cast, machine, version))?;
        took.push(at.duration_since(since).unwrap_or_default());
    }
    took.sort_unstable();
    Ok(took)
}

/// Stops a machine as a lid that is closed does, or has it go on.
///
/// # Errors
/// If its agent does not run.
pub fn sleep(cast: &Cast, machine: usize, asleep: bool) -> Result<(), String> {
    use rustix::process::{Pid, Signal, kill_process};
    let machine = &cast.machines[machine];
    let id = machine.daemon.as_ref().and_then(|daemon| i32::try_from(daemon.id()).ok());
    let process = id.and_then(Pid::from_raw);
    let process = process.ok_or_else(|| format!("{} does not run", machine.name))?;
    let signal = if asleep { Signal::STOP } else { Signal::CONT };
    kill_process(process, signal).map_err(|error| format!("{}: {error}", machine.name))
}
