//! The program itself: what it prints, writes and answers.

#[path = "support/place.rs"]
mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use manifest::admission::credential::Role;
use manifest::admission::ticket::Ticket;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::key::SigningKey;
use manifest::trust::root::Root;
use manifest::trust::trusted::TrustedSet;
use serde_json::Value;

use crate::place::Place;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_vendor_goes_from_init_to_ticket() {
    let place = Place::with_home();
    place.tree("one", "first");
    place.tree("two", "second");
    let said = place.ok(&["release", "one", "--version", "1.0"]);
    assert!(said.contains("1.0 for") && said.contains("release 1"), "{said}");
    let json = place.ok(&["release", "two", "--version", "1.1", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["number"], 2);
    assert_eq!(json["patches"][0]["from"], "1.0");
    assert!(json["patches"][0]["delta_bytes"].as_u64().unwrap() > 0);

    let status: Value = serde_json::from_str(&place.ok(&["status", "--json"])).unwrap();
    assert_eq!(status["newest"][0]["version"], "1.1");
    assert_eq!(status["releases"], 2);
    let keys = status["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| key["public"].is_string()), "{status}");
    for file in fs::read_dir(place.at(".updraft/keys")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    assert_eq!(mode(&place.at(".updraft/keys")), 0o700);
}

/// Who speaks for the workgroup that a ticket leads to.
fn trust(ticket: &Ticket) -> WorkgroupTrust {
    let set = TrustedSet::from_root(&ticket.root).unwrap();
    let root: &Root = set.root();
    WorkgroupTrust::new(ticket.workgroup(), root.workgroup_keys().unwrap()).unwrap()
}

#[test]
fn a_ticket_admits_a_member_and_no_more() {
    let place = Place::with_home();
    let said = place.ok(&["ticket", "--address", "/ip4/127.0.0.1/tcp/4000"]);
    assert!(said.contains("fingerprint") && said.contains("127.0.0.1"), "{said}");
    assert_eq!(mode(&place.at("hello.ticket")), 0o600);
    let ticket = Ticket::parse(&fs::read(place.at("hello.ticket")).unwrap()).unwrap();
    assert!(said.contains(&ticket.workgroup().to_string()));
    let (log, peer) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let now = updraft_publisher::clock::now();
    let trust = trust(&ticket);
    let chain = ticket.admit(&trust, Role::Member, &log, &peer, now).unwrap();
    let member = chain.verify(&trust, &peer.public(), now).unwrap();
    assert_eq!(member.organisation, "Example Ltd");
    for role in [Role::Seeder, Role::Auditor, Role::Witness] {
        assert!(ticket.admit(&trust, role, &log, &peer, now).is_err());
    }

    place.ok(&["auditor-ticket", "--out", "auditor"]);
    let auditor = Ticket::parse(&fs::read(place.at("auditor")).unwrap()).unwrap();
    assert!(auditor.admit(&trust, Role::Auditor, &log, &peer, now).is_ok());
    assert!(auditor.admit(&trust, Role::Member, &log, &peer, now).is_err());
    let chain = auditor.admit(&trust, Role::Auditor, &log, &peer, now).unwrap();
    assert_eq!(chain.verify(&trust, &peer.public(), now).unwrap().organisation, "Example Ltd");
}

#[test]
fn a_site_ticket_has_an_issuer_of_its_own_that_stays() {
    let place = Place::with_home();
    let read = |name: &str| Ticket::parse(&fs::read(place.at(name)).unwrap()).unwrap();
    place.ok(&["ticket", "--out", "open"]);
    place.ok(&["ticket", "--out", "site", "--organisation", "Bäckerei Müller"]);
    place.ok(&["ticket", "--out", "again", "--organisation", "Bäckerei Müller"]);
    let keys = ["open", "site", "again"].map(|name| read(name).issuer_key.public());
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[1], keys[2]);
    let site = read("site");
    let now = updraft_publisher::clock::now();
    let issuer = site.verify(&trust(&site), Role::Member, now).unwrap();
    assert_eq!(issuer.organisation, "Bäckerei Müller");
}

#[test]
fn a_ticket_replaces_tickets_alone() {
    let place = Place::with_home();
    place.ok(&["ticket", "--out", "t"]);
    place.ok(&["ticket", "--out", "t"]);
    fs::write(place.at("t"), "my thesis").unwrap();
    let (code, said) = place.refused(&["ticket", "--out", "t"]);
    assert!(code == 1 && said.contains("is no ticket"), "{said}");
    assert_eq!(fs::read(place.at("t")).unwrap(), b"my thesis");
}

#[test]
fn a_seeders_note_leads_the_ticket_there() {
    let place = Place::with_home();
    let lines = "/ip4/127.0.0.1/udp/4000/quic-v1\nhttp://127.0.0.1:8080/\n";
    fs::write(place.at(".updraft/seed.addresses"), lines).unwrap();
    let ticket = place.ok(&["ticket", "--out", "-"]);
    let ticket = Ticket::parse(ticket.as_bytes()).unwrap();
    assert_eq!(ticket.addresses, ["/ip4/127.0.0.1/udp/4000/quic-v1"]);
    assert_eq!(ticket.mirrors, ["http://127.0.0.1:8080/"]);
}

#[test]
fn diff_counts_by_class_and_verifies() {
    let place = Place::new();
    place.tree("one", "first");
    place.tree("two", "second");
    let said = place.ok(&["diff", "one", "two", "--verify", "--json"]);
    let json: Value = serde_json::from_str(&said).unwrap();
    for key in ["metadata_bytes", "manifest_bytes", "delta_bytes", "full_bytes"] {
        assert!(json[key].as_u64().unwrap() > 0, "{key} in {said}");
    }
    for key in ["encode_cpu_seconds", "apply_cpu_seconds"] {
        assert!(json[key].as_f64().unwrap() >= 0.0, "{key} in {said}");
    }
    assert!(json["apply_peak_bytes"].is_u64() || !Path::new("/proc/self").exists(), "{said}");
    assert_eq!(json["verified"], true);
    let said = place.ok(&["diff", "one", "two"]);
    assert!(said.contains("1 changed") && !said.contains("equals"), "{said}");
}

#[test]
fn a_tree_that_did_not_change_costs_its_metadata_alone() {
    let place = Place::new();
    place.tree("one", "first");
    let said = place.ok(&["diff", "one", "one", "--verify", "--json"]);
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&json["delta_bytes"], &json["verified"]), (&Value::from(0), &Value::from(true)));
}

