//! Bars on a terminal; elsewhere a line now and then.
//!
//! Work is told in bytes, so that a bar's pace means something; a stage that
//! has no total spins. Where nobody watches, what is done within
//! `LINE_EVERY` says nothing: a log shows the stages that take long, and how
//! far they are.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a stage says in a log how far it is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where the stages of a command show themselves.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: MultiProgress,
    /// Where bars have no place, and how often a line is written there.
    log: Option<(Log, Duration)>,
}

/// One stage: a bar while it lives, gone when it is dropped.
#[derive(Debug)]
pub struct Stage {
    bar: ProgressBar,
    _lines: Option<Lines>,
}

/// Where lines go.
#[derive(Clone)]
struct Log(Arc<Mutex<dyn Write + Send>>);

impl std::fmt::Debug for Log {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Log")
    }
}

impl Log {
    fn line(&self, line: &str) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written is no reason to stop.
        let _ = writeln!(out, "{line}");
    }
}

/// The lines of one stage, until it is dropped.
#[derive(Debug)]
struct Lines {
    ended: Arc<(Mutex<bool>, Condvar)>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Progress {
    /// On standard error: bars if that is a terminal, else lines.
    #[must_use]
    pub fn on_stderr() -> Self {
        let stderr = std::io::stderr();
        if stderr.is_terminal() {
            let target = ProgressDrawTarget::stderr_with_hz(12);
            return Self { bars: MultiProgress::with_draw_target(target), log: None };
        }
        Self::in_lines(stderr, LINE_EVERY)
    }

    /// Nowhere.
    #[must_use]
    pub fn hidden() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self { bars, log: None }
    }

    /// Lines to `log`, one each time so long has passed.
    fn in_lines(log: impl Write + Send + 'static, every: Duration) -> Self {
        let log = Log(Arc::new(Mutex::new(log)));
        Self { log: Some((log, every)), ..Self::hidden() }
    }

    /// A stage that will handle `total_bytes`.
    #[must_use]
    pub fn stage(&self, what: impl Into<Cow<'static, str>>, total_bytes: u64) -> Stage {
        let bar = self.bars.add(ProgressBar::new(total_bytes));
        bar.set_style(style(
            "{msg:28} {spinner:.cyan} {wide_bar:.cyan/blue} {decimal_bytes:>11} of {decimal_total_bytes:>11} {eta:>4}",
        ));
        bar.enable_steady_tick(Duration::from_millis(250));
        self.begin(bar, what)
    }

    /// A stage whose extent is not known.
    #[must_use]
    pub fn spinner(&self, what: impl Into<Cow<'static, str>>) -> Stage {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(style("{msg:28} {spinner:.cyan} {elapsed}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        self.begin(bar, what)
    }

    fn begin(&self, bar: ProgressBar, what: impl Into<Cow<'static, str>>) -> Stage {
        bar.set_message(what);
        let lines = self.log.as_ref().map(|(log, every)| Lines::of(&bar, log.clone(), *every));
        Stage { bar, _lines: lines }
    }
}

impl Lines {
    fn of(bar: &ProgressBar, log: Log, every: Duration) -> Self {
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let (bar, end) = (bar.clone(), Arc::clone(&ended));
        let writer = thread::spawn(move || {
            let begun = Instant::now();
            let (has_ended, told) = &*end;
            let mut is_over = has_ended.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let waited = told.wait_timeout_while(is_over, every, |is_over| !*is_over);
                let (now_over, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                if !waited.timed_out() {
                    return;
                }
                is_over = now_over;
                log.line(&line(&bar, begun.elapsed()));
            }
        });
        Self { ended, writer: Some(writer) }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let (has_ended, told) = &*self.ended;
        *has_ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        told.notify_all();
        // No line of a stage comes behind one of the next.
        let _ = self.writer.take().map(thread::JoinHandle::join);
    }
}

/// What a stage says of itself in a log.
fn line(bar: &ProgressBar, since: Duration) -> String {
    let (what, seconds) = (bar.message(), since.as_secs());
    match bar.length() {
        None => format!("{what}, for {seconds} s"),
        Some(total) => {
            let done = DecimalBytes(bar.position());
            format!("{what}: {done} of {}, for {seconds} s", DecimalBytes(total))
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are ours").progress_chars("━╸─")
}

impl Stage {
    /// Counts `bytes` more as done; callable from any thread.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    struct Sent(Sender<String>);

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let text = String::from_utf8_lossy(bytes);
            let _ = self.0.send(text.into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stage_that_takes_long_says_how_far_it_is() {
        let (sender, lines) = channel();
        let progress = Progress::in_lines(Sent(sender), Duration::from_millis(5));
        let stage = progress.stage("packing pieces", 3_000_000_000);
        stage.advance(1_200_000_000);
        let told = std::iter::repeat_with(|| lines.recv().unwrap());
        let told: String = told.take(32).collect();
        assert!(told.contains("packing pieces: 1.20 GB of 3.00 GB, for 0 s\n"), "{told}");
        drop(stage);
        while lines.try_recv().is_ok() {}
        let spinner = progress.spinner("signing");
        assert!(lines.recv().unwrap().contains("signing"));
        drop(spinner);
    }

    #[test]
    fn a_stage_that_is_done_soon_says_nothing() {
        let (sender, lines) = channel();
        let progress = Progress::in_lines(Sent(sender), Duration::from_secs(3600));
        progress.stage("packing pieces", 30).advance(30);
        drop(progress.spinner("signing"));
        drop(progress);
        assert_eq!(lines.recv().ok(), None);
    }
}
