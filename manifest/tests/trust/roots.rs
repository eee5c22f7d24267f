//! The chain of roots (TUF 5.3) and what root says of keys (TUF 4.2, 4.3).

use serde_json::{Value, json};
use updraft_manifest::trust::refresh::{Input, Output, Refresh, RefreshError};
use updraft_manifest::trust::role::{MetadataVersion, RoleName};
use updraft_manifest::trust::rules::TrustError;
use updraft_manifest::trust::signed::FormatError;
use updraft_manifest::trust::testing::{Client, NOW, Vendor, day, key};
use updraft_manifest::trust::trusted::TrustedSet;

use updraft_manifest::trust::testing::simulator::{Simulator, TOP_LEVEL, file, key_object};

const ALL: [&str; 3] = ["root", "snapshot", "timestamp"];

fn refused(result: Result<(), RefreshError>) -> TrustError {
    match result {
        Err(RefreshError::Trust(error)) => error,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// A client that has refreshed from `repo` once.
pub(crate) fn client(repo: &Simulator) -> Client {
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    client
}

fn version(number: u64) -> MetadataVersion {
    MetadataVersion::new(number).unwrap()
}

#[test]
fn a_root_is_persisted_before_the_next_is_wanted() {
    // TUF 5.3.8
    let mut repo = Simulator::new();
    repo.publish(&["root"]);
    let trusted = TrustedSet::from_root(&repo.files["1.root.json"]).unwrap();
    let mut refresh = Refresh::new(trusted, NOW, Vec::new());
    let two = &repo.files["2.root.json"];
    let want = |name: &str| Output::Want { name: name.to_owned(), max_len: 512_000 };
    assert_eq!(refresh.poll(), Some(want("2.root.json")));
    assert_eq!(refresh.poll(), None);
    refresh.handle(Input::File(two.clone())).unwrap();
    let persist = Output::Persist { name: "root.json".to_owned(), bytes: two.clone() };
    assert_eq!(refresh.poll(), Some(persist));
    assert_eq!(refresh.poll(), Some(want("3.root.json")));
}

#[test]
fn the_next_root_needs_the_threshold_of_the_root_before() {
    // TUF 5.3.4 (1)
    let mut repo = Simulator::new();
    let mut client = client(&repo);
    repo.rotate("root", &[11], 1);
    repo.role("root")["version"] = 2.into();
    let bytes = file(&repo.signed["root"], &[key(11)]);
    repo.put("root", bytes);
    let error = refused(client.refresh(&repo.files, NOW, &[]));
    assert!(matches!(error, TrustError::Signatures { .. }), "{error:?}");
    assert_eq!(client.trusted.root().version, version(1));
}

#[test]
fn the_next_root_needs_its_own_threshold() {
    // TUF 5.3.4 (2)
    let mut repo = Simulator::new();
    let mut client = client(&repo);
    repo.rotate("root", &[11, 12], 2);
    repo.role("root")["version"] = 2.into();
    let bytes = file(&repo.signed["root"], &[key(1), key(11)]);
    repo.files.insert("2.root.json".to_owned(), bytes);
    let error = refused(client.refresh(&repo.files, NOW, &[]));
    assert!(matches!(error, TrustError::Signatures { .. }), "{error:?}");
    repo.write("root");
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.trusted.root().version, version(2));
}

#[test]
fn the_next_root_is_exactly_one_more() {
    // TUF 5.3.5: neither a step back, nor the same again, nor a jump.
    for wrong in [1, 3, u64::MAX] {
        let mut repo = Simulator::new();
        let mut client = client(&repo);
        repo.role("root")["version"] = wrong.into();
        let bytes = repo.sign("root");
        repo.files.insert("2.root.json".to_owned(), bytes);
        let error = refused(client.refresh(&repo.files, NOW, &[]));
        let TrustError::Version { expected, found, .. } = error else { panic!("{error:?}") };
        assert_eq!((expected, found), (version(2), version(wrong)));
    }
}

#[test]
fn an_expired_root_on_the_way_is_walked_past() {
    // TUF 5.3.6
    let mut repo = Simulator::new();
    repo.role("root")["expires"] = day(1).to_string().into();
    repo.publish(&["root"]);
    repo.role("root")["expires"] = day(30).to_string().into();
    repo.publish(&["root"]);
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, day(2), &[]).unwrap();
    assert_eq!(client.trusted.root().version, version(3));
}

