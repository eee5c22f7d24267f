//! Seeded mutations of every file and message: nothing panics, and nothing
//! that was changed is believed.
//!
//! `TRUST_SEED=N` repeats a run; the seed is printed when a test fails.

use serde_json::Value;
use updraft_manifest::canonical;
use updraft_manifest::trust::bundle::Bundle;
use updraft_manifest::trust::delegation::Delegations;
use updraft_manifest::trust::limits::BUNDLE_BYTES;
use updraft_manifest::trust::refresh::{Input, Output, Refresh};
use updraft_manifest::trust::role::RoleName;
use updraft_manifest::trust::root::Root;
use updraft_manifest::trust::signed::Signed;
use updraft_manifest::trust::snapshot::Snapshot;
use updraft_manifest::trust::targets::Targets;
use updraft_manifest::trust::testing::{Client, Files, NOW, Vendor, role};
use updraft_manifest::trust::timestamp::Timestamp;
use updraft_manifest::trust::trusted::TrustedSet;

use crate::random::Random;

/// What a file means: all that its signatures cover.
fn meaning(bytes: &[u8]) -> Option<Value> {
    Some(canonical::parse(bytes, 1 << 24).ok()?.get("signed")?.clone())
}

fn parse_as_everything(bytes: &[u8]) {
    let _ = Signed::<Root>::parse(bytes);
    let _ = Signed::<Timestamp>::parse(bytes);
    let _ = Signed::<Snapshot>::parse(bytes);
    let _ = Signed::<Targets>::parse(bytes);
    if let Ok(value) = canonical::parse(bytes, 1 << 24) {
        let again = canonical::to_file(&value).unwrap();
        assert_eq!(canonical::parse(&again, 1 << 24).unwrap(), value);
        canonical::to_vec(&value).unwrap();
    }
}

#[test]
fn mutated_files_never_panic_and_are_never_believed() {
    let mut random = Random::from_env();
    let mut vendor = Vendor::new();
    vendor.release(1);
    vendor.publish(NOW);
    let honest = &vendor.files;
    for round in 0..6000 {
        let names: Vec<&String> = honest.keys().collect();
        let name = names[random.below(names.len())].clone();
        let bytes = random.mutate(&honest[&name]);
        parse_as_everything(&bytes);
        let same = meaning(&bytes) == meaning(&honest[&name]);
        if name == "1.root.json" {
            let taken = TrustedSet::from_root(&bytes);
            assert!(taken.is_err() || same, "round {round}: {name}");
            continue;
        }
        let mut client = Client::new(honest);
        let mut files: Files = honest.clone();
        files.insert(name.clone(), bytes.clone());
        // A mutation of the timestamp may leave its meaning and signature; any
        // other file is named with its hash.
        let taken = client.refresh(&files, NOW, &[role()]).is_ok();
        if taken && !honest[&name].eq(&bytes) {
            let unused = name == "1.snapshot.json" || name == "1.hello.stable.json";
            assert!(unused || (name == "timestamp.json" && same), "round {round}: {name}");
        }
        // What is on disk may be mutated, too.
        let mut disk: Files = client.disk.clone();
        for bytes in disk.values_mut() {
            if random.below(3) == 0 {
                *bytes = random.mutate(bytes);
            }
        }
        if let Ok(trusted) = TrustedSet::load(&disk) {
            let _ = trusted.current(&role(), NOW);
        }
    }
}

#[test]
fn mutated_answers_to_a_refresh_never_panic() {
    let mut random = Random::from_env();
    let vendor = Vendor::new();
    let all: Vec<&Vec<u8>> = vendor.files.values().collect();
    for _ in 0..300 {
        let trusted = TrustedSet::from_root(&vendor.files["1.root.json"]).unwrap();
        let mut refresh = Refresh::new(trusted, NOW, vec![role()]);
        let mut steps = 0;
        while let Some(output) = refresh.poll() {
            let Output::Want { name, .. } = output else { continue };
            steps += 1;
            let any = all[random.below(all.len())];
            let input = match random.below(4) {
                0 if steps < 50 => Input::File(random.mutate(any)),
                1 if steps < 50 => Input::Failed(String::new()),
                _ => vendor.files.get(&name).cloned().map_or(Input::NotFound, Input::File),
            };
            let _ = refresh.handle(input);
        }
        assert!(refresh.finish().current(&role(), NOW).is_ok());
    }
}

#[test]
fn mutated_bundles_never_panic() {
    let mut random = Random::from_env();
    let mut bundle = Bundle::new();
    for (name, bytes) in Vendor::new().files {
        bundle.put(name, bytes[..100].to_vec()).unwrap();
    }
    let good = bundle.encode();
    for _ in 0..20_000 {
        let bytes = random.mutate(&good);
        if let Ok(read) = Bundle::decode(&bytes, BUNDLE_BYTES) {
            assert_eq!(read.encode(), bytes, "one bundle has one encoding");
        }
    }
}

#[test]
fn mutated_delegations_and_odd_names_never_panic() {
    let mut random = Random::from_env();
    let delegations = serde_json::json!({ "keys": {}, "roles": [
        { "name": "a", "keyids": [], "threshold": 1, "terminating": true, "paths": ["[a-]*?/x"] },
        { "name": "b", "keyids": [], "threshold": 1, "path_hash_prefixes": ["0f", "f"] } ] });
    let bins = serde_json::json!({ "keys": {}, "succinct_roles": {
        "keyids": [], "threshold": 1, "bit_length": 10, "name_prefix": "bin" } });
    for source in [delegations, bins] {
        let text = serde_json::to_vec(&source).unwrap();
        for _ in 0..20_000 {
            let bytes = random.mutate(&text);
            let Ok(value) = canonical::parse(&bytes, 1 << 20) else { continue };
            let Ok(read) = serde_json::from_value::<Delegations>(value) else { continue };
            let path = String::from_utf8_lossy(&random.mutate(b"[a-z]/x\\*")).into_owned();
            for (name, _) in read.roles_for(&path) {
                assert!(read.authority(&name).is_some());
                assert_eq!(RoleName::from_file_name(&name.file_name()), Some(name));
            }
            let _ = RoleName::from_file_name(&path);
        }
    }
}
