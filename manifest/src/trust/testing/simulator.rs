//! A repository that does whatever it is told, right or wrong.
//!
//! Writes metadata from plain JSON, without the code under test but for
//! canonical JSON and ed25519, so that reader and writer cannot share a fault.

use std::collections::BTreeMap;

use crate::canonical;
use crate::key::SigningKey;
use crate::time::UnixTime;
use crate::trust::role::RoleName;
use crate::trust::testing::{Files, day, key};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The four roles that root names, in the order in which they are written.
pub const TOP_LEVEL: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// The repository's roles as it would write them next, and what it has written.
#[derive(Debug, Clone)]
pub struct Simulator {
    /// The `signed` part of each role.
    pub signed: BTreeMap<String, Value>,
    /// Who signs each role's next file.
    pub signers: BTreeMap<String, Vec<SigningKey>>,
    /// Whether snapshot and timestamp name lengths and hashes.
    pub hashes: bool,
    /// What is served, by name.
    pub files: Files,
    expires: UnixTime,
    /// The newest file of each role.
    newest: BTreeMap<String, Vec<u8>>,
}

/// The key object of an ed25519 key, and its id.
#[must_use]
pub fn key_object(key: &SigningKey) -> (String, Value) {
    let object = json!({ "keytype": "ed25519", "scheme": "ed25519",
        "keyval": { "public": key.public().to_string() } });
    let id = hex::encode(Sha256::digest(canonical::to_vec(&object).unwrap()));
    (id, object)
}

