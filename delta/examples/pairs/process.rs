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
    /// How many of its threads ran, or waited for a core that others had, on
    /// the average: what it would have kept busy by itself.
    pub(crate) busy: f64,
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
    let mut wanted = Duration::ZERO;
    let status = loop {
        wanted = wanted.max(wanted_by(child.id()));
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
    let busy = wanted.as_secs_f64() / begun.elapsed().as_secs_f64();
    Ok(Some(Usage { cpu, busy, peak_bytes }))
}

/// How long all threads of a process ran or waited for a core so far, of the
/// schedstat of each; those that ended count no more.
fn wanted_by(process: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Duration::ZERO;
    };
    let of_thread = threads.filter_map(|thread| {
        let told = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        told.split_whitespace().take(2).map(|nanos| nanos.parse::<u64>().ok()).sum::<Option<u64>>()
    });
    Duration::from_nanos(of_thread.sum())
}

/// How long the first thread of this process has run.
pub(crate) fn own_cpu() -> io::Result<Duration> {
    // Else it tells of the last tick.
    thread::yield_now();
    let told = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = told.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| io::Error::other("no schedstat"))
}

/// User and system time of children that ended, of proc(5)'s stat.
fn cpu_of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses; 16 and 17 are wanted.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks = fields.skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
