//! Two machines that nobody can dial, and which dial nobody but the vendor's
//! seeder: they meet through it, and say so.

use std::fs;
use std::time::Duration;

use updraft_tests::control;
use updraft_tests::programs::{Daemon, Program, wait_for};
use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, text};

const PATIENCE: Duration = Duration::from_secs(90);

/// Has a machine join that listens nowhere, and starts its agent.
fn start(scene: &Scene, machine: usize) -> Daemon {
    let ticket = text(&scene.ticket());
    let machine = &scene.cast.machines[machine];
    let args = ["join", &ticket, "--into", &text(&machine.into)];
    let _ = scene.run(Program::Agent, &machine.home, &args).well();
    let config = machine.home.join("config.toml");
    let written = fs::read_to_string(&config).unwrap();
    let seeder = &scene.cast.listen()[0];
    let network = format!("\n[network]\nlisten = []\ndns-sd = false\npeers = [{seeder:?}]\n");
    fs::write(&config, written + &network).unwrap();
    let log = scene.path(&format!("{}.log", machine.name));
    scene.cast.programs.daemon(Program::Agent, &machine.home, &["run"], &log).unwrap()
}

#[test]
fn machines_that_listen_nowhere_meet_through_the_seeder() {
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 2);
    scene.release(1, Health::Good);
    let seeder = scene.cast.seed(None).unwrap();
    let agents = [start(&scene, 0), start(&scene, 1)];
    let homes = [0, 1].map(|machine| &scene.cast.machines[machine].home);
    for (home, agent) in homes.iter().zip(&agents) {
        let met = wait_for("a member to be met through the seeder", PATIENCE, || {
            let peers = control::get(home, "/peers").ok()?;
            let peers = peers["peers"].as_array()?.clone();
            // The seeder itself, directly; the other one, through it.
            let way = |origin: bool, way: &str| {
                peers.iter().any(|peer| peer["origin"] == origin && peer["way"] == way)
            };
            (way(true, "direct") && way(false, "relayed")).then_some(())
        });
        assert!(met.is_ok(), "{met:?}\n{}", agent.said());
        // And so the owner is told.
        let told = scene.run(Program::Agent, home, &["peers"]).well().text;
        assert!(told.contains("relayed"), "{told}");
        println!("{told}");
    }
    // Pieces do not go through relays, but directly from the seeder.
    for machine in &scene.cast.machines {
        let installed = || machine.current().join("bin/hello").exists().then_some(());
        wait_for("the release to be installed", PATIENCE, installed).unwrap();
    }
    seeder.kill();
}
