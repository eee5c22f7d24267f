//! The attacks that TUF 1.0.34 (1.5.2) and the Uptane standard name, against
//! a real agent: by a mirror that has none of the vendor's keys, or some.
//!
//! After each attack the machine runs what it ran, byte for byte; and where an
//! honest source stands beside the attacker, the machine is up to date.

mod mirror;
mod thief;

use std::time::{Duration, Instant};

use manifest::trust::role::MetadataVersion;
use updraft_tests::folder;
use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, text};

use crate::mirror::{Answer, Mirror};
use crate::thief::Thief;

/// A machine that runs 1.0, while 2.0 is public; `older` is the repository of
/// the days of 1.0.
fn scene() -> Scene {
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    scene.release(1, Health::Good);
    scene.join(&scene.ticket()).well();
    update(&scene, &[&repository(&scene)]).well();
    scene.assert_runs(1);
    folder::copy(&scene.cast.vendor.join("repository"), &scene.path("older"));
    scene.release(2, Health::Good);
    scene
}

/// Where the vendor's own repository is.
fn repository(scene: &Scene) -> String {
    at(scene, "vendor/repository")
}

fn at(scene: &Scene, dir: &str) -> String {
    format!("file://{}", scene.path(dir).display())
}

/// Looks for a release once, at these mirrors and nowhere else.
fn update(scene: &Scene, mirrors: &[&str]) -> updraft_tests::scene::Told {
    let mut args = vec!["run", "--once", "--no-dns-sd"];
    mirrors.iter().for_each(|mirror| args.extend(["--mirror", mirror]));
    scene.agent(&args)
}

/// The attack fails for the reasons in `parts`, and 1.0 runs on; an honest
/// mirror beside it is enough.
#[track_caller]
fn in_vain(scene: &Scene, evil: &str, parts: &[&str]) {
    let told = update(scene, &[evil]).refused(parts);
    println!("{}", told.text.trim());
    scene.assert_runs(1);
    scene.agent(&["verify"]).well();
    update(scene, &[evil, &repository(scene)]).well();
    scene.assert_runs(2);
}

#[test]
fn arbitrary_software_installation() {
    let scene = scene();
    // Everything below root is signed anew, with keys of the attacker's own.
    let mut thief = Thief::of(&scene, "evil");
    let keys = thief.foreign_keys();
    thief.publish_with(&keys);
    in_vain(&scene, &at(&scene, "evil"), &["timestamp", "0 of the 1 keys"]);
}

#[test]
fn endless_data() {
    let scene = scene();
    for endless in ["2.root.json", "timestamp.json", ".snapshot.json", ".stable.json", "objects/"] {
        let evil = Mirror::of(&scene.path("vendor/repository"), move |path| {
            path.contains(endless).then_some(Answer::Endless)
        });
        let begun = Instant::now();
        let told = update(&scene, &[&evil.url()]).refused(&[]);
        println!("{endless}: {} after {:?}", told.text.trim(), begun.elapsed());
        assert!(evil.sent() < 256 << 20, "{endless}: {} bytes were taken", evil.sent());
        scene.assert_runs(1);
    }
    let evil = Mirror::of(&scene.path("vendor/repository"), |_| Some(Answer::Endless));
    update(&scene, &[&evil.url(), &repository(&scene)]).well();
    scene.assert_runs(2);
}

#[test]
fn extraneous_dependencies() {
    let scene = scene();
    // A thief of one channel's key lists software where that channel has no
    // say: beside its own paths, and under another product's name.
    let mut thief = Thief::of(&scene, "evil");
    thief.lists_elsewhere("hello/beta/linux-x86_64/9.0.release");
    thief.lists_elsewhere("other/stable/linux-x86_64/9.0.release");
    let keys = thief.channel_keys();
    thief.publish_with(&keys);
    update(&scene, &[&at(&scene, "evil")]).well();
    scene.assert_runs(2);
    let history = scene.agent(&["history"]).well().text;
    assert!(!history.contains("9.0"), "{history}");
}

