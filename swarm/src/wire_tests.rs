//! Golden bytes, round trips and mutations of every frame.

use super::*;
use crate::dice::Dice;
use crate::limits::MAX_OBJECT_BYTES;

/// One frame of each kind, as docs/wire.md shows them.
fn samples() -> Vec<Frame> {
    let id = ContentId::of(b"updraft");
    let run = Run { index: 5, first: 1, count: 2 };
    vec![
        Frame::Want(vec![Want { index: 5, id, size: ObjectSize::new(100_000).unwrap() }]),
        Frame::Unwant(vec![Unwant { index: 5, held: true }, Unwant { index: 6, held: false }]),
        Frame::Have(vec![
            Have { whose: Whose::Yours, index: 9, first: 0, count: 32 },
            Have { whose: Whose::Mine, index: 5, first: 3, count: 1 },
        ]),
        Frame::Lack(vec![9]),
        Frame::Request { run, list: true },
        Frame::Cancel(run),
        Frame::Busy(run),
        Frame::Taken(3),
        Frame::List { index: 5, hashes: vec![[0xAA; 32], [0xBB; 32]] },
        Frame::Block { index: 5, block: 3, payload: Payload::Plain(Bytes::from_static(b"bytes")) },
        Frame::Block {
            index: 5,
            block: 2,
            payload: Payload::Squeezed(Bytes::from_static(b"\x28\xb5\x2f\xfd")),
        },
    ]
}

fn flat(frame: &Frame) -> Vec<u8> {
    let (head, payload) = frame.encode();
    [head, payload.unwrap_or_default()].concat()
}

fn decode(bytes: &[u8], lane: Lane) -> Result<Frame, FrameError> {
    let (head, body) = bytes.split_first_chunk::<HEADER_BYTES>().expect("a whole header");
    Frame::decode(Header::decode(*head, lane)?, Bytes::copy_from_slice(body))
}

#[test]
fn frames_have_the_bytes_of_the_golden_file() {
    let golden = include_str!("../tests/data/frames.txt");
    let lines: Vec<&str> =
        golden.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let frames = samples();
    assert_eq!(lines.len(), frames.len());
    for (line, frame) in lines.iter().zip(&frames) {
        let hex: String = flat(frame).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, line.replace(' ', ""), "{frame:?}");
        assert_eq!(decode(&flat(frame), frame.lane()).as_ref(), Ok(frame));
        assert_eq!(flat(frame).len(), frame.wire_bytes());
    }
}

#[test]
fn a_frame_on_the_other_stream_is_refused() {
    for frame in samples() {
        let other = if frame.lane() == Lane::Data { Lane::Control } else { Lane::Data };
        assert!(matches!(decode(&flat(&frame), other), Err(FrameError::Lane { .. })));
    }
}

#[test]
fn a_body_beyond_the_bound_is_refused_before_it_is_read() {
    for kind in 0..=255 {
        for lane in [Lane::Control, Lane::Data] {
            assert!(Header::decode([kind, 0xFF, 0xFF, 0xFF], lane).is_err(), "kind {kind}");
        }
    }
    let longest = Frame::List { index: 0, hashes: vec![[0; 32]; MAX_OBJECT_BLOCKS as usize] };
    assert_eq!(decode(&flat(&longest), Lane::Data), Ok(longest));
}

#[test]
fn foreign_numbers_are_refused() {
    let want = |size: u32| {
        let mut bytes = flat(&samples()[0]);
        bytes[8..12].copy_from_slice(&size.to_be_bytes());
        decode(&bytes, Lane::Control)
    };
    assert!(want(MAX_OBJECT_BYTES).is_ok());
    assert!(matches!(want(u32::MAX), Err(FrameError::TooLarge(_))));

    let run = |first: u16, count: u16| {
        let mut bytes = flat(&samples()[5]);
        bytes[8..10].copy_from_slice(&first.to_be_bytes());
        bytes[10..12].copy_from_slice(&count.to_be_bytes());
        decode(&bytes, Lane::Control)
    };
    assert!(run(2_047, 1).is_ok());
    for (first, count) in [(0, 0), (2_047, 2), (u16::MAX, u16::MAX), (2_048, 1)] {
        assert!(matches!(run(first, count), Err(FrameError::Run { .. })), "{first} {count}");
    }
}

#[test]
fn mutated_frames_never_panic_and_decode_to_what_they_say() {
    let seed = crate::testing::seed(20_261_123);
    let mut dice = Dice::new(seed);
    let samples = samples();
    let mut decoded = 0;
    for _ in 0..200_000 {
        let frame = &samples[dice.below(samples.len() as u64) as usize];
        let mut bytes = flat(frame);
        for _ in 0..=dice.below(3) {
            match dice.below(3) {
                0 => bytes.truncate(HEADER_BYTES + dice.below(bytes.len() as u64) as usize),
                1 => bytes.push(dice.roll() as u8),
                _ => {
                    let at = dice.below(bytes.len() as u64) as usize;
                    bytes[at] = dice.roll() as u8;
                }
            }
        }
        bytes.resize(bytes.len().max(HEADER_BYTES), 0);
        // Half of the time the length is made to agree, to get past the header.
        if dice.percent(50) {
            let len = ((bytes.len() - HEADER_BYTES) as u32).to_be_bytes();
            bytes[1..4].copy_from_slice(&len[1..]);
        }
        for lane in [Lane::Control, Lane::Data] {
            if let Ok(frame) = decode(&bytes, lane) {
                assert_eq!(flat(&frame), bytes, "one frame has one encoding");
                decoded += 1;
            }
        }
    }
    assert!(decoded > 10_000, "the mutations should not all be refused, {decoded} were not");
}
