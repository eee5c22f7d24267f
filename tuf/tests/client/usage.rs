//! The command line itself, and first roots.

use std::fs;

use crate::world::World;

#[test]
fn what_is_missing_is_named() {
    let world = World::new();
    let url = world.server.url("metadata");
    let dir = world.target_dir();
    let dir = dir.to_str().unwrap();
    for (args, missing) in [
        (vec!["refresh"], "--metadata-url"),
        (vec!["--metadata-url", &url, "download"], "--target-name"),
        (vec!["--metadata-url", &url, "--target-name", "x", "download"], "--target-base-url"),
        (
            vec![
                "--metadata-url",
                &url,
                "--target-name",
                "x",
                "--target-base-url",
                &url,
                "download",
            ],
            "--target-dir",
        ),
        (vec!["--target-dir", dir], "COMMAND"),
        (vec!["--metadata-url", "file:///srv", "refresh"], "http://"),
        (vec!["unknown"], "unknown"),
    ] {
        let said = String::from_utf8(world.run(&args).stderr).unwrap();
        assert!(said.contains(missing), "{args:?}: {said}");
    }
    assert!(world.server.asked().is_empty());
}

#[test]
fn without_a_first_root_the_next_step_is_told() {
    let world = World::without_client();
    for dir_is_there in [false, true] {
        if dir_is_there {
            fs::create_dir(world.metadata_dir()).unwrap();
        }
        let said = world.refresh().unwrap_err();
        assert!(said.contains("init ROOT.json"), "{said}");
    }
    assert!(world.server.asked().is_empty());
}

#[test]
fn two_runs_at_once_take_turns() {
    let mut world = World::new();
    world.add("targets", "file", b"content");
    world.publish(&[]);
    let runs: Vec<_> = (0..6)
        .map(|_| {
            world
                .command(&["--metadata-url", &world.server.url("metadata"), "refresh"])
                .spawn()
                .unwrap()
        })
        .collect();
    for run in runs {
        assert!(run.wait_with_output().unwrap().status.success());
    }
    // Only the first found anything new.
    let asked = world.server.asked();
    assert_eq!(asked.iter().filter(|path| path.ends_with("2.targets.json")).count(), 1);
    assert_eq!(asked.iter().filter(|path| path.ends_with("timestamp.json")).count(), 6);
}

#[test]
fn options_may_stand_behind_the_command() {
    let world = World::new();
    let output = world.run(&["refresh", "--metadata-url", &world.server.url("metadata")]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_first_root_that_is_none_is_refused_and_nobody_is_asked() {
    let world = World::without_client();
    let root = world.metadata_dir().with_extension("given");
    let good = String::from_utf8(world.repo.files["1.root.json"].clone()).unwrap();
    for bad in [
        "",
        "{}",
        &good.replace("\"version\": 1", "\"version\": 2"),
        &good.replace("\"threshold\": 1", "\"threshold\": 0"),
        &good[..good.len() - 2],
    ] {
        fs::write(&root, bad).unwrap();
        assert!(!world.run(&["init", root.to_str().unwrap()]).status.success(), "{bad}");
        world.refresh().unwrap_err();
    }
    assert!(!world.run(&["init", "/nonexistent/root.json"]).status.success());
    assert!(world.server.asked().is_empty());
    fs::write(&root, good).unwrap();
    assert!(world.run(&["init", root.to_str().unwrap()]).status.success());
    world.refresh().unwrap();
}

#[test]
fn only_a_roots_own_chain_replaces_it() {
    let mut world = World::new();
    world.repo.publish(&["root"]);
    world.serve();
    world.refresh().unwrap();
    let root = world.metadata_dir().with_extension("given");
    fs::write(&root, &world.repo.files["1.root.json"]).unwrap();
    let output = world.run(&["init", root.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("version 2"), "{said}");
    assert_eq!(world.version("root"), Some(2));
}
