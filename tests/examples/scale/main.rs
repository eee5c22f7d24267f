//! How a release spreads among thousands of simulated members.
//!
//! ```sh
//! cargo run --release -p updraft-tests --example scale -- \
//!     [--results FILE] [--chart FILE.svg] [--seeds N] [MEMBERS ...]
//! ```
//!
//! Plays each size (100, 1,000 and 10,000 by default; see docs/scale.md for
//! what is played) with each seed, prints a line of a table for each, and draws
//! how time, egress and a member's work grow. What FILE of `--results` tells of
//! already is not played again. Each run is a process of its own, so that its
//! memory can be told.

mod chart;
mod run;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;

use crate::run::Run;

/// How a release spreads among thousands of simulated members.
#[derive(Parser)]
struct Args {
    /// Members, for each run.
    #[arg(default_values_t = [100, 1_000, 10_000])]
    members: Vec<usize>,
    /// Where the chart goes.
    #[arg(long)]
    chart: Option<PathBuf>,
    /// A line of JSON for each run is kept here.
    #[arg(long)]
    results: Option<PathBuf>,
    /// KiB of the update.
    #[arg(long, default_value_t = 512)]
    kib: usize,
    /// How many seeds each size is played with.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Minutes after which a run is given up.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Play one run here, and print it as JSON.
    #[arg(long, hide = true)]
    here: bool,
}

fn main() -> ExitCode {
    match all(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("scale: {why}");
            ExitCode::FAILURE
        }
    }
}

fn all(args: &Args) -> Result<(), String> {
    if args.here {
        let run = Run::play(args.members[0], args.kib, args.seed, args.minutes);
        println!("{}", run.to_json());
        return Ok(());
    }
    let mut known = match &args.results {
        Some(path) if path.exists() => read(path)?,
        _ => Vec::new(),
    };
    println!("{}", Run::HEAD);
    let mut runs: Vec<Run> = Vec::new();
    for members in &args.members {
        for seed in args.seed..args.seed + args.seeds {
            let same = |run: &Run| run.is_of(*members, args.kib, seed);
            let run = match known.iter().position(same) {
                Some(at) => known.swap_remove(at),
                None => play(args, *members, seed)?,
            };
            println!("{run}");
            runs.push(run);
        }
    }
    match &args.chart {
        Some(path) => chart::draw(path, &runs)
            .map_err(|error| format!("{} cannot be drawn: {error}", path.display())),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Vec<Run>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    text.lines().map(|line| Run::of_json(line).map_err(|error| told(&error))).collect()
}

/// Plays in a process of its own, and keeps what came of it.
fn play(args: &Args, members: usize, seed: u64) -> Result<Run, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut command = Command::new(std::env::current_exe().map_err(told)?);
    command.args(["--here", "--kib", &args.kib.to_string(), "--seed", &seed.to_string()]);
    command.args(["--minutes", &args.minutes.to_string(), &members.to_string()]);
    let output = command.stderr(std::process::Stdio::inherit()).output().map_err(told)?;
    if !output.status.success() {
        return Err(format!("{members} members with seed {seed} ended with {}", output.status));
    }
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let run = Run::of_json(&line)?;
    if let Some(path) = &args.results {
        let file = std::fs::File::options().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}")).map_err(told)?;
    }
    Ok(run)
}
