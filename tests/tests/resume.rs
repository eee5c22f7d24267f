//! A machine that is killed in the middle of a transfer goes on where it was:
//! blocks that had come are neither fetched again nor lost, and what was
//! damaged on the disk meanwhile does no harm.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use updraft_tests::control;
use updraft_tests::programs::{Daemon, wait_for};
use updraft_tests::sample::Health;
use updraft_tests::scene::Scene;
use updraft_tests::watch::Glimpse;

/// Bytes a second that a machine takes.
const RATE: u64 = 600_000;

const PATIENCE: Duration = Duration::from_secs(120);

/// A vendor that seeds 1.0 of the sample, and machines that joined and do not
/// run.
fn scene(machines: u8) -> (Scene, Daemon) {
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), machines);
    scene.release(1, Health::Good);
    let seeder = scene.cast.seed(None).unwrap();
    let ticket = scene.ticket();
    for machine in &scene.cast.machines {
        let (ticket, into) = (ticket.to_string_lossy(), machine.into.to_string_lossy());
        let args = ["join", &ticket, "--into", &into];
        let program = updraft_tests::programs::Program::Agent;
        let _ = scene.run(program, &machine.home, &args).well();
    }
    (scene, seeder)
}

fn start(scene: &mut Scene, machine: usize) {
    scene.cast.start_with(machine, &["--total-download-limit", &RATE.to_string()]).unwrap();
}

/// Bytes of objects and their protocol that a running machine has received.
fn received(home: &Path) -> u64 {
    let peers = control::get(home, "/peers").ok();
    peers.and_then(|peers| peers["received"].as_u64()).unwrap_or(0)
}

/// Lets a machine fetch until most of some large object is there, and no
/// more: where a kill hurts most. Gives what it had received, nothing if the
/// release came first.
fn run_until_it_would_hurt(scene: &mut Scene, machine: usize) -> Option<u64> {
    start(scene, machine);
    let half_way = wait_for("an object to be under way", PATIENCE, || {
        let glimpse = Glimpse::of(&scene.cast.machines[machine]);
        let hurts = glimpse.objects.values().any(|object| {
            let here = object.blocks.iter().filter(|here| **here).count();
            (20..object.blocks.len()).contains(&here)
        });
        let over = glimpse.version.as_deref() == Some("1.0");
        (hurts || over).then_some(!over)
    });
    let received = received(&scene.cast.machines[machine].home);
    scene.cast.stop(machine);
    half_way.unwrap().then_some(received)
}

/// Bytes that a machine receives until it has the release.
fn finish(scene: &mut Scene, machine: usize) -> u64 {
    start(scene, machine);
    wait_for("1.0 to run", PATIENCE, || {
        let glimpse = Glimpse::of(&scene.cast.machines[machine]);
        (glimpse.version.as_deref() == Some("1.0")).then_some(())
    })
    .unwrap();
    let received = received(&scene.cast.machines[machine].home);
    scene.cast.stop(machine);
    received
}

fn partials(scene: &Scene) -> Vec<PathBuf> {
    let dir = scene.cast.machines[0].home.join("partials");
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn who_is_killed_in_mid_transfer_fetches_little_twice() {
    let (mut scene, _seeder) = scene(2);
    let undisturbed = finish(&mut scene, 1);
    let (mut total, mut kills) = (0, 0);
    while kills < 5 {
        let Some(received) = run_until_it_would_hurt(&mut scene, 0) else { break };
        total += received;
        kills += 1;
    }
    assert!(kills >= 3, "it was not killed often enough: {kills}");
    total += finish(&mut scene, 0);
    scene.assert_runs(1);
    scene.agent(&["verify"]).well();
    let twice = total.saturating_sub(undisturbed);
    println!(
        "{kills} kills: {total} bytes received instead of {undisturbed}: {twice} twice, {} a kill",
        twice / kills
    );
    // What came within the fifth of a second that blocks wait for each other,
    // as long again to be written and seen here, and blocks on their way.
    let lost = RATE * 2 / 5 + 6 * 32_768;
    assert!(twice < kills * lost, "{twice} bytes came twice");
    // Each kill came when twenty blocks of an object were there.
    assert!(twice < kills * 20 * 32_768, "{twice} bytes came twice");
    assert_eq!(partials(&scene), Vec::<PathBuf>::new(), "nothing is left over");
}

#[test]
fn parts_that_were_damaged_meanwhile_do_no_harm() {
    let (mut scene, _seeder) = scene(1);
    let flip: fn(&Path) = |path| {
        let mut bytes = fs::read(path).unwrap();
        (0..bytes.len()).step_by(1000).for_each(|at| bytes[at] ^= 1);
        fs::write(path, bytes).unwrap();
    };
    let hashes: fn(&Path) = |path| {
        let mut bytes = fs::read(path).unwrap();
        let end = bytes.len() - 33;
        bytes[end] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let resize: fn(&Path, u64) = |path, len| {
        File::options().write(true).open(path).unwrap().set_len(len).unwrap();
    };
    for damage in 0..4 {
        let hurt = run_until_it_would_hurt(&mut scene, 0);
        assert!(hurt.is_some(), "it was not killed often enough");
        let files = partials(&scene);
        assert!(!files.is_empty(), "blocks were on the disk");
        for path in files {
            match damage {
                0 => flip(&path),
                1 => hashes(&path),
                2 => resize(&path, 5),
                _ => resize(&path, 1 << 40),
            }
        }
    }
    finish(&mut scene, 0);
    scene.assert_runs(1);
    scene.agent(&["audit", "verify"]).well();
    assert_eq!(partials(&scene), Vec::<PathBuf>::new());
}