#[test]
fn an_expired_last_root_is_refused_after_it_was_persisted() {
    // TUF 5.3.10, and 5.3.8 before it.
    let mut repo = Simulator::new();
    repo.role("root")["expires"] = day(1).to_string().into();
    repo.publish(&["root"]);
    let mut client = Client::new(&repo.files);
    // The very second of expiry is too late: it must be higher than now.
    let error = refused(client.refresh(&repo.files, day(1), &[]));
    assert!(matches!(error, TrustError::Expired { ref role, .. } if *role == RoleName::ROOT));
    assert_eq!(client.disk["root.json"], repo.files["2.root.json"]);
    assert_eq!(client.wanted, ["2.root.json", "3.root.json"]);
}

#[test]
fn another_source_may_still_know_the_root_after_an_expired_one() {
    let mut repo = Simulator::new();
    repo.role("root")["expires"] = day(1).to_string().into();
    repo.publish(&["root"]);
    repo.role("root")["expires"] = day(30).to_string().into();
    let behind = repo.files.clone();
    repo.publish(&["root"]);
    let trusted = TrustedSet::from_root(&behind["2.root.json"]).unwrap();
    let mut refresh = Refresh::new(trusted, day(2), Vec::new());
    assert!(matches!(refresh.poll(), Some(Output::Want { name, .. }) if name == "3.root.json"));
    assert!(refresh.handle(Input::NotFound).is_err());
    assert!(matches!(refresh.poll(), Some(Output::Want { name, .. }) if name == "3.root.json"));
    refresh.handle(Input::File(repo.files["3.root.json"].clone())).unwrap();
}

#[test]
fn at_most_1024_roots_are_walked() {
    // TUF 5.3.3: then it goes on with what it has.
    let mut repo = Simulator::new();
    for _ in 0..1030 {
        repo.publish(&["root"]);
    }
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.trusted.root().version, version(1025));
    assert_eq!(
        client.wanted[1023..],
        ["1025.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    );
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.trusted.root().version, version(1031));
}

#[test]
fn fast_forward_of_the_timestamp_is_recovered_by_its_new_key() {
    // TUF 5.3.11
    let mut repo = Simulator::new();
    repo.role("timestamp")["version"] = 1_000_000.into();
    repo.write("timestamp");
    let mut client = client(&repo);
    assert_eq!(client.trusted.timestamp().unwrap().version, version(1_000_000));
    repo.rotate("timestamp", &[14], 1);
    repo.role("timestamp")["version"] = 1.into();
    repo.publish(&["root", "timestamp"]);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.trusted.timestamp().unwrap().version, version(2));
}

#[test]
fn fast_forward_of_the_snapshot_is_recovered_by_its_new_key_alone() {
    // TUF 5.3.11: a new snapshot key forgets the timestamp too, which speaks
    // of the snapshot's version.
    let mut repo = Simulator::new();
    repo.role("snapshot")["version"] = 1_000_000.into();
    repo.publish(&["snapshot", "timestamp"]);
    let mut client = client(&repo);
    repo.rotate("snapshot", &[13], 1);
    repo.role("snapshot")["version"] = 1.into();
    repo.publish(&["root", "snapshot", "timestamp"]);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.trusted.snapshot().unwrap().version, version(2));
}

