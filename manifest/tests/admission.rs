//! Who is admitted, and each way of not being.

use std::time::Duration;

use updraft_manifest::admission::chain::{CredentialChain, CredentialError};
use updraft_manifest::admission::credential::{Credential, Role, SignedCredential};
use updraft_manifest::admission::installation::InstallationId;
use updraft_manifest::admission::issuer::{IssuerError, SignedIssuer};
use updraft_manifest::admission::issuers::Issuers;
use updraft_manifest::admission::limits::{CHAIN_BYTES, CREDENTIAL_LIFE, ISSUER_LIFE};
use updraft_manifest::admission::revocation::{Revocation, Revocations, Subject};
use updraft_manifest::admission::ticket::{Ticket, TicketError};
use updraft_manifest::admission::workgroup::WorkgroupTrust;
use updraft_manifest::testing::{TestWorkgroup, key};
use updraft_manifest::time::UnixTime;

#[allow(dead_code, reason = "the tests of trust use all of it")]
#[path = "trust/random.rs"]
mod random;

const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

/// A credential with one field changed, signed by the issuer and both keys.
fn with(change: impl FnOnce(&mut Credential)) -> CredentialChain {
    let group = TestWorkgroup::new(1);
    let ticket = group.ticket(&[Role::Member], NOW);
    let (log_key, peer_key) = (TestWorkgroup::log_key(7), TestWorkgroup::peer_key(7));
    let mut credential = Credential {
        workgroup: group.trust.id(),
        issuer: ticket.issuer_key.public(),
        installation: InstallationId::of(&log_key.public()),
        log_key: log_key.public(),
        peer_key: peer_key.public(),
        product: "hello".parse().unwrap(),
        roles: vec![Role::Member],
        issued: NOW,
        expires: NOW.after(CREDENTIAL_LIFE),
    };
    change(&mut credential);
    CredentialChain {
        credential: SignedCredential::sign(&credential, &ticket.issuer_key, &log_key, &peer_key),
        issuer: ticket.issuer,
    }
}

fn refusal(chain: &CredentialChain) -> CredentialError {
    let trust = TestWorkgroup::new(1).trust;
    chain.verify(&trust, &TestWorkgroup::peer_key(7).public(), NOW).unwrap_err()
}

#[test]
fn a_good_chain_admits_and_survives_the_wire() {
    let group = TestWorkgroup::new(1);
    let chain = group.credential(7, Role::Member, NOW);
    let bytes = chain.encode().unwrap();
    assert!(bytes.len() < CHAIN_BYTES, "{}", bytes.len());
    let chain = CredentialChain::parse(&bytes).unwrap();
    let member = chain.verify(&group.trust, &TestWorkgroup::peer_key(7).public(), NOW).unwrap();
    assert_eq!(member.installation, InstallationId::of(&TestWorkgroup::log_key(7).public()));
    assert_eq!(member.expires, NOW.after(CREDENTIAL_LIFE));
    assert!(member.has(Role::Member) && !member.has(Role::Auditor));
}

#[test]
fn a_foreign_workgroup_is_refused() {
    let chain = TestWorkgroup::new(2).credential(7, Role::Member, NOW);
    assert!(matches!(refusal(&chain), CredentialError::Issuer(IssuerError::NotSigned(_))));
}

#[test]
fn a_key_shared_by_two_workgroups_still_keeps_them_apart() {
    let (ours, theirs) = (TestWorkgroup::new(1), TestWorkgroup::new(2));
    let trust = WorkgroupTrust::new(ours.trust.id(), vec![theirs.workgroup_key.public()]).unwrap();
    let refused = theirs
        .credential(7, Role::Member, NOW)
        .verify(&trust, &TestWorkgroup::peer_key(7).public(), NOW)
        .unwrap_err();
    assert!(matches!(refused, CredentialError::Issuer(IssuerError::OtherWorkgroup { .. })));
}

#[test]
fn the_second_workgroup_key_serves_during_a_rotation() {
    let group = TestWorkgroup::new(1);
    let keys = vec![key(99).public(), group.workgroup_key.public()];
    let trust = WorkgroupTrust::new(group.trust.id(), keys).unwrap();
    let chain = group.credential(7, Role::Member, NOW);
    assert!(chain.verify(&trust, &TestWorkgroup::peer_key(7).public(), NOW).is_ok());
}

#[test]
fn an_expired_credential_is_refused() {
    let chain = TestWorkgroup::new(1).expired_credential(7, Role::Member, NOW);
    assert!(matches!(refusal(&chain), CredentialError::Expired { .. }));
}

