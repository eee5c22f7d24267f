//! The command line: sentences, next steps and exit codes.
//!
//! docs/exit-codes.md lists the codes. Everything that prints prints JSON
//! with `--json`.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use manifest::key::PublicKey;
use manifest::name::{ChannelName, Platform};
use serde::Serialize;
use store::apart::{self, Apart};
use store::limits::PATIENCE_FOLLOWING;
use store::relaunch::Relaunch;

use crate::clock;
use crate::config::{Config, ConfigError, Written, WrittenNetwork, WrittenUpdate};
use crate::control::api::{CheckRequest, Status, Verified};
use crate::control::client::{ControlError, Daemon};
use crate::control::peers::PeersView;
use crate::daemon;
use crate::failure::Failure;
use crate::home::Home;
use crate::identity::{Identity, IdentityError};
use crate::join;
use crate::network::account::Account;
use crate::offline;
use crate::render;
use crate::update::state::Outcome;

/// Keeps one installation up to date, from its peers.
#[derive(Debug, Parser)]
#[command(name = "updraft-agent", version)]
struct Cli {
    /// Where the agent keeps keys, state and log [default: the user's state directory]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// What to tell on standard error, such as `info` or `agent=debug`
    #[arg(long, global = true, value_name = "FILTER", default_value = QUIET)]
    log: String,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an installation out of a ticket, without a network
    Join(Join),
    /// Keep the installation up to date, and serve it to others
    Run(Box<Run>),
    /// Tell what is installed and what is going on
    Status,
    /// Tell which members are met, and who gives and takes what
    Peers,
    /// Look for a newer release now
    Check(Check),
    /// Look for a newer release and wait until it is installed
    Update(Check),
    /// Tell what happened to the installation
    History {
        /// How many entries, counted from the newest
        #[arg(long, default_value_t = 30)]
        limit: usize,
    },
    /// Compare the installed files with the signed manifest
    Verify,
    /// Go back to the release before, and do not install this one again
    Rollback,
    /// The audit log
    Audit {
        #[command(subcommand)]
        verb: Audit,
    },
    /// Tell why the installation is as it is, and what its last plan came to
    Explain,
    #[command(name = apart::SUBCOMMAND, hide = true)]
    TakeStreamsApart { patience_ms: u64 },
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Check every entry of the log, the links between them, and its seal
    Verify {
        /// Another log's directory, with entries.jsonl and checkpoint
        #[arg(long, requires = "log_key", value_name = "DIR")]
        dir: Option<PathBuf>,
        /// The public log key of that installation, in hex
        #[arg(long, value_name = "HEX")]
        log_key: Option<PublicKey>,
    },
}

#[derive(Debug, Args)]
struct Join {
    /// The ticket's file
    ticket: PathBuf,
    /// The directory that will hold the releases and `current`
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The fingerprint of root that you were told, in hex
    #[arg(long, value_name = "HEX")]
    root_fingerprint: Option<String>,
    /// The line of releases to follow [default: stable]
    #[arg(long)]
    channel: Option<ChannelName>,
    /// What releases must run on [default: this machine's]
    #[arg(long)]
    platform: Option<Platform>,
    /// Join although the ticket rests on keys that everyone has
    #[arg(long)]
    allow_example_keys: bool,
}

#[derive(Debug, Args)]
struct Check {
    /// Releases that failed here may be tried again
    #[arg(long)]
    retry: bool,
}

#[derive(Debug, Args)]
struct Run {
    /// A multiaddress to listen on; may be given several times
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// A multiaddress to dial beside the ticket's; may be given several times
    #[arg(long, value_name = "ADDR")]
    peer: Vec<String>,
    /// A mirror beside the ticket's; may be given several times
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// Certificates (PEM) that mirrors may be vouched for by, beside this machine's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Do not look for members on the local network
    #[arg(long)]
    no_dns_sd: bool,
    /// Do not have others reached through this machine
    #[arg(long)]
    no_relay: bool,
    /// Seconds between two looks for releases
    #[arg(long, value_name = "SECONDS")]
    poll: Option<f64>,
    /// Bytes to send a second beyond the local network, at most
    #[arg(long, value_name = "BYTES")]
    upload_limit: Option<u64>,
    /// Bytes to receive a second from beyond the local network, at most
    #[arg(long, value_name = "BYTES")]
    download_limit: Option<u64>,
    /// Bytes to send a second, at most, the local network included
    #[arg(long, value_name = "BYTES")]
    total_upload_limit: Option<u64>,
    /// Bytes to receive a second, at most, the local network included
    #[arg(long, value_name = "BYTES")]
    total_download_limit: Option<u64>,
    /// The line of releases to follow
    #[arg(long)]
    channel: Option<ChannelName>,
    /// End when there is nothing more to do
    #[arg(long)]
    once: bool,
}