#[test]
fn fast_forward_of_targets_is_recovered_by_the_snapshots_new_key() {
    // TUF 5.3.11
    let mut repo = Simulator::new();
    repo.delegate("targets", "gone", 20, &["gone/*"]);
    repo.role("targets")["version"] = 1_000_000.into();
    repo.publish(&["gone", "targets", "snapshot", "timestamp"]);
    let mut client = client(&repo);
    repo.rotate("snapshot", &[13], 1);
    repo.role("targets")["version"] = 1.into();
    repo.publish(&["root", "targets", "snapshot", "timestamp"]);
    repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("gone.json");
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.trusted.targets(&RoleName::TARGETS).unwrap().version, version(2));
}

#[test]
fn a_rotation_takes_the_old_files_from_disk_after_the_new_root_is_there() {
    let mut repo = Simulator::new();
    let client = client(&repo);
    repo.rotate("timestamp", &[14], 1);
    repo.publish(&ALL);
    let mut refresh = Refresh::new(client.trusted, NOW, Vec::new());
    refresh.poll();
    refresh.handle(Input::File(repo.files["2.root.json"].clone())).unwrap();
    assert!(matches!(refresh.poll(), Some(Output::Persist { name, .. }) if name == "root.json"));
    for forgotten in ["timestamp.json", "snapshot.json"] {
        assert_eq!(refresh.poll(), Some(Output::Forget { name: forgotten.to_owned() }));
    }
    assert!(matches!(refresh.poll(), Some(Output::Want { name, .. }) if name == "3.root.json"));
}

#[test]
fn a_power_cut_before_forgetting_does_not_prevent_the_recovery() {
    let mut repo = Simulator::new();
    repo.role("snapshot")["version"] = 1_000_000.into();
    repo.publish(&["snapshot", "timestamp"]);
    let mut client = client(&repo);
    repo.rotate("snapshot", &[13], 1);
    repo.role("snapshot")["version"] = 1.into();
    repo.publish(&ALL);
    client.disk.insert("root.json".to_owned(), repo.files["2.root.json"].clone());
    client.restart();
    assert!(client.trusted.timestamp().is_none() && client.trusted.snapshot().is_none());
    assert_eq!(client.trusted.left_out()[0].name, "snapshot.json");
    client.refresh(&repo.files, NOW, &[]).unwrap();
}

#[test]
fn a_key_more_is_no_rotation_and_keeps_the_floor() {
    let mut repo = Simulator::new();
    repo.publish(&["timestamp", "timestamp"]);
    let mut client = client(&repo);
    repo.rotate("timestamp", &[4, 14], 1);
    repo.role("timestamp")["version"] = 1.into();
    repo.publish(&["root", "timestamp"]);
    let error = refused(client.refresh(&repo.files, NOW, &[]));
    assert!(matches!(error, TrustError::Rollback { .. }), "{error:?}");
}

#[test]
fn other_keys_of_targets_drop_the_trusted_targets() {
    let mut repo = Simulator::new();
    let mut client = client(&repo);
    repo.rotate("targets", &[12], 1);
    repo.publish(&["root"]);
    // The file is still signed by the old key alone.
    let error = refused(client.refresh(&repo.files, NOW, &[]));
    assert!(matches!(error, TrustError::Signatures { .. }), "{error:?}");
    repo.publish(&["targets", "snapshot", "timestamp"]);
    client.refresh(&repo.files, NOW, &[]).unwrap();
}

#[test]
fn consistent_snapshot_is_as_the_newest_root_says() {
    // TUF 5.3.12
    let mut repo = Simulator::new();
    let mut client = client(&repo);
    repo.role("root")["consistent_snapshot"] = false.into();
    repo.publish(&TOP_LEVEL);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(
        client.wanted,
        ["2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json"]
    );
    // Absent means false.
    repo.role("root").as_object_mut().unwrap().remove("consistent_snapshot");
    repo.publish(&TOP_LEVEL);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.wanted[3..], ["snapshot.json", "targets.json"]);
}

