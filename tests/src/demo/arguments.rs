//! What the demo is told on its command line.

use std::path::PathBuf;

use clap::Parser;

/// Shows a vendor, five machines and an auditor at work: about a minute,
/// real processes on loopback, nothing left running.
///
/// `updraft-demo publisher`, `updraft-demo agent` and `updraft-demo auditor`
/// are the three programs themselves.
#[derive(Debug, Parser)]
#[command(name = "updraft-demo", version)]
pub(super) struct Arguments {
    /// A tree to ship as the first release (default: a sample that is made).
    #[arg(requires = "new_dir")]
    pub(super) old_dir: Option<PathBuf>,

    /// A tree to ship as the second release.
    pub(super) new_dir: Option<PathBuf>,

    /// How many machines take part.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=20))]
    pub(super) machines: u8,

    /// Where everything is kept for you to look at (default: a new folder
    /// under the system's temporary directory).
    #[arg(long)]
    pub(super) keep: Option<PathBuf>,
}
