//! A mirror that was tampered with: the agent names what it expected and what
//! it found, what runs stays as it is, and an honest mirror beside it is enough.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use updraft_tests::folder::{copy, files};
use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, Told};

/// A machine that runs 1.0, which was brought by a mirror; 2.0 is published.
fn scene() -> Scene {
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    scene.release(1, Health::Good);
    scene.join(&scene.ticket()).well();
    update(&scene, &[&honest(&scene)]).well();
    scene.assert_runs(1);
    copy(&honest(&scene), &scene.path("older"));
    scene.release(2, Health::Good);
    scene
}

/// What the vendor publishes, as it is.
fn honest(scene: &Scene) -> PathBuf {
    scene.cast.vendor.join("repository")
}

/// Looks for a release once, at these mirrors and nowhere else.
fn update(scene: &Scene, mirrors: &[&Path]) -> Told {
    let mut args = vec!["run".to_owned(), "--once".to_owned(), "--no-dns-sd".to_owned()];
    for mirror in mirrors {
        args.extend(["--mirror".to_owned(), format!("file://{}", mirror.display())]);
    }
    scene.agent(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn flip(file: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(file).unwrap();
    if !bytes.is_empty() {
        let at = at(bytes.len());
        bytes[at] ^= 1;
        fs::write(file, bytes).unwrap();
    }
}

fn cut(file: &Path, len: u64) {
    File::options().write(true).open(file).unwrap().set_len(len).unwrap();
}

fn is(file: &Path, name: &str) -> bool {
    file.file_name().is_some_and(|found| found.to_string_lossy().ends_with(name))
}

/// What is done to a mirror, and what the agent must name.
struct Case {
    name: &'static str,
    tamper: fn(&Path),
    parts: &'static [&'static str],
}

/// In the order in which an agent meets them: each lets it come no further.
const CASES: [Case; 8] = [
    Case {
        name: "a timestamp with a changed bit",
        // Behind the signatures comes what they cover.
        tamper: |file| {
            if is(file, "timestamp.json") {
                flip(file, |len| len - len / 4);
            }
        },
        parts: &["timestamp"],
    },
    Case {
        name: "a timestamp that never ends",
        // Sparse: it takes no room here, and would take 1 TiB in memory.
        tamper: |file| {
            if is(file, "timestamp.json") {
                cut(file, 1 << 40);
            }
        },
        parts: &["timestamp", "longer than"],
    },
    Case {
        name: "a snapshot with a changed bit",
        tamper: |file| {
            if is(file, ".snapshot.json") {
                flip(file, |len| len / 2);
            }
        },
        parts: &["snapshot"],
    },
    Case {
        name: "a channel's role with a changed bit",
        tamper: |file| {
            if is(file, ".hello.stable.json") {
                flip(file, |len| len / 2);
            }
        },
        parts: &["hello.stable"],
    },
    Case {
        name: "no objects at all",
        tamper: |file| {
            if file.components().any(|part| part.as_os_str() == "objects") {
                fs::remove_file(file).unwrap();
            }
        },
        parts: &["manifest", "is not there"],
    },
    Case {
        name: "manifests, deltas and pieces with a changed bit",
        tamper: |file| {
            if file.components().any(|part| part.as_os_str() == "objects") {
                flip(file, |len| len / 2);
            }
        },
        parts: &["manifest", "objects/"],
    },
    Case {
        name: "manifests, deltas and pieces that break off",
        tamper: |file| {
            if file.components().any(|part| part.as_os_str() == "objects") {
                cut(file, fs::metadata(file).unwrap().len() / 2);
            }
        },
        parts: &["objects/"],
    },
    Case {
        name: "objects that say they unpack to 2^60 bytes",
        tamper: |file| {
            if is(file, ".zst") {
                let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0xE0];
                frame.extend((1u64 << 60).to_le_bytes());
                frame.extend([0; 64]);
                fs::write(file, frame).unwrap();
            } else if file.components().any(|part| part.as_os_str() == "objects") {
                // What is not packed leads to 2.0 without them.
                fs::remove_file(file).unwrap();
            }
        },
        parts: &["objects/", "1152921504606846976"],
    },
];

#[test]
fn what_was_tampered_with_is_named_and_changes_nothing() {
    let scene = scene();
    let mut mirrors = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        let mirror = scene.path(&format!("mirror-{number}"));
        copy(&honest(&scene), &mirror);
        files(&mirror).iter().for_each(|file| (case.tamper)(file));
        println!("{}:", case.name);
        println!("  {}", update(&scene, &[&mirror]).refused(case.parts).text.trim());
        scene.assert_runs(1);
        mirrors.push(mirror);
    }
    // Beside them all, one honest mirror is enough.
    let honest = honest(&scene);
    let [.., bits, _, bomb] = &mirrors[..] else { unreachable!("there are eight") };
    update(&scene, &[&mirrors[0], bits, &honest, bomb]).well();
    scene.assert_runs(2);
    scene.agent(&["audit", "verify"]).well();
}

#[test]
fn other_vendors_and_mirrors_that_went_back_in_time_are_refused() {
    let scene = scene();
    let other = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    other.release(7, Health::Good);
    other.release(8, Health::Good);
    update(&scene, &[&honest(&other)]).refused(&["sign"]);
    scene.assert_runs(1);
    update(&scene, &[&honest(&scene)]).well();
    scene.assert_runs(2);
    update(&scene, &[&scene.path("older")]).refused(&["older than"]);
    scene.assert_runs(2);
}
