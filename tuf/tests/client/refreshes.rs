//! Which files are asked for, in which order, and what is kept.

use crate::server::Answer;
use crate::world::{World, in_days};

#[test]
fn files_are_asked_for_in_the_order_of_the_specification() {
    let world = World::new();
    assert!(world.server.asked().is_empty(), "init asks nobody");
    world.refresh().unwrap();
    let first = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"];
    assert_eq!(world.server.asked(), first.map(|name| format!("metadata/{name}")));
    // What is trusted already is not asked for again.
    world.refresh().unwrap();
    assert_eq!(world.server.asked(), ["metadata/2.root.json", "metadata/timestamp.json"]);
}

#[test]
fn without_consistent_snapshots_only_roots_bear_versions() {
    let mut world = World::new();
    world.repo.role("root")["consistent_snapshot"] = false.into();
    world.repo.publish(&["root"]);
    world.add("targets", "dir/file", b"content");
    world.publish(&[]);
    world.targets.retain(|name, _| name == "dir/file");
    world.serve();
    world.download(&["dir/file"]).unwrap();
    let asked = world.server.asked();
    let plain = ["2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json"];
    assert_eq!(asked[..5], plain.map(|name| format!("metadata/{name}")));
    assert_eq!(asked[5..], ["targets/dir/file"]);
}

#[test]
fn what_is_kept_is_what_was_received_and_nothing_else() {
    let mut world = World::new();
    world.repo.delegate("targets", "a b/%", 9, &["x/*"]);
    world.publish(&["a b/%"]);
    assert!(world.download(&["x/none"]).is_err());
    let trusted = world.trusted();
    let names =
        ["a%20b%2F%25.json", "root.json", "snapshot.json", "targets.json", "timestamp.json"];
    assert_eq!(trusted.keys().collect::<Vec<_>>(), names);
    for (name, served) in [
        ("a%20b%2F%25.json", "1.a%20b%2F%25.json"),
        ("root.json", "1.root.json"),
        ("snapshot.json", "2.snapshot.json"),
        ("targets.json", "2.targets.json"),
        ("timestamp.json", "timestamp.json"),
    ] {
        assert!(trusted[name] == world.repo.files[served], "{name}");
    }
}

#[test]
fn a_chain_of_roots_is_walked_to_its_end() {
    let mut world = World::new();
    for seed in 10..15 {
        world.repo.rotate("root", &[seed], 1);
        world.repo.publish(&["root"]);
    }
    world.serve();
    world.refresh().unwrap();
    assert_eq!(world.version("root"), Some(6));
    assert_eq!(world.server.asked()[..6].last().unwrap(), "metadata/7.root.json");
}

#[test]
fn an_expired_last_root_is_kept_and_ends_the_refresh() {
    let mut world = World::new();
    world.refresh().unwrap();
    world.repo.role("root")["expires"] = "2020-01-01T00:00:00Z".into();
    world.repo.publish(&["root"]);
    world.publish(&[]);
    let said = world.refresh().unwrap_err();
    assert!(said.contains("root expired at 2020-01-01T00:00:00Z"), "{said}");
    assert_eq!((world.version("root"), world.version("timestamp")), (Some(2), Some(1)));
    // The next root brings it back.
    world.repo.role("root")["expires"] = in_days(5).to_string().into();
    world.repo.publish(&["root"]);
    world.serve();
    world.refresh().unwrap();
    assert_eq!((world.version("root"), world.version("timestamp")), (Some(3), Some(2)));
}

#[test]
fn a_missing_file_ends_the_refresh_behind_what_was_verified() {
    let mut world = World::new();
    world.refresh().unwrap();
    world.publish(&[]);
    world.repo.files.remove("2.targets.json");
    world.serve();
    let said = world.refresh().unwrap_err();
    assert!(said.contains("2.targets.json"), "{said}");
    let versions = ["timestamp", "snapshot", "targets"].map(|role| world.version(role));
    assert_eq!(versions, [Some(2), Some(2), Some(1)]);
}

#[test]
fn no_answer_for_the_next_root_is_not_the_end_of_the_chain() {
    for answer in [Answer::Status(500), Answer::Noise, Answer::Cut(b"{\"signed\":{}}".to_vec())] {
        let mut world = World::new();
        world.serve_but(move |path| path.ends_with("2.root.json").then(|| answer.clone()));
        world.refresh().unwrap_err();
        assert_eq!(world.server.asked(), ["metadata/2.root.json"]);
    }
    for none in [403, 404, 410] {
        let mut world = World::new();
        world.serve_but(move |path| path.ends_with("2.root.json").then_some(Answer::Status(none)));
        world.refresh().unwrap();
    }
}

#[test]
fn a_redirection_is_followed_but_not_for_ever() {
    let mut world = World::new();
    let url = world.server.url("metadata/moved.json");
    let timestamp = world.repo.files["timestamp.json"].clone();
    world.serve_but(move |path| match path {
        "metadata/timestamp.json" => Some(Answer::Elsewhere(url.clone())),
        "metadata/moved.json" => Some(Answer::File(timestamp.clone())),
        _ => None,
    });
    world.refresh().unwrap();
    let world = {
        let mut world = World::new();
        let url = world.server.url("metadata/timestamp.json");
        world.serve_but(move |path| {
            path.ends_with("timestamp.json").then(|| Answer::Elsewhere(url.clone()))
        });
        world
    };
    world.refresh().unwrap_err();
    assert!(world.server.asked().len() < 20);
}
