//! The attacks that TUF 1.5.2 and the Uptane standard name, against the core.

use serde_json::json;
use updraft_manifest::name::ReleaseNumber;
use updraft_manifest::trust::candidates::Candidates;
use updraft_manifest::trust::hashes::Mismatch;
use updraft_manifest::trust::refresh::{Input, Output, Refresh, RefreshError};
use updraft_manifest::trust::role::RoleName;
use updraft_manifest::trust::rules::TrustError;
use updraft_manifest::trust::testing::{
    Client, NOW, Vendor, day, key, linux, product, role, stable,
};

use crate::roots::client;
use updraft_manifest::trust::testing::simulator::{Simulator, TOP_LEVEL, file};

/// A client that has refreshed from a vendor with release 1.
fn updated() -> (Vendor, Client) {
    let mut vendor = Vendor::new();
    vendor.release(1);
    vendor.publish(NOW);
    let mut client = Client::new(&vendor.files);
    client.refresh(&vendor.files, NOW, &[role()]).unwrap();
    (vendor, client)
}

#[test]
fn arbitrary_installation_without_any_key_is_refused() {
    let repo = Simulator::new();
    let mut client = client(&repo);
    let mut attacker = Simulator::new();
    for (role, seed) in TOP_LEVEL.into_iter().zip(40..) {
        attacker.rotate(role, &[seed], 1);
    }
    attacker.role("root")["version"] = 2.into();
    let root = file(&attacker.signed["root"], &attacker.signers["root"]);
    attacker.put("root", root);
    attacker.publish(&["targets", "snapshot", "timestamp"]);
    assert!(client.refresh(&attacker.files, NOW, &[]).is_err());
    attacker.files.remove("2.root.json");
    assert!(client.refresh(&attacker.files, NOW, &[]).is_err());
}

#[test]
fn arbitrary_manifest_under_a_signed_name_is_refused() {
    let (_, client) = updated();
    let offer = Candidates::of(&client.trusted, &product(), &stable(), &linux(), NOW).unwrap();
    assert!(offer.releases[0].is(b"manifest 1"));
    assert!(!offer.releases[0].is(b"manifest 2"));
    assert!(!offer.releases[0].is(b"manifest 1 "));
}

#[test]
fn endless_data_is_cut_at_a_bound_known_before() {
    let (vendor, client) = updated();
    let mut refresh = Refresh::new(client.trusted, NOW, vec![role()]);
    while let Some(output) = refresh.poll() {
        let Output::Want { name, max_len } = output else { continue };
        assert!(max_len <= 512_000, "{name}");
        let endless = vec![b' '; usize::try_from(max_len).unwrap() + 1];
        assert!(refresh.handle(Input::File(endless)).is_err());
        assert!(matches!(refresh.poll(), Some(Output::Want { .. })));
        let answer = vendor.files.get(&name).cloned();
        refresh.handle(answer.map_or(Input::NotFound, Input::File)).unwrap();
    }
}

#[test]
fn extraneous_targets_outside_of_the_channel_are_not_offered() {
    // Its role speaks of another channel and of another product.
    let (mut vendor, mut client) = updated();
    let mut repo = Simulator::new();
    repo.delegate("targets", "hello.stable", 5, &["hello/stable/*/*"]);
    let custom =
        json!({ "blake3": "00".repeat(32), "version": "9", "number": 9, "kind": "feature" });
    for path in [
        "hello/beta/linux-x86_64/9.release",
        "other/stable/linux-x86_64/9.release",
        "hello/stable/linux-x86_64/deep/9.release",
        "hello/stable/linux-x86_64/../9.release",
        "9.release",
    ] {
        repo.add_target("hello.stable", path, b"x");
        repo.role("hello.stable")["targets"][path]["custom"] = custom.clone();
    }
    repo.publish(&["hello.stable", "targets", "snapshot", "timestamp"]);
    let mut other = Client::new(&repo.files);
    other.refresh(&repo.files, NOW, &[role()]).unwrap();
    let offer = Candidates::of(&other.trusted, &product(), &stable(), &linux(), NOW).unwrap();
    assert_eq!(offer.releases, []);
    // The pen refuses to write such a path at all.
    let target = client.trusted.targets(&role()).unwrap().targets.values().next().unwrap().clone();
    let refused = vendor.repository.set_target(
        &role(),
        "hello/beta/linux-x86_64/9.release".to_owned(),
        target,
    );
    assert!(refused.is_err());
    client.refresh(&vendor.files, NOW, &[role()]).unwrap();
}