impl Run {
    fn written(&self) -> Written {
        let list = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        Written {
            channel: self.channel.clone(),
            network: WrittenNetwork {
                listen: list(&self.listen),
                peers: list(&self.peer),
                mirrors: list(&self.mirror),
                ca: self
                    .ca
                    .as_ref()
                    .map(|ca| std::path::absolute(ca).unwrap_or_else(|_| ca.clone())),
                dns_sd: self.no_dns_sd.then_some(false),
                relay: self.no_relay.then_some(false),
                upload_limit: self.upload_limit,
                download_limit: self.download_limit,
                total_upload_limit: self.total_upload_limit,
                total_download_limit: self.total_download_limit,
                ..WrittenNetwork::default()
            },
            update: WrittenUpdate { poll: self.poll, cache: None },
            ..Written::default()
        }
    }
}

/// What is told on standard error unless somebody asks for more. The swarm's
/// library warns of what is no trouble, such as hearing something twice.
const QUIET: &str = "warn,libp2p_gossipsub=error";

/// Runs the agent with `args`, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let relaunch = Relaunch::of(args.get(1..).unwrap_or_default());
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; all else is a wrong use.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    tell_on_stderr(&cli.log);
    match act(&cli, relaunch) {
        Ok(code) => code,
        Err(failure) => {
            failure.print(cli.json);
            ExitCode::from(failure.code)
        }
    }
}

fn tell_on_stderr(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(QUIET));
    // A second start within one process keeps the first one's filter.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}

fn act(cli: &Cli, relaunch: Option<Relaunch>) -> Result<ExitCode, Failure> {
    if let Verb::TakeStreamsApart { patience_ms } = cli.command {
        let served = apart::serve(patience_ms).map_err(|error| Failure::failed(error.to_string()));
        return served.map(|()| ExitCode::SUCCESS);
    }
    let home = cli.home.as_deref().map_or_else(Home::of_user, Home::at);
    if let Verb::Join(options) = &cli.command {
        return act_join(cli, &home, options);
    }
    if let Verb::Audit { verb: Audit::Verify { dir, log_key } } = &cli.command {
        return audit_verify(cli, &home, dir.as_deref(), *log_key);
    }
    if !home.is_joined() {
        return Err(IdentityError::NotJoined { home: home.dir().to_owned() }.into());
    }
    let written = Written::read(&home.config())?;
    let decide =
        |written: Written| -> Result<Config, ConfigError> { written.decide(&home.config()) };
    if let Verb::Run(run) = &cli.command {
        return act_run(home.clone(), decide(run.written().or(written))?, run.once, relaunch);
    }
    let config = decide(written)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let asker = Asker { cli, home: &home, config: &config };
    runtime.block_on(async {
        match &cli.command {
            Verb::Status => asker.status().await,
            Verb::Peers => asker.peers().await,
            Verb::Check(check) => asker.check(check.retry).await,
            Verb::Update(check) => asker.update(check.retry).await,
            Verb::History { limit } => asker.history(*limit),
            Verb::Verify => asker.verify().await,
            Verb::Rollback => asker.roll_back().await,
            Verb::Explain => asker.explain().await,
            Verb::Join(_) | Verb::Run(_) | Verb::Audit { .. } | Verb::TakeStreamsApart { .. } => {
                unreachable!("these were done before")
            }
        }
    })
}

