//! Deltas that were applied: what they make is what they were made for.

use updraft_delta::{Delta, Encoder, Options, ReadAt, Source, Target, apply, header};

/// Encodes `new` in pieces that end at `ends`, and applies every delta.
pub(crate) fn deltas_of(
    olds: &[Vec<u8>],
    new: &[u8],
    ends: &[usize],
    options: &Options,
) -> Vec<Delta> {
    let encoder = Encoder::new(olds.iter().map(Vec::as_slice).collect(), options).unwrap();
    let targets = [Target { bytes: new, piece_ends: ends }];
    let deltas = encoder.encode(&targets, &|_| ()).remove(0);
    let mut start = 0;
    for (delta, &end) in deltas.iter().zip(ends) {
        assert_eq!(header(&delta.object).unwrap().source_count, delta.sources.len());
        let given = delta.sources.iter().map(|source| match *source {
            Source::Old(old) => &olds[old][..],
            Source::Made(piece) => {
                &new[piece.checked_sub(1).map_or(0, |last| ends[last])..ends[piece]]
            }
        });
        let given: Vec<&[u8]> = given.collect();
        let given: Vec<&dyn ReadAt> = given.iter().map(|bytes| bytes as _).collect();
        let mut out = b"something from before".to_vec();
        apply(&delta.object, &given, (end - start) as u64, &mut out).unwrap();
        assert!(out == new[start..end], "piece {start}..{end}");
        start = end;
    }
    deltas
}
