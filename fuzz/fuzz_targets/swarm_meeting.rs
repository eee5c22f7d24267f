//! What a peer says before anybody knows it: at the gate, as dialler and as
//! listener, only the one credential of a whole tape lets it in; what is
//! announced on the local network leads to few addresses or none; and a key
//! that names the end of a circuit is a key, or is refused.
#![no_main]

use std::cell::RefCell;
use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use manifest::key::PublicKey;
use manifest::testing::TestWorkgroup;
use swarm::address::is_address;
use swarm::dns_sd::{invited, tag};
use swarm::gate::{peer_id, public_key};
use swarm::testing::tape::{admits, shown};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static STAGE: RefCell<(Runtime, TestWorkgroup, Vec<u8>)> = RefCell::new({
        let group = TestWorkgroup::new(1);
        let runtime = Builder::new_current_thread().enable_time().build().expect("there is memory");
        let credential = shown(&group, 2);
        (runtime, group, credential)
    });
}

fuzz_target!(|bytes: &[u8]| {
    STAGE.with_borrow(|(runtime, group, credential)| {
        // Nothing that was made up opens the gate.
        if !bytes.windows(64).any(|part| part == &credential[credential.len() - 64..]) {
            for dials in [true, false] {
                assert!(!runtime.block_on(admits(group, bytes, dials)));
            }
        }
        // Behind a credential that holds, whatever comes is a yes or it is none.
        let tail = [&credential[..], bytes].concat();
        let admitted = runtime.block_on(admits(group, &tail, false));
        assert_eq!(admitted, is_yes(bytes));

        let own = tag(&group.trust.id(), 20_000);
        let text = String::from_utf8_lossy(bytes);
        let mut parts = text.splitn(3, '\n');
        let (tcp, quic) = (parts.next(), parts.next());
        let text = |key: &str| match key {
            "tag" => Some(own.as_str()),
            "tcp" => tcp,
            _ => quic,
        };
        let ips = bytes.iter().map(|byte| IpAddr::from([192, 0, 2, *byte]));
        let found = invited(text, ips, &group.trust.id(), 20_000).expect("the tag is ours");
        assert!(found.len() <= 8 && found.iter().all(|address| is_address(address)));
    });

    if let Some(key) = bytes.first_chunk::<32>() {
        let key = PublicKey::from_bytes(*key);
        if let Ok(peer) = peer_id(&key) {
            assert_eq!(public_key(&peer), Some(key));
        }
    }
});

/// A frame whose first byte is the yes; what follows in it says nothing.
fn is_yes(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return false };
    let len = usize::from(u16::from_be_bytes(*len));
    (1..=4_094).contains(&len) && rest.len() >= len && rest[0] == 1
}
