//! Whatever the file of remembered members holds, few addresses come out of it,
//! each one that can be dialled; and they survive being kept once more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use swarm::address::is_address;
use swarm::remembered::{decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let found = decode(bytes, 64);
    assert!(found.len() <= 64 && found.iter().all(|address| is_address(address)));
    assert_eq!(decode(&encode(&found), 64), found);
});
