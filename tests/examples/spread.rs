//! How long a release takes to reach every machine, and what an agent costs.
//!
//! ```sh
//! cargo run --release -p updraft-tests --example spread -- OLD_DIR NEW_DIR [MACHINES]
//! ```
//!
//! Starts a seeder and MACHINES agents (7 by default) as real processes on
//! loopback, installs OLD_DIR everywhere, publishes NEW_DIR, and prints the
//! time until the last agent runs it, the bytes that moved, and the agents'
//! memory. Needs `updraft-demo` built beside it, as the command above does
//! after `cargo build --release`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use updraft_tests::cast::{Cast, Machine};
use updraft_tests::compare::differences;
use updraft_tests::programs::{Programs, wait_for};
use updraft_tests::watch::Glimpse;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long agents are left alone before their idle memory is read.
const REST: Duration = Duration::from_secs(25);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [old, new, machines @ ..] = &args[..] else {
        eprintln!("usage: spread OLD_DIR NEW_DIR [MACHINES]");
        std::process::exit(2);
    };
    let machines = machines.first().map_or(Ok(7), |text| text.parse());
    let measured = machines
        .map_err(|error| format!("MACHINES is a number from 1 to 255: {error}"))
        .and_then(|machines| measure(Path::new(old), Path::new(new), machines));
    if let Err(why) = measured {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

fn measure(old: &Path, new: &Path, machines: u8) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let programs = Programs::within(demo_executable()?);
    let mut cast = Cast::new(programs, folder.path().to_owned(), machines)?;
    let vendor = |cast: &Cast, args: &[&str]| cast.vendor(args).map_err(|e| e.to_string());
    let release = |cast: &Cast, tree: &Path, version: &str| {
        let tree = tree.to_string_lossy();
        vendor(cast, &["release", &tree, "--version", version, "--channel", "stable"])
    };
    vendor(&cast, &["init", "Spread", "--product", "hello"])?;
    release(&cast, old, "1.0")?;
    let seeder = cast.seed(None)?;
    let ticket = folder.path().join("hello.ticket");
    vendor(&cast, &["ticket", "--out", &ticket.to_string_lossy()])?;
    let begun = Instant::now();
    cast.join_all(&ticket).map_err(|error| error.to_string())?;
    all_run(&cast, "1.0")?;
    println!("first install of {machines} machines: {:.2} s", begun.elapsed().as_secs_f64());
    std::thread::sleep(REST);
    println!("agent RSS idle: {}", memory(&cast, "VmRSS:"));

    let begun = Instant::now();
    release(&cast, new, "2.0")?;
    let published = begun.elapsed();
    all_run(&cast, "2.0")?;
    let installed = begun.elapsed();
    println!("`release` itself: {:.2} s", published.as_secs_f64());
    println!(
        "from its end to the last of {machines} machines installed: {:.2} s (from its start {:.2} s)",
        installed.saturating_sub(published).as_secs_f64(),
        installed.as_secs_f64()
    );
    let moved: Vec<Glimpse> = cast.machines.iter().map(Glimpse::of).collect();
    let sum = |of: fn(&Glimpse) -> u64| moved.iter().map(of).sum::<u64>() / u64::from(machines);
    println!(
        "bytes a machine: {} from the seeder, {} from peers, {} from its own disk",
        sum(|g| g.origin),
        sum(|g| g.from_peers),
        sum(|g| g.disk)
    );
    println!("agent RSS peak: {}", memory(&cast, "VmHWM:"));
    std::thread::sleep(REST);
    println!("agent RSS idle again: {}", memory(&cast, "VmRSS:"));
    for machine in &cast.machines {
        let found = differences(new, &machine.current()).map_err(|error| error.to_string())?;
        if let Some(first) = found.first() {
            return Err(format!("{} differs: {first}", machine.name));
        }
    }
    println!("compared: every machine equals NEW_DIR, byte for byte and mode for mode");
    seeder.kill();
    Ok(())
}

/// `target/release/updraft-demo`, from `target/release/examples/spread`.
fn demo_executable() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let found = own.ancestors().nth(2).map(|folder| folder.join("updraft-demo"));
    found
        .filter(|path| path.is_file())
        .ok_or_else(|| "updraft-demo is not built: run cargo build --release first".to_owned())
}

fn all_run(cast: &Cast, version: &str) -> Result<(), String> {
    let runs = |machine: &Machine| {
        let glimpse = Glimpse::of(machine);
        glimpse.version.as_deref() == Some(version) && glimpse.state == "idle"
    };
    let what = format!("every machine to run {version}");
    wait_for(&what, PATIENCE, || cast.machines.iter().all(runs).then_some(()))
}

/// The smallest, median and largest of what the kernel says of the agents.
fn memory(cast: &Cast, field: &str) -> String {
    let daemons = cast.machines.iter().filter_map(|machine| machine.daemon.as_ref());
    let read = |id: u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let mut kib: Vec<u64> = daemons.filter_map(|daemon| read(daemon.id())).collect();
    kib.sort_unstable();
    let mb = |kib: u64| kib as f64 * 1024.0 / 1e6;
    match kib[..] {
        [] => "unknown".to_owned(),
        [least, .., most] => {
            let median = kib[kib.len() / 2];
            format!("{:.1} MB (from {:.1} to {:.1})", mb(median), mb(least), mb(most))
        }
        [only] => format!("{:.1} MB", mb(only)),
    }
}
