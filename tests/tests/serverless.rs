//! Every server of the vendor is dead: machines that were all off find each
//! other again, and hand a newcomer everything, the signed metadata, the
//! manifest and the pieces.

use std::time::Duration;

use updraft_tests::compare::differences;
use updraft_tests::programs::{Program, wait_for};
use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, text};
use updraft_tests::watch::Glimpse;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// Machines that have the release before the vendor is gone; one more comes.
const OLD: usize = 3;

/// An address on loopback that nobody listens on yet.
fn free_address() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}")
}

fn join(scene: &Scene, machine: usize) {
    let machine = &scene.cast.machines[machine];
    let args = ["join", &text(&scene.ticket()), "--into", &text(&machine.into)];
    let _ = scene.run(Program::Agent, &machine.home, &args).well();
}

#[track_caller]
fn waits(scene: &Scene, machine: usize, what: &str, ready: impl Fn(&Glimpse) -> bool) {
    let look = || ready(&Glimpse::of(&scene.cast.machines[machine])).then_some(());
    let waited = wait_for(&format!("machine {machine} {what}"), PATIENCE, look);
    let log = scene.cast.machines[machine].daemon.as_ref().unwrap();
    assert!(waited.is_ok(), "{waited:?}\n{}", log.said());
}

#[test]
fn without_any_server_members_meet_again_and_hand_a_newcomer_everything() {
    let mut scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), OLD as u8 + 1);
    scene.release(1, Health::Good);
    scene.release(2, Health::Good);
    let seeder = scene.cast.seed(None).unwrap();
    // Each can be met again where it was.
    let at: Vec<String> = (0..OLD).map(|_| free_address()).collect();
    for (machine, at) in at.iter().enumerate() {
        join(&scene, machine);
        scene.cast.start_with(machine, &["--listen", at]).unwrap();
    }
    let has = |glimpse: &Glimpse| glimpse.version.as_deref() == Some("2.0");
    for machine in 0..OLD {
        // The seeder and each other, so that they are remembered.
        let met = |glimpse: &Glimpse| has(glimpse) && glimpse.peers as usize == OLD;
        waits(&scene, machine, "to have 2.0 and know all", met);
    }
    // What was met is written now and then, and when an agent ends well.
    for machine in &scene.cast.machines[..OLD] {
        let peers = machine.home.join("peers.json");
        let known = || {
            let known = std::fs::read_to_string(&peers).ok()?;
            let others = at.iter().filter(|at| known.contains(*at)).count();
            (others == OLD - 1).then_some(())
        };
        wait_for("the others to be remembered", PATIENCE, known).unwrap();
    }
    seeder.kill();
    (0..OLD).for_each(|machine| scene.cast.stop(machine));

    // Everybody was off, and there is no vendor. Members find each other.
    for (machine, at) in at.iter().enumerate() {
        scene.cast.start_with(machine, &["--listen", at]).unwrap();
    }
    for machine in 0..OLD {
        let met = |glimpse: &Glimpse| glimpse.peers as usize == OLD - 1;
        waits(&scene, machine, "to find the others", met);
    }
    // A newcomer knows its ticket, whose servers are dead, and one neighbour.
    join(&scene, OLD);
    scene.cast.start_with(OLD, &["--peer", &at[1]]).unwrap();
    waits(&scene, OLD, "to have 2.0", |glimpse| has(glimpse) && glimpse.state == "idle");
    waits(&scene, OLD, "to know all", |glimpse| glimpse.peers as usize == OLD);
    let glimpse = Glimpse::of(&scene.cast.machines[OLD]);
    assert_eq!(glimpse.origin, 0, "nothing came from the vendor");
    assert!(glimpse.from_peers > 1_000_000, "{glimpse:?}");
    let found = differences(&scene.tree(2), &scene.cast.machines[OLD].current()).unwrap();
    assert_eq!(found, Vec::<String>::new());
}