/// A file of `signed`, signed by `keys`.
#[must_use]
pub fn file(signed: &Value, keys: &[SigningKey]) -> Vec<u8> {
    let message = canonical::to_vec(signed).unwrap();
    let signatures: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "keyid": key_object(key).0, "sig": key.sign_raw(&message).to_string() }))
        .collect();
    // Not our own form: indented, as other repositories write.
    serde_json::to_vec_pretty(&json!({ "signed": signed, "signatures": signatures })).unwrap()
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulator {
    /// Version 1 of the four roles, each with one key (seeds 1 to 4 in the
    /// order root, targets, snapshot, timestamp), all expiring on day 30.
    #[must_use]
    pub fn new() -> Self {
        Self::until(day(30))
    }

    /// As [`Simulator::new`], expiring at another time.
    #[must_use]
    pub fn until(expires: UnixTime) -> Self {
        let common = |kind: &str| {
            json!({ "_type": kind, "spec_version": "1.0.34", "version": 0,
                "expires": expires.to_string() })
        };
        let mut signed: BTreeMap<String, Value> =
            TOP_LEVEL.iter().map(|role| ((*role).to_owned(), common(role))).collect();
        let root = signed.get_mut("root").unwrap();
        root["consistent_snapshot"] = true.into();
        root["keys"] = json!({});
        root["roles"] = json!({});
        signed.get_mut("targets").unwrap()["targets"] = json!({});
        signed.get_mut("snapshot").unwrap()["meta"] = json!({});
        let mut simulator = Self {
            signed,
            signers: BTreeMap::new(),
            hashes: false,
            files: Files::new(),
            expires,
            newest: BTreeMap::new(),
        };
        for (role, seed) in TOP_LEVEL.into_iter().zip(1..) {
            simulator.rotate(role, &[seed], 1);
        }
        simulator.publish(&TOP_LEVEL);
        simulator
    }

    /// The `signed` part of a role, to be changed.
    pub fn role(&mut self, role: &str) -> &mut Value {
        self.signed.get_mut(role).unwrap()
    }

    /// Lets the keys of `seeds` alone sign a top-level role.
    pub fn rotate(&mut self, role: &str, seeds: &[u8], threshold: u64) {
        let keys: Vec<SigningKey> = seeds.iter().map(|seed| key(*seed)).collect();
        let root = self.role("root");
        let mut ids = Vec::new();
        for key in &keys {
            let (id, object) = key_object(key);
            root["keys"][&id] = object;
            ids.push(id);
        }
        root["roles"][role] = json!({ "keyids": ids, "threshold": threshold });
        self.signers.insert(role.to_owned(), keys);
    }

    /// Delegates `paths` to a role signed by the key of `seed`.
    pub fn delegate(&mut self, by: &str, role: &str, seed: u8, paths: &[&str]) {
        self.delegate_as(by, seed, json!({ "name": role, "terminating": false, "paths": paths }));
        let expires = self.expires.to_string();
        self.signed.entry(role.to_owned()).or_insert_with(|| {
            json!({ "_type": "targets", "spec_version": "1.0.34", "version": 0,
                "expires": expires, "targets": {} })
        });
        self.signers.insert(role.to_owned(), vec![key(seed)]);
    }

    /// Adds a delegation with the key of `seed` and these members.
    pub fn delegate_as(&mut self, by: &str, seed: u8, mut role: Value) {
        let (id, object) = key_object(&key(seed));
        role["keyids"] = json!([id]);
        role["threshold"] = 1.into();
        let delegator = self.role(by);
        if delegator.get("delegations").is_none() {
            delegator["delegations"] = json!({ "keys": {}, "roles": [] });
        }
        delegator["delegations"]["keys"][&id] = object;
        delegator["delegations"]["roles"].as_array_mut().unwrap().push(role);
    }

    /// Puts a target file into a role.
    pub fn add_target(&mut self, role: &str, path: &str, content: &[u8]) {
        let hash = hex::encode(Sha256::digest(content));
        self.role(role)["targets"][path] =
            json!({ "length": content.len(), "hashes": { "sha256": hash } });
    }

    /// Writes the next version of each role, in this order.
    pub fn publish(&mut self, roles: &[&str]) {
        for role in roles {
            let version = self.signed[*role]["version"].as_u64().unwrap() + 1;
            self.role(role)["version"] = version.into();
            self.write(role);
        }
    }

    /// Writes a role under the version it has.
    pub fn write(&mut self, role: &str) {
        match role {
            "snapshot" => {
                // What was named once stays named, as the specification asks.
                let mut meta: Map<String, Value> =
                    self.signed["snapshot"]["meta"].as_object().unwrap().clone();
                for name in self.newest.keys() {
                    if !["root", "snapshot", "timestamp"].contains(&name.as_str()) {
                        meta.insert(format!("{name}.json"), self.meta(name));
                    }
                }
                self.role("snapshot")["meta"] = meta.into();
            }
            "timestamp" => {
                let snapshot = self.meta("snapshot");
                self.role("timestamp")["meta"] = json!({ "snapshot.json": snapshot });
            }
            _ => {}
        }
        let bytes = self.sign(role);
        self.put(role, bytes);
    }

    /// A role's next file as `signed` and `signers` have it.
    #[must_use]
    pub fn sign(&self, role: &str) -> Vec<u8> {
        // A root is signed by those of the root before, too.
        let mut keys = self.signers[role].clone();
        if role == "root"
            && let Some(before) = self.newest.get("root")
        {
            let before: Value = serde_json::from_slice(before).unwrap();
            let ids = before["signed"]["roles"]["root"]["keyids"].as_array().unwrap().clone();
            for key in (1..=60).map(key) {
                let id = Value::String(key_object(&key).0);
                if ids.contains(&id) && !keys.iter().any(|k| k.public() == key.public()) {
                    keys.push(key);
                }
            }
        }
        file(&self.signed[role], &keys)
    }

    /// Serves `bytes` as the file of a role under the version it has.
    pub fn put(&mut self, role: &str, bytes: Vec<u8>) {
        let version = &self.signed[role]["version"];
        let file_name = RoleName::new(role).unwrap().file_name();
        let name = match (role, self.consistent()) {
            ("timestamp", _) => file_name,
            ("root", _) | (_, true) => format!("{version}.{file_name}"),
            (_, false) => file_name,
        };
        self.files.insert(name, bytes.clone());
        self.newest.insert(role.to_owned(), bytes);
    }

    fn consistent(&self) -> bool {
        self.signed["root"]["consistent_snapshot"] == true
    }

    fn meta(&self, role: &str) -> Value {
        let mut meta = json!({ "version": self.signed[role]["version"] });
        if self.hashes {
            let bytes = &self.newest[role];
            meta["length"] = bytes.len().into();
            meta["hashes"] = json!({ "sha256": hex::encode(Sha256::digest(bytes)) });
        }
        meta
    }
}
