//! What can be asked of the publisher.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use manifest::name::{ChannelName, Platform, ProductName, ReleaseVersion};
use manifest::release::limits::PROBE_SECONDS;

use crate::cli::key_args::{Key, Repo, RootCommand};
use crate::cli::revoke::Revoke;
use crate::cli::workgroup::{IssuerCommand, Workgroup};
use crate::limits::BASES;

/// Publish releases, and serve them to the machines that run them.
#[derive(Debug, Parser)]
#[command(name = "updraft-publisher", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The vendor's home [default: the nearest .updraft here or above]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) home: Option<PathBuf>,

    /// Accept the example keys, which everyone has
    #[arg(long, global = true)]
    pub(crate) allow_example_keys: bool,

    /// A file whose first line is the passphrase of encrypted keys [default:
    /// asked for at the terminal]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Say more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(Init),
    Release(Release),
    Ticket(Ticket),
    AuditorTicket(AuditorTicket),
    Seed(Seed),
    Diff(Diff),
    Status(Status),
    Renew(Renew),
    /// Look at keys, make them, and change who signs what
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// Have several people sign a new root, each on a machine of their own
    Root {
        #[command(subcommand)]
        command: RootCommand,
    },
    /// Shut out a machine, a ticket, an issuer or a key
    Revoke {
        #[command(subcommand)]
        command: Revoke,
    },
    /// Look at who speaks for the workgroup, and replace its key
    Workgroup {
        #[command(subcommand)]
        command: Workgroup,
    },
    /// Look after the issuers, whose keys are in tickets
    Issuer {
        #[command(subcommand)]
        command: IssuerCommand,
    },
    /// Look after the repository
    Repo {
        #[command(subcommand)]
        command: Repo,
    },
    #[command(name = crate::measured::SUBCOMMAND, hide = true)]
    ApplyMeasured {
        job: String,
    },
    #[command(name = store::apart::SUBCOMMAND, hide = true)]
    TakeStreamsApart {
        patience_ms: u64,
    },
}

/// Make keys, root and an empty repository
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The vendor's name, as people read it
    pub(crate) name: String,

    /// What is sold: a to z, 0 to 9 and -
    #[arg(long)]
    pub(crate) product: ProductName,

    /// A line of releases; repeat for several
    #[arg(long = "channel", value_name = "CHANNEL", default_value = "stable")]
    pub(crate) channels: Vec<ChannelName>,

    /// Take the keys that are in this directory instead of making new ones
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) keys: Option<PathBuf>,
}

/// Publish a directory as a release
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,

    /// The release's name, as people read it
    #[arg(long)]
    pub(crate) version: ReleaseVersion,

    /// In which channel
    #[arg(long, default_value = "stable")]
    pub(crate) channel: ChannelName,

    /// For which platform
    #[arg(long, default_value_t = this_platform())]
    pub(crate) platform: Platform,

    /// A command line that shows that the installed release is well: run with
    /// sh in its directory, 0 means yes
    #[arg(long, value_name = "COMMAND", value_parser = command_line)]
    pub(crate) probe: Option<String>,

    /// How long the probe may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "probe",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(PROBE_SECONDS)))]
    pub(crate) probe_deadline: u32,

    /// Mark it as closing a security hole: machines wait least for it
    #[arg(long)]
    pub(crate) security: bool,

    /// From how many earlier releases to make patches
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = bases)]
    pub(crate) bases: usize,

    #[command(flatten)]
    pub(crate) level: Level,

    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Level {
    /// How hard to compress, 1 to 19
    #[arg(long = "level", value_name = "LEVEL", default_value_t = 19,
        value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) level: i32,
}

/// Write a ticket: all that a machine needs to join
#[derive(Debug, Args)]
pub(crate) struct Ticket {
    /// The file to write; - for standard output [default: PRODUCT.ticket]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Where a seeder or member may be met, as a multiaddress; repeat for
    /// several [default: what a running seed noted]
    #[arg(long = "address", value_name = "MULTIADDR")]
    pub(crate) addresses: Vec<String>,

    /// An HTTP mirror of the repository; repeat for several [default: what a
    /// running seed noted]
    #[arg(long = "mirror", value_name = "URL")]
    pub(crate) mirrors: Vec<String>,

    /// For the machines of this organisation alone, which keeps it secret
    #[arg(long, value_name = "NAME")]
    pub(crate) organisation: Option<String>,
}

/// Write a ticket for those who collect logs
#[derive(Debug, Args)]
pub(crate) struct AuditorTicket {
    /// The file to write; - for standard output [default: PRODUCT.auditor-ticket]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Where a seeder or member may be met, as a multiaddress; repeat for
    /// several [default: what a running seed noted]
    #[arg(long = "address", value_name = "MULTIADDR")]
    pub(crate) addresses: Vec<String>,

    /// An HTTP mirror of the repository; repeat for several [default: what a
    /// running seed noted]
    #[arg(long = "mirror", value_name = "URL")]
    pub(crate) mirrors: Vec<String>,

    /// For the logs of this organisation's machines [default: the vendor's]
    #[arg(long, value_name = "NAME")]
    pub(crate) organisation: Option<String>,
}

/// Serve the repository to the swarm, and announce what is released
///
/// Prints `listening MULTIADDR` and `mirror URL`, one a line, and notes them
/// for tickets. Signs anew what expires while the keys are here.
#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// Where to listen, as a multiaddress; repeat for several
    #[arg(long, value_name = "MULTIADDR",
        default_values = ["/ip4/0.0.0.0/udp/4727/quic-v1", "/ip4/0.0.0.0/tcp/4727"])]
    pub(crate) listen: Vec<String>,

    /// Serve the repository as a mirror over HTTP, such as 0.0.0.0:8080
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,

    /// Send at most so many bytes a second to peers; K, M and G multiply
    #[arg(long, value_name = "BYTES", value_parser = quantity)]
    pub(crate) upload_limit: Option<u64>,

    /// Do not look for machines on the local network
    #[arg(long)]
    pub(crate) no_dns_sd: bool,

    /// End after so many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

/// Show what an update from one directory to another would cost on the wire
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The directory of the older release
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) old: PathBuf,

    /// The directory of the newer release
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) new: PathBuf,

    /// Compare what was rebuilt with the newer directory: every byte and mode
    #[arg(long)]
    pub(crate) verify: bool,

    #[command(flatten)]
    pub(crate) level: Level,

    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show releases, keys, and what expires when
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Sign anew what would expire before long; a running seed does it by itself
#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// Sign root anew too, due or not
    #[arg(long)]
    pub(crate) root: bool,
}

/// The platform of this machine, such as linux-x86_64.
fn this_platform() -> Platform {
    let name = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    name.parse().expect("names of systems and processors are plain")
}

/// A number of bytes, with a decimal multiplier if one is wanted.
fn quantity(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1_000),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1_000_000),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| "expected a number such as 500000, 500K or 2M".to_owned())
}

fn bases(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= BASES => Ok(count),
        _ => Err(format!("expected 0 to {BASES}")),
    }
}

fn command_line(text: &str) -> Result<String, String> {
    use manifest::release::limits::COMMAND_BYTES;
    match text.len() {
        1..=COMMAND_BYTES => Ok(text.to_owned()),
        found => Err(format!("expected 1 to {COMMAND_BYTES} bytes, found {found}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
        assert_eq!(quantity("500K"), Ok(500_000));
        assert_eq!(quantity("7"), Ok(7));
        assert!(quantity("M").is_err() && quantity("2T").is_err() && quantity("").is_err());
        assert!(this_platform().as_str().contains('-'));
    }
}