#[test]
fn a_credential_from_the_future_is_refused() {
    let chain = TestWorkgroup::new(1).credential(
        7,
        Role::Member,
        NOW.after(Duration::from_secs(2 * 24 * 60 * 60)),
    );
    assert!(matches!(refusal(&chain), CredentialError::NotYet { .. }));
}

#[test]
fn an_expired_issuer_ends_its_credentials() {
    let group = TestWorkgroup::new(1);
    let chain = group.credential(7, Role::Member, NOW);
    let later = NOW.after(ISSUER_LIFE);
    let refused =
        chain.verify(&group.trust, &TestWorkgroup::peer_key(7).public(), later).unwrap_err();
    assert!(matches!(refused, CredentialError::Issuer(IssuerError::Expired { .. })));
}

#[test]
fn a_stolen_credential_is_refused() {
    let group = TestWorkgroup::new(1);
    let chain = group.credential(7, Role::Member, NOW);
    let refused =
        chain.verify(&group.trust, &TestWorkgroup::peer_key(8).public(), NOW).unwrap_err();
    assert!(matches!(refused, CredentialError::OtherPeer { .. }));
}

#[test]
fn a_credential_may_only_narrow_its_issuer() {
    for chain in [
        with(|c| c.roles = vec![Role::Member, Role::Auditor]),
        with(|c| c.roles = Vec::new()),
        with(|c| c.product = "other".parse().unwrap()),
        with(|c| c.expires = c.expires.after(Duration::from_secs(1))),
        with(|c| c.issuer = key(5).public()),
    ] {
        let refused = refusal(&chain);
        assert!(matches!(refused, CredentialError::Wider { .. }), "{refused}");
    }
}

#[test]
fn an_installation_cannot_choose_its_id() {
    let other = InstallationId::of(&TestWorkgroup::log_key(8).public());
    let chain = with(|c| c.installation = other);
    assert!(matches!(refusal(&chain), CredentialError::WrongInstallation { .. }));
}

#[test]
fn the_holder_must_have_both_keys() {
    // The issuer's signature alone does not bind a key that its owner never used.
    for chain in [
        with(|c| c.log_key = TestWorkgroup::log_key(8).public()),
        with(|c| c.peer_key = TestWorkgroup::peer_key(8).public()),
    ] {
        assert!(matches!(refusal(&chain), CredentialError::NotSigned { .. }));
    }
}

#[test]
fn a_credential_of_an_issuer_of_another_ticket_is_refused() {
    let group = TestWorkgroup::new(1);
    let mut chain = group.credential(7, Role::Member, NOW);
    let statement = group.statement(&key(77), &[Role::Member], NOW);
    chain.issuer = SignedIssuer::sign(&statement, &group.workgroup_key).unwrap();
    assert!(matches!(refusal(&chain), CredentialError::NotSigned { signer: "issuer's", .. }));
}

#[test]
fn no_changed_byte_is_admitted_and_none_panics() {
    let group = TestWorkgroup::new(1);
    let good = group.credential(7, Role::Member, NOW).encode().unwrap();
    let peer = TestWorkgroup::peer_key(7).public();
    let original = CredentialChain::parse(&good).unwrap();
    for at in 0..good.len() {
        for flip in [1u8, 0x20, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            if let Ok(chain) = CredentialChain::parse(&bytes)
                && chain != original
            {
                assert!(chain.verify(&group.trust, &peer, NOW).is_err(), "byte {at} ^ {flip}");
            }
        }
        assert!(CredentialChain::parse(&good[..at]).is_err());
    }
}

#[test]
fn mutated_chains_and_tickets_never_panic_and_admit_nobody_else() {
    let mut random = random::Random::from_env();
    let group = TestWorkgroup::new(1);
    let peer = TestWorkgroup::peer_key(7).public();
    let original = group.credential(7, Role::Member, NOW);
    let chain = original.encode().unwrap();
    let ticket = group.ticket(&[Role::Member], NOW);
    let text = ticket.encode().unwrap();
    for round in 0..20_000 {
        if let Ok(read) = CredentialChain::parse(&random.mutate(&chain)) {
            let written = read.encode().map(|bytes| CredentialChain::parse(&bytes).unwrap());
            assert!(written.is_ok_and(|again| again == read), "round {round}");
            let admitted = read.verify(&group.trust, &peer, NOW).is_ok();
            assert!(!admitted || read == original, "round {round}");
        }
        if let Ok(read) = Ticket::parse(&random.mutate(text.as_bytes())) {
            let written = read.encode().map(|text| Ticket::parse(text.as_bytes()).unwrap());
            assert!(written.is_ok_and(|again| again.root == read.root), "round {round}");
            let verified = read.verify(&group.trust, Role::Member, NOW);
            assert!(verified.is_err() || read.issuer == ticket.issuer, "round {round}");
        }
    }
}

