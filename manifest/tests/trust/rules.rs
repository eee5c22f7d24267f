//! Timestamp, snapshot, targets and delegated roles (TUF 5.4 to 5.6).

use serde_json::Value;
use updraft_manifest::time::UnixTime;
use updraft_manifest::trust::hashes::Mismatch;
use updraft_manifest::trust::refresh::{Input, Output, Refresh, RefreshError};
use updraft_manifest::trust::role::RoleName;
use updraft_manifest::trust::rules::TrustError;
use updraft_manifest::trust::testing::{Client, NOW, day, key};

use crate::roots::client;
use updraft_manifest::trust::testing::simulator::{Simulator, file};

const LOWER: [&str; 3] = ["targets", "snapshot", "timestamp"];

/// Why a refresh is refused; the client then goes on from its disk.
fn refused(client: &mut Client, repo: &Simulator, now: UnixTime) -> TrustError {
    let result = client.refresh(&repo.files, now, &[]);
    let Err(RefreshError::Trust(error)) = result else { panic!("expected a refusal: {result:?}") };
    client.restart();
    error
}

fn expired(error: &TrustError) -> &RoleName {
    let TrustError::Expired { role, .. } = error else { panic!("{error:?}") };
    role
}

fn versions(client: &Client) -> (u64, u64, u64) {
    let trusted = &client.trusted;
    (
        trusted.timestamp().map_or(0, |t| t.version.get()),
        trusted.snapshot().map_or(0, |s| s.version.get()),
        trusted.targets(&RoleName::TARGETS).map_or(0, |t| t.version.get()),
    )
}

#[test]
fn a_refresh_asks_in_the_order_of_the_specification() {
    let mut repo = Simulator::new();
    repo.delegate("targets", "hello.stable", 20, &["hello/stable/*/*"]);
    repo.publish(&["hello.stable", "targets", "snapshot", "timestamp"]);
    let role = RoleName::new("hello.stable").unwrap();
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, NOW, std::slice::from_ref(&role)).unwrap();
    let mut expected = vec![
        "2.root.json",
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
        "1.hello.stable.json",
    ];
    assert_eq!(client.wanted, expected);
    client.restart();
    client.refresh(&repo.files, NOW, &[role]).unwrap();
    expected.truncate(2);
    assert_eq!(client.wanted, expected, "what is trusted is not asked for again");
}

#[test]
fn the_bytes_on_disk_are_exactly_the_bytes_received() {
    let mut repo = Simulator::new();
    repo.delegate("targets", "a/b %\"\u{e9}", 20, &["*"]);
    repo.publish(&["a/b %\"\u{e9}", "targets", "snapshot", "timestamp"]);
    let role = RoleName::new("a/b %\"\u{e9}").unwrap();
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, NOW, &[role]).unwrap();
    let mut names: Vec<&str> = client.disk.keys().map(String::as_str).collect();
    names.sort_unstable();
    let odd = "a%2Fb%20%25%22%C3%A9.json";
    assert_eq!(names, [odd, "root.json", "snapshot.json", "targets.json", "timestamp.json"]);
    assert_eq!(client.disk[odd], repo.files[&format!("1.{odd}")]);
    assert_eq!(client.disk["snapshot.json"], repo.files["2.snapshot.json"]);
    assert_eq!(client.disk["timestamp.json"], repo.files["timestamp.json"]);
}

#[test]
fn an_older_timestamp_is_refused_also_after_restart() {
    // TUF 5.4.3.1
    let mut repo = Simulator::new();
    let old = repo.clone();
    repo.publish(&["timestamp"]);
    let mut client = client(&repo);
    client.restart();
    let error = refused(&mut client, &old, NOW);
    assert!(matches!(error, TrustError::Rollback { ref role, .. } if *role == RoleName::TIMESTAMP));
    assert_eq!(versions(&client), (2, 1, 1));
}

#[test]
fn an_equal_timestamp_is_silently_passed_over_whatever_it_says() {
    // TUF 5.4.3.1
    let mut repo = Simulator::new();
    let mut client = client(&repo);
    let before = client.disk.clone();
    repo.publish(&["snapshot"]);
    repo.write("timestamp");
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert_eq!(client.wanted, ["2.root.json", "timestamp.json"]);
    assert_eq!(client.disk, before);
}

