//! The demo's acts, in order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cast::Cast;
use crate::compare::differences;
use crate::demo::arguments::Arguments;
use crate::demo::audit;
use crate::demo::table::{Table, bytes};
use crate::programs::{Daemon, ProgramError, Programs};
use crate::sample::{self, Health};
use crate::watch::{Glimpse, HeldBy, vendor_is_dispensable};

/// How long the vendor alone would need for one copy of the update.
const ONE_COPY: Duration = Duration::from_secs(6);

/// The slowest that anything is capped to, in bytes a second.
const SLOWEST: u64 = 64 * 1024;

/// How often the machines are asked how they are.
const BEAT: Duration = Duration::from_millis(100);

/// How long any act may take before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(180);

/// Tells the story; what happens is printed as it happens.
pub(super) fn tell(arguments: &Arguments) -> Result<(), String> {
    let begun = Instant::now();
    let executable = std::env::current_exe().map_err(|e| format!("where am I? {e}"))?;
    let stage = stage(arguments.keep.as_deref()).map_err(|e| format!("no room to play: {e}"))?;
    let trees = trees(arguments, &stage).map_err(|e| format!("the trees to ship: {e}"))?;
    let mut cast = Cast::new(Programs::within(executable), stage, arguments.machines)?;

    first_release(&mut cast, &trees)?;
    spread_without_vendor(&mut cast, &trees)?;
    bad_release(&mut cast, &trees)?;
    audited(&mut cast)?;

    println!("\nThat was it, in {:.0} s. Nothing is left running.", begun.elapsed().as_secs_f64());
    println!("  {:<24} homes, logs and installed trees", cast.stage.display());
    println!("  README.md                the same by hand, in five lines");
    println!("  ARCHITECTURE.md, docs/   how it works, byte by byte");
    Ok(())
}

fn act(number: u8, title: &str) {
    println!("\n{number}. {title}");
}

fn first_release(cast: &mut Cast, trees: &Trees) -> Result<(), String> {
    act(1, "A vendor makes keys and publishes release 1.0.");
    run(cast.vendor(&["init", "Demo Vendor", "--product", "hello"]))?;
    publish(cast, &trees.first, "1.0", &trees.probe)?;
    let seeder = cast.seed(None)?;

    act(2, "Machines that share nothing but a ticket form a workgroup and install it.");
    let ticket = cast.stage.join("hello.ticket");
    run(cast.vendor(&["ticket", "--out", &ticket.to_string_lossy()]))?;
    run(cast.join_all(&ticket))?;
    let mut table = Table::new();
    let installed = |glimpses: &[Glimpse]| all_run(glimpses, "1.0");
    watch(cast, &mut table, "seeds", "every machine to install 1.0", installed)?;
    table.end(&cast.machines, &glimpses(cast), "seeds");
    equal(cast, &trees.first)?;
    seeder.kill();
    Ok(())
}

