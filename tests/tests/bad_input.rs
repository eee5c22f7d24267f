//! What is broken, hostile or impossible is told, and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use updraft_tests::programs::Program;
use updraft_tests::scene::{Scene, text};

/// A vendor with one small release; machines that have not joined.
fn scene() -> Scene {
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 2);
    let tree = scene.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("hello.txt"), "hello\n").unwrap();
    scene.publisher(&["release", &text(&tree), "--version", "1.0"]).well();
    scene
}

#[test]
fn a_tampered_ticket_is_refused() {
    let scene = scene();
    let good = fs::read_to_string(scene.ticket()).unwrap();
    let bad = scene.path("bad.ticket");
    for (broken, parts) in [
        (good.replace("updraft-ticket/1", "updraft-ticket/7"), vec!["updraft-ticket/7"]),
        (good.replace("\\\"hello\\\"", "\\\"jello\\\""), vec!["sign"]),
        (good[..good.len() / 2].to_owned(), vec!["not a ticket"]),
        ("x".repeat(2 << 20), vec!["1048576", "2097152"]),
        (String::new(), vec!["not a ticket"]),
    ] {
        fs::write(&bad, broken).unwrap();
        fs::set_permissions(&bad, fs::Permissions::from_mode(0o600)).unwrap();
        scene.join(&bad).refused(&parts);
        assert!(!scene.cast.machines[0].into.exists());
    }
    scene.join(&scene.ticket()).well();
}

#[test]
fn another_root_than_was_told_is_refused() {
    let scene = scene();
    let (into, ticket) = (text(&scene.cast.machines[0].into), text(&scene.ticket()));
    let other = "00".repeat(32);
    let args = ["join", &ticket, "--into", &into, "--root-fingerprint", &other];
    scene.agent(&args).refused(&[&other]);

    // And a machine that has joined stays with its root.
    scene.join(&scene.ticket()).well();
    let stranger = self::scene();
    scene.join(&stranger.ticket()).refused(&["workgroup"]);
}

#[test]
fn a_member_of_another_workgroup_is_not_let_in() {
    let scene = scene();
    let stranger = self::scene();
    let seeder = scene.cast.seed(None).unwrap();
    stranger.join(&stranger.ticket()).well();
    let address = &scene.cast.listen()[0];
    let args = ["run", "--once", "--no-dns-sd", "--peer", address];
    let told = stranger.agent(&args).refused(&[address, "no member could be reached"]);
    println!("{}", told.text);
    assert!(!stranger.current().exists());
    seeder.kill();
}

#[test]
fn a_members_ticket_makes_no_auditor() {
    let scene = scene();
    let home = scene.path("auditor");
    let told = scene.run(Program::Auditor, &home, &["join", &text(&scene.ticket())]);
    told.refused(&["uditor"]);
}

#[test]
fn a_config_with_a_wrong_key_or_value_is_told_by_file_and_key() {
    let scene = scene();
    scene.join(&scene.ticket()).well();
    let config = scene.cast.machines[0].home.join("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    for (line, parts) in [
        ("[network]\nlissten = []\n", &["config.toml", "lissten"][..]),
        ("[update]\npoll = \"soon\"\n", &["config.toml", "poll"]),
        ("[network\n", &["config.toml"]),
    ] {
        fs::write(&config, format!("{good}\n{line}")).unwrap();
        scene.agent(&["run", "--no-dns-sd"]).refused(parts);
    }
}

#[test]
fn no_route_to_anyone_is_told() {
    let scene = scene();
    scene.join(&scene.ticket()).well();
    let told = scene.agent(&["check"]);
    assert!(!told.text.trim().is_empty());
    told.refused(&["no"]);
}

#[test]
fn what_cannot_be_shipped_is_refused_by_name() {
    let scene = scene();
    let refused = |prepare: &dyn Fn(&Path), parts: &[&str]| {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("fine.txt"), "fine").unwrap();
        prepare(tree.path());
        scene.publisher(&["release", &text(tree.path()), "--version", "2.0"]).refused(parts);
    };
    refused(&|tree| drop(UnixListener::bind(tree.join("a.sock")).unwrap()), &["a.sock", "socket"]);
    let fifo = |tree: &Path| {
        assert!(Command::new("mkfifo").arg(tree.join("a.fifo")).status().unwrap().success());
    };
    refused(&fifo, &["a.fifo"]);
    let setuid = |tree: &Path| {
        let file = tree.join("fine.txt");
        fs::set_permissions(file, fs::Permissions::from_mode(0o4755)).unwrap();
    };
    refused(&setuid, &["fine.txt"]);
    let odd = |tree: &Path| {
        use std::os::unix::ffi::OsStrExt;
        fs::write(tree.join(std::ffi::OsStr::from_bytes(b"bad\xFFname")), "").unwrap();
    };
    refused(&odd, &["UTF-8"]);
    let told = scene.publisher(&["status"]).well().text;
    assert!(told.contains("1.0") && !told.contains("2.0"), "{told}");
}

#[test]
fn a_release_that_is_there_is_not_published_again() {
    let scene = scene();
    let tree = text(&scene.path("tree"));
    scene.publisher(&["release", &tree, "--version", "1.0"]).refused(&["1.0"]);
}

#[test]
fn keys_that_others_may_read_are_refused_with_what_to_do() {
    let scene = scene();
    for key in fs::read_dir(scene.cast.vendor.join("keys")).unwrap() {
        let path = key.unwrap().path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let tree = text(&scene.path("tree"));
    scene.publisher(&["release", &tree, "--version", "2.0"]).refused(&["chmod"]);
}
