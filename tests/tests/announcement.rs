//! Machines hear of a release when it is announced, not when they look: here
//! they look once an hour. Who slept, or was off, hears of it by itself.

use std::time::{Duration, SystemTime};

use updraft_tests::hearing::{all_believe, published, sleep};
use updraft_tests::programs::wait_for;
use updraft_tests::sample::Health;
use updraft_tests::scene::Scene;
use updraft_tests::watch::Glimpse;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// Until everybody has heard; a fraction of it where nothing else runs.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
/// Until who was away has: it must find the others first.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

const MACHINES: usize = 6;

/// Waits until these machines run release `number`.
fn all_run(scene: &Scene, machines: std::ops::Range<usize>, number: u64) {
    for machine in &scene.cast.machines[machines] {
        let version = format!("{number}.0");
        let runs = || {
            let glimpse = Glimpse::of(machine);
            let runs = glimpse.version.as_ref() == Some(&version) && glimpse.state == "idle";
            (runs && glimpse.peers >= 3).then_some(())
        };
        wait_for(&format!("{} to run {version}", machine.name), PATIENCE, runs).unwrap();
    }
}

#[test]
fn everybody_hears_at_once_and_who_slept_or_was_off_catches_up() {
    let mut scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), MACHINES as u8);
    scene.cast.poll_every(Duration::from_secs(3_600));
    scene.release(1, Health::Good);
    let seeder = scene.cast.seed(None).unwrap();
    let ticket = scene.ticket();
    scene.cast.join_all(&ticket).unwrap();
    all_run(&scene, 0..MACHINES, 1);

    // One sleeps, one is off.
    sleep(&scene.cast, 0, true).unwrap();
    scene.cast.stop(1);
    scene.release(2, Health::Good);
    let (_, at) = published(&scene.cast).unwrap();
    let took = all_believe(&scene.cast, 2..MACHINES, at, PATIENCE).unwrap();
    println!("heard after {took:?}");
    assert!(took.iter().all(|took| *took < HEARD_WITHIN), "{took:?}");
    all_run(&scene, 2..MACHINES, 2);

    // The vendor is not needed for that.
    seeder.kill();
    // Longer than connections last on which nobody answers.
    std::thread::sleep(Duration::from_secs(20));
    let awake = SystemTime::now();
    sleep(&scene.cast, 0, false).unwrap();
    scene.cast.start(1).unwrap();
    let took = all_believe(&scene.cast, 0..2, awake, PATIENCE).unwrap();
    println!("caught up after {took:?}");
    assert!(took.iter().all(|took| *took < CAUGHT_UP_WITHIN), "{took:?}");
    all_run(&scene, 0..2, 2);
}
