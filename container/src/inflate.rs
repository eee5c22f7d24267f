//! Inflates a stream whose end and whose plain text's length are unknown.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// A stream that was inflated to its end.
pub(crate) struct Inflated {
    /// The plain text.
    pub(crate) plain: Vec<u8>,
    /// How many bytes the stream has.
    pub(crate) len: usize,
}

/// Inflates the stream at the start of `bytes`; `None` if there is none, or
/// if its plain text is longer than `max_len`.
pub(crate) fn inflate(bytes: &[u8], max_len: usize) -> Option<Inflated> {
    let mut state = Box::<DecompressorOxide>::default();
    // One byte more than is allowed shows that there is more.
    let room = max_len.saturating_add(1);
    let mut plain = vec![0; bytes.len().saturating_mul(4).clamp(256, 1 << 20).min(room)];
    let (mut read, mut written) = (0, 0);
    loop {
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, took, gave) =
            decompress(&mut state, &bytes[read..], &mut plain, written, flags);
        read += took;
        written += gave;
        match status {
            TINFLStatus::Done if written <= max_len => {
                plain.truncate(written);
                return Some(Inflated { plain, len: read });
            }
            TINFLStatus::HasMoreOutput if plain.len() < room => {
                plain.resize(plain.len().saturating_mul(2).min(room), 0);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hello` in one block with fixed codes, and what follows it.
    const HELLO: [u8; 9] = [0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 1, 2];

    #[test]
    fn a_stream_ends_where_it_says() {
        let found = inflate(&HELLO, 5).unwrap();
        assert_eq!((found.plain.as_slice(), found.len), (b"hello".as_slice(), 7));
    }

    #[test]
    fn more_than_is_allowed_is_refused() {
        assert!(inflate(&HELLO, 4).is_none());
        assert!(inflate(&HELLO[..6], 5).is_none());
        assert!(inflate(&[], 5).is_none());
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_it_may() {
        let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; 8 << 20], 9);
        assert!(bomb.len() < 10_000);
        assert!(inflate(&bomb, (8 << 20) - 1).is_none());
        assert_eq!(inflate(&bomb, 8 << 20).unwrap().plain.len(), 8 << 20);
    }
}
