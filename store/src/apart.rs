//! Deflate streams taken apart and made in processes of their own.
//!
//! How long that takes follows from no length that could be checked before. A
//! process counts its own processor time and ends itself when it has used what
//! the plain texts it was given are worth, or takes more memory than it may;
//! then the stream that it had stays closed, or is fetched as plain pieces.
//! Load makes nothing slower in this sense.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use container::codec::{Codec, Here};
use container::{CloseError, errand};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::limits::{APART_MEMORY_BYTES, LEAST_WORTH_BYTES};
use crate::relaunch::Relaunch;

/// The hidden subcommand that calls [`serve`] with the argument behind it.
pub const SUBCOMMAND: &str = "take-streams-apart";

/// How often a process looks at what it has used.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a process ends that has used more than it may.
const USED_UP: i32 = 75;

/// A [`Codec`] whose work is done by other processes, one for each thread that
/// asks.
#[derive(Debug)]
pub struct Apart {
    relaunch: Option<Relaunch>,
    patience: Duration,
    idle: Mutex<Vec<Helper>>,
}

impl Apart {
    /// Processes started by `relaunch`, each with `patience` for every
    /// mebibyte of plain text, and as much to begin with.
    ///
    /// Whoever follows a patch has more of it than whoever made the patch: what
    /// was found to be quick enough must be so elsewhere.
    #[must_use]
    pub fn new(relaunch: Option<Relaunch>, patience: Duration) -> Self {
        Self { relaunch, patience, idle: Mutex::default() }
    }

    fn helper(&self) -> io::Result<Helper> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(helper) = idle {
            return Ok(helper);
        }
        let relaunch = self.relaunch.as_ref();
        let relaunch = relaunch.ok_or_else(|| io::Error::other("this program is not known"))?;
        let (line, other) = UnixStream::pair()?;
        // On its standard output the codec speaks to nobody.
        let child = relaunch
            .command(SUBCOMMAND)
            .arg(self.patience.as_millis().to_string())
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Helper { line, child })
    }

    fn ask<T>(
        &self,
        question: impl FnOnce(&mut UnixStream) -> io::Result<T>,
    ) -> Result<T, Unanswered> {
        let mut helper = self.helper().map_err(Unanswered::NotStarted)?;
        let answer = question(&mut helper.line).map_err(|_| Unanswered::Ended)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(helper);
        Ok(answer)
    }
}

/// Why there is no answer.
enum Unanswered {
    NotStarted(io::Error),
    Ended,
}

impl Codec for Apart {
    fn corrections(&self, packed: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        self.ask(|line| errand::corrections(line, packed, plain)).ok().flatten()
    }

    fn stream(&self, plain: &[u8], corrections: &[u8]) -> Result<Vec<u8>, CloseError> {
        match self.ask(|line| errand::stream(line, plain, corrections)) {
            Ok(made) => made,
            Err(Unanswered::Ended) => Err(CloseError::Slow { plain_len: plain.len() as u64 }),
            Err(Unanswered::NotStarted(why)) => Err(CloseError::Nobody { why: why.to_string() }),
        }
    }

    fn rest(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A process, and the line to it.
#[derive(Debug)]
struct Helper {
    line: UnixStream,
    child: Child,
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may be busy with what nobody waits for any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process does that [`Apart`] started: answers on its standard input,
/// until nobody asks any more, or `patience_ms` for each mebibyte is used up.
///
/// # Errors
/// What the system says; the other end knows by then.
pub fn serve(patience_ms: u64) -> io::Result<()> {
    let most = Rlimit { current: Some(APART_MEMORY_BYTES), maximum: Some(APART_MEMORY_BYTES) };
    setrlimit(Resource::As, most)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let mut line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let allowance = Arc::new(AtomicU64::new(patience_ms));
    let watched = Arc::clone(&allowance);
    thread::Builder::new().spawn(move || {
        loop {
            thread::sleep(LOOK_EVERY);
            if used_ms() > watched.load(Ordering::Relaxed) {
                std::process::exit(USED_UP);
            }
        }
    })?;
    errand::serve(&mut line, &Here, &|plain_len| {
        allowance.fetch_add(worth_ms(plain_len, patience_ms), Ordering::Relaxed);
    })
}

/// What a plain text of this length may cost.
fn worth_ms(plain_len: u64, patience_ms: u64) -> u64 {
    // At most 16 MiB: no overflow.
    (plain_len.max(LEAST_WORTH_BYTES).saturating_mul(patience_ms)) >> 20
}

/// The processor time of this process.
fn used_ms() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(used.tv_sec * 1000 + used.tv_nsec / 1_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_texts_have_longer() {
        assert_eq!(worth_ms(16 << 20, 1000), 16_000);
        assert_eq!(worth_ms(0, 1000), worth_ms(LEAST_WORTH_BYTES, 1000));
        assert!(worth_ms(0, 1000) > 0);
    }

    #[test]
    fn a_program_that_cannot_be_started_is_named() {
        let nobody = Relaunch::program("/nowhere/updraft", &[]);
        for (relaunch, said) in [(Some(nobody), "No such file"), (None, "not known")] {
            let apart = Apart::new(relaunch, Duration::from_secs(1));
            let refused = apart.stream(b"text", b"corrections").unwrap_err();
            let CloseError::Nobody { why } = &refused else { panic!("{refused:?}") };
            assert!(why.contains(said), "{why}");
            assert_eq!(apart.corrections(b"packed", b"text"), None);
        }
    }

    #[test]
    fn one_that_ends_without_a_word_has_taken_too_long() {
        let apart = Apart::new(Some(Relaunch::program("true", &[])), Duration::from_secs(1));
        let refused = apart.stream(b"text", b"corrections");
        assert_eq!(refused, Err(CloseError::Slow { plain_len: 4 }));
    }
}