#[test]
fn a_first_root_must_be_signed_by_itself() {
    let repo = Simulator::new();
    let unsigned = file(&repo.signed["root"], &[key(9)]);
    assert!(matches!(TrustedSet::from_root(&unsigned), Err(TrustError::Signatures { .. })));
    assert!(matches!(TrustedSet::load(&[].into()), Err(TrustError::NoRoot)));
}

/// What becomes of a first root with these changes, signed by its key.
fn first_root(edit: impl FnOnce(&mut Value)) -> Result<TrustedSet, TrustError> {
    let mut repo = Simulator::new();
    edit(repo.role("root"));
    TrustedSet::from_root(&repo.sign("root"))
}

#[test]
fn malformed_roots_are_refused() {
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit); 14] = [
        ("threshold 0", |r| r["roles"]["snapshot"]["threshold"] = 0.into()),
        ("threshold -1", |r| r["roles"]["snapshot"]["threshold"] = (-1).into()),
        ("threshold text", |r| r["roles"]["snapshot"]["threshold"] = "1".into()),
        ("a role missing", |r| drop(r["roles"].as_object_mut().unwrap().remove("targets"))),
        ("a role too many", |r| r["roles"]["x-updraft"] = r["roles"]["root"].clone()),
        ("a key twice in a role", |r| {
            let id = r["roles"]["root"]["keyids"][0].clone();
            r["roles"]["root"]["keyids"].as_array_mut().unwrap().push(id);
        }),
        ("version 0", |r| r["version"] = 0.into()),
        ("version text", |r| r["version"] = "1".into()),
        ("expiry with fraction", |r| r["expires"] = "2030-01-01T00:00:00.0Z".into()),
        ("spec_version 2", |r| r["spec_version"] = "2.0.0".into()),
        ("spec_version odd", |r| r["spec_version"] = "1.0.x".into()),
        ("spec_version missing", |r| drop(r.as_object_mut().unwrap().remove("spec_version"))),
        ("another type", |r| r["_type"] = "targets".into()),
        ("no type", |r| drop(r.as_object_mut().unwrap().remove("_type"))),
    ];
    for (name, edit) in edits {
        let result = first_root(edit);
        assert!(matches!(result, Err(TrustError::Format { .. })), "{name}: {result:?}");
    }
    for good in ["1.0", "1.0.34", "1.99.0"] {
        first_root(|r| r["spec_version"] = good.into()).unwrap();
    }
    first_root(|r| r["roles"]["mirrors"] = r["roles"]["root"].clone()).unwrap();
}

#[test]
fn any_key_id_is_accepted_when_reading() {
    let mut repo = Simulator::new();
    let root = repo.role("root");
    let object = key_object(&key(1)).1;
    root["keys"]["my key"] = object;
    root["roles"]["root"]["keyids"] = json!(["my key"]);
    let mut bytes: Value = serde_json::from_slice(&repo.sign("root")).unwrap();
    bytes["signatures"][0]["keyid"] = "my key".into();
    TrustedSet::from_root(&serde_json::to_vec(&bytes).unwrap()).unwrap();
}

#[test]
fn one_key_under_two_ids_counts_once() {
    // TUF 5.3.4: each key contributes one signature, whatever its names.
    let mut repo = Simulator::new();
    let root = repo.role("root");
    let (id, mut object) = key_object(&key(1));
    // Hex digits in capitals and a member more make another id, not another key.
    object["keyval"]["public"] = object["keyval"]["public"].as_str().unwrap().to_uppercase().into();
    object["x-note"] = 1.into();
    root["keys"]["again"] = object;
    root["roles"]["root"] = json!({ "keyids": [id, "again"], "threshold": 2 });
    let mut bytes: Value = serde_json::from_slice(&repo.sign("root")).unwrap();
    let mut again = bytes["signatures"][0].clone();
    again["keyid"] = "again".into();
    bytes["signatures"].as_array_mut().unwrap().push(again);
    let result = TrustedSet::from_root(&serde_json::to_vec(&bytes).unwrap());
    let Err(TrustError::Signatures { source, .. }) = result else { panic!("{result:?}") };
    assert_eq!((source.found, source.threshold), (1, 2));
}