#[test]
fn fast_forward_needs_a_key_and_ends_with_it() {
    // See also roots::fast_forward_of_….
    let mut repo = Simulator::new();
    let mut client = client(&repo);
    let mut attacker = repo.clone();
    attacker.signers.insert("timestamp".to_owned(), vec![key(40)]);
    attacker.role("timestamp")["version"] = u64::MAX.into();
    attacker.write("timestamp");
    assert!(client.refresh(&attacker.files, NOW, &[]).is_err());
    // With the key, the highest version of all is taken, and overcome.
    attacker.signers.insert("timestamp".to_owned(), vec![key(4)]);
    attacker.write("timestamp");
    client.refresh(&attacker.files, NOW, &[]).unwrap();
    repo.rotate("timestamp", &[14], 1);
    repo.publish(&["root", "timestamp"]);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.trusted.timestamp().unwrap().version.get(), 2);
}

#[test]
fn indefinite_freeze_is_noticed_when_the_timestamp_expires() {
    let (vendor, mut client) = updated();
    client.refresh(&vendor.files, day(6), &[role()]).unwrap();
    let error = client.refresh(&vendor.files, day(7), &[role()]).unwrap_err();
    let RefreshError::Trust(TrustError::Expired { role: who, expired, now }) = error else {
        panic!("{error:?}")
    };
    assert_eq!((who, expired, now), (RoleName::TIMESTAMP, day(7), day(7)));
    // And nothing new begins.
    let offer = Candidates::of(&client.trusted, &product(), &stable(), &linux(), day(7));
    assert!(matches!(offer, Err(TrustError::Expired { .. })), "{offer:?}");
}

#[test]
fn a_malicious_mirror_cannot_end_a_refresh_while_another_is_honest() {
    let (vendor, _) = updated();
    let mut client = Client::new(&vendor.files);
    let mut refresh = Refresh::new(client.trusted.clone(), NOW, vec![role()]);
    let lies = [
        Input::File(b"{\"signed\":{},\"signatures\":[]}".to_vec()),
        Input::File(vendor.files["1.root.json"].clone()),
        Input::Failed("timeout".to_owned()),
    ];
    let mut done = false;
    while let Some(output) = refresh.poll() {
        match output {
            Output::Want { name, .. } => {
                for lie in lies.clone() {
                    refresh.handle(lie).unwrap_err();
                    assert!(refresh.poll().is_some());
                }
                let answer = vendor.files.get(&name).cloned();
                refresh.handle(answer.map_or(Input::NotFound, Input::File)).unwrap();
            }
            Output::Done => done = true,
            Output::Persist { .. } | Output::Forget { .. } => {}
        }
    }
    assert!(done);
    client.trusted = refresh.finish();
    assert!(Candidates::of(&client.trusted, &product(), &stable(), &linux(), NOW).is_ok());
}

#[test]
fn mix_and_match_of_two_times_is_refused() {
    // The newest timestamp, and an older snapshot under the new one's name.
    let (mut vendor, mut client) = updated();
    vendor.release(2);
    vendor.publish(day(1));
    let mut mixed = vendor.files.clone();
    mixed.insert("3.snapshot.json".to_owned(), vendor.files["2.snapshot.json"].clone());
    let error = client.refresh(&mixed, day(1), &[role()]).unwrap_err();
    assert!(
        matches!(
            error,
            RefreshError::Trust(TrustError::Mismatch {
                source: Mismatch::Hash { .. } | Mismatch::Length { .. },
                ..
            })
        ),
        "{error:?}"
    );
    // The newest snapshot, and an older channel.
    let mut mixed = vendor.files.clone();
    let older = vendor.files["2.hello.stable.json"].clone();
    mixed.insert("3.hello.stable.json".to_owned(), older);
    let error = client.refresh(&mixed, day(1), &[role()]).unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::Mismatch { .. })), "{error:?}");
}

#[test]
fn rollback_to_an_older_repository_is_refused_after_restart() {
    let (mut vendor, mut client) = updated();
    let old = vendor.files.clone();
    vendor.release(2);
    vendor.publish(day(1));
    client.refresh(&vendor.files, day(1), &[role()]).unwrap();
    client.restart();
    let error = client.refresh(&old, day(1), &[role()]).unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::Rollback { .. })), "{error:?}");
    let offer = Candidates::of(&client.trusted, &product(), &stable(), &linux(), day(1)).unwrap();
    assert_eq!(offer.newest(ReleaseNumber(2)).unwrap().custom.number, ReleaseNumber(2));
}

