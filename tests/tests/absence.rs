//! Machines that were off for a year: their credentials have ended, their
//! roots are several behind, and the workgroup's key is another one. Each
//! finds its way back by itself: by the vendor's seeder, by another machine
//! when there is no vendor any more, or by a mirror.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use updraft_tests::control;
use updraft_tests::programs::{Program, Programs, wait_for};
use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, text};
use updraft_tests::watch::Glimpse;

const PATIENCE: Duration = Duration::from_secs(90);
const DAYS: u32 = 400;

/// Programs for which it is long ago.
fn long_ago(scene: &Scene) -> Option<Programs> {
    let past = scene.cast.programs.days_ago(DAYS);
    if past.is_none() {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is missing");
        eprintln!("SKIPPED: libfaketime is not installed, so nobody can be off for a year");
    }
    past
}

fn status(scene: &Scene, machine: usize) -> Value {
    control::get(&scene.cast.machines[machine].home, "/status").unwrap_or_default()
}

fn wait_for_version(scene: &Scene, machine: usize, version: &str) {
    let log = || {
        let name = format!("machine-{}.log", machine + 1);
        std::fs::read_to_string(scene.path(&name)).unwrap_or_default()
    };
    let waited = wait_for(&format!("machine {machine} to run {version}"), PATIENCE, || {
        let glimpse = Glimpse::of(&scene.cast.machines[machine]);
        (glimpse.version.as_deref() == Some(version) && glimpse.state == "idle").then_some(())
    });
    assert!(waited.is_ok(), "{waited:?} {}\n{}", status(scene, machine), log());
}

/// The version of the root that a machine trusts.
fn root(scene: &Scene, machine: usize) -> u64 {
    let path = scene.cast.machines[machine].home.join("trusted/root.json");
    let root: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    root["signed"]["version"].as_u64().unwrap()
}

/// An address on loopback that nobody listens on yet.
fn free_address() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}")
}

fn auditor_home(scene: &Scene) -> PathBuf {
    scene.path("auditor")
}

#[test]
fn machines_that_were_off_for_a_year_find_back_with_a_vendor_without_one_and_by_a_mirror() {
    let mut scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 3);
    let Some(past) = long_ago(&scene) else { return };
    let present = std::mem::replace(&mut scene.cast.programs, past);

    // A year ago: everybody joins, meets, and runs 1.0. The first home was
    // made in the present, so the vendor begins once more.
    std::fs::remove_dir_all(&scene.cast.vendor).unwrap();
    scene.publisher(&["init", "Example", "--product", "hello"]).well();
    scene.release(1, Health::Good);
    let seeder = scene.cast.seed(None).unwrap();
    let ticket = text(&scene.ticket());
    let at = free_address();
    for machine in 0..3 {
        let (home, into) =
            (scene.cast.machines[machine].home.clone(), scene.cast.machines[machine].into.clone());
        scene.run(Program::Agent, &home, &["join", &ticket, "--into", &text(&into)]).well();
        let more = ["--listen", at.as_str()];
        scene.cast.start_with(machine, if machine == 1 { &more } else { &[] }).unwrap();
    }
    let auditors = text(&scene.path("hello.auditor-ticket"));
    scene.publisher(&["auditor-ticket", "--out", &auditors]).well();
    scene.run(Program::Auditor, &auditor_home(&scene), &["join", &auditors]).well();
    (0..3).for_each(|machine| wait_for_version(&scene, machine, "1.0"));
    wait_for("the first to remember the second", PATIENCE, || {
        let known = std::fs::read_to_string(scene.cast.machines[0].home.join("peers.json"));
        known.is_ok_and(|known| known.contains(&at)).then_some(())
    })
    .unwrap();
    (0..3).for_each(|machine| scene.cast.stop(machine));
    seeder.kill();
    let shown = at_rest(&scene, 0);
    assert!(shown["expires"]["credential"].is_string(), "a year ago it was a member: {shown}");

    // Meanwhile all that was signed ended, and the workgroup's key was
    // replaced: four roots, the last names the new key alone.
    scene.cast.programs = present;
    let shown = at_rest(&scene, 0);
    assert!(shown["expires"]["credential"].is_null(), "its credential has ended: {shown}");
    scene.publisher(&["renew", "--root"]).well();
    scene.publisher(&["workgroup", "finish"]).refused(&["one workgroup key"]);
    scene.publisher(&["workgroup", "rotate"]).well();
    scene.publisher(&["workgroup", "rotate"]).well();
    scene.publisher(&["workgroup", "finish"]).well();
    scene.publisher(&["key", "rotate", "root"]).well();
    scene.release(2, Health::Good);

    // With the vendor: its seeder leads the second machine back.
    let seeder = scene.cast.seed(None).unwrap();
    scene.cast.start_with(1, &["--listen", &at]).unwrap();
    wait_for_version(&scene, 1, "2.0");
    assert_eq!(root(&scene, 1), 5);

    // Without: the vendor is gone for good, and the first knows the second.
    seeder.kill();
    assert_eq!(root(&scene, 0), 1);
    scene.cast.start(0).unwrap();
    wait_for_version(&scene, 0, "2.0");
    assert_eq!(root(&scene, 0), 5);
    let shown = status(&scene, 0);
    assert_eq!(shown["peers"], 1, "{shown}");

    // By a mirror alone, meeting nobody.
    let mirror = format!("file://{}", scene.cast.vendor.join("repository").display());
    let home = scene.cast.machines[2].home.clone();
    let run = ["run", "--once", "--no-dns-sd", "--mirror", &mirror];
    let _ = scene.run(Program::Agent, &home, &run).well();
    let shown = at_rest(&scene, 2);
    assert_eq!(shown["installed"]["version"], "2.0", "{shown}");
    // Its credential is good again, by the vendor's newer word on its issuer.
    assert!(shown["expires"]["credential"].is_string(), "{shown}");

    // The auditor was away as long, and a machine leads it back.
    let address = status(&scene, 1)["addresses"][0].as_str().unwrap().to_owned();
    let read =
        ["run", "--once", "--wait", "60", "--expect", "2", "--no-dns-sd", "--peer", &address];
    let told = scene.run(Program::Auditor, &auditor_home(&scene), &read).well().text;
    assert!(told.contains("2 logs") || told.matches("intact").count() >= 2, "{told}");
}

/// What a machine's program tells while it does not run.
fn at_rest(scene: &Scene, machine: usize) -> Value {
    let home = scene.cast.machines[machine].home.clone();
    let told = scene.run(Program::Agent, &home, &["status", "--json"]).well().text;
    serde_json::from_str(&told).unwrap()
}
