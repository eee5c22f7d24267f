//! What is broken, hostile or impossible is told, and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use updraft_tests::cast::Cast;
use updraft_tests::programs::{Program, Programs};

struct Scene {
    cast: Cast,
    folder: tempfile::TempDir,
}

impl Scene {
    /// A vendor with one release and a ticket; machines that have not joined.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::within(env!("CARGO_BIN_EXE_updraft-demo").into());
        let cast = Cast::new(programs, folder.path().to_owned(), 2).unwrap();
        let scene = Self { cast, folder };
        scene.cast.vendor(&["init", "Example", "--product", "hello"]).unwrap();
        let tree = scene.folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("hello.txt"), "hello\n").unwrap();
        scene.cast.vendor(&["release", &text(&tree), "--version", "1.0"]).unwrap();
        scene.cast.vendor(&["ticket", "--out", &text(&scene.ticket())]).unwrap();
        scene
    }

    fn ticket(&self) -> PathBuf {
        self.folder.path().join("hello.ticket")
    }

    /// Runs a program; gives its exit code and all that it printed.
    fn run(&self, program: Program, home: &Path, args: &[&str]) -> (i32, String) {
        let output = self.cast.programs.output(program, home, args).unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(!told.contains("panicked"), "{args:?}: {told}");
        (output.status.code().unwrap_or(-1), told)
    }

    fn publisher(&self, args: &[&str]) -> (i32, String) {
        self.run(Program::Publisher, &self.cast.vendor, args)
    }

    fn agent(&self, args: &[&str]) -> (i32, String) {
        self.run(Program::Agent, &self.cast.machines[0].home, args)
    }

    fn join(&self, ticket: &Path) -> (i32, String) {
        let into = text(&self.cast.machines[0].into);
        self.agent(&["join", &text(ticket), "--into", &into])
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Each of `parts` stands in `told`.
fn tells(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} is missing in: {told}");
    }
}

#[test]
fn a_tampered_ticket_is_refused() {
    let scene = Scene::new();
    let good = fs::read_to_string(scene.ticket()).unwrap();
    let bad = scene.folder.path().join("bad.ticket");
    for (broken, parts) in [
        (good.replace("updraft-ticket/1", "updraft-ticket/7"), vec!["updraft-ticket/7"]),
        (good.replace("\\\"hello\\\"", "\\\"jello\\\""), vec!["sign"]),
        (good[..good.len() / 2].to_owned(), vec!["not a ticket"]),
        ("x".repeat(2 << 20), vec!["1048576", "2097152"]),
        (String::new(), vec!["not a ticket"]),
    ] {
        fs::write(&bad, broken).unwrap();
        fs::set_permissions(&bad, fs::Permissions::from_mode(0o600)).unwrap();
        let (code, told) = scene.join(&bad);
        assert_ne!(code, 0, "{told}");
        tells(&told, &parts);
        assert!(!scene.cast.machines[0].into.exists());
    }
    let (code, told) = scene.join(&scene.ticket());
    assert_eq!(code, 0, "{told}");
}

#[test]
fn another_root_than_was_told_is_refused() {
    let scene = Scene::new();
    let into = text(&scene.cast.machines[0].into);
    let ticket = text(&scene.ticket());
    let other = "00".repeat(32);
    let (code, told) =
        scene.agent(&["join", &ticket, "--into", &into, "--root-fingerprint", &other]);
    assert_ne!(code, 0);
    tells(&told, &[&other]);

    // And a machine that has joined stays with its root.
    assert_eq!(scene.join(&scene.ticket()).0, 0);
    let stranger = Scene::new();
    let (code, told) = scene.join(&stranger.ticket());
    assert_ne!(code, 0, "{told}");
}

#[test]
fn a_members_ticket_makes_no_auditor() {
    let scene = Scene::new();
    let home = scene.folder.path().join("auditor");
    let (code, told) = scene.run(Program::Auditor, &home, &["join", &text(&scene.ticket())]);
    assert_ne!(code, 0);
    tells(&told, &["uditor"]);
}

#[test]
fn a_config_with_a_wrong_key_or_value_is_told_by_file_and_key() {
    let scene = Scene::new();
    assert_eq!(scene.join(&scene.ticket()).0, 0);
    let config = scene.cast.machines[0].home.join("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    for (line, parts) in [
        ("[network]\nlissten = []\n", ["config.toml", "lissten"]),
        ("[update]\npoll = \"soon\"\n", ["config.toml", "poll"]),
        ("[network\n", ["config.toml", "3"]),
    ] {
        fs::write(&config, format!("{good}\n{line}")).unwrap();
        let (code, told) = scene.agent(&["run", "--no-dns-sd"]);
        assert_ne!(code, 0);
        tells(&told, &parts[..parts.len() - usize::from(line == "[network\n")]);
    }
}

#[test]
fn no_route_to_anyone_is_told() {
    let scene = Scene::new();
    assert_eq!(scene.join(&scene.ticket()).0, 0);
    let (code, told) = scene.agent(&["check"]);
    assert_ne!(code, 0, "{told}");
    assert!(!told.trim().is_empty());
}

#[test]
fn what_cannot_be_shipped_is_refused_by_name() {
    let scene = Scene::new();
    let refused = |prepare: &dyn Fn(&Path), parts: &[&str]| {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("fine.txt"), "fine").unwrap();
        prepare(tree.path());
        let (code, told) = scene.publisher(&["release", &text(tree.path()), "--version", "2.0"]);
        assert_ne!(code, 0, "{told}");
        tells(&told, parts);
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
    let (code, told) = scene.publisher(&["status"]);
    assert_eq!(code, 0, "{told}");
    tells(&told, &["1.0"]);
    assert!(!told.contains("2.0"), "{told}");
}

#[test]
fn a_release_that_is_there_is_not_published_again() {
    let scene = Scene::new();
    let tree = scene.folder.path().join("tree");
    let (code, told) = scene.publisher(&["release", &text(&tree), "--version", "1.0"]);
    assert_ne!(code, 0);
    tells(&told, &["1.0"]);
}

#[test]
fn keys_that_others_may_read_are_refused_with_what_to_do() {
    let scene = Scene::new();
    let keys = scene.cast.vendor.join("keys");
    for key in fs::read_dir(&keys).unwrap() {
        let path = key.unwrap().path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let tree = scene.folder.path().join("tree");
    let (code, told) = scene.publisher(&["release", &text(&tree), "--version", "2.0"]);
    assert_ne!(code, 0);
    tells(&told, &["chmod"]);
}