#[test]
fn compromise_of_fewer_keys_than_the_threshold_signs_nothing() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let mut repo = Simulator::new();
        repo.rotate(role, &[21, 22, 23], 2);
        repo.publish(&TOP_LEVEL);
        let mut client = client(&repo);
        let honest = repo.clone();
        repo.signers.insert(role.to_owned(), vec![key(21)]);
        if role == "root" {
            // Not one of the other keys, either: sign() would add the old ones.
            repo.role("root")["version"] = 3.into();
            let bytes = file(&repo.signed["root"], &[key(21)]);
            repo.put("root", bytes);
        } else {
            repo.publish(&["targets", "snapshot", "timestamp"]);
        }
        let error = client.refresh(&repo.files, NOW, &[]).unwrap_err();
        assert!(matches!(error, RefreshError::Trust(TrustError::Signatures { .. })), "{error:?}");
        let mut honest = honest;
        honest.publish(&TOP_LEVEL);
        client.refresh(&honest.files, NOW, &[]).unwrap();
    }
}

#[test]
fn slow_retrieval_can_be_given_up_for_another_source() {
    let (vendor, client) = updated();
    let mut refresh = Refresh::new(client.trusted, NOW, Vec::new());
    refresh.poll();
    refresh.handle(Input::Failed("3 bytes in 30 seconds".to_owned())).unwrap_err();
    assert!(matches!(refresh.poll(), Some(Output::Want { .. })));
    refresh.handle(Input::NotFound).unwrap();
    refresh.poll();
    refresh.handle(Input::File(vendor.files["timestamp.json"].clone())).unwrap();
}

#[test]
fn wrong_software_of_another_platform_or_version_is_not_offered() {
    let mut repo = Simulator::new();
    repo.delegate("targets", "hello.stable", 5, &["hello/stable/*/*"]);
    let custom = |version: &str| {
        json!({ "blake3": "00".repeat(32), "version": version,
        "number": 2, "kind": "security" })
    };
    for (path, version) in [
        ("hello/stable/linux-x86_64/2.release", "2"),
        ("hello/stable/linux-x86_64/3.release", "2"),
        ("hello/stable/linux-x86_64-musl/2.release", "2"),
        ("hello/stable/windows-x86_64/2.release", "2"),
    ] {
        repo.add_target("hello.stable", path, b"x");
        repo.role("hello.stable")["targets"][path]["custom"] = custom(version);
    }
    repo.publish(&["hello.stable", "targets", "snapshot", "timestamp"]);
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, NOW, &[role()]).unwrap();
    let offer = Candidates::of(&client.trusted, &product(), &stable(), &linux(), NOW).unwrap();
    let paths: Vec<&str> = offer.releases.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(paths, ["hello/stable/linux-x86_64/2.release"]);
    assert_eq!(offer.left_out[0].0, "hello/stable/linux-x86_64/3.release");
}

#[test]
fn a_partial_bundle_brings_no_mixture() {
    // The timestamp came, the rest did not: what was trusted below is no
    // longer in force, and nothing is offered until the rest has come.
    let (mut vendor, mut client) = updated();
    vendor.release(2);
    vendor.publish(day(1));
    let mut partial = vendor.files.clone();
    partial.remove("3.snapshot.json");
    assert!(client.refresh(&partial, day(1), &[role()]).is_err());
    client.restart();
    let offer = Candidates::of(&client.trusted, &product(), &stable(), &linux(), day(1));
    assert!(matches!(offer, Err(TrustError::Version { .. })), "{offer:?}");
    client.refresh(&vendor.files, day(1), &[role()]).unwrap();
    assert!(Candidates::of(&client.trusted, &product(), &stable(), &linux(), day(1)).is_ok());
}

#[test]
fn another_role_cannot_speak_for_the_channel() {
    // A role that the channel itself delegates to, and one that is only
    // delegated to from below, are no channel roles.
    let mut repo = Simulator::new();
    repo.delegate("targets", "middle", 20, &["hello/*/*/*"]);
    repo.delegate("middle", "hello.stable", 21, &["hello/stable/*/*"]);
    repo.publish(&["hello.stable", "middle", "targets", "snapshot", "timestamp"]);
    let mut client = Client::new(&repo.files);
    let error = client.refresh(&repo.files, NOW, &[role()]).unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::NotDelegated { .. })), "{error:?}");
    let offer = Candidates::of(&client.trusted, &product(), &stable(), &linux(), NOW);
    assert!(offer.is_err(), "{offer:?}");
}
