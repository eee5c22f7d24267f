//! The command line: asks the library, tells people, sets the exit code.

mod args;
mod failure;
mod key_args;
mod keys;
mod revoke;
mod show;
mod workgroup;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use manifest::release::manifest::Probe;
use manifest::trust::custom::ReleaseKind;
use serde::Serialize;
use store::apart::{self, Apart};
use store::limits::{PATIENCE_FOLLOWING, PATIENCE_MAKING};
use store::relaunch::Relaunch;
use store::steps::Steps;
use tracing_subscriber::EnvFilter;

use crate::cli::args::{Cli, Command, Common};
use crate::cli::failure::Failure;
use crate::cli::key_args::Repo;
use crate::clock::now;
use crate::home::{DIRECTORY, Home};
use crate::issuers::Issuer;
use crate::keys::{KeyName, Keys};
use crate::measured::Job;
use crate::progress::Progress;
use crate::publish::Session;
use crate::release::release;

use crate::{diff, init, release as releases, renew, seed, status, ticket};

/// Does what `args` (the program's name first) ask for.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    log(cli.common.verbose);
    let relaunch = Relaunch::of(args.get(1..).unwrap_or_default());
    match run(cli, relaunch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn run(cli: Cli, relaunch: Option<Relaunch>) -> Result<(), Failure> {
    let common = &cli.common;
    match cli.command {
        Command::Init(args) => run_init(common, args),
        Command::Release(args) => run_release(common, args, relaunch),
        Command::Ticket(args) => {
            let place = Place { out: args.out, addresses: args.addresses, mirrors: args.mirrors };
            run_ticket(common, place, args.organisation.as_deref(), false)
        }
        Command::AuditorTicket(args) => {
            let place = Place { out: args.out, addresses: args.addresses, mirrors: args.mirrors };
            run_ticket(common, place, args.organisation.as_deref(), true)
        }
        Command::Seed(args) => run_seed(common, args),
        Command::Diff(args) => {
            let failed = |error| Failure::new("compare", &error);
            let level = args.level.level;
            let options = diff::Options { level, verify: args.verify, relaunch };
            let progress = Progress::on_stderr();
            let found = diff::diff(&args.old, &args.new, &options, &progress, now());
            let found = found.map_err(failed)?;
            if args.json {
                json(&found)
            } else {
                show::difference(&found, &args.old, &args.new)
            }
            Ok(())
        }
        Command::Status(args) => run_status(common, args.json),
        Command::Renew(args) => {
            let root = [KeyName::Root];
            run_renew(common, if args.root { &root } else { &[] })
        }
        Command::Key { command } => keys::run_key(common, command),
        Command::Root { command } => keys::run_root(common, command),
        Command::Revoke { command } => revoke::run_revoke(common, command),
        Command::Workgroup { command } => workgroup::run_workgroup(common, &command),
        Command::Issuer { command } => workgroup::run_issuer(common, command),
        Command::Repo { command: Repo::Status { json } } => run_status(common, json),
        Command::Repo { command: Repo::Refresh } => run_renew(common, &[KeyName::Timestamp]),
        Command::ApplyMeasured { job } => {
            let failed = |error: &(dyn std::error::Error + 'static)| Failure::new("apply", error);
            let job: Job = serde_json::from_str(&job).map_err(|error| failed(&error))?;
            let codec = Apart::new(relaunch, PATIENCE_FOLLOWING);
            json(&job.run_here(&codec).map_err(|error| failed(&error))?);
            Ok(())
        }
        Command::TakeStreamsApart { patience_ms } => {
            apart::serve(patience_ms).map_err(|error| Failure::new("take streams apart", &error))
        }
    }
}

fn run_status(common: &Common, as_json: bool) -> Result<(), Failure> {
    let home = open(common, "show the status")?;
    let failed = |error| Failure::new("show the status", &error);
    // Looking asks nobody for passphrases.
    let keys = Keys::new(home.keys_dir(), common.allow_example_keys);
    let found = status::status(&home, &keys, now()).map_err(failed)?;
    if as_json {
        json(&found)
    } else {
        show::status(&found, now())
    }
    Ok(())
}

fn run_renew(common: &Common, always: &[KeyName]) -> Result<(), Failure> {
    let home = open(common, "renew")?;
    let failed = |error| Failure::new("renew", &error);
    let mut session = Session::open(&home, &keys(common, &home), &Steps::free()).map_err(failed)?;
    let renewed = renew::renew(&mut session, always, now()).map_err(failed)?;
    let names: Vec<String> = renewed.iter().map(ToString::to_string).collect();
    match names.is_empty() {
        true => println!("Nothing expires before long."),
        false => println!("Signed anew: {}.", names.join(", ")),
    }
    Ok(())
}

fn run_init(common: &Common, args: args::Init) -> Result<(), Failure> {
    let mut channels = args.channels;
    channels.sort();
    channels.dedup();
    let options = init::Options {
        dir: common.home.clone().unwrap_or_else(|| PathBuf::from(DIRECTORY)),
        name: args.name,
        product: args.product,
        channels,
        keys_from: args.keys,
        allow_example_keys: common.allow_example_keys,
    };
    let workgroup =
        init::init(&options, now()).map_err(|error| Failure::new("make a home", &error))?;
    show::init(&options, &workgroup);
    Ok(())
}

fn run_release(
    common: &Common,
    args: args::Release,
    relaunch: Option<Relaunch>,
) -> Result<(), Failure> {
    let home = open(common, "release")?;
    let progress = Progress::on_stderr();
    let mut session = {
        let _stage = progress.spinner("opening the repository");
        Session::open(&home, &keys(common, &home), &Steps::free())
            .map_err(|error| Failure::new("release", &error))?
    };
    let deadline_seconds = args.probe_deadline;
    let options = releases::Options {
        dir: args.dir,
        version: args.version,
        channel: args.channel,
        platform: args.platform,
        probe: args.probe.map(|command| Probe { command, deadline_seconds }),
        kind: if args.security { ReleaseKind::Security } else { ReleaseKind::Feature },
        bases: args.bases,
        level: args.level.level,
    };
    let codec = Apart::new(relaunch, PATIENCE_MAKING);
    let released = release(&mut session, &options, &codec, &progress, now())
        .map_err(|error| Failure::new("release", &error))?;
    if args.json {
        json(&show::released_json(&released))
    } else {
        show::released(&released)
    }
    Ok(())
}

/// Where a ticket goes and where it leads.
struct Place {
    out: Option<PathBuf>,
    addresses: Vec<String>,
    mirrors: Vec<String>,
}

fn run_ticket(
    common: &Common,
    place: Place,
    organisation: Option<&str>,
    auditors: bool,
) -> Result<(), Failure> {
    let home = open(common, "write a ticket")?;
    let product = &home.vendor().product;
    let default = match auditors {
        false => format!("{product}.ticket"),
        true => format!("{product}.auditor-ticket"),
    };
    let out = Some(place.out.unwrap_or_else(|| default.into()));
    let out = out.filter(|out| out != Path::new("-"));
    let issuer = match auditors {
        false => Issuer::members(&home, organisation),
        true => Issuer::auditors(&home, organisation),
    };
    let options =
        ticket::Options { addresses: place.addresses, mirrors: place.mirrors, out: out.clone() };
    let written = ticket::write(&home, &keys(common, &home), &issuer, &options, now())
        .map_err(|error| Failure::new("write a ticket", &error))?;
    show::ticket(&written, out.as_deref(), auditors);
    Ok(())
}

fn run_seed(common: &Common, args: args::Seed) -> Result<(), Failure> {
    let home = open(common, "seed")?;
    let keys = keys(common, &home);
    let options = seed::driver::Options {
        listen: args.listen,
        http: args.http,
        upload_bytes_per_second: args.upload_limit,
        dns_sd: !args.no_dns_sd,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("seed", &error))?;
    let limit = args.seconds.map(Duration::from_secs);
    let ran = runtime.block_on(seed::driver::run(home, keys, options, show::seed, ended(limit)));
    // Reads that nobody waits for any more need not be waited for either.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ran.map_err(|error| Failure::new("seed", &error))
}

/// Ends when somebody asks this process to, or after `limit`.
async fn ended(limit: Option<Duration>) {
    use tokio::signal::unix::{SignalKind, signal};
    let limit = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                terminated.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = limit => {}
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Opens the home that was named, or the nearest one.
fn open(common: &Common, doing: &'static str) -> Result<Home, Failure> {
    let dir = match &common.home {
        Some(dir) => Ok(dir.clone()),
        None => Home::nearest(&std::env::current_dir().unwrap_or_default()),
    };
    dir.and_then(|dir| Home::open(&dir)).map_err(|error| Failure::new(doing, &error))
}

fn keys(common: &Common, home: &Home) -> Keys {
    Keys::new(home.keys_dir(), common.allow_example_keys).asking(keys::passphrases(common))
}

fn json(value: &impl Serialize) {
    println!("{}", serde_json::to_string_pretty(value).expect("plain fields always serialise"));
}

/// Logs to standard error; `RUST_LOG` decides if it is set.
fn log(verbose: u8) {
    let default = match verbose {
        0 => "warn,libp2p_gossipsub=error",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A process that runs several programs has set up its log already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
