//! The search for a target through delegations (TUF 5.6.7).

use serde_json::json;
use updraft_manifest::trust::refresh::{Input, Output, RefreshError};
use updraft_manifest::trust::role::RoleName;
use updraft_manifest::trust::rules::TrustError;
use updraft_manifest::trust::search::{Found, Search};
use updraft_manifest::trust::testing::{Client, NOW};

use updraft_manifest::trust::testing::simulator::{Simulator, TOP_LEVEL, key_object};

/// Refreshes, then searches; gives what was found and the roles asked for.
fn search(
    repo: &Simulator,
    client: &mut Client,
    path: &str,
) -> Result<(Option<Found>, Vec<String>), RefreshError> {
    client.refresh(&repo.files, NOW, &[])?;
    let mut search = Search::new(client.trusted.clone(), NOW, path.to_owned())?;
    let mut wanted = Vec::new();
    while let Some(output) = search.poll() {
        match output {
            Output::Want { name, .. } => {
                search.handle(Input::File(repo.files[&name].clone()))?;
                let (_, name) = name.split_once('.').unwrap();
                wanted.push(RoleName::from_file_name(name).unwrap().to_string());
            }
            Output::Persist { name, bytes } => {
                client.disk.insert(name, bytes);
            }
            Output::Forget { .. } => panic!("a search forgets nothing"),
            Output::Done => {}
        }
    }
    let (trusted, found) = search.finish();
    client.trusted = trusted;
    Ok((found, wanted))
}

fn publish_all(repo: &mut Simulator) {
    let delegated: Vec<String> =
        repo.signed.keys().filter(|role| !TOP_LEVEL.contains(&role.as_str())).cloned().collect();
    let roles: Vec<&str> = delegated.iter().map(String::as_str).collect();
    repo.publish(&roles);
    repo.publish(&["targets", "snapshot", "timestamp"]);
}

/// The graph of python-tuf's own tests: roles of `targets` are A, B and C.
fn graph(edges: &[(&str, &str, bool, &str)]) -> Simulator {
    let mut repo = Simulator::new();
    for (i, (by, role, terminating, path)) in edges.iter().enumerate() {
        let first = !repo.signed.contains_key(*role);
        let seed = 20 + u8::try_from(i).unwrap();
        if first {
            repo.delegate(by, role, seed, &[path]);
            let roles = repo.role(by)["delegations"]["roles"].as_array_mut().unwrap();
            roles.last_mut().unwrap()["terminating"] = (*terminating).into();
        } else {
            // The same role by another way, with the same key.
            let key = repo.signers[*role][0].clone();
            let seed = (1..=60)
                .find(|s| updraft_manifest::trust::testing::key(*s).public() == key.public());
            let delegation = json!({ "name": role, "terminating": terminating, "paths": [path] });
            repo.delegate_as(by, seed.unwrap(), delegation);
        }
    }
    publish_all(&mut repo);
    repo
}

fn visited(repo: &Simulator, path: &str) -> Vec<String> {
    search(repo, &mut Client::new(&repo.files), path).unwrap().1
}

#[test]
fn roles_are_visited_in_pre_order_and_depth_first() {
    let repo = graph(&[
        ("targets", "A", false, "*"),
        ("targets", "B", false, "*"),
        ("targets", "C", false, "*"),
        ("A", "A1", false, "*"),
        ("A1", "A2", false, "*"),
        ("B", "B1", false, "*"),
    ]);
    assert_eq!(visited(&repo, "x"), ["A", "A1", "A2", "B", "B1", "C"]);
}

#[test]
fn a_terminating_delegation_ends_the_search_of_those_above() {
    let repo = graph(&[
        ("targets", "A", false, "*"),
        ("targets", "B", true, "*"),
        ("targets", "C", false, "*"),
        ("A", "A1", false, "*"),
        ("B", "B1", false, "*"),
    ]);
    assert_eq!(visited(&repo, "x"), ["A", "A1", "B", "B1"]);
    let deep = graph(&[
        ("targets", "A", false, "*"),
        ("targets", "B", false, "*"),
        ("A", "A1", true, "*"),
        ("A", "A2", false, "*"),
    ]);
    assert_eq!(visited(&deep, "x"), ["A", "A1"]);
}

#[test]
fn cycles_are_walked_once() {
    let repo = graph(&[
        ("targets", "A", false, "*"),
        ("A", "B", false, "*"),
        ("B", "A", false, "*"),
        ("B", "B", false, "*"),
    ]);
    assert_eq!(visited(&repo, "x"), ["A", "B"]);
}

#[test]
fn only_roles_that_may_speak_of_the_path_are_visited() {
    let repo = graph(&[
        ("targets", "A", false, "a/*"),
        ("targets", "B", false, "b/*"),
        ("A", "A1", false, "*"),
        ("A", "A2", false, "a/?"),
        ("B", "B1", false, "a/*"),
    ]);
    assert_eq!(visited(&repo, "a/1"), ["A", "A2"]);
    assert_eq!(visited(&repo, "b/1"), ["B"]);
    assert_eq!(visited(&repo, "c"), [""; 0]);
    assert_eq!(visited(&repo, "a/b/c"), [""; 0]);
}

