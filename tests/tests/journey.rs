//! One machine's owner goes through what an owner goes through.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use updraft_tests::compare::differences;
use updraft_tests::programs::Daemon;
use updraft_tests::sample::Health;
use updraft_tests::scene::Scene;

/// A vendor that seeds 1.0 of the sample, and a machine whose agent runs and
/// has installed it.
fn scene(upload: Option<u64>) -> (Scene, Daemon) {
    let mut scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    scene.release(1, Health::Good);
    let seeder = scene.cast.seed(upload).unwrap();
    let ticket = scene.ticket();
    scene.cast.join_all(&ticket).unwrap();
    scene.wait_for_version("1.0");
    scene.assert_runs(1);
    (scene, seeder)
}

#[test]
fn an_owner_installs_updates_looks_back_and_goes_back() {
    let (mut scene, seeder) = scene(None);

    // What is installed is compared with the signed manifest, and repaired.
    scene.agent(&["verify"]).well();
    fs::write(scene.current().join("share/doc/page-007.txt"), "scribbled over\n").unwrap();
    scene.agent(&["verify"]).refused(&["share/doc/page-007.txt"]);
    scene.wait_for_version("1.0");
    scene.assert_runs(1);

    // A damaged base does not keep the next release from being whole.
    fs::write(scene.current().join("lib/engine-3.bin"), "gone").unwrap();
    scene.release(2, Health::Good);
    scene.wait_for_version("2.0");
    scene.assert_runs(2);
    let history = scene.agent(&["history", "--json"]).well().text;
    assert!(history.contains("1.0") && history.contains("2.0"), "{history}");
    scene.agent(&["audit", "verify"]).well();
    let status = scene.agent(&["status", "--json"]).well().text;
    let status: Value = serde_json::from_str(&status).expect("--json prints JSON");
    let outcome = status["last_check"]["outcome"].as_str().unwrap_or_default();
    assert!(["up to date", "2.0 (#2) was installed"].contains(&outcome), "{status}");

    // The owner goes back; the agent does not undo that by itself.
    scene.agent(&["rollback"]).well();
    scene.wait_for_version("1.0");
    let told = scene.agent(&["check"]);
    assert!([0, 4].contains(&told.code), "{}", told.text);
    std::thread::sleep(Duration::from_secs(2));
    scene.wait_for_version("1.0");
    // What was damaged before is repaired by then.
    scene.assert_runs(1);

    // A newer release is another matter.
    scene.release(3, Health::Good);
    scene.wait_for_version("3.0");
    scene.assert_runs(3);

    // A release that is ill is left by itself.
    scene.release(4, Health::Bad);
    let machine = &scene.cast.machines[0];
    updraft_tests::programs::wait_for("4.0 to be left", Duration::from_secs(60), || {
        let glimpse = updraft_tests::watch::Glimpse::of(machine);
        glimpse.bad.iter().any(|version| version == "4.0").then_some(())
    })
    .unwrap();
    scene.wait_for_version("3.0");
    scene.assert_runs(3);
    scene.agent(&["explain"]).well();
    scene.agent(&["audit", "verify"]).well();

    // The log on its own is enough to see that somebody changed it.
    scene.cast.stop(0);
    let log = scene.cast.machines[0].home.join("log/entries.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"2.0\"", "\"9.9\"", 1)).unwrap();
    scene.agent(&["audit", "verify"]).refused(&["entry"]);
    seeder.kill();
}

#[test]
fn an_agent_killed_at_any_moment_comes_back_with_a_whole_release() {
    // So slow that the patch's two megabytes take many kills.
    let (mut scene, seeder) = scene(Some(1 << 19));
    scene.release(2, Health::Good);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SEED={seed}");
    let mut seen = [0, 0];
    for kill in 0..25u64 {
        // Spread over the whole update, from the first frame to the probe.
        std::thread::sleep(Duration::from_millis(20 + (seed + kill * 337) % 900));
        scene.cast.stop(0);
        let runs = |number| {
            differences(&scene.tree(number), &scene.current()).is_ok_and(|found| found.is_empty())
        };
        match (runs(1), runs(2)) {
            (true, false) => seen[0] += 1,
            (false, true) => seen[1] += 1,
            _ => panic!("after kill {kill}, `current` is neither release"),
        }
        scene.cast.start(0).unwrap();
    }
    println!("after a kill 1.0 ran {} times, 2.0 {} times", seen[0], seen[1]);
    assert!(seen[0] > 0, "the update was over before the first kill");
    scene.wait_for_version("2.0");
    scene.assert_runs(2);
    scene.agent(&["audit", "verify"]).well();
    seeder.kill();
}
