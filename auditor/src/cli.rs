//! The command line: words in, sentences and an exit code out.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use manifest::admission::workgroup::WorkgroupId;

use crate::clock;
use crate::daemon::{self, Once, Options};
use crate::ending::{CommandError, Ending, complain};
use crate::home::{Home, JoinOptions, read_ticket};
use crate::offline::verify_log;
use crate::show::{export, history, print, show_fleet};

/// Collects the logs of a workgroup's machines, verifies each, and keeps the
/// evidence where one was changed.
#[derive(Debug, Parser)]
#[command(name = "updraft-auditor", version, max_term_width = 100)]
struct Arguments {
    /// Where everything is kept [default: /var/lib/updraft/auditor, or
    /// updraft/auditor in $XDG_STATE_HOME for anybody but root]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Join a workgroup with an auditor's ticket, or renew with a newer one
    Join {
        /// The file that `updraft-publisher auditor-ticket` wrote
        ticket: PathBuf,
        /// The root's fingerprint, if you got it from the vendor in another way
        #[arg(long, value_name = "HEX")]
        root_fingerprint: Option<WorkgroupId>,
        /// Accept keys that everyone has; only for demonstrations
        #[arg(long)]
        allow_example_keys: bool,
    },
    /// Join the swarm and read the machines' logs, again and again
    Run(RunArguments),
    /// Show every machine: what it runs, since when, and whether its log is intact
    Fleet {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Call a machine silent that was not seen for this long
        #[arg(long, value_name = "HOURS", default_value_t = 48)]
        silent_after: u64,
    },
    /// Show what one machine's log tells, entry by entry
    History {
        /// The machine's name, or the first digits of its installation's id
        machine: String,
    },
    /// Verify a log offline, as its machine or the auditor keeps it
    Verify {
        /// A directory with entries.jsonl and checkpoint, or a file of lines
        /// beside its checkpoint
        log: PathBuf,
        /// The installation's public log key in hex, or a file with it; not
        /// needed for logs in the auditor's home
        #[arg(long, value_name = "KEY")]
        log_key: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every entry that was collected, as it was signed
    Export {
        /// In which form
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
        /// Only these installations; the first digits of an id are enough
        installations: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Listen on this multiaddress; repeat for several. An auditor that
    /// listens nowhere still finds the machines
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Where a machine may be met, beside what the ticket says; repeat for several
    #[arg(long, value_name = "MULTIADDR")]
    peer: Vec<String>,
    /// Do not look for machines on the local network
    #[arg(long)]
    no_dns_sd: bool,
    /// Seconds between two readings of one machine's log
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// End by itself, for scripts
    #[arg(long)]
    once: bool,
    /// With --once, end after this time at the latest
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "once")]
    wait: u64,
    /// With --once, end as soon as so many logs were read; fewer are an error
    #[arg(long, value_name = "COUNT", requires = "once")]
    expect: Option<usize>,
    /// Say more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON Lines: one entry a line, byte for byte as its machine wrote it
    Jsonl,
}

/// Runs the program with these arguments, the first of which is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for; the rest is a usage error.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let home = arguments.home.unwrap_or_else(default_home);
    let done = match &arguments.verb {
        Verb::Join { ticket, root_fingerprint, allow_example_keys } => join(
            &home,
            ticket,
            JoinOptions { fingerprint: *root_fingerprint, allow_example_keys: *allow_example_keys },
        ),
        Verb::Run(arguments) => run(&home, arguments),
        Verb::Fleet { json, silent_after } => show_fleet(&home, *json, *silent_after),
        Verb::History { machine } => history(&home, machine),
        Verb::Verify { log, log_key, json } => verify_log(log, log_key.as_deref(), *json),
        Verb::Export { format: Format::Jsonl, installations } => export(&home, installations),
    };
    done.unwrap_or_else(complain).into()
}

fn default_home() -> PathBuf {
    let system = PathBuf::from("/var/lib");
    let state = if rustix::process::geteuid().is_root() {
        system
    } else {
        let xdg = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
        xdg.filter(|path| path.is_absolute()).or_else(home).unwrap_or(system)
    };
    state.join("updraft/auditor")
}

fn join(home: &Path, ticket: &Path, options: JoinOptions) -> Result<Ending, CommandError> {
    let now = clock::now();
    let ticket = read_ticket(ticket).map_err(CommandError::Join)?;
    let joined = Home::join(home, &ticket, options, now).map_err(CommandError::Join)?;
    let admission = joined.admission(now).map_err(CommandError::Join)?;
    let compare = if options.fingerprint.is_some() {
        "as you expected"
    } else {
        "compare it with what the vendor published"
    };
    print(&format!(
        "joined the workgroup of {} as auditor of {}\n\
         root fingerprint {} ({compare})\n",
        ticket.product,
        admission.member.organisation,
        ticket.workgroup(),
    ))?;
    Ok(Ending::Done)
}

fn run(home: &Path, arguments: &RunArguments) -> Result<Ending, CommandError> {
    let home = Home::open(home).map_err(CommandError::Home)?;
    let level = match arguments.verbose {
        0 => "error,updraft_auditor=info",
        1 => "warn,updraft_auditor=debug,updraft_swarm=debug",
        _ => "debug",
    };
    // A second start within one process keeps the first one's settings.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    let once = arguments
        .once
        .then(|| Once { wait: Duration::from_secs(arguments.wait), expect: arguments.expect });
    let options = Options {
        listen: arguments.listen.clone(),
        peers: arguments.peer.clone(),
        dns_sd: !arguments.no_dns_sd,
        pause: Duration::from_secs(arguments.interval),
        once,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::Runtime)?;
    let summary = runtime.block_on(daemon::run(home, options)).map_err(CommandError::Run)?;
    let (read, tampered) = (summary.read.len(), summary.tampered_count());
    let logs = if read == 1 { "log" } else { "logs" };
    let expected = arguments.expect.filter(|expect| *expect > read);
    let of = expected.map_or_else(String::new, |expect| format!(" of {expect}"));
    print(&format!(
        "read {read}{of} {logs}, {} intact, {tampered} tampered with\n",
        read - tampered
    ))?;
    Ok(match (tampered, expected) {
        (1.., _) => Ending::Refused,
        (0, Some(_)) => Ending::NotNow,
        (0, None) => Ending::Done,
    })
}
