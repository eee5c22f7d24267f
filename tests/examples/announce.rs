//! How long it takes until every machine has heard of a release.
//!
//! ```sh
//! cargo build --release --workspace
//! cargo run --release -p updraft-tests --example announce -- [MACHINES [RELEASES]]
//! ```
//!
//! Starts a seeder and MACHINES agents (50 by default) as real processes on
//! loopback, which look for releases themselves only once an hour. Publishes
//! RELEASES (5 by default), one after the other, and prints for each how long
//! after its timestamp was in place the machines had verified the metadata.
//! Then some machines sleep through a release, and some are off: how long
//! they take from when they wake, or are started.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use updraft_tests::cast::Cast;
use updraft_tests::hearing::{all_believe, published, sleep};
use updraft_tests::programs::{Programs, wait_for};
use updraft_tests::watch::Glimpse;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long machines rest between releases.
const REST: Duration = Duration::from_secs(5);
/// How long machines sleep after the release: longer than connections last
/// that say nothing.
const ASLEEP: Duration = Duration::from_secs(45);
/// Machines that miss a release, at most.
const MISSING: usize = 5;
/// Whom a machine knows when it rests, at the least.
const ENOUGH: usize = 8;

fn main() {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|arg| arg.parse()).collect();
    let (machines, releases) = match numbers.as_deref() {
        Ok([]) => (50, 5),
        Ok([machines @ 1..=250]) => (*machines, 5),
        Ok([machines @ 1..=250, releases @ 1..=10_000]) => (*machines, *releases),
        _ => {
            eprintln!("usage: announce [MACHINES [RELEASES]], at most 250 machines");
            std::process::exit(2);
        }
    };
    if let Err(why) = measure(u8::try_from(machines).unwrap_or(u8::MAX), releases) {
        eprintln!("announce: {why}");
        std::process::exit(1);
    }
}

fn measure(machines: u8, releases: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let programs = Programs::within(demo_executable()?);
    let mut cast = Cast::new(programs, folder.path().to_owned(), machines)?;
    cast.poll_every(Duration::from_secs(3_600));
    vendor(&cast, &["init", "Announce", "--product", "hello"])?;
    release(&cast, 1)?;
    let seeder = cast.seed(None)?;
    let ticket = folder.path().join("hello.ticket");
    vendor(&cast, &["ticket", "--out", &ticket.to_string_lossy()])?;
    cast.join_all(&ticket).map_err(|error| error.to_string())?;
    all_rest(&cast, 1)?;

    println!("from the timestamp in place until machines have verified the metadata, s:");
    println!("| release | first | half | all {machines} |");
    println!("|---|---|---|---|");
    for number in 2..2 + releases {
        std::thread::sleep(REST);
        release(&cast, number)?;
        let (_, at) = published(&cast).ok_or("nothing was published")?;
        let took = all_believe(&cast, 0..cast.machines.len(), at, PATIENCE)?;
        println!("| {number} | {} |", row(&took));
        all_rest(&cast, number)?;
    }
    let missing = MISSING.min(cast.machines.len() - 1);
    let number = 2 + releases;
    (0..missing).try_for_each(|machine| sleep(&cast, machine, true))?;
    release(&cast, number)?;
    let (_, at) = published(&cast).ok_or("nothing was published")?;
    all_believe(&cast, missing..cast.machines.len(), at, PATIENCE)?;
    std::thread::sleep(ASLEEP);
    let awake = SystemTime::now();
    (0..missing).try_for_each(|machine| sleep(&cast, machine, false))?;
    let took = all_believe(&cast, 0..missing, awake, PATIENCE)?;
    println!("{missing} that slept, from when they woke: {}", row(&took));
    all_rest(&cast, number)?;

    (0..missing).for_each(|machine| cast.stop(machine));
    release(&cast, number + 1)?;
    std::thread::sleep(REST);
    let started = SystemTime::now();
    (0..missing).try_for_each(|machine| cast.start(machine)).map_err(|e| e.to_string())?;
    let took = all_believe(&cast, 0..missing, started, PATIENCE)?;
    println!("{missing} that were off, from when they were started: {}", row(&took));
    all_rest(&cast, number + 1)?;
    seeder.kill();
    Ok(())
}

/// First, median and last, as cells of a table.
fn row(took: &[Duration]) -> String {
    let cell = |nth: usize| format!("{:.3}", took[nth].as_secs_f64());
    [0, took.len() / 2, took.len() - 1].map(cell).join(" | ")
}

fn vendor(cast: &Cast, args: &[&str]) -> Result<(), String> {
    cast.vendor(args).map(drop).map_err(|error| error.to_string())
}

/// Publishes a small release, so that it is the hearing that is measured.
fn release(cast: &Cast, number: u64) -> Result<(), String> {
    let tree = cast.stage.join("tree");
    let written = fs::create_dir_all(&tree)
        .and_then(|()| fs::write(tree.join("hello"), format!("hello from release {number}\n")));
    written.map_err(|error| error.to_string())?;
    let (tree, version) = (tree.to_string_lossy().into_owned(), format!("{number}.0"));
    vendor(cast, &["release", &tree, "--version", &version])
}

/// Waits until all run a release, know enough others, and rest.
fn all_rest(cast: &Cast, number: u64) -> Result<(), String> {
    let version = format!("{number}.0");
    let enough = ENOUGH.min(cast.machines.len()) as u64;
    for machine in &cast.machines {
        wait_for(&format!("{} to run {version}", machine.name), PATIENCE, || {
            let Glimpse { state, version: runs, peers, .. } = Glimpse::of(machine);
            let rests = state == "idle" && runs.as_ref() == Some(&version) && peers >= enough;
            rests.then_some(())
        })?;
    }
    Ok(())
}

/// `target/release/updraft-demo`, from `target/release/examples/announce`.
fn demo_executable() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let found = own.ancestors().nth(2).map(|folder: &Path| folder.join("updraft-demo"));
    found
        .filter(|path| path.is_file())
        .ok_or_else(|| "updraft-demo is not built: run cargo build --release first".to_owned())
}