#[test]
fn mutated_revocations_and_issuers_never_panic_and_survive_the_wire() {
    let mut random = random::Random::from_env();
    let group = TestWorkgroup::new(1);
    let (mut revocations, mut issuers) = (Revocations::default(), Issuers::default());
    let revoked = [
        Subject::Installation(InstallationId::of(&key(1).public())),
        Subject::Issuer(key(2).public()),
        Subject::Key(key(3).public()),
    ];
    for subject in revoked {
        let until = NOW.after(CREDENTIAL_LIFE);
        revocations.add(Revocation { subject, until, why: "stolen".to_owned() }, NOW).unwrap();
    }
    issuers.set(group.ticket(&[Role::Member], NOW).issuer).unwrap();
    let mut extra = serde_json::Map::new();
    revocations.write(&mut extra);
    issuers.write(&mut extra);
    let text = serde_json::to_vec(&extra).unwrap();
    let (mut read_whole, mut read_partly) = (0, 0);
    for round in 0..20_000 {
        let Ok(extra) = serde_json::from_slice(&random.mutate(&text)) else { continue };
        // Whatever can be read of a later format is written back alike.
        let ((revocations, unread), (issuers, _)) =
            (Revocations::read_known(&extra), Issuers::read_known(&extra));
        let mut again = serde_json::Map::new();
        revocations.write(&mut again);
        issuers.write(&mut again);
        assert_eq!(Revocations::read(&again).as_ref(), Ok(&revocations), "round {round}");
        assert_eq!(Issuers::read(&again).as_ref(), Ok(&issuers), "round {round}");
        assert_eq!(Revocations::read(&extra).is_ok(), unread.is_none(), "round {round}");
        match unread {
            None => read_whole += 1,
            Some(_) => read_partly += 1,
        }
    }
    assert!(read_whole > 100 && read_partly > 100, "{read_whole}, {read_partly}");
}

#[test]
fn an_endless_chain_is_refused_unread() {
    let refused = CredentialChain::parse(&vec![b'['; 1 << 20]).unwrap_err();
    assert!(matches!(refused, CredentialError::TooLong { found } if found == 1 << 20));
}

#[test]
fn a_ticket_survives_its_file_and_admits() {
    let group = TestWorkgroup::new(1);
    let mut ticket = group.ticket(&[Role::Member], NOW);
    ticket.addresses.push("/ip4/127.0.0.1/tcp/4001".to_owned());
    ticket.mirrors.push("http://127.0.0.1:8080/".to_owned());
    let read = Ticket::parse(ticket.encode().unwrap().as_bytes()).unwrap();
    assert_eq!(read.root, ticket.root);
    assert_eq!(read.addresses, ticket.addresses);
    assert_eq!(read.workgroup(), group.trust.id());
    let (log_key, peer_key) = (key(1), key(2));
    let chain = read.admit(&group.trust, Role::Member, &log_key, &peer_key, NOW).unwrap();
    assert!(chain.verify(&group.trust, &peer_key.public(), NOW).is_ok());
}

#[test]
fn a_members_ticket_admits_no_auditor() {
    let group = TestWorkgroup::new(1);
    let refused = group
        .ticket(&[Role::Member], NOW)
        .admit(&group.trust, Role::Auditor, &key(1), &key(2), NOW)
        .unwrap_err();
    assert!(matches!(refused, TicketError::OtherRole { wanted: Role::Auditor, .. }));
}

#[test]
fn a_tampered_ticket_is_refused_with_what_was_found() {
    let group = TestWorkgroup::new(1);
    let ticket = group.ticket(&[Role::Member], NOW);
    let text = ticket.encode().unwrap();

    let mut other_key = ticket.clone();
    other_key.issuer_key = key(1);
    let refused = other_key.verify(&group.trust, Role::Member, NOW).unwrap_err();
    assert!(matches!(refused, TicketError::OtherKey { .. }));

    let other_format = text.replace("updraft-ticket/1", "updraft-ticket/9");
    let refused = Ticket::parse(other_format.as_bytes()).err().unwrap().to_string();
    assert!(refused.contains("updraft-ticket/9") && refused.contains("updraft-ticket/1"));

    assert!(
        Ticket::parse(text.replace("Test Org", "Best Org").as_bytes())
            .is_ok_and(|ticket| { ticket.verify(&group.trust, Role::Member, NOW).is_err() })
    );
    for cut in (0..text.len() - 1).step_by(7) {
        assert!(Ticket::parse(&text.as_bytes()[..cut]).is_err());
    }
}
