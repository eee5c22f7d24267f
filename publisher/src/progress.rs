//! Bars on a terminal, silence elsewhere.
//!
//! Work is told in bytes, so that a bar's pace means something; a stage that
//! has no total spins.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where the stages of a command show themselves.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: MultiProgress,
}

/// One stage: a bar while it lives, gone when it is dropped.
#[derive(Debug)]
pub struct Stage {
    bar: ProgressBar,
}

impl Progress {
    /// On standard error if that is a terminal, else nowhere.
    #[must_use]
    pub fn on_terminal() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12)) }
    }

    /// Nowhere.
    #[must_use]
    pub fn hidden() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) }
    }

    /// A stage that will handle `total_bytes`.
    #[must_use]
    pub fn stage(&self, what: impl Into<Cow<'static, str>>, total_bytes: u64) -> Stage {
        let bar = self.bars.add(ProgressBar::new(total_bytes));
        bar.set_style(style(
            "{msg:28} {wide_bar:.cyan/blue} {decimal_bytes:>11} of {decimal_total_bytes:>11} {eta:>4}",
        ));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(250));
        Stage { bar }
    }

    /// A stage whose extent is not known.
    #[must_use]
    pub fn spinner(&self, what: impl Into<Cow<'static, str>>) -> Stage {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(style("{msg:28} {spinner:.cyan} {elapsed}"));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(120));
        Stage { bar }
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