#[test]
fn the_first_role_that_speaks_of_a_target_is_believed() {
    let mut repo = graph(&[
        ("targets", "A", false, "*"),
        ("targets", "B", false, "*"),
        ("A", "A1", false, "*"),
    ]);
    repo.add_target("B", "x", b"of B");
    repo.add_target("A1", "x", b"of A1");
    // Not delegated to: a pattern does not cross a slash.
    repo.add_target("A", "dir/x", b"stray");
    publish_all(&mut repo);
    let mut client = Client::new(&repo.files);
    let (found, wanted) = search(&repo, &mut client, "x").unwrap();
    let found = found.unwrap();
    assert_eq!(found.role.as_str(), "A1");
    assert_eq!(found.target.check(b"of A1"), Ok(()));
    assert_eq!(wanted, ["A", "A1"]);
    assert_eq!(search(&repo, &mut client, "dir/x").unwrap().0, None);
    // What is trusted already is not asked for again, also after restart.
    client.restart();
    let (found, wanted) = search(&repo, &mut client, "x").unwrap();
    assert_eq!(found.unwrap().role.as_str(), "A1");
    assert_eq!(wanted, [""; 0]);
}

#[test]
fn top_level_targets_speak_first() {
    let mut repo = graph(&[("targets", "A", false, "*")]);
    repo.add_target("targets", "x", b"top");
    repo.add_target("A", "x", b"below");
    publish_all(&mut repo);
    let (found, wanted) = search(&repo, &mut Client::new(&repo.files), "x").unwrap();
    assert_eq!(found.unwrap().role, RoleName::TARGETS);
    assert_eq!(wanted, [""; 0]);
}

#[test]
fn at_most_32_delegations_are_visited() {
    let names: Vec<String> = (0..40).map(|i| format!("r{i}")).collect();
    let mut repo = Simulator::new();
    for name in &names {
        repo.delegate("targets", name, 20, &["*"]);
    }
    repo.add_target("r32", "x", b"too far");
    repo.add_target("r31", "y", b"just there");
    publish_all(&mut repo);
    let mut client = Client::new(&repo.files);
    let (found, wanted) = search(&repo, &mut client, "x").unwrap();
    assert_eq!((found, wanted.len()), (None, 32));
    assert!(search(&repo, &mut client, "y").unwrap().0.is_some());
}

#[test]
fn hash_prefixes_and_bins_lead_to_their_role() {
    let mut repo = Simulator::new();
    // SHA-256 of "x" begins with 2d7116, of "y" with a1fce4.
    for name in ["low", "high"] {
        repo.signed.insert(name.to_owned(), repo.signed["targets"].clone());
        repo.signers.insert(name.to_owned(), vec![updraft_manifest::trust::testing::key(20)]);
        repo.role(name)["version"] = 0.into();
    }
    for (name, prefixes) in [("low", json!(["0", "1", "2d7"])), ("high", json!(["a1fce4", "f"]))] {
        let role = json!({ "name": name, "terminating": true, "path_hash_prefixes": prefixes });
        repo.delegate_as("targets", 20, role);
    }
    publish_all(&mut repo);
    assert_eq!(visited(&repo, "x"), ["low"]);
    assert_eq!(visited(&repo, "y"), ["high"]);
    assert_eq!(visited(&repo, "z"), [""; 0]);

    let mut repo = Simulator::new();
    repo.delegate("targets", "bin-0", 20, &["*"]);
    repo.delegate("targets", "bin-5", 20, &["*"]);
    let roles = repo.role("targets")["delegations"].as_object_mut().unwrap();
    roles.remove("roles");
    let id = key_object(&updraft_manifest::trust::testing::key(20)).0;
    roles.insert(
        "succinct_roles".to_owned(),
        json!({ "keyids": [id], "threshold": 1, "bit_length": 3, "name_prefix": "bin" }),
    );
    repo.add_target("bin-5", "y", b"in a bin");
    publish_all(&mut repo);
    let mut client = Client::new(&repo.files);
    // a1 is 1010 0001: its first three bits are 5; 2d is 0010 1101: 1.
    assert_eq!(search(&repo, &mut client, "y").unwrap().0.unwrap().role.as_str(), "bin-5");
    let error = search(&repo, &mut client, "x").unwrap_err();
    assert!(
        matches!(error, RefreshError::Trust(TrustError::NotInSnapshot { ref role }) if role.as_str() == "bin-1")
    );
    client.restart();
    assert!(client.trusted.targets(&RoleName::new("bin-5").unwrap()).is_some());
}

#[test]
fn a_role_is_verified_by_each_delegator_that_leads_to_it() {
    // A diamond: both parents delegate to `release`, with different keys, and
    // only the first one's has signed.
    let mut repo = Simulator::new();
    repo.delegate("targets", "a", 20, &["a/*"]);
    repo.delegate("targets", "b", 21, &["b/*"]);
    repo.delegate("b", "release", 23, &["b/*"]);
    repo.delegate("a", "release", 22, &["a/*"]);
    repo.add_target("release", "a/x", b"right");
    repo.add_target("release", "b/x", b"wrong");
    publish_all(&mut repo);
    let mut client = Client::new(&repo.files);
    assert!(search(&repo, &mut client, "a/x").unwrap().0.is_some());
    let error = search(&repo, &mut client, "b/x").unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::Signatures { .. })), "{error:?}");
    client.restart();
    let error = search(&repo, &mut client, "b/x").unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::Signatures { .. })), "{error:?}");
    assert!(search(&repo, &mut client, "a/x").unwrap().0.is_some());
}

#[test]
fn a_delegation_without_an_entry_in_the_snapshot_ends_the_search() {
    let mut repo = graph(&[("targets", "A", false, "*")]);
    repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("A.json");
    repo.role("snapshot")["version"] = 3.into();
    let bytes = repo.sign("snapshot");
    repo.put("snapshot", bytes);
    repo.publish(&["timestamp"]);
    let mut client = Client::new(&repo.files);
    let error = search(&repo, &mut client, "x").unwrap_err();
    assert!(matches!(error, RefreshError::Trust(TrustError::NotInSnapshot { .. })), "{error:?}");
}
