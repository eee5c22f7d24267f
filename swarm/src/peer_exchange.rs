//! Members' signed words on where they can be met, as they are passed on.
//!
//! A record is libp2p's signed peer record: nobody can say it in another's
//! name. A list is each record behind its length in two bytes.

use std::time::Duration;

use bytes::Bytes;
use libp2p::core::{PeerRecord, SignedEnvelope};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use manifest::time::UnixTime;

use crate::address::{is_plain, relay};
use crate::limits::{MAX_ADDRESSES, MAX_EXCHANGED_PEERS};

/// The longest record.
const RECORD_BYTES: usize = 1_024;
/// Records that are older say nothing any more.
const OLDEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How far clocks may disagree.
const SKEW: Duration = Duration::from_secs(24 * 3_600);

/// A record whose signature held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Who said it.
    pub peer: PeerId,
    /// Where it says it can be met.
    pub addresses: Vec<Multiaddr>,
    /// Its own words, to be passed on.
    pub record: Bytes,
    /// When it said so.
    pub said: UnixTime,
}

/// Our own record.
#[must_use]
pub fn sign(key: &Keypair, addresses: &[Multiaddr]) -> Option<Bytes> {
    let addresses = addresses.iter().take(MAX_ADDRESSES).cloned().collect();
    let record = PeerRecord::new(key, addresses).ok()?;
    let bytes = record.into_signed_envelope().into_protobuf_encoding();
    (bytes.len() <= RECORD_BYTES).then(|| bytes.into())
}

/// A list of records as bytes.
#[must_use]
pub fn encode(records: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records.iter().take(MAX_EXCHANGED_PEERS) {
        if let Ok(len) = u16::try_from(record.len()) {
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(record);
        }
    }
    out
}

/// The records of a list whose signatures hold; those that do not hold, are
/// old or too many are left out, and a list that breaks off ends there.
#[must_use]
pub fn decode(bytes: &[u8], now: UnixTime) -> Vec<Met> {
    let mut rest = bytes;
    let mut met = Vec::new();
    for _ in 0..MAX_EXCHANGED_PEERS {
        let Some((len, after)) = rest.split_first_chunk::<2>() else { break };
        let len = usize::from(u16::from_be_bytes(*len));
        if len > RECORD_BYTES || after.len() < len {
            break;
        }
        let (record, after) = after.split_at(len);
        rest = after;
        met.extend(open(record, now));
    }
    met
}

fn open(record: &[u8], now: UnixTime) -> Option<Met> {
    let envelope = SignedEnvelope::from_protobuf_encoding(record).ok()?;
    let opened = PeerRecord::from_signed_envelope(envelope).ok()?;
    let said = UnixTime::from_seconds(opened.seq());
    if now.since(said) > OLDEST || said.since(now) > SKEW {
        return None;
    }
    let addresses =
        opened.addresses().iter().take(MAX_ADDRESSES).filter(|a| is_plain(a) || relay(a).is_some());
    let addresses = addresses.cloned().collect();
    let record = Bytes::copy_from_slice(record);
    Some(Met { peer: opened.peer_id(), addresses, record, said })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn now(record: &Bytes) -> UnixTime {
        let envelope = SignedEnvelope::from_protobuf_encoding(record).unwrap();
        UnixTime::from_seconds(PeerRecord::from_signed_envelope(envelope).unwrap().seq())
    }

    fn record(addresses: &[&str]) -> (PeerId, Bytes) {
        let key = Keypair::generate_ed25519();
        let addresses: Vec<Multiaddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        (key.public().to_peer_id(), sign(&key, &addresses).unwrap())
    }

    #[test]
    fn records_come_back_as_they_were_signed() {
        let (a, one) = record(&["/ip4/192.0.2.1/tcp/4001"]);
        let (b, two) = record(&["/ip6/2001:db8::1/udp/4001/quic-v1"]);
        let met = decode(&encode(&[one.clone(), two.clone()]), now(&one));
        assert_eq!(met.iter().map(|met| met.peer).collect::<Vec<_>>(), [a, b]);
        assert_eq!(met[1].record, two);
        assert_eq!(met[0].addresses[0].to_string(), "/ip4/192.0.2.1/tcp/4001");
    }

    #[test]
    fn what_our_transports_do_not_speak_is_left_out() {
        let (_, record) = record(&[
            "/dns4/example.com/tcp/1",
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/192.0.2.1/tcp/80/ws",
            "/ip4/192.0.2.1/tcp/80",
        ]);
        let met = decode(&encode(std::slice::from_ref(&record)), now(&record));
        assert_eq!(met[0].addresses.len(), 1);
    }

    #[test]
    fn old_forged_and_mutated_records_are_left_out() {
        let (_, record) = record(&["/ip4/192.0.2.1/tcp/4001"]);
        let time = now(&record);
        let list = encode(&[record]);
        assert!(decode(&list, time.after(OLDEST * 2)).is_empty());
        assert!(decode(&list, time.before(SKEW * 2)).is_empty());
        let mut dice = Dice::new(crate::testing::seed(5));
        for _ in 0..2_000 {
            let mut bytes = list.clone();
            let at = dice.below(bytes.len() as u64) as usize;
            let old = bytes[at];
            bytes[at] = dice.roll() as u8;
            bytes.truncate(bytes.len() - dice.below(2) as usize * at.min(3));
            if bytes[at.min(bytes.len() - 1)] != old {
                // Never a panic; what still opens is signed.
                let _ = decode(&bytes, time);
            }
        }
    }
}