#[test]
fn a_timestamp_that_names_an_older_snapshot_is_refused() {
    // TUF 5.4.3.2
    let mut repo = Simulator::new();
    repo.publish(&["snapshot", "timestamp"]);
    let mut client = client(&repo);
    repo.role("snapshot")["version"] = 1.into();
    repo.publish(&["timestamp"]);
    let error = refused(&mut client, &repo, NOW);
    assert!(matches!(error, TrustError::Rollback { ref role, .. } if *role == RoleName::SNAPSHOT));
}

#[test]
fn an_expired_timestamp_is_refused_and_not_kept() {
    // TUF 5.4.4, also in the very second.
    let mut repo = Simulator::new();
    let mut client = client(&repo);
    repo.role("timestamp")["expires"] = day(1).to_string().into();
    repo.publish(&["timestamp"]);
    let error = refused(&mut client, &repo, day(1));
    assert_eq!(*expired(&error), RoleName::TIMESTAMP);
    assert_eq!(versions(&client), (1, 1, 1));
}

#[test]
fn an_equal_timestamp_that_has_expired_is_a_freeze() {
    let repo = {
        let mut repo = Simulator::new();
        repo.role("timestamp")["expires"] = day(1).to_string().into();
        repo.publish(&["timestamp"]);
        repo
    };
    let mut client = client(&repo);
    let error = refused(&mut client, &repo, day(2));
    assert_eq!(*expired(&error), RoleName::TIMESTAMP);
}

#[test]
fn an_expired_trusted_timestamp_still_is_a_floor() {
    let mut repo = Simulator::new();
    let mut old = repo.clone();
    repo.role("timestamp")["expires"] = day(1).to_string().into();
    repo.publish(&["timestamp", "timestamp"]);
    let mut client = client(&repo);
    client.restart();
    old.publish(&["timestamp"]);
    let error = refused(&mut client, &old, day(2));
    assert!(matches!(error, TrustError::Rollback { .. }), "{error:?}");
}

#[test]
fn a_timestamp_speaks_of_the_snapshot_alone() {
    // TUF 4.6
    let mut repo = Simulator::new();
    let mut client = Client::new(&repo.files);
    repo.role("timestamp")["meta"]["targets.json"] = serde_json::json!({ "version": 1 });
    let bytes = repo.sign("timestamp");
    repo.put("timestamp", bytes);
    assert!(matches!(refused(&mut client, &repo, NOW), TrustError::Format { .. }));
}

#[test]
fn the_clock_cannot_be_turned_back_behind_a_signed_time() {
    let mut repo = Simulator::new();
    repo.role("targets")["expires"] = day(3).to_string().into();
    repo.publish(&LOWER);
    let mut frozen = repo.clone();
    repo.role("timestamp")["x-updraft-issued"] = day(5).to_string().into();
    repo.role("targets")["expires"] = day(30).to_string().into();
    repo.publish(&LOWER);
    let mut client = client(&repo);
    client.restart();
    assert_eq!(client.trusted.reference_time(NOW), day(5));
    assert_eq!(client.trusted.reference_time(day(6)), day(6));
    // What is trusted is judged by it, too.
    assert!(client.trusted.current(&RoleName::TARGETS, NOW).is_ok());
    let error = client.trusted.current(&RoleName::TARGETS, day(31)).unwrap_err();
    assert_eq!(*expired(&error), RoleName::ROOT);
    // A clock that says day 0 would take targets that expired on day 3.
    frozen.role("snapshot")["version"] = 7.into();
    frozen.role("timestamp")["version"] = 7.into();
    frozen.role("targets")["version"] = 7.into();
    frozen.publish(&LOWER);
    let error = refused(&mut client, &frozen, NOW);
    assert_eq!(*expired(&error), RoleName::TARGETS);
}

