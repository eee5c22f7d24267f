//! The live table: redrawn in place on a terminal, now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cast::Machine;
use crate::watch::Glimpse;

/// How often the table is printed where it cannot be redrawn.
const SELDOM: Duration = Duration::from_secs(2);

/// A table that shows the machines.
#[derive(Debug)]
pub(super) struct Table {
    terminal: bool,
    lines_drawn: usize,
    last: Option<Instant>,
    silent: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { terminal: io::stdout().is_terminal(), lines_drawn: 0, last: None, silent: false }
    }

    /// A table that shows nothing: for short waits.
    pub(super) const fn silent() -> Self {
        Self { terminal: false, lines_drawn: 0, last: None, silent: true }
    }

    /// Shows the machines as they are; `vendor` says how the vendor is.
    pub(super) fn show(&mut self, machines: &[Machine], glimpses: &[Glimpse], vendor: &str) {
        if self.silent || !self.terminal && self.last.is_some_and(|last| last.elapsed() < SELDOM) {
            return;
        }
        self.draw(machines, glimpses, vendor);
    }

    /// Shows them once more, whenever that last was, and leaves it standing.
    pub(super) fn end(mut self, machines: &[Machine], glimpses: &[Glimpse], vendor: &str) {
        self.draw(machines, glimpses, vendor);
    }

    fn draw(&mut self, machines: &[Machine], glimpses: &[Glimpse], vendor: &str) {
        let lines = lines(machines, glimpses, vendor);
        let mut out = io::stdout().lock();
        if self.terminal && self.lines_drawn > 0 {
            // Back to where the table began; each line then clears itself.
            let _ = write!(out, "\x1b[{}A", self.lines_drawn);
        }
        let clear = if self.terminal { "\x1b[2K" } else { "" };
        for line in &lines {
            let _ = writeln!(out, "{clear}{line}");
        }
        let _ = out.flush();
        self.lines_drawn = lines.len();
        self.last = Some(Instant::now());
    }
}

fn lines(machines: &[Machine], glimpses: &[Glimpse], vendor: &str) -> Vec<String> {
    let row = |cells: [&str; 7]| {
        let [name, state, version, progress, origin, peers, disk] = cells;
        let row = format!(
            "    {name:<11} {state:<13} {version:<9} {progress:<22} {origin:>11} {peers:>11} {disk:>11}"
        );
        row.trim_end().to_owned()
    };
    let mut lines = vec![row([
        "",
        "state",
        "installed",
        "this update",
        "from vendor",
        "from peers",
        "from disk",
    ])];
    for (machine, glimpse) in machines.iter().zip(glimpses) {
        lines.push(row([
            &machine.name,
            &glimpse.state,
            glimpse.version.as_deref().unwrap_or("-"),
            &glimpse.progress().map(bar).unwrap_or_default(),
            &bytes(glimpse.origin),
            &bytes(glimpse.from_peers),
            &bytes(glimpse.disk),
        ]));
    }
    lines.push(format!("    {:<11} {vendor}", "vendor"));
    lines
}

fn bar(share: f64) -> String {
    let filled = (share * 16.0).floor() as usize;
    format!("{}{} {:>3.0} %", "█".repeat(filled), "░".repeat(16 - filled), share * 100.0)
}

/// Bytes in decimal units, as networks count them.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        1..=999_999 => format!("{:.1} KB", bytes as f64 / 1e3),
        _ => format!("{:.2} MB", bytes as f64 / 1e6),
    }
}
