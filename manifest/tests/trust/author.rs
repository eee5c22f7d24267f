//! The writing side: what is signed anew, in which order, and by whom.

use serde_json::Value;
use updraft_manifest::trust::author::keyring::{Keyring, SignError};
use updraft_manifest::trust::author::lifetimes::Lifetimes;
use updraft_manifest::trust::author::open::OpenError;
use updraft_manifest::trust::author::repository::{EditError, Repository};
use updraft_manifest::trust::author::role_keys::{BadRoleKeys, RoleKeys};
use updraft_manifest::trust::key::{Key, id_of};
use updraft_manifest::trust::role::RoleName;
use updraft_manifest::trust::testing::{
    Client, Files, NOW, Vendor, day, key, product, role, stable,
};

fn reopen(vendor: &mut Vendor) {
    let files = &vendor.files;
    vendor.repository = Repository::open(|name| files.get(name).cloned()).unwrap();
}

fn signed(files: &Files, name: &str) -> Value {
    let file: Value = serde_json::from_slice(&files[name]).unwrap();
    file["signed"].clone()
}

#[test]
fn a_new_repository_comes_in_the_order_in_which_it_must_be_written() {
    let mut vendor = Vendor::new();
    let names: Vec<&str> = vendor.files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "1.hello.stable.json",
            "1.root.json",
            "1.snapshot.json",
            "1.targets.json",
            "timestamp.json"
        ]
    );
    vendor.release(1);
    vendor.repository.edit_root(|root| drop(root.extra.insert("x".to_owned(), 1.into())));
    vendor.repository.renew(RoleName::TARGETS);
    assert_eq!(
        vendor.publish(day(1)),
        [
            "2.root.json",
            "2.targets.json",
            "2.hello.stable.json",
            "2.snapshot.json",
            "timestamp.json"
        ]
    );
}

#[test]
fn only_what_changed_is_signed_anew() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    assert_eq!(
        vendor.publish(day(1)),
        ["2.hello.stable.json", "2.snapshot.json", "timestamp.json"]
    );
    // Nothing changed: only the timestamp, with the next version.
    assert_eq!(vendor.publish(day(2)), ["timestamp.json"]);
    assert_eq!(signed(&vendor.files, "timestamp.json")["version"], 3);
    // The same release again is no change, also after opening.
    reopen(&mut vendor);
    vendor.release(1);
    assert_eq!(vendor.publish(day(3)), ["timestamp.json"]);
    vendor.repository.renew(role());
    assert_eq!(
        vendor.publish(day(4)),
        ["3.hello.stable.json", "3.snapshot.json", "timestamp.json"]
    );
}

#[test]
fn lifetimes_are_those_of_the_design() {
    let vendor = Vendor::new();
    for (name, days) in [
        ("1.root.json", 365),
        ("1.targets.json", 365),
        ("1.hello.stable.json", 90),
        ("1.snapshot.json", 30),
        ("timestamp.json", 7),
    ] {
        assert_eq!(signed(&vendor.files, name)["expires"], day(days).to_string(), "{name}");
    }
    let expiries = vendor.repository.expiries();
    let roles: Vec<&str> = expiries.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["timestamp", "snapshot", "hello.stable", "root", "targets"]);
}

#[test]
fn a_snapshot_is_signed_anew_before_the_timestamp_would_outlive_it() {
    let mut vendor = Vendor::new();
    assert_eq!(vendor.publish(day(22)), ["timestamp.json"]);
    assert_eq!(vendor.publish(day(23)), ["2.snapshot.json", "timestamp.json"]);
}

#[test]
fn a_signed_time_never_goes_back_though_the_vendors_clock_does() {
    let mut vendor = Vendor::new();
    vendor.publish(day(2));
    vendor.publish(day(1));
    let timestamp = signed(&vendor.files, "timestamp.json");
    assert_eq!(timestamp["x-updraft-issued"], day(2).to_string());
    assert_eq!(timestamp["expires"], day(9).to_string());
    Client::new(&vendor.files).refresh(&vendor.files, day(2), &[role()]).unwrap();
}

