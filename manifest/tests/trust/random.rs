//! Chance that can be had again: the seed is printed, and `TRUST_SEED=N` takes
//! it back.

/// A small generator of which only the seed matters.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn from_env() -> Self {
        let seed = std::env::var("TRUST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(20_261_123);
        println!("TRUST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap()
    }

    /// One of `items`.
    pub(crate) fn one<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Up to `most` of `letters`.
    pub(crate) fn text(&mut self, letters: &[char], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| *self.one(letters)).collect()
    }

    /// `bytes` with one to four changes.
    pub(crate) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        const TOKENS: [&str; 16] = [
            "null",
            "true",
            "0",
            "-1",
            "1e9",
            "18446744073709551616",
            "\"\"",
            "{}",
            "[]",
            ",",
            "\"version\":2,",
            "\"keyids\":[],",
            "\\u0000",
            "[[[[[[[[[[[[[[[[",
            "\u{e9}",
            "\"",
        ];
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len());
            let end = (at + self.below(40)).min(out.len());
            match self.below(7) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 => drop(out.drain(at..end)),
                2 => out.truncate(at),
                3 => {
                    let copy = out[at..end].to_vec();
                    let to = self.below(out.len());
                    out.splice(to..to, copy);
                }
                4 => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    out.splice(at..end, token.bytes());
                }
                5 => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    out.splice(at..at, token.bytes());
                }
                _ if !out.is_empty() => out[at] = b"0123456789abcdef{}[]\":,"[self.below(23)],
                _ => {}
            }
        }
        out
    }
}
