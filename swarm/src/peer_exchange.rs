//! Members' signed words on where they can be met, as they are passed on.
//!
//! A record is libp2p's signed peer record: nobody can say it in another's
//! name. A list is each record behind its length in two bytes.

use std::time::Duration;

use bytes::Bytes;
use libp2p::core::peer_record::FromEnvelopeError;
use libp2p::core::signed_envelope::ReadPayloadError;
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

/// A list of which nothing is believed: whoever passes on what others said
/// looks at it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// It breaks off, or has more or longer records than any may.
    #[error("a list of addresses that breaks off or is too long")]
    Shape,
    /// A record is signed by somebody else than its subject, or by nobody.
    #[error("a record that its subject never signed")]
    Forged,
}

/// The records of a list, without those that are old, and those of a kind
/// that is not known here.
///
/// # Errors
/// [`BadList`], which nobody sends who keeps to the protocol.
pub fn decode(bytes: &[u8], now: UnixTime) -> Result<Vec<Met>, BadList> {
    let mut rest = bytes;
    let mut met = Vec::new();
    for _ in 0..MAX_EXCHANGED_PEERS {
        if rest.is_empty() {
            break;
        }
        let (len, after) = rest.split_first_chunk::<2>().ok_or(BadList::Shape)?;
        let len = usize::from(u16::from_be_bytes(*len));
        if len > RECORD_BYTES {
            return Err(BadList::Shape);
        }
        let (record, after) = after.split_at_checked(len).ok_or(BadList::Shape)?;
        rest = after;
        met.extend(open(record, now)?);
    }
    if rest.is_empty() { Ok(met) } else { Err(BadList::Shape) }
}

fn open(record: &[u8], now: UnixTime) -> Result<Option<Met>, BadList> {
    let Ok(envelope) = SignedEnvelope::from_protobuf_encoding(record) else { return Ok(None) };
    let opened = match PeerRecord::from_signed_envelope(envelope) {
        Ok(opened) => opened,
        Err(
            FromEnvelopeError::BadPayload(ReadPayloadError::InvalidSignature)
            | FromEnvelopeError::MismatchedSignature,
        ) => return Err(BadList::Forged),
        Err(_) => return Ok(None),
    };
    let said = UnixTime::from_seconds(opened.seq());
    if now.since(said) > OLDEST || said.since(now) > SKEW {
        return Ok(None);
    }
    let addresses =
        opened.addresses().iter().take(MAX_ADDRESSES).filter(|a| is_plain(a) || relay(a).is_some());
    let addresses = addresses.cloned().collect();
    let record = Bytes::copy_from_slice(record);
    Ok(Some(Met { peer: opened.peer_id(), addresses, record, said }))
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
        let met = decode(&encode(&[one.clone(), two.clone()]), now(&one)).unwrap();
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
        let met = decode(&encode(std::slice::from_ref(&record)), now(&record)).unwrap();
        assert_eq!(met[0].addresses.len(), 1);
    }

    #[test]
    fn old_records_are_left_out_and_forged_ones_tell_of_a_liar() {
        let (_, record) = record(&["/ip4/192.0.2.1/tcp/4001"]);
        let time = now(&record);
        let list = encode(&[record]);
        assert_eq!(decode(&list, time.after(OLDEST * 2)), Ok(Vec::new()));
        assert_eq!(decode(&list, time.before(SKEW * 2)), Ok(Vec::new()));
        // Its last bytes are the signature's.
        let mut forged = list.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(decode(&forged, time), Err(BadList::Forged));
        assert_eq!(decode(&list[..list.len() - 1], time), Err(BadList::Shape));
        assert_eq!(decode(&list.repeat(MAX_EXCHANGED_PEERS + 1), time), Err(BadList::Shape));
        assert_eq!(decode(&[0xFF; 3_000], time), Err(BadList::Shape));
        let mut dice = Dice::new(crate::testing::seed(5));
        for _ in 0..2_000 {
            let mut bytes = list.clone();
            let at = dice.below(bytes.len() as u64) as usize;
            let old = bytes[at];
            bytes[at] = dice.roll() as u8;
            bytes.truncate(bytes.len() - dice.below(2) as usize * at.min(3));
            if bytes[at.min(bytes.len() - 1)] != old {
                // What still opens is signed.
                let Ok(met) = decode(&bytes, time) else { continue };
                assert!(met.iter().all(|met| met.said == time && met.addresses.len() == 1));
            }
        }
    }
}