#[test]
fn a_signed_time_does_not_go_back_but_may_be_left_out() {
    let mut repo = Simulator::new();
    repo.role("timestamp")["x-updraft-issued"] = day(5).to_string().into();
    repo.publish(&["timestamp"]);
    let mut client = client(&repo);
    repo.role("timestamp")["x-updraft-issued"] = day(4).to_string().into();
    repo.publish(&["timestamp"]);
    assert!(matches!(refused(&mut client, &repo, NOW), TrustError::IssuedEarlier { .. }));
    repo.role("timestamp").as_object_mut().unwrap().remove("x-updraft-issued");
    repo.publish(&["timestamp"]);
    client.refresh(&repo.files, NOW, &[]).unwrap();
}

#[test]
fn a_signed_time_in_the_far_future_goes_with_the_key_that_signed_it() {
    let mut repo = Simulator::new();
    let far = UnixTime::from_seconds(u64::MAX);
    repo.role("timestamp")["x-updraft-issued"] = day(29).to_string().into();
    repo.publish(&["timestamp"]);
    let mut client = client(&repo);
    assert_eq!(client.trusted.reference_time(NOW), day(29));
    repo.role("timestamp")["x-updraft-issued"] = far.to_string().into();
    repo.role("timestamp")["expires"] = far.to_string().into();
    repo.publish(&["timestamp"]);
    // Taken, for it has not expired by the time at which the refresh began.
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert!(client.trusted.current(&RoleName::TARGETS, NOW).is_err());
    repo.rotate("timestamp", &[14], 1);
    let timestamp = repo.role("timestamp");
    timestamp["x-updraft-issued"] = NOW.to_string().into();
    timestamp["expires"] = day(7).to_string().into();
    repo.publish(&["root", "timestamp"]);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    assert!(client.trusted.current(&RoleName::TARGETS, NOW).is_ok());
}

#[test]
fn one_reference_time_holds_for_the_whole_refresh() {
    // TUF 5.1: a time learnt on the way does not count before the next one.
    let mut repo = Simulator::new();
    repo.role("snapshot")["expires"] = day(3).to_string().into();
    repo.role("timestamp")["x-updraft-issued"] = day(5).to_string().into();
    repo.publish(&LOWER);
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    let error = refused(&mut client, &repo, NOW);
    assert_eq!(*expired(&error), RoleName::SNAPSHOT);
}

#[test]
fn a_snapshot_must_have_the_named_hash_length_and_version() {
    // TUF 5.5.2, 5.5.4
    for hashes in [true, false] {
        let mut repo = Simulator::new();
        repo.hashes = hashes;
        let mut client = client(&repo);
        repo.publish(&LOWER);
        let good = repo.files["2.snapshot.json"].clone();
        let other = repo.files["1.snapshot.json"].clone();
        let mut longer = good.clone();
        longer.push(b' ');
        repo.files.insert("2.snapshot.json".to_owned(), other);
        match refused(&mut client, &repo, NOW) {
            TrustError::Mismatch { .. } if hashes => {}
            TrustError::Version { .. } if !hashes => {}
            error => panic!("{error:?}"),
        }
        if hashes {
            let mut refresh = Refresh::new(client.trusted.clone(), NOW, Vec::new());
            refresh.poll();
            refresh.handle(Input::NotFound).unwrap();
            refresh.poll();
            refresh.handle(Input::File(repo.files["timestamp.json"].clone())).unwrap();
            let Some(Output::Want { max_len, .. }) = refresh.poll() else { panic!() };
            assert_eq!(max_len, good.len() as u64, "never more is read than is named");
            let error = refresh.handle(Input::File(longer)).unwrap_err();
            assert!(
                matches!(
                    error,
                    RefreshError::Trust(TrustError::Mismatch {
                        source: Mismatch::Length { .. },
                        ..
                    })
                ),
                "{error:?}"
            );
        }
        repo.files.insert("2.snapshot.json".to_owned(), good);
        client.refresh(&repo.files, NOW, &[]).unwrap();
    }
}

#[test]
fn snapshot_entries_never_decrease_also_where_hashes_are_named() {
    // TUF 5.5.5: the trusted snapshot is the floor though its hash is no
    // longer the one that the timestamp names.
    for hashes in [true, false] {
        let mut repo = Simulator::new();
        repo.hashes = hashes;
        repo.publish(&LOWER);
        let mut client = client(&repo);
        client.restart();
        repo.role("targets")["version"] = 0.into();
        repo.publish(&LOWER);
        let error = refused(&mut client, &repo, NOW);
        assert!(
            matches!(error, TrustError::Rollback { ref role, .. } if *role == RoleName::TARGETS),
            "{error:?}"
        );
        assert_eq!(versions(&client), (3, 2, 2), "the timestamp was right, and stays");
    }
}

