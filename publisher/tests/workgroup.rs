//! The workgroup's key and its issuers, as the vendor looks after them.

#[path = "support/place.rs"]
mod place;

use std::fs;

use manifest::admission::credential::Role;
use manifest::admission::ticket::Ticket;
use manifest::admission::workgroup::{WorkgroupId, WorkgroupTrust};
use manifest::key::SigningKey;
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::role::RoleName;
use manifest::trust::trusted::TrustedSet;
use serde_json::Value;
use updraft_publisher::clock::now;

use crate::place::Place;

/// What a member believes that has followed everything.
fn followed(place: &Place) -> WorkgroupTrust {
    let metadata = place.at(".updraft/repository/metadata");
    let read = |name: &str| fs::read(metadata.join(name)).ok();
    let first = read("1.root.json").unwrap();
    let roles = vec!["hello.stable"]
        .into_iter()
        .map(|_| RoleName::of_channel(&"hello".parse().unwrap(), &"stable".parse().unwrap()));
    let mut refresh = Refresh::new(TrustedSet::from_root(&first).unwrap(), now(), roles.collect())
        .and_if_delegated(vec![RoleName::WORKGROUP]);
    while let Some(output) = refresh.poll() {
        if let Output::Want { name, .. } = output {
            refresh.handle(read(&name).map_or(Input::NotFound, Input::File)).unwrap();
        }
    }
    WorkgroupTrust::of(WorkgroupId::of_first_root(&first), &refresh.finish()).unwrap()
}

fn issuers(place: &Place) -> Vec<Value> {
    serde_json::from_str(&place.ok(&["issuer", "list", "--json"])).unwrap()
}

/// A ticket that was written at the beginning.
fn ticket(place: &Place) -> Ticket {
    let args = ["ticket", "--address", "/ip4/127.0.0.1/tcp/4000", "--organisation", "Site"];
    place.ok(&args);
    Ticket::parse(&fs::read(place.at("hello.ticket")).unwrap()).unwrap()
}

