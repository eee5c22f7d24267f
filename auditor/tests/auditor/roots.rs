//! The auditor follows its workgroup through a change of keys.

use crate::workgroup::Workgroup;
use manifest::admission::credential::Role;
use manifest::admission::issuer::SignedIssuer;
use manifest::key::SigningKey;
use manifest::testing::key;
use manifest::trust::bundle::Bundle;
use updraft_auditor::clock;
use updraft_auditor::home::{Home, JoinOptions};
use updraft_auditor::roots::follow;

#[test]
fn a_rotated_workgroup_key_is_followed_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut group = Workgroup::new(1);
    let ticket = group.ticket(Role::Auditor, Vec::new());
    let now = clock::now();
    let home = Home::join(dir.path(), &ticket, JoinOptions::default(), now).unwrap();
    assert_eq!(home.trust().unwrap(), group.trust);

    let next = key(7).public();
    let answer = group.rotate(next);
    let trust = follow(&home, &answer, now).unwrap().expect("root 2 is new");
    assert_eq!((trust.id(), trust.keys()), (group.trust.id(), &[next][..]));
    let reopened = Home::open(dir.path()).unwrap();
    assert_eq!(reopened.trust().unwrap(), trust);
    assert!(follow(&reopened, &answer, now).unwrap().is_none(), "it is not new twice");
    // The old ticket's issuer was signed by a key that is gone; the vendor's
    // newer word on it is taken from its own hand only.
    assert!(reopened.admission(now).is_err());
    let by = |key: &SigningKey| {
        let statement = ticket.issuer.unverified().unwrap();
        SignedIssuer::sign(&statement, key).unwrap()
    };
    assert!(!reopened.take_statement(by(&key(8)), now).unwrap());
    assert!(reopened.take_statement(by(&key(7)), now).unwrap());
    reopened.admission(now).unwrap();
}

#[test]
fn a_root_of_strangers_and_garbage_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let group = Workgroup::new(1);
    let ticket = group.ticket(Role::Auditor, Vec::new());
    let now = clock::now();
    let home = Home::join(dir.path(), &ticket, JoinOptions::default(), now).unwrap();
    let foreign = Workgroup::new(2).rotate(key(7).public());
    for answer in [&foreign, &Bundle::new()] {
        assert!(follow(&home, answer, now).unwrap().is_none());
    }
    assert_eq!(home.trust().unwrap(), group.trust);
}
