//! Targets: found, fetched, kept.

use std::fs;

use manifest::trust::quote::unquoted;

use crate::server::Answer;
use crate::world::World;

#[test]
fn a_target_is_fetched_once() {
    let mut world = World::new();
    world.add("targets", "dir/file.txt", b"content");
    world.publish(&[]);
    world.download(&["dir/file.txt"]).unwrap();
    world.download(&["dir/file.txt"]).unwrap();
    let asked = world.server.asked();
    assert_eq!(asked.iter().filter(|path| path.starts_with("targets/")).count(), 1, "{asked:?}");
    assert_eq!(world.downloaded()["dir%2Ffile.txt"], b"content");
}

#[test]
fn a_newer_target_takes_the_place_of_the_older() {
    let mut world = World::new();
    for content in [&b"first"[..], b"second, longer", b""] {
        world.add("targets", "file", content);
        world.publish(&[]);
        world.download(&["file"]).unwrap();
        assert_eq!(world.downloaded().len(), 1);
        assert_eq!(world.downloaded()["file"], content);
    }
}

#[test]
fn an_edited_file_is_fetched_again() {
    let mut world = World::new();
    world.add("targets", "file", b"content");
    world.publish(&[]);
    world.download(&["file"]).unwrap();
    fs::write(world.target_dir().join("file"), b"c0ntent").unwrap();
    world.download(&["file"]).unwrap();
    assert_eq!(world.downloaded()["file"], b"content");
}

#[test]
fn several_targets_are_fetched_in_order_until_one_fails() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.add("targets", name, name.as_bytes());
    }
    world.publish(&[]);
    let said = world.download(&["b", "none", "c"]).unwrap_err();
    assert!(said.contains("\"none\""), "{said}");
    assert_eq!(world.downloaded().keys().collect::<Vec<_>>(), ["b"]);
    world.server.asked();
    world.download(&["c", "a", "b"]).unwrap();
    let asked = world.server.asked();
    // One refresh for all of them.
    assert_eq!(asked.iter().filter(|path| path.ends_with("timestamp.json")).count(), 1);
    let order: Vec<&str> =
        asked.iter().filter_map(|path| path.strip_prefix("targets/")?.split('.').nth(1)).collect();
    assert_eq!(order, ["c", "a"]);
}

#[test]
fn odd_names_of_targets_reach_server_and_disk() {
    let odd = [
        "a b/c d.txt",
        "\"quoted\" 'too'",
        "100%",
        "a%20b",
        "caf\u{e9}/\u{65e5}\u{672c}\u{8a9e}",
        "q?x=1",
        "hash#mark",
        "back\\slash",
        "-rf",
        "a+b&c=d;e,f@g:h!$*()",
        "[1]{2}|3^4`5<6>7",
        ".hidden",
    ];
    for consistent in [true, false] {
        let mut world = World::new();
        world.repo.role("root")["consistent_snapshot"] = consistent.into();
        world.repo.publish(&["root"]);
        for name in odd {
            world.add("targets", name, name.as_bytes());
        }
        world.publish(&[]);
        world.download(&odd).unwrap();
        let downloaded = world.downloaded();
        assert_eq!(downloaded.len(), odd.len());
        for name in odd {
            let (_, content) =
                downloaded.iter().find(|(file, _)| unquoted(file).unwrap() == name).expect(name);
            assert_eq!(content, name.as_bytes());
        }
    }
}

#[test]
fn a_name_cannot_lead_out_of_the_directory() {
    let mut world = World::new();
    world.add("targets", "../../escaped", b"content");
    world.targets.insert("escaped".to_owned(), b"content".to_vec());
    world.publish(&[]);
    // Whether a server finds such a path is its own affair.
    let _ = world.download(&["../../escaped"]);
    for dir in [world.target_dir(), world.metadata_dir()] {
        assert!(!dir.join("../../escaped").exists() && !dir.join("../escaped").exists());
    }
    for name in ["", ".", ".."] {
        let mut world = World::new();
        world.add("targets", name, b"content");
        world.publish(&[]);
        world.download(&[name]).unwrap_err();
        assert!(world.downloaded().is_empty());
    }
}

