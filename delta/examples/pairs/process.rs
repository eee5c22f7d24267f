//! What a process takes: processor time, the clock's and, at its peak, memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// How often a process's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a process took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Of all its threads, in steps of 10 ms.
    pub(crate) cpu: Duration,
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// Resident, as far as it was seen.
    pub(crate) peak_bytes: u64,
}

/// Runs a program to its end; nothing if it is not installed.
pub(crate) fn run(command: &mut Command) -> io::Result<Option<Usage>> {
    let before = cpu_of_children();
    let begun = Instant::now();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut peak_bytes = 0;
    let status = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let line = status.unwrap_or_default();
        let line = line.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak_bytes = peak_bytes.max(kib.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(LOOK_EVERY);
    };
    if !status.success() {
        return Err(io::Error::other(format!("{command:?} failed")));
    }
    let cpu = cpu_of_children().saturating_sub(before);
    Ok(Some(Usage { cpu, wall: begun.elapsed(), peak_bytes }))
}

/// User and system time of children that ended, of proc(5)'s stat.
fn cpu_of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses; 16 and 17 are wanted.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks = fields.skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
