//! What decides who is let in: credential chains, tickets, lists of
//! revocations, and proposals of a root. Whatever is read is written back
//! alike, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::admission::chain::CredentialChain;
use manifest::admission::revocation::Revocations;
use manifest::admission::ticket::Ticket;
use manifest::trust::author::proposal::Proposal;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(chain) = CredentialChain::parse(bytes) {
        let written = chain.encode().expect("what was read is short enough");
        assert_eq!(CredentialChain::parse(&written).as_ref(), Ok(&chain));
    }
    let _ = Ticket::parse(bytes);
    if let Ok(extra) = serde_json::from_slice(bytes)
        && let Ok(list) = Revocations::read(&extra)
    {
        let mut again = serde_json::Map::new();
        list.write(&mut again);
        assert_eq!(Revocations::read(&again), Ok(list));
    }
    if let Ok(proposal) = Proposal::parse(bytes) {
        let again = Proposal::parse(&proposal.encode()).expect("it was just written");
        assert_eq!(again.encode(), proposal.encode());
        let _ = (again.quorums(), again.changes(), again.finish());
    }
});