#[test]
fn the_home_itself_is_never_released() {
    let place = Place::with_home();
    fs::write(place.at("program"), "text").unwrap();
    for dir in [".", ".updraft"] {
        let (code, said) = place.refused(&["release", dir, "--version", "1"]);
        assert!(code == 1 && said.contains("private keys"), "{said}");
    }
}

#[test]
fn refusals_say_what_to_do_and_exit_codes_tell_them_apart() {
    let place = Place::new();
    let (code, said) = place.refused(&["status"]);
    assert!(code == 4 && said.contains("updraft-publisher init"), "{said}");
    let (code, _) = place.refused(&["release"]);
    assert_eq!(code, 2);
    let (code, said) = place.refused(&["init", "X", "--product", "No Way"]);
    assert!(code == 2 && said.contains("No Way"), "{said}");

    place.ok(&["init", "Example Ltd", "--product", "hello"]);
    let (code, said) = place.refused(&["init", "Example Ltd", "--product", "hello"]);
    assert!(code == 1 && said.contains("nothing in it was touched"), "{said}");
    place.tree("one", "first");
    let (code, said) = place.refused(&["release", "one", "--version", "1", "--channel", "beta"]);
    assert!(code == 1 && said.contains("hello has no channel beta"), "{said}");
    place.ok(&["release", "one", "--version", "1"]);
    let (code, said) = place.refused(&["release", "one", "--version", "1"]);
    assert!(code == 1 && said.contains("another --version"), "{said}");

    let key = place.at(".updraft/keys/hello.stable.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = place.refused(&["release", "one", "--version", "2"]);
    assert!(code == 1 && said.contains("chmod 600"), "{said}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    let metadata = place.at(".updraft/repository/metadata/timestamp.json");
    let spoilt = fs::read_to_string(&metadata).unwrap().replace("\"version\":2", "\"version\":9");
    fs::write(&metadata, spoilt).unwrap();
    let (code, said) = place.refused(&["release", "one", "--version", "2"]);
    assert!(code == 3 && said.contains("timestamp"), "{said}");
}

#[test]
fn example_keys_make_the_same_home_everywhere_if_they_are_welcome() {
    let place = Place::new();
    fs::create_dir(place.at("keys")).unwrap();
    for (name, key) in manifest::example_keys::all() {
        store::keyfile::create(&place.at("keys").join(format!("{name}.pem")), &key).unwrap();
    }
    let init = ["init", "Example", "--product", "hello", "--keys", "keys"];
    let (code, said) = place.refused(&init);
    assert!(code == 3 && said.contains("--allow-example-keys"), "{said}");
    assert!(!place.at(".updraft").exists());
    place.ok(&[&init[..], &["--allow-example-keys"]].concat());
    place.tree("one", "first");
    let (code, said) = place.refused(&["release", "one", "--version", "1"]);
    assert!(code == 3 && said.contains("example key"), "{said}");
    place.ok(&["release", "one", "--version", "1", "--allow-example-keys"]);
}