#[test]
fn snapshot_entries_never_vanish() {
    // TUF 5.5.5
    let mut repo = Simulator::new();
    repo.delegate("targets", "hello.stable", 20, &["*"]);
    let without = repo.clone();
    repo.publish(&["hello.stable", "targets", "snapshot", "timestamp"]);
    let mut client = client(&repo);
    let mut vanished = without;
    vanished.publish(&LOWER);
    vanished.publish(&LOWER);
    let error = refused(&mut client, &vanished, NOW);
    let TrustError::Vanished { name } = error else { panic!("{error:?}") };
    assert_eq!(name, "hello.stable.json");
}

#[test]
fn an_expired_snapshot_is_refused() {
    // TUF 5.5.6
    let mut repo = Simulator::new();
    repo.role("snapshot")["expires"] = day(1).to_string().into();
    repo.publish(&LOWER);
    let mut client = Client::new(&repo.files);
    let error = refused(&mut client, &repo, day(1));
    assert_eq!(*expired(&error), RoleName::SNAPSHOT);
    assert_eq!(versions(&client), (2, 0, 0));
}

#[test]
fn targets_must_be_the_ones_that_the_snapshot_names() {
    // TUF 5.6.2, 5.6.4
    for hashes in [true, false] {
        let mut repo = Simulator::new();
        repo.hashes = hashes;
        repo.publish(&LOWER);
        let mut client = Client::new(&repo.files);
        let other = repo.files["1.targets.json"].clone();
        repo.files.insert("2.targets.json".to_owned(), other);
        match refused(&mut client, &repo, NOW) {
            TrustError::Mismatch { .. } if hashes => {}
            TrustError::Version { .. } if !hashes => {}
            error => panic!("{error:?}"),
        }
    }
}

#[test]
fn expired_targets_are_refused() {
    // TUF 5.6.5
    let mut repo = Simulator::new();
    repo.role("targets")["expires"] = day(1).to_string().into();
    repo.publish(&LOWER);
    let mut client = Client::new(&repo.files);
    assert_eq!(*expired(&refused(&mut client, &repo, day(1))), RoleName::TARGETS);
}

#[test]
fn each_role_is_signed_by_its_own_keys() {
    // TUF 5.4.2, 5.5.3, 5.6.3: a key of one role signs no other.
    for (role, wrong) in [("timestamp", 3), ("snapshot", 4), ("targets", 1)] {
        let mut repo = Simulator::new();
        repo.signers.insert(role.to_owned(), vec![key(wrong)]);
        repo.publish(&LOWER);
        let mut client = Client::new(&repo.files);
        let error = refused(&mut client, &repo, NOW);
        let TrustError::Signatures { role: found, source } = error else { panic!("{error:?}") };
        assert_eq!((found.as_str(), source.found, source.threshold), (role, 0, 1));
    }
}

#[test]
fn another_type_under_the_right_keys_is_refused() {
    let mut repo = Simulator::new();
    repo.rotate("timestamp", &[3], 1);
    repo.publish(&["root"]);
    let snapshot = file(&repo.signed["snapshot"], &[key(3)]);
    repo.files.insert("timestamp.json".to_owned(), snapshot);
    let mut client = Client::new(&repo.files);
    assert!(matches!(refused(&mut client, &repo, NOW), TrustError::Format { .. }));
}

