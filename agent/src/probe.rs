//! Runs a release's probe and tells what it said.
//!
//! Promises that the probe has ended, with everything it started in its own
//! process group, when the verdict is given. Knows nothing of rolling back.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use manifest::audit::event::Verdict;
use manifest::release::manifest::{About, Probe};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How much of a probe's output is kept, for people: its end.
const KEPT_BYTES: usize = 4096;

/// How long output may lag behind the end of the process.
const DRAIN: Duration = Duration::from_millis(200);

/// What a probe said, and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict, as the log will have it.
    pub verdict: Verdict,
    /// The last 4 KiB of its output, as text.
    pub said: String,
}

impl Outcome {
    /// Whether the release may stay.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        matches!(self.verdict, Verdict::Passed { .. } | Verdict::NotDeclared)
    }
}

/// Runs the probe of the release that is installed at `directory`.
///
/// The command runs by `sh -c` in that directory, with the directory itself in
/// `UPDRAFT_RELEASE`, the release's product, version and platform in
/// `UPDRAFT_PRODUCT`, `UPDRAFT_VERSION` and `UPDRAFT_PLATFORM`, and with
/// nothing on its standard input.
pub async fn run(about: &About, directory: &Path) -> Outcome {
    let Some(probe) = &about.probe else {
        return Outcome { verdict: Verdict::NotDeclared, said: String::new() };
    };
    let begun = Instant::now();
    let mut child = match spawn(probe, about, directory) {
        Ok(child) => child,
        Err(error) => {
            let reason = format!("sh could not be started in {}: {error}", directory.display());
            let verdict = Verdict::NotStarted { reason: reason.into() };
            return Outcome { verdict, said: String::new() };
        }
    };
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let said = Arc::new(Mutex::new(Vec::new()));
    let readers = [
        child.stdout.take().map(|out| tokio::spawn(keep_end(out, Arc::clone(&said)))),
        child.stderr.take().map(|err| tokio::spawn(keep_end(err, Arc::clone(&said)))),
    ];
    let deadline = Duration::from_secs(u64::from(probe.deadline_seconds));
    let ended = timeout(deadline, child.wait()).await;
    // What it left running would otherwise outlive it, also after a success.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let verdict = match ended {
        Ok(Ok(status)) => verdict_of(status, begun.elapsed()),
        Ok(Err(error)) => {
            Verdict::NotStarted { reason: format!("it could not be awaited: {error}").into() }
        }
        Err(_) => {
            // The kill above ends it; this reaps it.
            let _ = child.wait().await;
            Verdict::TimedOut { seconds: u64::from(probe.deadline_seconds) }
        }
    };
    for reader in readers.into_iter().flatten() {
        let abort = reader.abort_handle();
        if timeout(DRAIN, reader).await.is_err() {
            abort.abort();
        }
    }
    let said = said.lock().expect("no reader panics while it holds the lock").clone();
    Outcome { verdict, said: String::from_utf8_lossy(&said).trim().to_owned() }
}

fn spawn(probe: &Probe, about: &About, directory: &Path) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", &probe.command])
        .current_dir(directory)
        .env("UPDRAFT_RELEASE", directory)
        .env("UPDRAFT_PRODUCT", about.product.as_str())
        .env("UPDRAFT_VERSION", about.version.as_str())
        .env("UPDRAFT_PLATFORM", about.platform.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn verdict_of(status: ExitStatus, took: Duration) -> Verdict {
    if status.success() {
        Verdict::Passed { seconds: took.as_secs() }
    } else {
        Verdict::Failed { exit_code: status.code() }
    }
}

/// Reads to the end and keeps the last bytes, so that a probe that prints
/// without end costs no memory and is never blocked.
async fn keep_end(mut from: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut kept = kept.lock().expect("no reader panics while it holds the lock");
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(KEPT_BYTES);
        kept.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifest::name::ReleaseNumber;

    async fn outcome(command: &str, deadline_seconds: u32) -> Outcome {
        let about = About {
            product: "hello".parse().unwrap(),
            platform: "linux-x86_64".parse().unwrap(),
            version: "1.5".parse().unwrap(),
            number: ReleaseNumber(1),
            probe: Some(Probe { command: command.to_owned(), deadline_seconds }),
        };
        run(&about, &std::env::temp_dir()).await
    }

    #[tokio::test]
    async fn a_probe_that_succeeds_finds_the_release_well() {
        let outcome = outcome("echo version $UPDRAFT_VERSION", 10).await;
        assert!(outcome.is_well());
        assert_eq!(outcome.said, "version 1.5");
    }

    #[tokio::test]
    async fn a_failing_probe_tells_its_code_and_what_it_said() {
        let outcome = outcome("echo broken >&2; exit 3", 10).await;
        assert_eq!(outcome.verdict, Verdict::Failed { exit_code: Some(3) });
        assert_eq!(outcome.said, "broken");
    }

    #[tokio::test]
    async fn a_hanging_probe_is_ended_with_all_it_started() {
        let begun = Instant::now();
        let outcome = outcome("sleep 47 & echo $!; wait", 1).await;
        assert_eq!(outcome.verdict, Verdict::TimedOut { seconds: 1 });
        assert!(begun.elapsed() < Duration::from_secs(20));
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", outcome.said));
            stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
        };
        for _ in 0..100 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {} still runs", outcome.said);
    }

    #[tokio::test]
    async fn a_probe_that_leaves_something_running_does_not_hold_us_up() {
        let begun = Instant::now();
        assert!(outcome("sleep 47 & exit 0", 30).await.is_well());
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[tokio::test]
    async fn a_probe_that_prints_without_end_costs_no_memory() {
        let outcome = outcome("yes | head -c 20000000; exit 1", 60).await;
        assert!(outcome.said.len() <= KEPT_BYTES);
        assert_eq!(outcome.verdict, Verdict::Failed { exit_code: Some(1) });
    }
}
