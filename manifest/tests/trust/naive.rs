//! Clever code against plain code, on seeded chance: canonical JSON, path
//! patterns, and the search through hundreds of delegation graphs.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use updraft_manifest::canonical;
use updraft_manifest::trust::key::Key;
use updraft_manifest::trust::limits::DELEGATIONS;
use updraft_manifest::trust::pattern;
use updraft_manifest::trust::refresh::{Input, Output};
use updraft_manifest::trust::role::RoleName;
use updraft_manifest::trust::search::Search;
use updraft_manifest::trust::testing::naive::{self, Graph};
use updraft_manifest::trust::testing::simulator::Simulator;
use updraft_manifest::trust::testing::{Client, NOW, day, foreign, key};

use crate::random::Random;

fn value(random: &mut Random, depth: usize) -> Value {
    const LETTERS: [char; 12] =
        ['a', 'B', '"', '\\', '/', '\n', '\u{0}', '\u{7f}', '\u{e9}', '\u{ffff}', '\u{10000}', '!'];
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => (random.below(2) == 0).into(),
        2 => (random.below(usize::MAX) as u64).into(),
        3 => (random.below(usize::MAX) as u64).cast_signed().into(),
        4 => random.text(&LETTERS, 6).into(),
        5 => (0..random.below(5)).map(|_| value(random, depth - 1)).collect(),
        _ => Value::Object(
            (0..random.below(8))
                .map(|_| (random.text(&LETTERS, 3), value(random, depth - 1)))
                .collect(),
        ),
    }
}

#[test]
fn canonical_json_is_that_of_the_plain_writer() {
    let mut random = Random::from_env();
    for _ in 0..20_000 {
        let value = value(&mut random, 4);
        let ours = String::from_utf8(canonical::to_vec(&value).unwrap()).unwrap();
        assert_eq!(Some(ours), naive::canonical(&value), "{value}");
        // And what was read from any spelling is what was written.
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        assert_eq!(canonical::parse(&pretty, 1 << 20).unwrap(), value);
    }
}

#[test]
fn patterns_match_as_the_plain_matcher_says() {
    let mut random = Random::from_env();
    let pattern_letters: Vec<char> = "ab-]**?[!/\u{e9}c".chars().collect();
    let path_letters: Vec<char> = "abc-]/[!\u{e9}".chars().collect();
    let mut matched = 0;
    for _ in 0..200_000 {
        let pattern = random.text(&pattern_letters, 7);
        let path = random.text(&path_letters, 5);
        let ours = pattern::matches(&pattern, &path);
        assert_eq!(ours, naive::matches(&pattern, &path), "{pattern:?} {path:?}");
        matched += u32::from(ours);
    }
    assert!(matched > 1000, "only {matched} matched");
}

