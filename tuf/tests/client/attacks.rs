//! The attacks that TUF 1.0.34 (1.5.2) and the Uptane standard name, by a
//! server that has none, some or all of the online keys.

use std::time::{Duration, Instant};

use manifest::trust::testing::key;
use store::steps::Steps;
use updraft_tuf::client::Client;
use updraft_tuf::limits::PATIENCE;
use updraft_tuf::metadata::MetadataDir;
use web::body::Patience;
use web::source::{Options, Source};

use crate::server::Answer;
use crate::world::{World, now};

/// A client of a repository with one target, refreshed.
fn world() -> World {
    let mut world = World::new();
    world.add("targets", "file", b"content");
    world.publish(&[]);
    world.download(&["file"]).unwrap();
    world
}

#[test]
fn arbitrary_installation() {
    let mut world = world();
    let good = world.trusted();
    // All but root's keys are the attacker's own.
    for (role, seed) in [("targets", 31), ("snapshot", 32), ("timestamp", 33)] {
        world.repo.signers.insert(role.to_owned(), vec![key(seed)]);
    }
    world.add("targets", "file", b"malware");
    world.publish(&[]);
    let said = world.download(&["file"]).unwrap_err();
    assert!(said.contains("timestamp") && said.contains("0 of the 1 keys"), "{said}");
    assert_eq!(world.downloaded()["file"], b"content");
    assert_eq!(world.trusted(), good);
}

#[test]
fn arbitrary_file_under_a_signed_name() {
    let mut world = world();
    world.add("targets", "file", b"new content");
    world.publish(&[]);
    for wrong in [&b"bad content"[..], b"", b"new conten", b"new content and more"] {
        world.serve_but(move |path| {
            path.starts_with("targets/").then(|| Answer::File(wrong.to_vec()))
        });
        world.download(&["file"]).unwrap_err();
        assert_eq!(world.downloaded()["file"], b"content");
        assert_eq!(world.downloaded().len(), 1, "nothing unfinished is left");
    }
}

