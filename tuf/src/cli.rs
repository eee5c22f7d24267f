//! The command line, as tuf-conformance's client protocol has it: sentences
//! and two exit codes.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Parser, Subcommand};
use manifest::time::UnixTime;
use manifest::trust::limits::ROOT_BYTES;
use store::disk::read_bounded;
use store::steps::Steps;
use web::source::{Options, Source};

use crate::client::{self, Client};
use crate::limits::PATIENCE;
use crate::metadata::MetadataDir;
use crate::target::TargetDir;

/// A plain TUF client for any repository.
#[derive(Debug, Parser)]
#[command(name = "updraft-tuf", version)]
struct Cli {
    /// Where trusted metadata is kept
    #[arg(long, global = true, value_name = "DIR")]
    metadata_dir: Option<PathBuf>,
    /// Where the repository has its metadata
    #[arg(long, global = true, value_name = "URL")]
    metadata_url: Option<String>,
    /// The path of a target to download; may be given several times
    #[arg(long, global = true, value_name = "PATH", allow_hyphen_values = true)]
    target_name: Vec<String>,
    /// Where target files are written
    #[arg(long, global = true, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Where the repository has its targets
    #[arg(long, global = true, value_name = "URL")]
    target_base_url: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Trust a first root, without a network
    Init {
        /// A root.json that came in a trusted way
        root: PathBuf,
    },
    /// Bring the top-level metadata up to date
    Refresh,
    /// Refresh, then download targets, one after the other
    Download,
}

/// Runs one command; 0 if all of it was done, else 1.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(asked) => {
            // Nothing helps where not even this can be printed.
            let _ = asked.print();
            return if asked.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("updraft-tuf: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    let metadata_dir = given(cli.metadata_dir, "--metadata-dir")?;
    if let Verb::Init { root } = &cli.verb {
        let bytes = read_bounded(root, ROOT_BYTES as u64)?;
        let bytes = bytes.ok_or_else(|| format!("there is no {}", root.display()))?;
        let dir = MetadataDir::create(&metadata_dir, Steps::free())?;
        return Ok(client::init(&dir, &bytes)?);
    }
    let options = Options {
        user_agent: concat!("updraft-tuf/", env!("CARGO_PKG_VERSION")),
        patience: PATIENCE,
        authorities: Vec::new(),
    };
    let metadata = Source::new(&given(cli.metadata_url, "--metadata-url")?, &options)?;
    let downloads = match cli.verb {
        Verb::Download => {
            if cli.target_name.is_empty() {
                return Err("--target-name is needed".into());
            }
            let source = Source::new(&given(cli.target_base_url, "--target-base-url")?, &options)?;
            Some((source, TargetDir::open(&given(cli.target_dir, "--target-dir")?)?))
        }
        Verb::Init { .. } | Verb::Refresh => None,
    };
    let now = now()?;
    if !metadata_dir.join("root.json").exists() {
        let dir = metadata_dir.display();
        let next = format!("updraft-tuf --metadata-dir {dir} init ROOT.json");
        return Err(format!("{dir} has no trusted root; begin with `{next}`").into());
    }
    let dir = MetadataDir::open(&metadata_dir, Steps::free())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = Client::refresh(dir, metadata, now).await?;
        let Some((source, targets)) = downloads else { return Ok(()) };
        for path in &cli.target_name {
            let found = client.find(path).await?;
            let found = found.ok_or_else(|| format!("no role speaks of the target {path:?}"))?;
            let consistent = client.consistent_snapshot();
            let file = targets.download(&source, path, &found.target, consistent).await?;
            let _ = writeln!(std::io::stdout(), "{}", file.display());
        }
        Ok(())
    })
}

fn given<T>(option: Option<T>, name: &str) -> Result<T, String> {
    option.ok_or_else(|| format!("{name} is needed"))
}

/// The system's clock; TUF 5.1 fixes it for the whole run.
fn now() -> Result<UnixTime, String> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_err(|_| "the system's clock is before 1970")?;
    Ok(UnixTime::from_seconds(since.as_secs()))
}
