//! Proposals from hand to hand.

use super::*;
use crate::trust::author::key_edit::{KeyEdit, KeyEditError};
use crate::trust::author::lifetimes::Lifetimes;
use crate::trust::author::repository::Repository;
use crate::trust::testing::{Vendor, day, key, role};
use crate::trust::trusted::TrustedSet;

/// A vendor whose root shall be signed by two of the keys 1, 11 and 12.
fn proposed() -> (Vendor, Proposal) {
    let mut vendor = Vendor::new();
    let add = [11, 12].map(|seed| KeyEdit::Add(key(seed).public()));
    let edits = [&add[..], &[KeyEdit::Threshold(2)]].concat();
    vendor.repository.edit_keys(&RoleName::ROOT, &edits).unwrap();
    let proposal = vendor.repository.propose_root(day(1), &Lifetimes::default()).unwrap();
    (vendor, proposal)
}

fn copy(proposal: &Proposal) -> Proposal {
    Proposal::parse(&proposal.encode()).unwrap()
}

#[test]
fn copies_signed_apart_are_merged_and_finished() {
    let (vendor, first) = proposed();
    let (mut alice, mut bob) = (copy(&first), copy(&first));
    assert!(alice.sign(&key(11)).unwrap());
    assert!(!alice.sign(&key(11)).unwrap(), "the same again is nothing new");
    assert!(bob.sign(&key(1)).unwrap());

    let [before, after] = bob.quorums();
    assert!(before.is_met() && !after.is_met());
    assert_eq!((after.signed.len(), after.missing.len(), after.threshold), (1, 2, 2));
    assert!(matches!(
        copy(&alice).finish(),
        Err(ProposalError::Unfinished { whose: "the present", found: 0, threshold: 1 })
    ));
    assert!(matches!(
        copy(&bob).finish(),
        Err(ProposalError::Unfinished { whose: "the new", found: 1, threshold: 2 })
    ));

    let mut merged = copy(&alice);
    assert_eq!(merged.merge(&bob).unwrap(), 1);
    assert_eq!(merged.merge(&bob).unwrap(), 0);
    let root = copy(&merged).finish().unwrap();

    // Every client that believes the first root follows.
    let mut client = TrustedSet::from_root(&vendor.files["1.root.json"]).unwrap();
    client.update_root(root.bytes()).unwrap();
    assert_eq!(client.root().version.get(), 2);
    assert_eq!(client.root().root_authority().threshold(), 2);
}

#[test]
fn changes_are_told_in_words() {
    let (_, proposal) = proposed();
    let told: Vec<String> = proposal.changes().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].starts_with("root may be signed by "));
    assert_eq!(told[2], "root takes 2 signatures instead of 1");
    assert!(told[3].starts_with("root ends 2027-01-02"), "{}", told[3]);
}

#[test]
fn strangers_and_other_proposals_are_refused() {
    let (vendor, mut proposal) = proposed();
    assert!(matches!(proposal.sign(&key(50)), Err(ProposalError::Stranger { .. })));
    let other = vendor.repository.propose_root(day(2), &Lifetimes::default()).unwrap();
    assert!(matches!(proposal.merge(&other), Err(ProposalError::Different)));
}

#[test]
fn a_wrong_signature_never_replaces_a_right_one() {
    let (_, mut proposal) = proposed();
    proposal.sign(&key(1)).unwrap();
    let id = proposal.quorums()[0].signed[0].clone();
    let mut forged = copy(&proposal);
    forged.signatures.insert(id.clone(), "00".repeat(64));
    assert!(!forged.quorums()[0].is_met(), "it does not count");
    assert_eq!(proposal.merge(&forged).unwrap(), 0);
    assert!(proposal.quorums()[0].is_met());
    assert_eq!(forged.merge(&proposal).unwrap(), 1);
}

