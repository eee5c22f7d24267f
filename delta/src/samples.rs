//! Samples of bytes, which are the same wherever a run of bytes stands.

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bytes of a sample.
pub const SAMPLED: usize = 32;

/// What stands at a place that the bytes there have chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// A hash of the 8 bytes from there on.
    pub short: u64,
    /// A hash of the [`SAMPLED`] bytes from there on.
    pub long: u64,
}

/// The samples of `bytes`, in the order of their places: about one place in
/// so many as `rarity` says, a power of two from 1 to 63. Hashes tell what is
/// alike, not what is meant to look alike.
pub fn samples(bytes: &[u8], rarity: u32) -> impl Iterator<Item = Sample> {
    bytes.windows(SAMPLED).filter_map(move |window| {
        let (words, _) = window.as_chunks::<8>();
        let [first, rest @ ..] = words else { return None };
        let first = u64::from_le_bytes(*first).wrapping_mul(MIX);
        (first >> (64 - rarity) == 1).then(|| {
            let long = rest.iter().fold(first, |key, word| {
                (key.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(MIX)
            });
            Sample { short: first.wrapping_mul(MIX), long }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::noise;

    #[test]
    fn a_run_has_the_same_samples_wherever_it_stands() {
        let run = noise(1, 50_000);
        let found: Vec<Sample> = samples(&run, 6).collect();
        assert!((700..870).contains(&found.len()), "{}", found.len());
        let moved = [&noise(2, 1003)[..], &run].concat();
        assert!(samples(&moved, 6).collect::<Vec<_>>().ends_with(&found));
        assert!(samples(&run, 12).count() < 30);
        assert_eq!(samples(&run[..SAMPLED - 1], 1).count(), 0);
    }
}