#[test]
fn fast_forward() {
    let scene = scene();
    // A thief of the online keys makes their versions as high as they go.
    let mut thief = Thief::of(&scene, "evil");
    thief.skips_to(MetadataVersion::new(1 << 53).unwrap());
    update(&scene, &[&at(&scene, "evil")]);
    let parts = ["timestamp", "older than the trusted"];
    update(&scene, &[&repository(&scene)]).refused(&parts);
    // The vendor replaces the stolen keys, and the machine comes along.
    for role in ["snapshot", "timestamp"] {
        scene.publisher(&["key", "rotate", role]).well();
    }
    scene.release(3, Health::Good);
    update(&scene, &[&repository(&scene)]).well();
    scene.assert_runs(3);
}

#[test]
fn indefinite_freeze() {
    let mut scene = scene();
    let Some(later) = scene.cast.programs.days_ahead(40) else {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is missing");
        eprintln!("SKIPPED: libfaketime is not installed, so nobody can be frozen");
        return;
    };
    // The mirror shows what was true forty days ago, signatures and all.
    let present = std::mem::replace(&mut scene.cast.programs, later);
    let told = update(&scene, &[&at(&scene, "older")]).refused(&["timestamp", "expired"]);
    println!("{}", told.text.trim());
    scene.assert_runs(1);
    let status = scene.agent(&["status"]).well().text;
    assert!(status.contains("expired"), "the owner is told: {status}");
    let log = std::fs::read_to_string(scene.path("machine-1/home/log/entries.jsonl")).unwrap();
    assert!(log.contains("\"kind\":\"expired\""), "and so is the auditor");
    // An honest vendor has signed anew, and is enough beside the frozen one.
    scene.publisher(&["repo", "refresh"]).well();
    update(&scene, &[&at(&scene, "older"), &repository(&scene)]).well();
    scene.assert_runs(2);
    drop(present);
}

#[test]
fn malicious_mirrors_prevent_no_update() {
    let scene = scene();
    let answers = [Answer::Status(404), Answer::Status(503), Answer::Noise, Answer::Nothing];
    for answer in answers.clone() {
        let evil = Mirror::of(&scene.path("vendor/repository"), move |_| Some(answer.clone()));
        update(&scene, &[&evil.url()]).refused(&[]);
        scene.assert_runs(1);
    }
    // The whole crowd, and one who is honest. TUF 5.3.3: "not found" for the
    // next root from one source is no evidence.
    scene.publisher(&["renew", "--root"]).well();
    let crowd = answers
        .map(|answer| Mirror::of(&scene.path("vendor/repository"), move |_| Some(answer.clone())));
    let urls: Vec<String> = crowd.iter().map(Mirror::url).collect();
    let no_root = Mirror::of(&scene.path("vendor/repository"), |path| {
        path.ends_with("2.root.json").then_some(Answer::Status(404))
    });
    let (honest, no_root) = (repository(&scene), no_root.url());
    let mut all: Vec<&str> = urls.iter().map(String::as_str).collect();
    all.extend([no_root.as_str(), honest.as_str()]);
    update(&scene, &all).well();
    scene.assert_runs(2);
    // Who hides the root leads to an end too, and the honest one may not be
    // among the first asked; but nobody can hide it for long.
    let path = scene.path("machine-1/home/trusted/root.json");
    let believed = (1..=12).any(|_| {
        update(&scene, &all).well();
        std::fs::read_to_string(&path).unwrap().contains("\"version\":2")
    });
    assert!(believed, "the honest source's root is believed");
}

#[test]
fn mix_and_match() {
    let scene = scene();
    // The newest timestamp with a channel's file of another time.
    folder::copy(&scene.path("vendor/repository"), &scene.path("evil"));
    let metadata = scene.path("evil/metadata");
    let of_role = |version: u64| metadata.join(format!("{version}.hello.stable.json"));
    let newest = (2..9).rev().find(|version| of_role(*version).exists()).unwrap();
    std::fs::copy(of_role(newest - 1), of_role(newest)).unwrap();
    in_vain(&scene, &at(&scene, "evil"), &["hello.stable"]);
}

