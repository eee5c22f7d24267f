//! One who has stolen some of the vendor's keys, and signs with them what the
//! vendor's own program would never make.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use manifest::canonical;
use manifest::content::ContentId;
use manifest::key::SigningKey;
use manifest::trust::author::repository::FileFacts;
use manifest::trust::key::id_of;
use manifest::trust::role::MetadataVersion;
use serde_json::{Value, json};
use store::repository::Repository;
use store::steps::Steps;
use updraft_tests::folder;
use updraft_tests::scene::Scene;

const CHANNEL: &str = "hello.stable";
const SNAPSHOT: &str = "snapshot";
const TIMESTAMP: &str = "timestamp";

/// The thief, and the copy of the repository that shows what it signs.
pub(crate) struct Thief {
    dir: PathBuf,
    keys: PathBuf,
    channel: Value,
    snapshot: Value,
    timestamp: Value,
}

/// Which key signs which role.
pub(crate) type Keys = BTreeMap<&'static str, SigningKey>;

impl Thief {
    /// Begins with a copy of what the vendor publishes.
    pub(crate) fn of(scene: &Scene, copy: &str) -> Self {
        let dir = scene.path(copy);
        folder::copy(&scene.cast.vendor.join("repository"), &dir);
        let metadata = dir.join("metadata");
        let (channel, snapshot) = (newest(&metadata, CHANNEL), newest(&metadata, SNAPSHOT));
        let timestamp = signed(&metadata.join("timestamp.json"));
        Self { keys: scene.cast.vendor.join("keys"), dir, channel, snapshot, timestamp }
    }

    fn stolen(&self, name: &str) -> SigningKey {
        store::keyfile::read(&self.keys.join(format!("{name}.pem"))).unwrap()
    }

    /// The channel's key and the two that are online.
    pub(crate) fn channel_keys(&self) -> Keys {
        [CHANNEL, SNAPSHOT, TIMESTAMP].map(|role| (role, self.stolen(role))).into()
    }

    /// Keys that nobody delegated anything to.
    pub(crate) fn foreign_keys(&self) -> Keys {
        [CHANNEL, SNAPSHOT, TIMESTAMP]
            .map(|role| (role, SigningKey::from_seed(blake3_of(role).as_bytes())))
            .into()
    }

    /// Lists the newest release at another path too.
    pub(crate) fn lists_elsewhere(&mut self, path: &str) {
        let targets = self.channel["targets"].as_object_mut().unwrap();
        let (_, newest) = targets.iter().rfind(|(path, _)| path.ends_with(".release")).unwrap();
        let mut target = newest.clone();
        target["custom"]["version"] = "9.0".into();
        target["custom"]["number"] = 9.into();
        targets.insert(path.to_owned(), target);
    }

    /// Lists what another repository lists, with a file that is newer.
    pub(crate) fn offers_as_in(&mut self, repository: &Path) {
        self.channel["targets"] = newest(&repository.join("metadata"), CHANNEL)["targets"].take();
    }

    /// Changes the platform within a release's manifest, and lists that.
    pub(crate) fn renames_platform(&mut self, release: &str, to: &str) {
        let repository = Repository::open(&self.dir, Steps::free()).unwrap();
        let targets = self.channel["targets"].as_object_mut().unwrap();
        let (path, target) = targets.iter_mut().find(|(path, _)| path.ends_with(release)).unwrap();
        let from = path.split('/').nth(2).unwrap().to_owned();
        let object: ContentId = target["custom"]["blake3"].as_str().unwrap().parse().unwrap();
        let honest = repository.object(object).unwrap().unwrap();
        let at = (0..honest.len()).find(|at| honest[*at..].starts_with(from.as_bytes())).unwrap();
        let to = format!("{to:-<width$}", width = from.len());
        let evil =
            [&honest[..at], &to.as_bytes()[..from.len()], &honest[at + from.len()..]].concat();
        let id = ContentId::of(&evil);
        repository.put_object(id, &evil).unwrap();
        let facts = FileFacts::of(&evil);
        target["length"] = facts.length.into();
        target["hashes"] = json!({ "sha256": hex(&facts.sha256) });
        target["custom"]["blake3"] = id.to_string().into();
        target["custom"]["manifest_deltas"] = json!([]);
    }

    /// Makes the online roles' versions this, signed with their own keys.
    pub(crate) fn skips_to(&mut self, version: MetadataVersion) {
        self.snapshot["version"] = (version.get() - 1).into();
        self.timestamp["version"] = (version.get() - 1).into();
        let keys = self.channel_keys();
        self.write_online(&keys);
    }

    /// Signs the channel's file with `keys`, and what leads to it.
    pub(crate) fn publish_with(&mut self, keys: &Keys) {
        let version = bump(&mut self.channel);
        let bytes = sign(&self.channel, &keys[CHANNEL]);
        self.write(&format!("{version}.{CHANNEL}.json"), &bytes);
        self.snapshot["meta"][format!("{CHANNEL}.json")] = meta(version, &bytes);
        self.write_online(keys);
    }

    fn write_online(&mut self, keys: &Keys) {
        let version = bump(&mut self.snapshot);
        let bytes = sign(&self.snapshot, &keys[SNAPSHOT]);
        self.write(&format!("{version}.{SNAPSHOT}.json"), &bytes);
        self.timestamp["meta"]["snapshot.json"] = meta(version, &bytes);
        bump(&mut self.timestamp);
        self.write("timestamp.json", &sign(&self.timestamp, &keys[TIMESTAMP]));
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.join("metadata").join(name), bytes).unwrap();
    }
}

/// What a role's newest file in a directory says.
fn newest(metadata: &Path, role: &str) -> Value {
    let name = |version: u64| metadata.join(format!("{version}.{role}.json"));
    let version = (1..99).rev().find(|version| name(*version).exists()).unwrap();
    signed(&name(version))
}

/// What a metadata file says, without its signatures.
fn signed(file: &Path) -> Value {
    let file: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    file["signed"].clone()
}

/// Makes the version of a file one higher; gives it.
fn bump(signed: &mut Value) -> u64 {
    let version = signed["version"].as_u64().unwrap() + 1;
    signed["version"] = version.into();
    version
}

fn sign(signed: &Value, key: &SigningKey) -> Vec<u8> {
    let message = canonical::to_vec(signed).unwrap();
    let signature = json!({ "keyid": id_of(&key.public()).as_str(), "sig": key.sign_raw(&message).to_string() });
    canonical::to_file(&json!({ "signatures": [signature], "signed": signed })).unwrap()
}

fn meta(version: u64, bytes: &[u8]) -> Value {
    let facts = FileFacts::of(bytes);
    json!({ "version": version, "length": facts.length, "hashes": { "sha256": hex(&facts.sha256) } })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blake3_of(text: &str) -> ContentId {
    ContentId::of(text.as_bytes())
}