fn act_join(cli: &Cli, home: &Home, options: &Join) -> Result<ExitCode, Failure> {
    let platform = match &options.platform {
        Some(platform) => platform.clone(),
        None => crate::config::this_platform(),
    };
    let options = join::Options {
        ticket: options.ticket.clone(),
        into: options.into.clone(),
        root_fingerprint: options.root_fingerprint.clone(),
        channel: options.channel.clone(),
        platform,
        allow_example_keys: options.allow_example_keys,
    };
    let joined = join::join(home, &options, clock::wall())?;
    #[derive(Serialize)]
    struct Shown {
        root_fingerprint: String,
        installation: String,
        organisation: String,
        expires: manifest::time::UnixTime,
        home: PathBuf,
        again: bool,
    }
    let shown = Shown {
        root_fingerprint: joined.fingerprint.to_string(),
        installation: joined.member.installation.to_string(),
        organisation: joined.member.organisation.clone(),
        expires: joined.member.expires,
        home: home.dir().to_owned(),
        again: joined.again,
    };
    print(cli.json, &shown, || {
        let checked = match options.root_fingerprint {
            Some(_) => "as you expected",
            None => "compare it with the vendor's, or join with --root-fingerprint",
        };
        let again = if joined.again { " again" } else { "" };
        format!(
            "root fingerprint  {}\n                  ({checked})\ninstallation      {}\n\
             joined{again} as a member of {}, until {}\nnext              updraft-agent --home {} run\n",
            shown.root_fingerprint,
            shown.installation,
            shown.organisation,
            shown.expires,
            home.dir().display(),
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn act_run(
    home: Home,
    config: Config,
    once: bool,
    relaunch: Option<Relaunch>,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let codec = Arc::new(Apart::new(relaunch, PATIENCE_FOLLOWING));
    let ended: Result<Option<String>, Failure> = runtime.block_on(async {
        let daemon = daemon::Daemon::start(home, config, codec, once).await?;
        Ok(daemon.run(stopped()).await?)
    });
    // A file that is being copied does not hold up the end: what is half done
    // is done again.
    runtime.shutdown_background();
    match ended? {
        None => Ok(ExitCode::SUCCESS),
        Some(shortcoming) => Err(Failure::failed(shortcoming)),
    }
}

/// Completes when the process is asked to end.
async fn stopped() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "asked to stop (SIGTERM)",
        _ = interrupt.recv() => "asked to stop (SIGINT)",
    }
}

fn audit_verify(
    cli: &Cli,
    home: &Home,
    dir: Option<&std::path::Path>,
    log_key: Option<PublicKey>,
) -> Result<ExitCode, Failure> {
    let dir = dir.map_or_else(|| home.log(), PathBuf::from);
    let log_key = match log_key {
        Some(log_key) => log_key,
        None => Identity::open(home)?.log_key.public(),
    };
    let verified = offline::verify_log(&dir, &log_key)?;
    #[derive(Serialize)]
    struct Shown {
        intact: bool,
        installation: String,
        entries: usize,
        unsealed: usize,
        root: String,
    }
    let shown = Shown {
        intact: true,
        installation: manifest::admission::installation::InstallationId::of(&log_key).to_string(),
        entries: verified.sealed().len(),
        unsealed: verified.unsealed_count(),
        root: verified.head().root.to_base64(),
    };
    print(cli.json, &shown, || {
        format!(
            "the log of {} is intact: {} entries, root {}\n",
            shown.installation, shown.entries, shown.root
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// Asks the daemon, or the files where no daemon runs.
struct Asker<'a> {
    cli: &'a Cli,
    home: &'a Home,
    config: &'a Config,
}

impl Asker<'_> {
    /// The daemon; `None` if none runs.
    async fn daemon(&self) -> Result<Option<Daemon>, Failure> {
        match Daemon::at(&self.home.socket()).await {
            Ok(daemon) => Ok(Some(daemon)),
            Err(ControlError::NotRunning) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn current(&self) -> Result<Status, Failure> {
        match self.daemon().await? {
            Some(daemon) => Ok(daemon.get("/status").await?),
            None => Ok(offline::status(self.home, self.config, clock::wall())?),
        }
    }

    async fn status(&self) -> Result<ExitCode, Failure> {
        let status = self.current().await?;
        print(self.cli.json, &status, || render::status(&status, clock::wall()));
        Ok(ExitCode::SUCCESS)
    }

    async fn peers(&self) -> Result<ExitCode, Failure> {
        let daemon = self.daemon().await?.ok_or(ControlError::NotRunning)?;
        let view: PeersView = daemon.get("/peers").await?;
        print(self.cli.json, &view, || render::peers(&view));
        Ok(ExitCode::SUCCESS)
    }

    /// Has the daemon look now, and waits until `is_over`.
    async fn look(
        &self,
        retry: bool,
        is_over: impl Fn(&Status) -> bool,
    ) -> Result<Status, Failure> {
        let daemon = self.daemon().await?.ok_or(ControlError::NotRunning)?;
        let before: Status = daemon.post("/check", &CheckRequest { retry }).await?;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let status: Status = daemon.get("/status").await?;
            if status.checks > before.checks && is_over(&status) {
                return Ok(status);
            }
        }
    }

    async fn check(&self, retry: bool) -> Result<ExitCode, Failure> {
        let status = self.look(retry, |_| true).await?;
        let check = status.last_check.clone();
        print(self.cli.json, &check, || match &check {
            Some(check) => format!("{}\n", check.outcome),
            None => "nobody was asked\n".to_owned(),
        });
        let ok = check.is_some_and(|check| check.ok);
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    async fn update(&self, retry: bool) -> Result<ExitCode, Failure> {
        let status = self.look(retry, |status| status.state == "idle").await?;
        print(self.cli.json, &status, || render::status(&status, clock::wall()));
        let checked = status.last_check.is_some_and(|check| check.ok);
        let newest = status.last_update.is_none_or(|last| last.outcome == Outcome::Committed);
        Ok(if checked && newest { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn history(&self, limit: usize) -> Result<ExitCode, Failure> {
        let key = Identity::open(self.home)?.log_key.public();
        let verified = offline::verify_log(&self.home.log(), &key)?;
        let entries = verified.entries();
        let entries = &entries[entries.len().saturating_sub(limit)..];
        let lines: Result<Vec<serde_json::Value>, _> = entries
            .iter()
            .map(|entry| {
                let line = entry.to_line().map_err(|error| Failure::failed(error.to_string()))?;
                serde_json::from_slice(&line).map_err(|error| Failure::failed(error.to_string()))
            })
            .collect();
        print(self.cli.json, &lines?, || render::history(entries));
        Ok(ExitCode::SUCCESS)
    }

    async fn verify(&self) -> Result<ExitCode, Failure> {
        let verified: Verified = match self.daemon().await? {
            Some(daemon) => daemon.post("/verify", &()).await?,
            None => offline::verify_files(self.home, self.config)?,
        };
        print(self.cli.json, &verified, || render::verified(&verified));
        let intact = verified.damaged.is_empty();
        Ok(if intact { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }

    async fn roll_back(&self) -> Result<ExitCode, Failure> {
        let status: Status = match self.daemon().await? {
            None => offline::roll_back(self.home, self.config, clock::wall())?,
            Some(daemon) => {
                daemon.post::<Status>("/rollback", &()).await?;
                loop {
                    let status: Status = daemon.get("/status").await?;
                    if status.state != "rolling-back" {
                        break status;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        print(self.cli.json, &status, || render::status(&status, clock::wall()));
        Ok(ExitCode::SUCCESS)
    }

    async fn explain(&self) -> Result<ExitCode, Failure> {
        #[derive(Serialize)]
        struct Explained {
            reasons: Vec<String>,
            plan: Option<Account>,
        }
        let status = self.current().await?;
        let now = clock::wall();
        let plan = offline::last_plan(self.home)?;
        let explained = Explained { reasons: render::reasons(&status, now), plan };
        print(self.cli.json, &explained, || {
            let reasons = explained.reasons.iter().map(|reason| format!("{reason}\n"));
            let plan = explained.plan.iter().map(|plan| render::account(plan, now));
            reasons.chain(plan).collect()
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints `value` as JSON, or what `text` says.
fn print(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) {
    let mut out = std::io::stdout().lock();
    let text = if json {
        let json = serde_json::to_string_pretty(value).expect("plain values always serialise");
        format!("{json}\n")
    } else {
        text()
    };
    // Nobody may be reading any more; there is no one left to tell.
    let _ = out.write_all(text.as_bytes());
}