#[test]
fn nothing_is_published_when_a_key_is_missing() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let before = vendor.repository.timestamp().unwrap().version;
    let no_snapshot = Keyring::new([1, 2, 4, 5].map(key));
    let error = vendor.repository.publish(day(1), &no_snapshot, &Lifetimes::default()).unwrap_err();
    let SignError::NotEnoughKeys { role: who, found, threshold } = error else { panic!("{error}") };
    assert_eq!((who, found, threshold), (RoleName::SNAPSHOT, 0, 1));
    assert_eq!(vendor.repository.timestamp().unwrap().version, before);
    // Later, with all keys, the release is still there to be published.
    assert_eq!(vendor.publish(day(1)).len(), 3);
}

#[test]
fn a_role_of_several_is_signed_by_all_that_are_at_hand() {
    let mut vendor = Vendor::new();
    let people = RoleKeys::new([51, 52, 53].map(|s| key(s).public()).to_vec(), 2).unwrap();
    vendor.repository.delegate(&product(), &stable(), &people).unwrap();
    vendor.keys = Keyring::new([1, 2, 3, 4, 51, 53].map(key));
    assert_eq!(
        vendor.publish(day(1)),
        ["2.targets.json", "2.hello.stable.json", "2.snapshot.json", "timestamp.json"]
    );
    let file: Value = serde_json::from_slice(&vendor.files["2.hello.stable.json"]).unwrap();
    assert_eq!(file["signatures"].as_array().unwrap().len(), 2);
    // The key that signed before is named nowhere any more.
    let keys = signed(&vendor.files, "2.targets.json")["delegations"]["keys"].clone();
    assert_eq!(keys.as_object().unwrap().len(), 3);
    Client::new(&vendor.files).refresh(&vendor.files, day(1), &[role()]).unwrap();
}

#[test]
fn keys_that_cannot_meet_their_threshold_are_refused() {
    let (a, b) = (key(1).public(), key(2).public());
    assert_eq!(RoleKeys::new(vec![a, a], 1), Err(BadRoleKeys::Repeated { key: a }));
    for threshold in [0, 3] {
        let refused = RoleKeys::new(vec![a, b], threshold);
        assert_eq!(refused, Err(BadRoleKeys::Threshold { threshold, keys: 2 }));
    }
    assert!(RoleKeys::new(Vec::new(), 0).is_err());
}

#[test]
fn a_new_root_is_signed_for_the_keys_of_both() {
    let mut vendor = Vendor::new();
    let mut client = Client::new(&vendor.files);
    let new = Key::ed25519(&key(31).public());
    vendor.repository.edit_root(|root| {
        root.roles.root.keyids = vec![id_of(&key(31).public())];
        root.keys.insert(id_of(&key(31).public()), new);
    });
    vendor.publish(day(1));
    let file: Value = serde_json::from_slice(&vendor.files["2.root.json"]).unwrap();
    assert_eq!(file["signatures"].as_array().unwrap().len(), 2);
    client.refresh(&vendor.files, day(1), &[role()]).unwrap();
    reopen(&mut vendor);
    // The old key is no longer needed for the next one.
    vendor.keys = Keyring::new((2..=60).map(key));
    vendor.repository.renew(RoleName::ROOT);
    assert_eq!(vendor.publish(day(2))[0], "3.root.json");
    client.refresh(&vendor.files, day(2), &[role()]).unwrap();
}

#[test]
fn new_keys_of_a_role_sign_its_file_anew() {
    let mut vendor = Vendor::new();
    let mut client = Client::new(&vendor.files);
    client.refresh(&vendor.files, NOW, &[role()]).unwrap();
    for (i, who) in ["timestamp", "snapshot", "targets"].into_iter().enumerate() {
        let public = key(31 + u8::try_from(i).unwrap()).public();
        vendor.repository.edit_root(|root| {
            let listed = match who {
                "timestamp" => &mut root.roles.timestamp,
                "snapshot" => &mut root.roles.snapshot,
                _ => &mut root.roles.targets,
            };
            listed.keyids = vec![id_of(&public)];
            root.keys.insert(id_of(&public), Key::ed25519(&public));
        });
        vendor.publish(day(1));
        client.refresh(&vendor.files, day(1), &[role()]).unwrap();
        reopen(&mut vendor);
    }
}

