//! A list of addresses as a program keeps it between two runs: JSON texts.
//!
//! Promises that whatever the list holds, few addresses come out, each one that
//! can be dialled: a text that is none would keep the swarm from starting.
//! Touches no disk; the program reads and writes.

use crate::address::is_address;

/// The longest text that may be an address.
const LONGEST: usize = 512;

/// The list.
#[must_use]
pub fn encode(addresses: &[String]) -> Vec<u8> {
    serde_json::to_vec_pretty(addresses).expect("a list of texts serialises")
}

/// The first `most` addresses of a list; none if it makes no sense.
#[must_use]
pub fn decode(bytes: &[u8], most: usize) -> Vec<String> {
    let mut addresses: Vec<String> = serde_json::from_slice(bytes).unwrap_or_default();
    addresses.retain(|address| address.len() < LONGEST && is_address(address));
    addresses.truncate(most);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::testing::seed;

    const GOOD: &str = "/ip4/192.0.2.1/udp/4001/quic-v1";

    #[test]
    fn only_addresses_come_out_and_few() {
        let list = [GOOD, "/nonsense", "/ip4/192.0.2/tcp/1", "", "192.0.2.1:4001", GOOD];
        let bytes = encode(&list.map(str::to_owned));
        assert_eq!(decode(&bytes, 9), [GOOD, GOOD]);
        assert_eq!(decode(&encode(&vec![GOOD.to_owned(); 1_000]), 64).len(), 64);
        for nothing in [&b""[..], b"{}", b"[1]", b"[\"\xFF\"]"] {
            assert_eq!(decode(nothing, 9), Vec::<String>::new());
        }
    }

    #[test]
    fn a_list_that_was_damaged_anywhere_still_starts_the_swarm() {
        let list = [GOOD, "/ip6/2001:db8::1/tcp/4001/p2p/x", "/dns4/example.com/tcp/1"];
        let bytes = encode(&list.map(str::to_owned));
        let mut dice = Dice::new(seed(41));
        for _ in 0..20_000 {
            let mut bytes = bytes.clone();
            for _ in 0..=dice.below(4) {
                let at = dice.below(bytes.len() as u64) as usize;
                match dice.below(3) {
                    0 => bytes[at] = dice.roll() as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b"\\/\"[],:"[dice.below(7) as usize]),
                }
            }
            let found = decode(&bytes, 2);
            assert!(found.len() <= 2 && found.iter().all(|address| is_address(address)));
        }
    }
}
