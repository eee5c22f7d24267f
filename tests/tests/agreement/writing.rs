//! python-tuf's client reads what our pen writes.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use manifest::content::ContentId;
use manifest::key::SigningKey;
use manifest::name::ReleaseNumber;
use manifest::time::UnixTime;
use manifest::trust::author::keyring::Keyring;
use manifest::trust::author::lifetimes::Lifetimes;
use manifest::trust::author::repository::{FileFacts, Repository, TopLevelKeys};
use manifest::trust::author::role_keys::RoleKeys;
use manifest::trust::custom::{ManifestDelta, ReleaseKind, ReleaseTarget};
use manifest::trust::key::{Key, id_of};
use manifest::trust::role::RoleName;
use manifest::trust::testing::{key, linux, product, role, stable};
use tempfile::TempDir;

use crate::oracle::oracle;

/// A vendor with a repository on disk.
struct Vendor {
    dir: TempDir,
    repository: Repository,
    keys: Keyring,
    now: UnixTime,
}

impl Vendor {
    /// Two of three keys for root and the channel.
    fn new() -> Self {
        let people = |seeds: [u8; 3]| {
            RoleKeys::new(seeds.map(|seed| key(seed).public()).to_vec(), 2).unwrap()
        };
        let one = |seed| RoleKeys::one(key(seed).public());
        let mut repository = Repository::create(&TopLevelKeys {
            root: people([1, 2, 3]),
            targets: one(4),
            snapshot: one(5),
            timestamp: one(6),
            workgroup: vec![key(7).public()],
        });
        repository.delegate(&product(), &stable(), &people([8, 9, 10])).unwrap();
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        Self {
            dir: TempDir::new().unwrap(),
            repository,
            keys: Keyring::new((1..=20).map(key)),
            now: UnixTime::from_seconds(seconds),
        }
    }

    fn release(&mut self, number: u64, version: &str) -> String {
        let manifest = format!("the manifest of {version}").into_bytes();
        let id = ContentId::of(&manifest);
        let release = ReleaseTarget {
            blake3: id,
            version: version.parse().unwrap(),
            number: ReleaseNumber(number),
            kind: ReleaseKind::Security,
            withdrawn: false,
            manifest_deltas: vec![ManifestDelta { base: id, object: id, length: 7 }],
        };
        let facts = FileFacts::of(&manifest);
        let path =
            self.repository.set_release(&product(), &stable(), &linux(), &release, facts).unwrap();
        let target = &self.repository.targets(&role()).unwrap().targets[&path];
        let file =
            self.dir.path().join("targets").join(target.consistent_names(&path).next().unwrap());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, manifest).unwrap();
        path
    }

    fn publish(&mut self) {
        let metadata = self.dir.path().join("metadata");
        fs::create_dir_all(&metadata).unwrap();
        let files = self.repository.publish(self.now, &self.keys, &Lifetimes::default()).unwrap();
        for file in files {
            fs::write(metadata.join(file.name), file.bytes).unwrap();
        }
    }

    fn rotate_root(&mut self, new: &SigningKey) {
        let public = new.public();
        self.repository.edit_root(|root| {
            root.roles.root.keyids[0] = id_of(&public);
            root.roles.timestamp.keyids = vec![id_of(&public)];
            root.keys.insert(id_of(&public), Key::ed25519(&public));
        });
    }

    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }
}

#[test]
fn python_tuf_refreshes_and_downloads_through_the_vendors_life() {
    let Some(oracle) = oracle() else { return };
    let mut vendor = Vendor::new();
    let home = TempDir::new().unwrap();
    let home_path = home.path().to_str().unwrap();
    let read = |vendor: &Vendor, targets: &[&str]| {
        oracle.json("read_repository.py", &[&[vendor.path(), home_path], targets].concat())
    };

    vendor.publish();
    assert_eq!(read(&vendor, &[])["versions"]["root"], 1);

    // Odd, but allowed, names of versions.
    let first = vendor.release(1, "4:7.4.7-1+deb12u14");
    vendor.publish();
    let answer = read(&vendor, &[&first, "hello/stable/linux-x86_64/none.release"]);
    let file = answer["targets"][&first].as_str().expect("it was downloaded");
    assert_eq!(fs::read(file).unwrap(), b"the manifest of 4:7.4.7-1+deb12u14");
    assert!(answer["targets"]["hello/stable/linux-x86_64/none.release"].is_null());

    let second = vendor.release(2, "5.0.0");
    vendor.rotate_root(&key(11));
    vendor.publish();
    let answer = read(&vendor, &[&first, &second]);
    assert_eq!(answer["versions"]["root"], 2);
    assert!(answer["targets"][&second].is_string());

    // Opened again from disk, with a third root on top.
    let metadata = vendor.dir.path().join("metadata");
    vendor.repository = Repository::open(|name| fs::read(metadata.join(name)).ok()).unwrap();
    vendor.repository.renew(RoleName::ROOT);
    vendor.now = vendor.now.after(Duration::from_secs(60));
    vendor.publish();
    let answer = read(&vendor, &[&second]);
    assert_eq!(answer["versions"]["root"], 3);
    assert_eq!(answer["versions"]["timestamp"], 4);
}

#[test]
fn python_tuf_refuses_what_was_tampered_with() {
    let Some(oracle) = oracle() else { return };
    let mut vendor = Vendor::new();
    let path = vendor.release(1, "1.0");
    vendor.publish();
    let doctor = |file: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(from), "{}", file.display());
        fs::write(file, text.replacen(from, to, 1)).unwrap();
        text
    };
    let metadata = vendor.dir.path().join("metadata");
    for (name, from, to) in [
        ("timestamp.json", "x-updraft-issued\":\"2", "x-updraft-issued\":\"3"),
        ("1.snapshot.json", "\"version\":1", "\"version\":2"),
        ("1.targets.json", "\"threshold\":2", "\"threshold\":1"),
        ("1.hello.stable.json", "\"security\"", "\"feature\""),
        ("1.root.json", "workgroup_keys", "workgroup_kays"),
    ] {
        let whole = doctor(&metadata.join(name), from, to);
        let home = TempDir::new().unwrap();
        let args = [vendor.path(), home.path().to_str().unwrap(), &path];
        let output = oracle.run("read_repository.py", &args);
        assert!(!output.status.success(), "{name} was believed");
        fs::write(metadata.join(name), whole).unwrap();
    }
    let home = TempDir::new().unwrap();
    oracle.json("read_repository.py", &[vendor.path(), home.path().to_str().unwrap(), &path]);
}
