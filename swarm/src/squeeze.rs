//! Compression of single blocks on the wire, undone on receipt.
//!
//! A block travels squeezed only if that makes it smaller. What comes out is
//! no larger than the block may be, whatever the frame says, and is believed
//! only after its hash.

use std::fmt;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use crate::limits::BLOCK_BYTES;

/// zstd's level: blocks of code and text shrink to about half at a few
/// hundred megabytes a second; higher levels cost more than a link gains.
const LEVEL: i32 = 1;

/// A block as it travels.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// The block's bytes.
    Plain(Bytes),
    /// One zstd frame that holds the block's bytes.
    Squeezed(Bytes),
}

/// A squeezed block that does not unfold into the block it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPayload {
    /// It is not one zstd frame, or unfolds into more than the block.
    #[error("a squeezed block of {found} bytes does not unfold into at most {expected}")]
    Unfoldable {
        /// Bytes of the block.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// It has another length than the block.
    #[error("a block of {expected} bytes came as {found}")]
    Length {
        /// Bytes of the block.
        expected: usize,
        /// Bytes there were.
        found: usize,
    },
}

impl Payload {
    /// Bytes on the wire.
    #[must_use]
    pub const fn wire_bytes(&self) -> usize {
        match self {
            Self::Plain(bytes) | Self::Squeezed(bytes) => bytes.len(),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(bytes) => write!(f, "Plain({} bytes)", bytes.len()),
            Self::Squeezed(bytes) => write!(f, "Squeezed({} bytes)", bytes.len()),
        }
    }
}

/// Squeezes and unfolds blocks with contexts that are kept.
pub struct Squeezer {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
}

impl Default for Squeezer {
    fn default() -> Self {
        Self {
            compressor: Compressor::new(LEVEL).expect("level 1 exists"),
            decompressor: Decompressor::new().expect("a context without dictionary"),
        }
    }
}

impl fmt::Debug for Squeezer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Squeezer")
    }
}

impl Squeezer {
    /// The block as it should travel: squeezed if that saves a sixteenth.
    pub fn squeeze(&mut self, block: &Bytes) -> Payload {
        match self.compressor.compress(block) {
            Ok(small) if small.len() + block.len() / 16 < block.len() => {
                Payload::Squeezed(small.into())
            }
            _ => Payload::Plain(block.clone()),
        }
    }

    /// Unfolds a payload into a block of exactly `len` bytes, at most 32 KiB.
    ///
    /// # Errors
    /// [`BadPayload`] if it is anything else.
    pub fn unfold(&mut self, payload: &Payload, len: usize) -> Result<Bytes, BadPayload> {
        debug_assert!(len <= BLOCK_BYTES as usize);
        let bytes = match payload {
            Payload::Plain(bytes) => bytes.clone(),
            Payload::Squeezed(frame) => {
                // The buffer has the block's length: a frame that declares or
                // holds more fails without taking more memory.
                let refused = BadPayload::Unfoldable { expected: len, found: frame.len() };
                Bytes::from(self.decompressor.decompress(frame, len).map_err(|_| refused)?)
            }
        };
        if bytes.len() == len {
            Ok(bytes)
        } else {
            Err(BadPayload::Length { expected: len, found: bytes.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn text_is_squeezed_and_comes_back() {
        let mut squeezer = Squeezer::default();
        let block = Bytes::from("updraft carries it up. ".repeat(1_000));
        let payload = squeezer.squeeze(&block);
        assert!(matches!(&payload, Payload::Squeezed(small) if small.len() < 1_000));
        assert_eq!(squeezer.unfold(&payload, block.len()), Ok(block));
    }

    #[test]
    fn what_does_not_shrink_travels_plain() {
        let mut squeezer = Squeezer::default();
        let mut dice = Dice::new(1);
        let block: Bytes = (0..32_768).map(|_| dice.roll() as u8).collect();
        let payload = squeezer.squeeze(&block);
        assert_eq!(payload, Payload::Plain(block.clone()));
        assert_eq!(squeezer.unfold(&payload, block.len()), Ok(block));
    }

    #[test]
    fn a_bomb_is_refused_without_unfolding_it() {
        let mut squeezer = Squeezer::default();
        let bomb = zstd::bulk::compress(&vec![0; 50_000_000], 1).unwrap();
        assert!(bomb.len() < BLOCK_BYTES as usize);
        let bomb = Payload::Squeezed(bomb.into());
        assert!(matches!(squeezer.unfold(&bomb, 32_768), Err(BadPayload::Unfoldable { .. })));
    }

    #[test]
    fn garbage_and_wrong_lengths_are_refused() {
        let mut squeezer = Squeezer::default();
        let garbage = Payload::Squeezed(Bytes::from_static(b"not a frame"));
        assert!(squeezer.unfold(&garbage, 100).is_err());
        let short = Payload::Plain(Bytes::from_static(b"short"));
        assert_eq!(squeezer.unfold(&short, 6), Err(BadPayload::Length { expected: 6, found: 5 }));
        let short = Payload::Squeezed(zstd::bulk::compress(b"short", 1).unwrap().into());
        assert_eq!(squeezer.unfold(&short, 6), Err(BadPayload::Length { expected: 6, found: 5 }));
    }
}
