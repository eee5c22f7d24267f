//! Any bytes on either stream are a frame within its limits, which encodes to
//! the same bytes again, or an error; any list of peers is signed or left out;
//! and so are the messages about reaching each other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::time::UnixTime;
use swarm::limits::{MAX_ADDRESSES, MAX_EXCHANGED_PEERS};
use swarm::peer_exchange;
use swarm::reach::message::{Question, decode_findings, decode_reservation, decode_spots, encode_findings};
use swarm::wire::{Frame, HEADER_BYTES, Header, Lane};

fuzz_target!(|bytes: &[u8]| {
    let met = peer_exchange::decode(bytes, UnixTime::from_seconds(1_800_000_000));
    let met = met.unwrap_or_default();
    assert!(met.len() <= MAX_EXCHANGED_PEERS);
    assert!(met.iter().all(|met| met.addresses.len() <= MAX_ADDRESSES));

    if let Some(question) = Question::decode(bytes) {
        assert_eq!(question.encode(), bytes);
    }
    if let Some(findings) = decode_findings(bytes) {
        assert_eq!(encode_findings(&findings), bytes);
    }
    let _ = decode_reservation(bytes);
    assert!(decode_spots(bytes).is_none_or(|spots| spots.len() <= MAX_ADDRESSES));

    let Some((head, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return };
    for lane in [Lane::Control, Lane::Data] {
        let Ok(header) = Header::decode(*head, lane) else { continue };
        let Ok(frame) = Frame::decode(header, body.to_vec().into()) else { continue };
        assert_eq!(frame.lane(), lane);
        let (head, payload) = frame.encode();
        assert_eq!([head, payload.unwrap_or_default()].concat(), bytes);
    }
});