#[test]
fn endless_data() {
    for endless in ["2.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json", "new"] {
        let mut world = world();
        world.add("targets", "new", b"new content");
        world.publish(&[]);
        world.serve_but(move |path| path.ends_with(endless).then_some(Answer::Endless));
        let begun = Instant::now();
        let said = world.download(&["new"]).unwrap_err();
        assert!(said.contains("longer than"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{endless}");
    }
}

#[test]
fn extraneous_targets() {
    // A role that may speak of `docs/*` speaks of another path.
    let mut world = World::new();
    world.repo.delegate("targets", "docs", 9, &["docs/*"]);
    world.add("docs", "docs/a", b"documentation");
    world.add("docs", "bin/a", b"malware");
    world.publish(&["docs"]);
    world.download(&["docs/a"]).unwrap();
    world.download(&["bin/a"]).unwrap_err();
    assert_eq!(world.downloaded().keys().collect::<Vec<_>>(), ["docs%2Fa"]);
}

#[test]
fn fast_forward() {
    let mut world = world();
    // A thief of the timestamp's key makes the version as high as it goes.
    world.repo.role("timestamp")["version"] = (u64::MAX - 1).into();
    world.publish(&[]);
    world.refresh().unwrap();
    world.repo.role("timestamp")["version"] = 2.into();
    world.publish(&[]);
    assert!(world.refresh().unwrap_err().contains("older than the trusted"));
    // A new key ends it.
    world.repo.rotate("timestamp", &[40], 1);
    world.repo.publish(&["root"]);
    world.publish(&[]);
    world.refresh().unwrap();
    assert_eq!(world.version("timestamp"), Some(4));
}

#[test]
fn indefinite_freeze() {
    let mut world = world();
    let old = world.repo.files["timestamp.json"].clone();
    world.repo.role("timestamp")["expires"] = "2026-01-01T00:00:00Z".into();
    world.publish(&[]);
    let said = world.refresh().unwrap_err();
    assert!(said.contains("timestamp expired"), "{said}");
    assert_eq!(world.trusted()["timestamp.json"], old);
}

#[test]
fn malicious_mirror_that_prevents_updates_is_told() {
    for answer in [Answer::Status(404), Answer::Status(503), Answer::Noise, Answer::Cut(vec![7; 9])]
    {
        let mut world = world();
        world.serve_but(move |_| Some(answer.clone()));
        let good = world.trusted();
        assert!(!world.refresh().unwrap_err().is_empty());
        assert_eq!(world.trusted(), good);
    }
    let mut world = world();
    // Nobody is there at all.
    world.serve();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/");
    assert!(!world.run(&["--metadata-url", &url, "refresh"]).status.success());
}

#[test]
fn mix_and_match() {
    for hashes in [false, true] {
        let mut world = World::new();
        world.repo.hashes = hashes;
        world.repo.delegate("targets", "a", 9, &["*"]);
        world.publish(&["a"]);
        world.publish(&["a"]);
        // Each of its files was good once; together they never were.
        for (asked, old) in [
            ("3.snapshot.json", "2.snapshot.json"),
            ("3.targets.json", "2.targets.json"),
            ("2.a.json", "1.a.json"),
        ] {
            let bytes = world.repo.files[old].clone();
            world.serve_but(move |path| path.ends_with(asked).then(|| Answer::File(bytes.clone())));
            world.download(&["file"]).unwrap_err();
        }
        assert_eq!(world.version("a"), None);
    }
}

#[test]
fn rollback() {
    let mut world = world();
    let old = world.repo.files.clone();
    world.publish(&[]);
    world.refresh().unwrap();
    let good = world.trusted();
    world.server.set(move |path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        old.get(name).cloned().map_or(Answer::Status(404), Answer::File)
    });
    assert!(world.refresh().unwrap_err().contains("older than the trusted"));
    assert_eq!(world.trusted(), good);
}

#[test]
fn key_compromise_below_the_threshold() {
    let mut world = World::new();
    world.repo.rotate("targets", &[10, 11, 12], 2);
    world.repo.publish(&["root"]);
    world.publish(&[]);
    world.refresh().unwrap();
    world.repo.signers.insert("targets".to_owned(), vec![key(11)]);
    world.add("targets", "file", b"malware");
    world.publish(&[]);
    let said = world.download(&["file"]).unwrap_err();
    assert!(said.contains("1 of the 2 keys"), "{said}");
    assert_eq!(world.version("targets"), Some(2));
}

#[test]
fn slow_retrieval() {
    let mut world = world();
    let patience = Patience {
        silence: Duration::from_millis(300),
        grace: Duration::from_millis(500),
        slowest: 1000,
        ..PATIENCE
    };
    let options = Options { user_agent: "updraft-tuf-test", patience, authorities: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (answer, why) in [
        (Answer::Slow(vec![b' '; 10_000]), "bytes in 0 seconds"),
        (Answer::Silence, "could not be fetched"),
    ] {
        world.serve_but(move |path| path.ends_with("timestamp.json").then(|| answer.clone()));
        let begun = Instant::now();
        let refused = runtime.block_on(async {
            let dir = MetadataDir::open(&world.metadata_dir(), Steps::free()).unwrap();
            let source = Source::new(&world.server.url("metadata"), &options).unwrap();
            Client::refresh(dir, source, now()).await.map(drop).unwrap_err()
        });
        assert!(refused.to_string().contains(why), "{refused}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    world.serve();
    world.refresh().unwrap();
}

#[test]
fn wrong_software() {
    // The file of another signed target.
    let mut world = World::new();
    world.add("targets", "for-arm", b"for arm!");
    world.add("targets", "for-x86", b"for x86!");
    world.publish(&[]);
    world.serve_but(|path| path.ends_with("for-x86").then(|| Answer::File(b"for arm!".to_vec())));
    let said = world.download(&["for-arm", "for-x86"]).unwrap_err();
    assert!(said.contains("for-x86"), "{said}");
    assert_eq!(world.downloaded().keys().collect::<Vec<_>>(), ["for-arm"]);
}

#[test]
fn partial_bundle() {
    // Half of what one publication brought is withheld; the next run has all.
    let mut world = world();
    world.add("targets", "file", b"new content");
    world.publish(&[]);
    for withheld in ["3.snapshot.json", "3.targets.json", "file"] {
        world.serve_but(move |path| path.ends_with(withheld).then_some(Answer::Status(404)));
        world.download(&["file"]).unwrap_err();
        assert_eq!(world.downloaded()["file"], b"content");
    }
    world.serve();
    world.download(&["file"]).unwrap();
    assert_eq!(world.downloaded()["file"], b"new content");
}