#[test]
fn a_rotation_cut_short_after_its_root_can_be_finished() {
    let mut vendor = Vendor::new();
    let before = vendor.files.clone();
    let public = key(33).public();
    vendor.repository.edit_root(|root| {
        for listed in [&mut root.roles.snapshot, &mut root.roles.timestamp] {
            listed.keyids = vec![id_of(&public)];
        }
        root.keys.insert(id_of(&public), Key::ed25519(&public));
    });
    vendor.publish(day(1));
    let root = vendor.files["2.root.json"].clone();
    vendor.files = before;
    vendor.files.insert("2.root.json".to_owned(), root);
    reopen(&mut vendor);
    assert_eq!(vendor.publish(day(1)), ["2.snapshot.json", "timestamp.json"]);
    Client::new(&vendor.files).refresh(&vendor.files, day(1), &[role()]).unwrap();
}

#[test]
fn an_expired_repository_can_be_opened_and_signed_anew() {
    let mut vendor = Vendor::new();
    reopen(&mut vendor);
    for role in [RoleName::ROOT, RoleName::TARGETS, role()] {
        vendor.repository.renew(role);
    }
    assert_eq!(vendor.publish(day(2000)).len(), 5);
    Client::new(&vendor.files).refresh(&vendor.files, day(2000), &[role()]).unwrap();
}

#[test]
fn opening_a_repository_that_is_broken_says_which_file() {
    let vendor = Vendor::new();
    for name in vendor.files.keys() {
        let open = |files: &Files| Repository::open(|name| files.get(name).cloned());
        let mut files = vendor.files.clone();
        files.remove(name);
        let error = open(&files).unwrap_err();
        assert!(matches!(&error, OpenError::Missing { name: said } if said == name), "{error:?}");
        let text = String::from_utf8(vendor.files[name].clone()).unwrap();
        files.insert(name.clone(), text.replace("\"version\":1", "\"version\":2").into_bytes());
        let error = open(&files).unwrap_err();
        assert!(
            matches!(&error, OpenError::Refused { name: said, .. } if said == name),
            "{error:?}"
        );
    }
}

#[test]
fn unknown_members_survive_the_pen() {
    let mut vendor = Vendor::new();
    vendor.repository.edit_root(|root| {
        root.extra.insert("x-vendor".to_owned(), serde_json::json!({ "a": 1 }));
    });
    vendor.publish(day(1));
    reopen(&mut vendor);
    vendor.repository.renew(RoleName::ROOT);
    vendor.publish(day(2));
    let root = signed(&vendor.files, "3.root.json");
    assert_eq!(root["x-vendor"]["a"], 1);
    assert_eq!(root["x-updraft"]["workgroup_keys"][0], key(6).public().to_string());
}

#[test]
fn targets_go_only_where_they_belong() {
    let mut vendor = Vendor::new();
    let path = vendor.release(1);
    let target = vendor.repository.targets(&role()).unwrap().targets[&path].clone();
    let mut set = |role: &str, path: &str| {
        let role = RoleName::new(role).unwrap();
        vendor.repository.set_target(&role, path.to_owned(), target.clone())
    };
    assert!(matches!(set("hello.beta", &path), Err(EditError::NoSuchRole { .. })));
    assert!(matches!(set("targets", &path), Err(EditError::NoSuchRole { .. })));
    let refused = set("hello.stable", "hello/stable/a/b/c");
    assert!(matches!(refused, Err(EditError::NotDelegatedPath { .. })));
    vendor.repository.retain_targets(&role(), |kept, _| kept != path);
    assert_eq!(vendor.repository.targets(&role()).unwrap().targets.len(), 0);
}

#[test]
fn every_key_that_may_sign_is_listed_whatever_its_role() {
    let mut vendor = Vendor::new();
    let other = RoleName::new("workgroup").unwrap();
    let keys = RoleKeys::one(key(9).public());
    vendor.repository.delegate_to(other, vec!["workgroup/*".to_owned()], &keys).unwrap();
    assert!(vendor.repository.delegate_to(RoleName::ROOT, Vec::new(), &keys).is_err());
    vendor.publish(day(1));
    let mut client = Client::new(&vendor.files);
    client.refresh(&vendor.files, day(1), &[role()]).unwrap();
    let expected = [1, 2, 3, 4, 5, 6, 9].map(|seed| key(seed).public());
    assert_eq!(client.trusted.public_keys(), expected.into());
}

#[test]
fn the_files_are_these_bytes() {
    // The golden files of docs/trust.md; to write them anew after a change of
    // format, run with UPDATE_GOLDEN=1.
    let mut vendor = Vendor::new();
    vendor.release(1);
    vendor.publish(day(1));
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/trust");
    for (name, bytes) in &vendor.files {
        let path = format!("{dir}/{name}");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&golden), "{name}");
    }
}