#[test]
fn rollback() {
    let scene = scene();
    update(&scene, &[&repository(&scene)]).well();
    scene.assert_runs(2);
    let parts = ["timestamp", "older than the trusted"];
    update(&scene, &[&at(&scene, "older")]).refused(&parts);
    scene.assert_runs(2);
    // Nor does a thief of the channel's and online keys bring back 1.0.
    let mut thief = Thief::of(&scene, "evil");
    thief.offers_as_in(&scene.path("older"));
    let keys = thief.channel_keys();
    thief.publish_with(&keys);
    let told = update(&scene, &[&at(&scene, "evil")]).text;
    println!("{}", told.trim());
    scene.assert_runs(2);
}

#[test]
fn key_compromise_below_the_threshold() {
    let scene = scene();
    // Two people sign the channel from now on; one of their keys is stolen.
    let second = text(&scene.path("second.pem"));
    scene.publisher(&["key", "generate", &second]).well();
    let shown = scene.publisher(&["key", "show", &second]).well().text;
    let public = shown.split_whitespace().find(|word| word.len() == 64).unwrap().to_owned();
    let beside = scene.path("vendor/keys/hello.stable@second.pem");
    std::fs::copy(&second, &beside).unwrap();
    scene.publisher(&["key", "add", "hello.stable", &public]).well();
    scene.publisher(&["key", "threshold", "hello.stable", "2"]).well();
    let mut thief = Thief::of(&scene, "evil");
    let keys = thief.channel_keys();
    thief.publish_with(&keys);
    let told = update(&scene, &[&at(&scene, "evil")]);
    println!("{}", told.refused(&["hello.stable", "1 of the 2 keys"]).text.trim());
    scene.assert_runs(1);
    // The thief's timestamp was good, so the vendor's next is the one after.
    (3..=4).for_each(|number| scene.release(number, Health::Good));
    update(&scene, &[&at(&scene, "evil"), &repository(&scene)]).well();
    scene.assert_runs(4);
}

#[test]
fn slow_retrieval() {
    let scene = scene();
    let slow = Mirror::of(&scene.path("vendor/repository"), |_| Some(Answer::Trickle));
    let begun = Instant::now();
    update(&scene, &[&slow.url(), &repository(&scene)]).well();
    scene.assert_runs(2);
    println!("up to date after {:?}", begun.elapsed());
    // Alone it is given up, and named.
    scene.release(3, Health::Good);
    let told = update(&scene, &[&slow.url()]).refused(&[]);
    println!("{} after {:?}", told.text.trim(), begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(120));
    scene.assert_runs(2);
}

#[test]
fn wrong_software_installation() {
    let scene = scene();
    // The thief of the channel's key offers 2.0 as made for another machine,
    // under this machine's name.
    let mut thief = Thief::of(&scene, "evil");
    thief.renames_platform("2.0.release", "linux-riscv64");
    let keys = thief.channel_keys();
    thief.publish_with(&keys);
    update(&scene, &[&at(&scene, "evil")]);
    scene.assert_runs(1);
}

#[test]
fn partial_bundle_installation() {
    let scene = scene();
    // Metadata is whole, half of what it leads to is missing.
    folder::copy(&scene.path("vendor/repository"), &scene.path("evil"));
    let mut objects = folder::files(&scene.path("evil/objects"));
    objects.sort();
    assert!(objects.len() > 3);
    objects.iter().step_by(2).for_each(|object| std::fs::remove_file(object).unwrap());
    in_vain(&scene, &at(&scene, "evil"), &["2.0"]);
    // And where one of the files of metadata is missing, nothing is mixed.
    scene.release(3, Health::Good);
    folder::copy(&scene.path("vendor/repository"), &scene.path("bare"));
    for file in folder::files(&scene.path("bare/metadata")) {
        if file.to_string_lossy().ends_with(".hello.stable.json") {
            std::fs::remove_file(file).unwrap();
        }
    }
    update(&scene, &[&at(&scene, "bare")]).refused(&["hello.stable"]);
    scene.assert_runs(2);
}