fn spread_without_vendor(cast: &mut Cast, trees: &Trees) -> Result<(), String> {
    act(3, "The vendor publishes release 2.0 as a patch.");
    let patch_bytes = publish(cast, &trees.second, "2.0", &trees.probe)?;
    let vendor_rate = (patch_bytes / ONE_COPY.as_secs()).max(SLOWEST);
    let machine_rate = (vendor_rate / 2).max(SLOWEST);
    println!(
        "   So that you can watch, the vendor sends at most {}/s from here on, and each machine {}/s.",
        bytes(vendor_rate),
        bytes(machine_rate)
    );
    cast.restart_all(machine_rate).map_err(|error| error.to_string())?;
    let mut seeder: Option<Daemon> = Some(cast.seed(Some(vendor_rate))?);
    let begun = Instant::now();
    let mut killed_at = None;
    let mut table = Table::new();
    loop {
        let glimpses = glimpses(cast);
        if let Some(held_by) = vendor_is_dispensable(&glimpses, "2.0")
            && let Some(seeder) = seeder.take()
        {
            seeder.kill();
            killed_at = Some((begun.elapsed(), held_by));
        }
        let vendor = match killed_at {
            None => "seeds".to_owned(),
            Some((at, held_by)) => {
                let who = match held_by {
                    HeldBy::Together => "together they had every block",
                    HeldBy::One => "one of them had every block",
                };
                format!("KILLED after {:.1} s; no machine had finished, {who}", at.as_secs_f64())
            }
        };
        if all_run(&glimpses, "2.0") {
            table.end(&cast.machines, &glimpses, &vendor);
            break;
        }
        if begun.elapsed() > PATIENCE {
            table.end(&cast.machines, &glimpses, &vendor);
            return Err(format!(
                "release 2.0 did not arrive; the logs are in {}",
                cast.stage.display()
            ));
        }
        table.show(&cast.machines, &glimpses, &vendor);
        std::thread::sleep(BEAT);
    }
    if killed_at.is_none() {
        return Err("the update was over before the vendor could be killed".to_owned());
    }
    println!(
        "   All have 2.0 after {:.1} s, from each other and from their own disks.",
        begun.elapsed().as_secs_f64()
    );
    equal(cast, &trees.second)
}

fn bad_release(cast: &mut Cast, trees: &Trees) -> Result<(), String> {
    act(4, "The vendor comes back with release 3.0, which does not start.");
    publish(cast, &trees.third, "3.0", &trees.failing_probe)?;
    let seeder = cast.seed(None)?;
    let rolled_back = |glimpses: &[Glimpse]| {
        let bad = |glimpse: &Glimpse| glimpse.bad.iter().any(|version| version == "3.0");
        all_run(glimpses, "2.0") && glimpses.iter().all(bad)
    };
    let mut table = Table::new();
    watch(cast, &mut table, "seeds", "every machine to roll back 3.0", rolled_back)?;
    table.end(&cast.machines, &glimpses(cast), "seeds");
    println!("   Every machine tried it, saw its probe fail, and went back to 2.0 by itself.");
    equal(cast, &trees.second)?;
    seeder.kill();
    Ok(())
}

fn audited(cast: &mut Cast) -> Result<(), String> {
    act(5, "An auditor collects every machine's log over the swarm and verifies it.");
    let seeder = cast.seed(None)?;
    let home = cast.stage.join("auditor");
    audit::join(cast, &home)?;
    audit::collect(cast, &home)?;
    print_indented(&audit::fleet(cast, &home)?);

    act(6, "Somebody edits one of the logs; the auditor, reading again, sees it.");
    let last = cast.machines.len() - 1;
    cast.stop(last);
    println!("   {}", audit::doctor(cast, last)?);
    cast.start(last).map_err(|error| error.to_string())?;
    let met = |glimpses: &[Glimpse]| glimpses[last].peers > 0;
    watch(cast, &mut Table::silent(), "seeds", "its machine to meet the others", met)?;
    audit::collect(cast, &home)?;
    let fleet = audit::fleet(cast, &home)?;
    print_indented(&fleet);
    if !fleet.contains("was changed") {
        return Err("the edited log was not caught".to_owned());
    }
    seeder.kill();
    for machine in 0..cast.machines.len() {
        cast.stop(machine);
    }
    Ok(())
}

/// Publishes a tree; gives the bytes of the patch from the release before.
fn publish(cast: &Cast, tree: &Path, version: &str, probe: &str) -> Result<u64, String> {
    let tree = tree.to_string_lossy();
    let what = ["release", &tree, "--version", version, "--channel", "stable"];
    let args = [&what[..], &["--probe", probe, "--bases", "1", "--json"]].concat();
    let said = run(cast.vendor(&args))?;
    let told: serde_json::Value = serde_json::from_str(&said)
        .map_err(|error| format!("the publisher's answer is not JSON ({error}): {said}"))?;
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
    let patch = &told["patches"][0];
    print!(
        "   {version}: {} files, {}",
        number(&told["files"]),
        bytes(number(&told["tree_bytes"]))
    );
    if patch.is_null() {
        println!(", {} to download", bytes(number(&told["full_bytes"])));
    } else {
        let patch_bytes = bytes(number(&patch["delta_bytes"]));
        println!("; as a patch {patch_bytes} instead of {}", bytes(number(&told["full_bytes"])));
    }
    Ok(number(&patch["delta_bytes"]))
}

