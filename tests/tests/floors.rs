//! The house stands as ARCHITECTURE.md draws it: imports point down only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// Every room and its floor. Rooms on one floor never import each other.
const FLOORS: [(&str, u8); 11] = [
    ("updraft-container", 0),
    ("updraft-delta", 0),
    ("updraft-manifest", 1),
    ("updraft-store", 2),
    ("updraft-swarm", 2),
    ("updraft-web", 2),
    ("updraft-publisher", 3),
    ("updraft-agent", 3),
    ("updraft-auditor", 3),
    ("updraft-tuf", 3),
    ("updraft-tests", 4),
];

/// What only one room may know: (a dependency, the room).
const KEPT_IN: [(&str, &str); 4] = [
    ("libp2p", "updraft-swarm"),
    ("mdns-sd", "updraft-swarm"),
    ("libsais", "updraft-delta"),
    ("preflate-rs", "updraft-container"),
];

/// What the lowest rooms must not even link: clocks, disks, networks, chance.
const IMPURE: [&str; 8] =
    ["tokio", "libp2p", "reqwest", "rustix", "getrandom", "rand", "walkdir", "tempfile"];

fn workspace() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo describes its own workspace")
}

/// What a package imports when it is built, not when it is tested.
fn imports(package: &Package) -> impl Iterator<Item = &str> {
    let built = package.dependencies.iter();
    let built = built.filter(|d| d.kind == cargo_metadata::DependencyKind::Normal);
    built.map(|dependency| dependency.name.as_str())
}

#[test]
fn every_room_has_a_floor() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let workspace = workspace();
    let rooms: Vec<&str> = workspace.packages.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(rooms.len(), floors.len(), "{rooms:?}");
    assert!(rooms.iter().all(|room| floors.contains_key(room)), "{rooms:?}");
}

#[test]
fn imports_point_down_only() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let mut seen = 0;
    for package in &workspace().packages {
        let floor = floors[package.name.as_str()];
        // Tests of a room may not reach up either: dependencies of every kind count.
        for dependency in &package.dependencies {
            if let Some(&below) = floors.get(dependency.name.as_str()) {
                seen += 1;
                assert!(
                    below < floor,
                    "{} (floor {floor}) imports {} (floor {below})",
                    package.name,
                    dependency.name
                );
            }
        }
    }
    assert!(seen >= 10, "only {seen} imports between rooms were found");
}

#[test]
fn what_one_room_knows_no_other_imports() {
    for package in &workspace().packages {
        for (dependency, room) in KEPT_IN {
            let knows = imports(package).any(|name| name == dependency);
            assert!(!knows || package.name.as_str() == room, "{} knows {dependency}", package.name);
        }
    }
}

#[test]
fn the_plain_client_knows_no_swarm() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let workspace = workspace();
    let tuf = workspace.packages.iter().find(|package| package.name.as_str() == "updraft-tuf");
    let rooms = imports(tuf.expect("it is a room")).filter(|name| floors.contains_key(name));
    assert_eq!(rooms.collect::<Vec<_>>(), ["updraft-manifest", "updraft-store", "updraft-web"]);
}

#[test]
fn the_lowest_rooms_are_pure() {
    for package in &workspace().packages {
        let lowest = ["updraft-container", "updraft-delta", "updraft-manifest"];
        if lowest.contains(&package.name.as_str()) {
            for name in imports(package) {
                assert!(!IMPURE.contains(&name), "{} imports {name}", package.name);
            }
        }
    }
}

#[test]
fn only_one_file_steps_outside_what_the_compiler_proves() {
    let workspace = workspace();
    let mut files = Vec::new();
    for package in &workspace.packages {
        let room = package.manifest_path.parent().expect("in a directory");
        sources(room.join("src").as_std_path(), &mut files);
    }
    assert!(files.len() > 100, "only {} files were found", files.len());
    // Elsewhere the workspace's lints refuse it.
    files.retain(|file| fs::read_to_string(file).expect("it is text").contains("unsafe_code"));
    assert_eq!(files, [workspace.workspace_root.as_std_path().join("agent/src/rest.rs")]);
}

/// The source files in a directory and those in it.
fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}