#[test]
fn a_delegated_role_must_be_in_the_snapshot_and_delegated_to() {
    let mut repo = Simulator::new();
    repo.delegate("targets", "hello.stable", 20, &["*"]);
    repo.publish(&LOWER);
    let mut client = Client::new(&repo.files);
    let role = |name: &str| vec![RoleName::new(name).unwrap()];
    let error = client.refresh(&repo.files, NOW, &role("hello.stable")).unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::NotInSnapshot { .. })), "{error:?}");
    assert_eq!(client.wanted.last().unwrap(), "2.targets.json", "its file was not asked for");
    repo.publish(&["hello.stable", "snapshot", "timestamp"]);
    client.refresh(&repo.files, NOW, &role("hello.stable")).unwrap();

    repo.role("targets")["delegations"]["roles"] = serde_json::json!([]);
    repo.publish(&LOWER);
    let error = client.refresh(&repo.files, NOW, &role("hello.stable")).unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::NotDelegated { .. })), "{error:?}");
    let none = client.trusted.targets(&role("hello.stable")[0]);
    assert!(none.is_none(), "a role that is no longer delegated to is no longer trusted");
}

#[test]
fn a_delegated_file_falls_with_the_key_that_signed_it() {
    let mut repo = Simulator::new();
    repo.delegate("targets", "hello.stable", 20, &["*"]);
    repo.publish(&["hello.stable", "targets", "snapshot", "timestamp"]);
    let role = [RoleName::new("hello.stable").unwrap()];
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, NOW, &role).unwrap();
    repo.role("targets").as_object_mut().unwrap().remove("delegations");
    repo.delegate("targets", "hello.stable", 21, &["*"]);
    repo.publish(&LOWER);
    let error = client.refresh(&repo.files, NOW, &role).unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::Signatures { .. })), "{error:?}");
    repo.publish(&["hello.stable", "snapshot", "timestamp"]);
    client.refresh(&repo.files, NOW, &role).unwrap();
}

#[test]
fn more_than_32_delegated_roles_are_refused() {
    let repo = Simulator::new();
    let roles: Vec<RoleName> =
        (0..33).map(|i| RoleName::new(format!("role-{i}")).unwrap()).collect();
    let error = Client::new(&repo.files).refresh(&repo.files, NOW, &roles).unwrap_err();
    assert!(matches!(error, RefreshError::TooManyDelegations { found: 33 }), "{error:?}");
}

#[test]
fn lengths_are_bounded_also_where_none_is_named() {
    let mut repo = Simulator::new();
    let mut client = Client::new(&repo.files);
    for (name, role, limit) in [
        ("2.root.json", "root", 512_000),
        ("timestamp.json", "timestamp", 16_384),
        ("2.snapshot.json", "snapshot", 2_000_000),
        ("2.targets.json", "targets", 5_000_000),
    ] {
        let mut repo = repo.clone();
        if role != "root" {
            repo.publish(&LOWER);
        }
        let mut bytes = match role {
            "root" => repo.sign("root"),
            _ => repo.files[name].clone(),
        };
        bytes.resize(limit + 1, b' ');
        repo.files.insert(name.to_owned(), bytes.clone());
        let mut refresh = Refresh::new(client.trusted.clone(), NOW, Vec::new());
        loop {
            let Some(output) = refresh.poll() else { panic!("{name} was never wanted") };
            let Output::Want { name: wanted, max_len } = output else { continue };
            if wanted == name {
                assert_eq!(max_len, limit as u64, "{name}");
                break;
            }
            let answer = repo.files.get(&wanted).cloned().map_or(Input::NotFound, Input::File);
            refresh.handle(answer).unwrap();
        }
        // A driver that reads on all the same is stopped here.
        let error = refresh.handle(Input::File(bytes)).unwrap_err();
        assert!(matches!(error, RefreshError::Trust(TrustError::TooLong { .. })), "{error:?}");
    }
    repo.publish(&LOWER);
    client.refresh(&repo.files, NOW, &[]).unwrap();
}

#[test]
fn a_refused_answer_changes_nothing_and_the_file_is_wanted_again() {
    let repo = Simulator::new();
    let mut refresh = Refresh::new(Client::new(&repo.files).trusted, NOW, Vec::new());
    assert!(matches!(refresh.handle(Input::NotFound), Err(RefreshError::Unasked)));
    let wanted = loop {
        let mut bad = vec![
            Input::Failed("no route".to_owned()),
            Input::File(Vec::new()),
            Input::File(b"<html>".to_vec()),
            Input::File(repo.files["1.targets.json"].clone()),
        ];
        let Some(output) = refresh.poll() else { panic!("the refresh ended early") };
        let want = match output {
            Output::Want { ref name, .. } => name.clone(),
            Output::Persist { .. } => continue,
            Output::Done => break "done",
            Output::Forget { .. } => panic!("nothing is forgotten"),
        };
        if want != "2.root.json" {
            bad.push(Input::NotFound);
        }
        if want == "1.targets.json" {
            bad.remove(3);
        }
        for input in bad {
            assert!(refresh.handle(input.clone()).is_err(), "{want} {input:?}");
            assert_eq!(refresh.poll(), Some(output.clone()), "wanted again");
        }
        let answer = repo.files.get(&want).cloned().map_or(Input::NotFound, Input::File);
        refresh.handle(answer).unwrap();
    };
    assert_eq!(wanted, "done");
    assert_eq!(refresh.poll(), None);
}

