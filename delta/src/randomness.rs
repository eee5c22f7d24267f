//! Whether bytes look random: packed or encrypted, they cannot be shortened by
//! anything that is in them.

/// Fewer bytes say too little.
const LEAST_BYTES: usize = 4096;
/// How much more often than in noise two bytes may be equal: it is worth a
/// 256th of the bytes.
const SKEW: f64 = 0.043;
/// Of so many places one may have been seen before.
const REPEATS: usize = 1024;
const TABLE_BITS: u32 = 15;
const GRAM: usize = 4;

/// Whether neither single bytes nor runs of them repeat more than by chance.
pub(crate) fn looks_random(bytes: &[u8]) -> bool {
    bytes.len() >= LEAST_BYTES && is_even(bytes) && !repeats(bytes)
}

fn is_even(bytes: &[u8]) -> bool {
    let mut counts = [0u64; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let equal: u64 = counts.iter().map(|count| count * count.saturating_sub(1)).sum();
    let pairs = bytes.len() as f64 * (bytes.len() - 1) as f64;
    equal as f64 * 256.0 / pairs < 1.0 + SKEW
}

/// Whether runs were seen before, as far as the places seen last tell.
fn repeats(bytes: &[u8]) -> bool {
    let mut seen = vec![u32::MAX; 1 << TABLE_BITS];
    let mut found = 0;
    for (at, gram) in (0u32..).zip(bytes.windows(GRAM)) {
        let gram = u32::from_le_bytes(gram.try_into().expect("it has four bytes"));
        let slot = &mut seen[(gram.wrapping_mul(0x9E37_79B1) >> (32 - TABLE_BITS)) as usize];
        let before = bytes.get(*slot as usize..).and_then(|old| old.first_chunk::<GRAM>());
        found += usize::from(before.is_some_and(|old| u32::from_le_bytes(*old) == gram));
        *slot = at;
    }
    found > bytes.len() / REPEATS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::noise;

    #[test]
    fn only_what_nothing_shortens_looks_random() {
        let noise = noise(1, 100_000);
        assert!(looks_random(&noise) && looks_random(&noise[..LEAST_BYTES]));
        assert!(!looks_random(&noise[..LEAST_BYTES - 1]), "too little to tell");
        let counting: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        assert!(!looks_random(&counting), "each byte is as frequent as any other");
        let skewed: Vec<u8> = noise.iter().map(|byte| byte & (byte >> 3 | 0xF0)).collect();
        assert!(!looks_random(&skewed));
        let twice = [&noise[..30_000], &noise[..30_000]].concat();
        assert!(!looks_random(&twice), "a run of it was there before");
    }
}