#[test]
fn hundreds_of_delegation_graphs_are_walked_in_the_order_of_the_specification() {
    const PATTERNS: [&str; 6] = ["*", "a/*", "?/*", "a/[xy]", "b", "*/x"];
    const PATHS: [&str; 5] = ["a/x", "a/y", "b", "c/x", "d/e/f"];
    let mut random = Random::from_env();
    let (mut found_some, mut longest, mut cut) = (0, 0, 0);
    for round in 0..300 {
        // Now and then so many that the bound is met.
        let count = if round % 10 == 0 { 45 } else { 2 + random.below(12) };
        let roles: Vec<String> = (0..count).map(|i| format!("role {i}")).collect();
        let mut graph = Graph::default();
        let mut repo = Simulator::new();
        let mut all = vec!["targets".to_owned()];
        all.extend(roles.iter().cloned());
        let mut edges = BTreeSet::new();
        for (i, name) in roles.iter().enumerate() {
            let by = match round % 10 {
                0 => all[i / 8].clone(),
                _ => all[random.below(i + 1)].clone(),
            };
            edges.insert((by, name.clone()));
            // More ways to it, backwards and in circles too.
            for _ in 0..random.below(2) {
                edges.insert((random.one(&all).clone(), name.clone()));
            }
        }
        for (by, name) in edges {
            let patterns: Vec<String> = match round % 10 {
                0 => vec!["*/*".to_owned()],
                _ => {
                    (0..1 + random.below(2)).map(|_| (*random.one(&PATTERNS)).to_owned()).collect()
                }
            };
            let terminating = round % 10 != 0 && random.below(5) == 0;
            let index = roles.iter().position(|role| *role == name).unwrap();
            let seed = 10 + u8::try_from(index).unwrap();
            for role in [&by, &name] {
                repo.signed.entry(role.clone()).or_insert_with(|| {
                    json!({ "_type": "targets", "spec_version": "1.0.34", "version": 0,
                        "expires": day(30).to_string(), "targets": {} })
                });
            }
            repo.signers.insert(name.clone(), vec![key(seed)]);
            let role = json!({ "name": name, "terminating": terminating, "paths": patterns });
            repo.delegate_as(&by, seed, role);
            graph.delegations.entry(by).or_default().push((name, patterns, terminating));
        }
        for _ in 0..random.below(6) {
            let (role, path) = (random.one(&all).clone(), *random.one(&PATHS));
            repo.add_target(&role, path, b"content");
            graph.targets.entry(role).or_default().insert(path.to_owned());
        }
        let names: Vec<&str> = roles.iter().map(String::as_str).collect();
        repo.publish(&names);
        repo.publish(&["targets", "snapshot", "timestamp"]);
        for path in PATHS {
            let mut client = Client::new(&repo.files);
            client.refresh(&repo.files, NOW, &[]).unwrap();
            let (visited, found) = walk(&repo, client, path);
            let (expected, expected_found) = graph.search(path, DELEGATIONS);
            assert_eq!(visited, expected[1..], "round {round}, {path}: {graph:?}");
            assert_eq!(found, expected_found, "round {round}, {path}: {graph:?}");
            found_some += u32::from(found.is_some());
            longest = longest.max(visited.len());
            cut += u32::from(visited.len() == DELEGATIONS);
        }
    }
    assert!(found_some > 100 && cut > 10, "{found_some} found, {cut} cut at the bound");
    assert_eq!(longest, DELEGATIONS);
}

/// The roles asked for, and the one that has the target.
fn walk(repo: &Simulator, client: Client, path: &str) -> (Vec<String>, Option<String>) {
    let mut search = Search::new(client.trusted, NOW, path.to_owned()).unwrap();
    let mut visited = Vec::new();
    while let Some(output) = search.poll() {
        if let Output::Want { name, .. } = output {
            visited.push(search.awaited().unwrap().to_string());
            let role = RoleName::from_file_name(name.split_once('.').unwrap().1).unwrap();
            assert_eq!(role.as_str(), visited.last().unwrap());
            search.handle(Input::File(repo.files[&name].clone())).unwrap();
        }
    }
    (visited, search.finish().1.map(|found| found.role.to_string()))
}

#[test]
fn mutated_keys_never_panic_and_never_verify_what_they_should_not() {
    let mut random = Random::from_env();
    let mut read = 0;
    for (keytype, scheme, known) in [
        ("ecdsa", "ecdsa-sha2-nistp256", foreign::ECDSA),
        ("rsa", "rsassa-pss-sha256", foreign::RSA),
    ] {
        let object = |public: &str| -> Key {
            let object =
                json!({ "keytype": keytype, "scheme": scheme, "keyval": { "public": public } });
            serde_json::from_value(object).unwrap()
        };
        let honest = object(known.public).material().unwrap();
        let signature = hex::decode(known.signature).unwrap();
        for _ in 0..5000 {
            let public = random.mutate(known.public.as_bytes());
            let material = object(&String::from_utf8_lossy(&public)).material();
            if let Some(material) = material.filter(|material| *material != honest) {
                read += 1;
                assert!(!material.verifies(foreign::MESSAGE, &signature));
            }
            let forged = random.mutate(&signature);
            assert_eq!(honest.verifies(foreign::MESSAGE, &forged), forged == signature);
        }
    }
    assert!(read > 100, "only {read} mutated keys were read at all");
}