#[test]
fn a_cut_between_any_two_writes_never_lowers_what_is_trusted() {
    let mut repo = Simulator::new();
    let first = client(&repo);
    let old = repo.clone();
    repo.rotate("root", &[11], 1);
    repo.publish(&["root", "targets", "snapshot", "timestamp"]);
    for writes in 0..=4 {
        let mut disk = first.disk.clone();
        let mut refresh = Refresh::new(first.trusted.clone(), NOW, Vec::new());
        let mut left = writes;
        while left > 0
            && let Some(output) = refresh.poll()
        {
            match output {
                Output::Want { name, .. } => {
                    let answer = repo.files.get(&name).cloned();
                    refresh.handle(answer.map_or(Input::NotFound, Input::File)).unwrap();
                }
                Output::Persist { name, bytes } => {
                    disk.insert(name, bytes);
                    left -= 1;
                }
                Output::Forget { name } => {
                    disk.remove(&name);
                    left -= 1;
                }
                Output::Done => break,
            }
        }
        let mut client = Client { disk, ..Client::new(&repo.files) };
        client.restart();
        assert_eq!(client.trusted.root().version.get(), if writes >= 1 { 2 } else { 1 });
        assert_eq!(versions(&client).0, if writes >= 2 { 2 } else { 1 }, "{writes}");
        if writes >= 2 {
            // The old repository is now a replay, and refused.
            assert!(client.refresh(&old.files, NOW, &[]).is_err(), "{writes}");
        }
        client.restart();
        client.refresh(&repo.files, NOW, &[]).unwrap();
        assert_eq!(versions(&client), (2, 2, 2));
    }
}

#[test]
fn broken_files_on_disk_are_left_out_and_fetched_again() {
    let repo = Simulator::new();
    let mut client = client(&repo);
    for name in ["timestamp.json", "snapshot.json", "targets.json"] {
        client.disk.insert(name.to_owned(), b"{}".to_vec());
        client.restart();
        assert!(client.trusted.left_out().iter().any(|left| left.name == name), "{name}");
        client.refresh(&repo.files, NOW, &[]).unwrap();
        let served = match name {
            "timestamp.json" => name.to_owned(),
            _ => format!("1.{name}"),
        };
        assert_eq!(client.disk[name], repo.files[&served]);
    }
    client.disk.insert("root.json".to_owned(), b"{}".to_vec());
    assert!(updraft_manifest::trust::trusted::TrustedSet::load(&client.disk).is_err());
}

#[test]
fn custom_members_everywhere_are_carried_along() {
    let mut repo = Simulator::new();
    repo.hashes = true;
    repo.delegate_as(
        "targets",
        20,
        serde_json::json!({ "name": "r", "paths": ["*"], "x": 1, "terminating": true }),
    );
    for role in LOWER {
        repo.role(role)["x-unknown"] = serde_json::json!({ "a": [1, { "b": "\u{1f}\\\"" }] });
    }
    repo.role("targets")["targets"]["t"] =
        serde_json::json!({ "length": 0, "hashes": { "sha256": "" }, "x": [], "custom": 7 });
    repo.publish(&LOWER);
    let mut client = Client::new(&repo.files);
    client.refresh(&repo.files, NOW, &[]).unwrap();
    let targets = client.trusted.targets(&RoleName::TARGETS).unwrap();
    assert_eq!(targets.targets["t"].custom, Some(Value::from(7)));
    assert_eq!(targets.extra["x-unknown"]["a"][0], 1);
}