/// The name of the site's issuer.
fn site(place: &Place) -> String {
    let states = issuers(place);
    let site = states.iter().find(|state| state["organisation"] == "Site").unwrap();
    site["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_is_replaced_in_two_steps_and_old_tickets_stay_good() {
    let place = Place::with_home();
    let ticket = ticket(&place);
    let (log, peer) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let old = ticket.admit(&followed(&place), Role::Member, &log, &peer, now()).unwrap();
    let (code, said) = place.refused(&["workgroup", "finish"]);
    assert!(code == 1 && said.contains("one workgroup key"), "{code} {said}");

    let told = place.ok(&["workgroup", "rotate"]);
    assert!(told.contains("Signed anew") && told.contains("member"), "{told}");
    let between = followed(&place);
    assert_eq!(between.keys().len(), 2);
    old.verify(&between, &peer.public(), now()).unwrap();
    assert!(
        place.ok(&["workgroup", "rotate"]).contains("Next: updraft-publisher workgroup finish")
    );
    assert!(place.ok(&["workgroup", "show"]).contains("newer"));

    place.ok(&["workgroup", "finish"]);
    let after = followed(&place);
    assert_eq!(after.keys(), &between.keys()[1..]);
    assert!(place.at(".updraft/keys/retired/workgroup.pem").exists());
    // The chain of long ago, and one that the old ticket signs today.
    old.verify(&after, &peer.public(), now()).unwrap();
    let new = ticket.admit(&after, Role::Member, &log, &peer, now()).unwrap();
    new.verify(&after, &peer.public(), now()).unwrap();
    assert!(
        issuers(&place)
            .iter()
            .all(|state| state["is_newest"] == true && state["is_listed"] == true)
    );
    // And the vendor goes on: tickets, status, another rotation.
    place.ok(&["ticket", "--address", "/ip4/127.0.0.1/tcp/4000", "--organisation", "Other"]);
    let status: Value = serde_json::from_str(&place.ok(&["status", "--json"])).unwrap();
    let keys = status["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| key["problem"].is_null()), "{status}");
    place.ok(&["workgroup", "rotate"]);
    place.ok(&["workgroup", "finish"]);
    old.verify(&followed(&place), &peer.public(), now()).unwrap();
}

#[test]
fn where_root_is_signed_elsewhere_each_step_is_proposed() {
    let place = Place::with_home();
    fs::rename(place.at(".updraft/keys/root.pem"), place.at("root.pem")).unwrap();
    let sign = |file: &str| {
        place.ok(&["root", "sign", file, "--key", "root.pem"]);
        place.ok(&["root", "publish", file]);
        fs::remove_file(place.at(file)).unwrap();
    };
    let told = place.ok(&["workgroup", "rotate"]);
    assert!(told.contains("root-2.proposal"), "{told}");
    assert_eq!(followed(&place).keys().len(), 1, "nothing is public yet");
    // Once more would lose signatures and make another key.
    let (_, said) = place.refused(&["workgroup", "rotate"]);
    assert!(said.contains("root-2.proposal waits for signatures"), "{said}");
    let (_, said) = place.refused(&["key", "rotate", "timestamp"]);
    assert!(said.contains("root-2.proposal waits for signatures"), "{said}");
    sign("root-2.proposal");
    let (_, said) = place.refused(&["workgroup", "finish"]);
    assert!(said.contains("not signed by the newer key yet"), "{said}");
    assert!(place.ok(&["workgroup", "rotate"]).contains("Signed anew"));
    assert!(place.ok(&["workgroup", "finish"]).contains("root-3.proposal"));
    sign("root-3.proposal");
    assert_eq!(followed(&place).keys().len(), 1);
    assert!(issuers(&place).iter().all(|state| state["problem"].is_null()));
    // The key that was let go is put away, and never comes back.
    assert!(!place.at(".updraft/keys/workgroup.pem").exists());
    let old = place.ok(&["key", "show", ".updraft/keys/retired/workgroup.pem"]);
    let old = old.split_whitespace().find(|word| word.len() == 64).unwrap().to_owned();
    place.ok(&["workgroup", "rotate"]);
    sign("root-4.proposal");
    assert!(followed(&place).keys().iter().all(|key| key.to_string() != old));
}

#[test]
fn an_issuer_is_narrowed_and_renewed_whatever_its_tickets_say() {
    let place = Place::with_home();
    let ticket = ticket(&place);
    let (log, peer) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let wide = ticket.admit(&followed(&place), Role::Member, &log, &peer, now()).unwrap();
    let site = site(&place);
    let (_, said) = place.refused(&["issuer", "narrow", "nobody", "--credential-days", "1"]);
    assert!(said.contains("no issuer of this home") && said.contains(&site), "{said}");
    let (_, said) = place.refused(&["issuer", "narrow", &site, "--credential-days", "31"]);
    assert!(said.contains("not widened"), "{said}");
    place.ok(&["issuer", "narrow", &site, "--credential-days", "1"]);
    let trust = followed(&place);
    let refused = wide.verify(&trust, &peer.public(), now()).unwrap_err().to_string();
    assert!(refused.contains("the issuer allows 86400 seconds"), "{refused}");
    let narrow = ticket.admit(&trust, Role::Member, &log, &peer, now()).unwrap();
    narrow.verify(&trust, &peer.public(), now()).unwrap();

    place.ok(&["issuer", "narrow", &site, "--until", "2027-06-30T00:00:00Z"]);
    let until = |state: &Value| state["expires"].as_str().unwrap().to_owned();
    let of_site = || issuers(&place).into_iter().find(|state| state["name"] == site.as_str());
    assert_eq!(until(&of_site().unwrap()), "2027-06-30T00:00:00Z");
    place.ok(&["issuer", "renew", &site]);
    assert!(until(&of_site().unwrap()).as_str() > "2030");
    assert_eq!(of_site().unwrap()["credential_seconds"], 86_400, "renewed, not widened");
}