#[test]
fn odd_names_of_roles_reach_server_and_disk() {
    let odd = [
        "?",
        "#",
        "/role",
        "../role",
        "..",
        ".",
        "a b",
        "100%",
        "\u{e9}\"'",
        "%2F",
        "C:\\x",
        "1.a",
    ];
    let mut world = World::new();
    for (seed, name) in (10..).zip(odd) {
        world.repo.delegate("targets", name, seed, &["*"]);
    }
    world.publish(&odd);
    world.download(&["none"]).unwrap_err();
    assert_eq!(world.trusted().len(), 4 + odd.len());
    let asked = world.server.asked();
    assert!(asked.contains(&"metadata/1...%2Frole.json".to_owned()), "{asked:?}");
    // All of them are taken from disk the next time.
    world.download(&["none"]).unwrap_err();
    assert_eq!(world.server.asked(), ["metadata/2.root.json", "metadata/timestamp.json"]);
}

#[test]
fn more_kept_roles_than_one_search_visits_are_not_asked_for_again() {
    let mut world = World::new();
    let roles: Vec<String> = (0..60).map(|i| format!("role{i}")).collect();
    let paths: Vec<String> = (0..60).map(|i| format!("{i}/file")).collect();
    for (i, role) in roles.iter().enumerate() {
        let seed = 10 + u8::try_from(i % 40).unwrap();
        world.repo.delegate("targets", role, seed, &[&format!("{i}/*")]);
        world.add(role, &paths[i], b"content");
    }
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    world.publish(&roles);
    world.download(&paths).unwrap();
    assert_eq!(world.trusted().len(), 64);
    world.server.asked();
    world.download(&paths).unwrap();
    assert_eq!(world.server.asked(), ["metadata/2.root.json", "metadata/timestamp.json"]);
}

#[test]
fn a_role_that_no_file_can_be_named_after_is_fetched_each_time() {
    let mut world = World::new();
    let long = "\u{e9}".repeat(100);
    world.repo.delegate("targets", &long, 9, &["*"]);
    world.add(&long, "file", b"content");
    world.publish(&[&long]);
    world.download(&["file"]).unwrap();
    world.download(&["file"]).unwrap();
    assert_eq!(world.trusted().len(), 4);
    let asked = world.server.asked();
    assert_eq!(asked.iter().filter(|path| path.contains("%C3%A9")).count(), 2, "{asked:?}");
}

#[test]
fn any_hash_that_is_named_finds_the_file() {
    let mut world = World::new();
    world.add("targets", "file", b"content");
    // SHA-224 of "content", and no file under that name.
    let sha224 = "7a5aae8f0d3c4a9b8b6b9f0b1a9e9b60f5e26a1ad2a5d6d0a0c6d5a2";
    world.repo.role("targets")["targets"]["file"]["hashes"]["sha224"] = sha224.into();
    world.publish(&[]);
    let said = world.download(&["file"]).unwrap_err();
    // Found under its other hash, and refused: every hash must match.
    assert!(said.contains("sha224"), "{said}");
    let asked = world.server.asked();
    assert_eq!(asked.iter().filter(|path| path.starts_with("targets/")).count(), 2, "{asked:?}");
    assert!(world.downloaded().is_empty());
}

#[test]
fn an_unknown_hash_is_refused_before_anything_is_fetched() {
    let mut world = World::new();
    world.add("targets", "file", b"content");
    world.repo.role("targets")["targets"]["file"]["hashes"] = serde_json::json!({ "x": "00" });
    world.publish(&[]);
    world.serve_but(|path| path.starts_with("targets/").then(|| Answer::File(b"content".into())));
    let said = world.download(&["file"]).unwrap_err();
    assert!(said.contains("algorithm x"), "{said}");
    assert!(world.downloaded().is_empty());
}