#[test]
fn what_is_no_proposal_is_refused() {
    let (_, proposal) = proposed();
    let text = String::from_utf8(proposal.encode()).unwrap();
    let refused = |bytes: &[u8], part: &str| {
        let error = Proposal::parse(bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(b"", FORMAT);
    refused(text.replace("proposal/1", "proposal/9").as_bytes(), "proposal/9");
    refused(text.replacen("x-updraft", "y-updraft", 1).as_bytes(), "does not hold");
    refused(&vec![b' '; (PROPOSAL_BYTES + 1) as usize], "at most");
    // The second root cannot be the first again.
    let mut written: Written = serde_json::from_str(&text).unwrap();
    written.root = written.follows.clone();
    refused(&serde_json::to_vec(&written).unwrap(), "expected 2");
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["surprise"] = 1.into();
    refused(&serde_json::to_vec(&value).unwrap(), "surprise");
}

#[test]
fn seeded_damage_never_panics_nor_finishes() {
    let (_, proposal) = proposed();
    let bytes = proposal.encode();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..3000 {
        let mut damaged = bytes.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % damaged.len();
            damaged[at] ^= 1 << (seed & 7);
        }
        if let Ok(read) = Proposal::parse(&damaged) {
            assert!(read.finish().is_err());
        }
    }
}

#[test]
fn an_adopted_root_is_followed_by_what_its_keys_sign() {
    let mut vendor = Vendor::new();
    let id = |seed: u8| key(seed).public().to_string();
    // The timestamp's key was lost: another takes its place.
    let edits = [KeyEdit::Add(key(14).public()), KeyEdit::Remove(id(4))];
    let mut draft = vendor.repository.clone();
    draft.edit_keys(&RoleName::TIMESTAMP, &edits).unwrap();
    let mut proposal = draft.propose_root(day(1), &Lifetimes::default()).unwrap();
    proposal.sign(&key(1)).unwrap();
    let root = vendor.repository.adopt_root(proposal.finish().unwrap());
    vendor.files.insert(root.name, root.bytes);
    assert_eq!(vendor.publish(day(1)), ["timestamp.json"]);
    let opened = Repository::open(|name| vendor.files.get(name).cloned()).unwrap();
    let signers = opened.timestamp().unwrap().authority().materials().len();
    assert_eq!((opened.root().version.get(), signers), (2, 1));
}

#[test]
fn no_role_is_left_that_nobody_could_sign() {
    let mut vendor = Vendor::new();
    let mut refused = |role: &RoleName, edits: &[KeyEdit]| {
        let before = vendor.repository.root().clone();
        let error = vendor.repository.edit_keys(role, edits).unwrap_err();
        assert_eq!(*vendor.repository.root(), before, "nothing has changed");
        error
    };
    let id = |seed: u8| key(seed).public().to_string();
    for role in [RoleName::ROOT, role()] {
        let own = id(if role.is_top_level() { 1 } else { 5 });
        let last = refused(&role, &[KeyEdit::Remove(own.clone())]);
        assert!(matches!(last, KeyEditError::Unsignable { keys: 0, threshold: 1, .. }), "{last}");
        let two = refused(&role, &[KeyEdit::Threshold(2)]);
        assert!(matches!(two, KeyEditError::Unsignable { keys: 1, threshold: 2, .. }), "{two}");
        let none = refused(&role, &[KeyEdit::Threshold(0)]);
        assert!(matches!(none, KeyEditError::Unsignable { threshold: 0, .. }), "{none}");
        let stranger = refused(&role, &[KeyEdit::Remove(id(40))]);
        assert!(matches!(stranger, KeyEditError::NoSuchKey { .. }), "{stranger}");
        let nobody = refused(&role, &[KeyEdit::Remove(String::new())]);
        assert!(matches!(nobody, KeyEditError::NoSuchKey { .. }), "{nobody}");
    }
    let again = refused(&RoleName::SNAPSHOT, &[KeyEdit::Add(key(3).public())]);
    assert!(matches!(again, KeyEditError::AlreadyThere { .. }), "{again}");
    let unknown = refused(&RoleName::new("hello.nightly").unwrap(), &[KeyEdit::Threshold(1)]);
    assert!(matches!(unknown, KeyEditError::NoSuchRole { .. }), "{unknown}");
}

#[test]
fn the_workgroup_has_one_key_or_two() {
    let mut root = Vendor::new().repository.root().clone();
    let [old, new, third] = [6, 16, 26].map(|seed| key(seed).public());
    assert!(root.clone().edit_workgroup(&[], &[old]).is_err());
    root.edit_workgroup(&[new], &[]).unwrap();
    assert_eq!(root.workgroup_keys().unwrap(), [old, new]);
    assert!(root.clone().edit_workgroup(&[third], &[]).is_err());
    root.edit_workgroup(&[], &[old]).unwrap();
    assert_eq!(root.workgroup_keys().unwrap(), [new]);
}
