//! What some work cost: wall time, processor time, and how far memory rose.
//!
//! Memory is read from Linux's own account of the process; elsewhere it is
//! unknown rather than guessed.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A running measurement of this process.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    cpu: Duration,
    resident: Option<u64>,
}

/// What the work between start and stop cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Time that passed.
    pub wall: Duration,
    /// Processor time of all threads, and of processes started meanwhile.
    pub cpu: Duration,
    /// How far resident memory of this process rose above where it stood at
    /// the start.
    pub peak_bytes: Option<u64>,
}

impl Meter {
    /// Begins to measure, and asks the kernel to forget the earlier peak.
    #[must_use]
    pub fn start() -> Self {
        // 5 resets the peak (proc_pid_clear_refs(5)); where that is refused
        // the peak includes what came before, never less than the truth.
        let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        let resident = if reset { status_bytes("VmRSS:") } else { None };
        Self { started: Instant::now(), cpu: process_cpu(), resident }
    }

    /// Ends the measurement.
    #[must_use]
    pub fn stop(self) -> Cost {
        let peak = self.resident.zip(status_bytes("VmHWM:"));
        Cost {
            wall: self.started.elapsed(),
            cpu: process_cpu().saturating_sub(self.cpu),
            peak_bytes: peak.map(|(before, peak)| peak.saturating_sub(before)),
        }
    }
}

/// Processor time that this process, and those it started that have ended, have
/// used so far.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let own = Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0));
    own + ended_cpu().unwrap_or_default()
}

/// What those that ended have used, of proc(5)'s stat, in steps of 10 ms.
fn ended_cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses; 16 and 17 are wanted.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(13).take(2);
    let ticks = fields.map(|ticks| ticks.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks.checked_mul(10)?))
}

/// One line of `/proc/self/status`, which counts in KiB.
fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_rose_and_fell_again_is_seen() {
        let meter = Meter::start();
        let block = vec![1_u8; 48 << 20];
        assert!(block.iter().map(|byte| u64::from(*byte)).sum::<u64>() > 0);
        drop(block);
        let cost = meter.stop();
        assert!(cost.peak_bytes.is_none_or(|peak| peak >= 40 << 20), "{cost:?}");
        assert!(cost.wall > Duration::ZERO && cost.cpu > Duration::ZERO, "{cost:?}");
    }

    #[test]
    fn what_another_process_used_counts_once_it_has_ended() {
        let meter = Meter::start();
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", busy]).status().unwrap();
        assert!(status.success());
        let cost = meter.stop();
        assert!(cost.cpu >= Duration::from_millis(30), "{cost:?}");
    }
}
