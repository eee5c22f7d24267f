//! A thief of the channel's keys signs what the vendor's own program would
//! never make: a path that escapes, a file of 2^60 bytes. Signatures hold, and
//! the agent refuses it all the same.

use std::process::Command;
use std::time::SystemTime;

use manifest::content::ContentId;
use manifest::time::UnixTime;
use manifest::trust::author::keyring::Keyring;
use manifest::trust::author::lifetimes::Lifetimes;
use manifest::trust::author::repository::{FileFacts, Repository as Metadata};
use manifest::trust::custom::ReleaseTarget;
use manifest::trust::role::RoleName;
use store::repository::Repository;
use store::steps::Steps;
use updraft_tests::scene::{Scene, Told, text};

/// The only file of the release; as long as the path that it shall become.
const NAME: &str = "xx_evil.txt";

/// A machine that runs 1.0 of a product of one small file.
fn scene() -> Scene {
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    release(&scene, "1.0", "hello\n");
    let join = scene.join(&scene.ticket());
    join.well();
    update(&scene, "vendor/repository").well();
    scene
}

fn release(scene: &Scene, version: &str, content: &str) {
    let tree = scene.path(&format!("tree-{version}"));
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join(NAME), content).unwrap();
    scene.publisher(&["release", &text(&tree), "--version", version]).well();
}

fn update(scene: &Scene, mirror: &str) -> Told {
    let mirror = format!("file://{}", scene.path(mirror).display());
    scene.agent(&["run", "--once", "--no-dns-sd", "--mirror", &mirror])
}

/// Publishes 2.0 on a mirror, its manifest changed by `forge`, signed with the
/// keys that the thief has.
fn forged(scene: &Scene, forge: impl Fn(&[u8]) -> Vec<u8>) {
    release(scene, "2.0", "hallo\n");
    let vendor = &scene.cast.vendor;
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(vendor.join("repository")).arg(scene.path("evil"));
    assert!(copy.status().expect("cp is there").success());
    let repository = Repository::open(&scene.path("evil"), Steps::free()).unwrap();
    let mut metadata = Metadata::open(|name| repository.metadata(name).unwrap()).unwrap();

    let (product, channel) = ("hello".parse().unwrap(), "stable".parse().unwrap());
    let role = RoleName::of_channel(&product, &channel);
    let targets = metadata.targets(&role).unwrap().targets.clone();
    let (path, target) = targets.iter().find(|(path, _)| path.ends_with("2.0.release")).unwrap();
    let platform = path.split('/').nth(2).unwrap().parse().unwrap();
    let honest: ReleaseTarget = target.custom_as().unwrap();
    let bytes = forge(&repository.object(honest.blake3).unwrap().unwrap());
    let id = ContentId::of(&bytes);
    repository.put_object(id, &bytes).unwrap();
    let evil = ReleaseTarget { blake3: id, manifest_deltas: Vec::new(), ..honest };
    metadata.retain_targets(&role, |path, _| path.ends_with(".release"));
    metadata.set_release(&product, &channel, &platform, &evil, FileFacts::of(&bytes)).unwrap();

    let key = |name: &str| store::keyfile::read(&vendor.join("keys").join(name)).unwrap();
    let keys = Keyring::new(["hello.stable.pem", "snapshot.pem", "timestamp.pem"].map(key));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let now = UnixTime::from_seconds(now);
    for file in metadata.publish(now, &keys, &Lifetimes::default()).unwrap() {
        std::fs::write(scene.path("evil/metadata").join(file.name), file.bytes).unwrap();
    }
}

/// `bytes` with the one place where `from` stands changed.
fn changed(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert_eq!(places.len(), 1, "{from:?} stands in one place of {bytes:?}");
    [&bytes[..places[0]], to, &bytes[places[0] + from.len()..]].concat()
}

#[track_caller]
fn refused(scene: &Scene, parts: &[&str]) {
    let told = update(scene, "evil").refused(parts);
    println!("{}", told.text.trim());
    assert_eq!(std::fs::read_to_string(scene.current().join(NAME)).unwrap(), "hello\n");
    assert!(!scene.path("machine-1/evil.txt").exists());
    assert!(!scene.path("machine-1/hello/versions/evil.txt").exists());
    scene.agent(&["verify"]).well();
}

#[test]
fn a_signed_path_that_escapes_is_refused() {
    let scene = scene();
    forged(&scene, |bytes| changed(bytes, NAME.as_bytes(), b"../evil.txt"));
    refused(&scene, &["2.0", "../evil.txt"]);
}

#[test]
fn a_signed_absolute_path_is_refused() {
    let scene = scene();
    forged(&scene, |bytes| changed(bytes, NAME.as_bytes(), b"/x/evil.txt"));
    refused(&scene, &["2.0", "/x/evil.txt"]);
}

#[test]
fn a_signed_manifest_that_declares_everything_is_refused() {
    let scene = scene();
    // The mode and kind of a plain file, then its six bytes as a varint.
    let mode = [0x92, 0x0D];
    let endless = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    forged(&scene, |bytes| {
        let from = [&mode[..], &[6]].concat();
        changed(bytes, &from, &[&mode[..], &endless].concat())
    });
    refused(&scene, &["2.0", "1099511627776"]);
}
