//! Members that are shut out: their connections end within seconds, nobody
//! lets them in again, and everyone else goes on.

use std::time::{Duration, Instant};

use serde_json::Value;
use updraft_tests::control;
use updraft_tests::programs::{Program, wait_for};
use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, text};
use updraft_tests::watch::Glimpse;

const PATIENCE: Duration = Duration::from_secs(60);

/// Two machines, each of an organisation of its own, that run 1.0.
fn scene() -> Scene {
    let mut scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 2);
    scene.release(1, Health::Good);
    for machine in 0..2 {
        join(&scene, machine, &format!("site-{machine}"));
        scene.cast.start(machine).unwrap();
    }
    scene
}

/// Has a machine join with a new ticket of its organisation.
fn join(scene: &Scene, machine: usize, organisation: &str) {
    let ticket = text(&ticket(scene, machine));
    let address = scene.cast.listen()[0].clone();
    let args = ["ticket", "--out", &ticket, "--organisation", organisation, "--address", &address];
    let _ = scene.publisher(&args).well();
    let machine = &scene.cast.machines[machine];
    let args = ["join", &ticket, "--into", &text(&machine.into)];
    let _ = scene.run(Program::Agent, &machine.home, &args).well();
}

fn ticket(scene: &Scene, machine: usize) -> std::path::PathBuf {
    scene.path(&format!("site-{machine}.ticket"))
}

fn status(scene: &Scene, machine: usize) -> Value {
    control::get(&scene.cast.machines[machine].home, "/status").unwrap_or_default()
}

fn wait_for_version(scene: &Scene, machine: usize, version: &str) {
    wait_for(&format!("machine {machine} to run {version}"), PATIENCE, || {
        let glimpse = Glimpse::of(&scene.cast.machines[machine]);
        (glimpse.version.as_deref() == Some(version) && glimpse.state == "idle").then_some(())
    })
    .unwrap();
}

fn wait_until_alone(scene: &Scene, machine: usize) -> Duration {
    let begun = Instant::now();
    wait_for("the revoked machine to be alone", PATIENCE, || {
        (status(scene, machine)["peers"] == 0).then_some(())
    })
    .unwrap();
    begun.elapsed()
}

#[test]
fn a_revoked_ticket_ends_its_machines_membership_and_no_others() {
    let mut scene = scene();
    let seeder = scene.cast.seed(None).unwrap();
    (0..2).for_each(|machine| wait_for_version(&scene, machine, "1.0"));

    let revoke = ["revoke", "ticket", &text(&ticket(&scene, 1)), "--why", "posted in a forum"];
    let told = scene.publisher(&revoke).well().text;
    assert!(told.contains("is revoked until"), "{told}");
    scene.publisher(&revoke).refused(&["already"]);
    println!("alone after {:?}", wait_until_alone(&scene, 1));

    // What comes next reaches the other machine only.
    scene.release(2, Health::Good);
    wait_for_version(&scene, 0, "2.0");
    let shut_out = status(&scene, 1);
    assert_eq!(shut_out["installed"]["version"], "1.0", "{shut_out}");
    assert_eq!(shut_out["peers"], 0, "{shut_out}");
    // A restart does not help it, nor does joining anew with that ticket.
    scene.cast.stop(1);
    let home = scene.path("again");
    let again = ["join", &text(&ticket(&scene, 1)), "--into", &text(&scene.path("elsewhere"))];
    let _ = scene.run(Program::Agent, &home, &again).well();
    let run = ["run", "--once", "--no-dns-sd"];
    scene.run(Program::Agent, &home, &run).refused(&["revoked", "posted in a forum"]);

    // A new ticket of the same organisation has another issuer.
    std::fs::remove_dir_all(&scene.cast.machines[1].home).unwrap();
    std::fs::remove_dir_all(&scene.cast.machines[1].into).unwrap();
    join(&scene, 1, "site-1");
    scene.cast.start(1).unwrap();
    wait_for_version(&scene, 1, "2.0");
    let listed = scene.publisher(&["revoke", "list", "--json"]).well().text;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&listed).unwrap().len(), 1, "{listed}");
    seeder.kill();
}

#[test]
fn one_revoked_machine_is_left_by_all_others_even_without_the_vendor() {
    let scene = scene();
    let seeder = scene.cast.seed(None).unwrap();
    (0..2).for_each(|machine| wait_for_version(&scene, machine, "1.0"));
    // The machines know each other before the vendor goes.
    for machine in 0..2 {
        wait_for("the machines to meet", PATIENCE, || {
            (status(&scene, machine)["peers"].as_u64() >= Some(2)).then_some(())
        })
        .unwrap();
    }
    let id = status(&scene, 1)["installation"].as_str().unwrap().to_owned();
    let told = scene.publisher(&["revoke", "machine", &id]).well().text;
    assert!(told.contains("revoke the ticket too"), "{told}");
    println!("alone after {:?}", wait_until_alone(&scene, 1));
    seeder.kill();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(status(&scene, 1)["peers"], 0, "it finds nobody who lets it in");
}