/// Shows the machines until `done` holds of them.
fn watch(
    cast: &Cast,
    table: &mut Table,
    vendor: &str,
    what: &str,
    done: impl Fn(&[Glimpse]) -> bool,
) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let glimpses = glimpses(cast);
        if done(&glimpses) {
            return Ok(());
        }
        table.show(&cast.machines, &glimpses, vendor);
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "waited in vain for {what}; the logs are in {}",
                cast.stage.display()
            ));
        }
        std::thread::sleep(BEAT);
    }
}

fn glimpses(cast: &Cast) -> Vec<Glimpse> {
    cast.machines.iter().map(Glimpse::of).collect()
}

fn all_run(glimpses: &[Glimpse], version: &str) -> bool {
    let runs =
        |glimpse: &Glimpse| glimpse.version.as_deref() == Some(version) && glimpse.state == "idle";
    glimpses.iter().all(runs)
}

/// Every machine's `current` equals what the vendor shipped.
fn equal(cast: &Cast, tree: &Path) -> Result<(), String> {
    for machine in &cast.machines {
        let differences = differences(tree, &machine.current())
            .map_err(|error| format!("{} cannot be compared: {error}", machine.name))?;
        if let Some(first) = differences.first() {
            let count = differences.len();
            return Err(format!("{} differs in {count} places: {first}", machine.name));
        }
    }
    println!(
        "   Compared: equal to the vendor's tree on every machine, byte for byte, mode for mode."
    );
    Ok(())
}

fn print_indented(text: &str) {
    for line in text.lines() {
        println!("   {line}");
    }
}

fn run<T>(result: Result<T, ProgramError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// What is shipped.
#[derive(Debug)]
struct Trees {
    first: PathBuf,
    second: PathBuf,
    third: PathBuf,
    probe: String,
    failing_probe: String,
}

fn trees(arguments: &Arguments, stage: &Path) -> io::Result<Trees> {
    if let (Some(first), Some(second)) = (&arguments.old_dir, &arguments.new_dir) {
        let (first, second) = (first.canonicalize()?, second.canonicalize()?);
        let third = second.clone();
        let failing = "echo 'this release does not start' >&2; exit 1";
        return Ok(Trees {
            first,
            second,
            third,
            // A patch of a few kilobytes is everywhere at once; the probe's
            // seconds are when no machine has finished yet.
            probe: "sleep 3".to_owned(),
            failing_probe: failing.to_owned(),
        });
    }
    let release = |number, health| {
        let directory = stage.join(format!("sample-{number}.0"));
        sample::write(&directory, number, health).map(|()| directory)
    };
    Ok(Trees {
        first: release(1, Health::Good)?,
        second: release(2, Health::Good)?,
        third: release(3, Health::Bad)?,
        // However fast the blocks are, there is a moment at which a machine
        // holds them all and none has finished.
        probe: format!("sleep 2; {}", sample::PROBE),
        failing_probe: sample::PROBE.to_owned(),
    })
}

/// A new, empty folder for everything.
fn stage(keep: Option<&Path>) -> io::Result<PathBuf> {
    match keep {
        Some(folder) => {
            fs::create_dir_all(folder)?;
            if fs::read_dir(folder)?.next().is_some() {
                let why = format!("{} is not empty", folder.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
            folder.canonicalize()
        }
        None => Ok(tempfile::Builder::new().prefix("updraft-demo-").tempdir()?.keep()),
    }
}