#[test]
fn keys_of_unknown_types_are_kept_and_count_for_nothing() {
    let mut repo = Simulator::new();
    let root = repo.role("root");
    root["keys"]["future"] =
        json!({ "keytype": "ml-dsa", "scheme": "ml-dsa-65", "keyval": { "anything": [1] } });
    let ids = root["roles"]["root"]["keyids"].as_array_mut().unwrap();
    ids.push("future".into());
    ids.push("nobody's".into());
    let set = TrustedSet::from_root(&repo.sign("root")).unwrap();
    assert_eq!(set.root().keys.len(), 5);
    repo.role("root")["roles"]["root"]["threshold"] = 2.into();
    let result = TrustedSet::from_root(&repo.sign("root"));
    assert!(matches!(result, Err(TrustError::Signatures { .. })), "{result:?}");
}

#[test]
fn repeated_key_ids_among_signatures_refuse_the_file() {
    // TUF 4.2: even if enough others have signed.
    let repo = Simulator::new();
    let mut bytes: Value = serde_json::from_slice(&repo.files["1.root.json"]).unwrap();
    let first = bytes["signatures"][0].clone();
    bytes["signatures"].as_array_mut().unwrap().push(first);
    let result = TrustedSet::from_root(&serde_json::to_vec(&bytes).unwrap());
    let Err(TrustError::Format { source, .. }) = result else { panic!("{result:?}") };
    assert!(matches!(source, FormatError::RepeatedSignature { .. }), "{source:?}");
}

#[test]
fn invalid_extra_signatures_are_ignored() {
    let repo = Simulator::new();
    let mut bytes: Value = serde_json::from_slice(&repo.files["1.root.json"]).unwrap();
    let signatures = bytes["signatures"].as_array_mut().unwrap();
    for (id, sig) in [("a", ""), ("b", "no hex"), ("c", "00"), (&key_object(&key(2)).0, "ab")] {
        signatures.push(json!({ "keyid": id, "sig": sig }));
    }
    TrustedSet::from_root(&serde_json::to_vec(&bytes).unwrap()).unwrap();
}

#[test]
fn unknown_members_are_signed_and_kept() {
    let mut repo = Simulator::new();
    repo.role("root")["x-vendor"] = json!({ "deep": [1, null, "\u{e9}\n"] });
    let set = TrustedSet::from_root(&repo.sign("root")).unwrap();
    assert_eq!(set.root().extra["x-vendor"]["deep"][0], 1);
    let mut doctored: Value = serde_json::from_slice(&repo.sign("root")).unwrap();
    doctored["signed"]["x-vendor"]["deep"][0] = 2.into();
    let result = TrustedSet::from_root(&serde_json::to_vec(&doctored).unwrap());
    assert!(matches!(result, Err(TrustError::Signatures { .. })), "{result:?}");
}

#[test]
fn a_root_names_one_or_two_workgroup_keys() {
    let vendor = Vendor::new();
    let keys = vendor.repository.root().workgroup_keys().unwrap();
    assert_eq!(keys, [key(6).public()]);
    let one = key(6).public().to_string();
    let two = key(7).public().to_string();
    for (extension, yes) in [
        (json!({ "workgroup_keys": [one, two], "x": 1 }), true),
        (json!({ "workgroup_keys": [] }), false),
        (json!({ "workgroup_keys": [one, one] }), false),
        (json!({ "workgroup_keys": [one, two, key(8).public().to_string()] }), false),
        (json!({ "workgroup_keys": ["00"] }), false),
        (json!([]), false),
    ] {
        let set = first_root(|root| root["x-updraft"] = extension.clone()).unwrap();
        assert_eq!(set.root().workgroup_keys().is_ok(), yes, "{extension}");
    }
    assert!(first_root(|_| ()).unwrap().root().workgroup_keys().is_err());
}
