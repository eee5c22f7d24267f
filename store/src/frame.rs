//! One zstd frame that says how long its content is.
//!
//! Promises that unpacking takes no more memory than the caller allows, and
//! that whoever packs keeps to a window of at most 1 MiB.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, DParameter};

use crate::limits::FRAME_WINDOW_LOG;

/// A frame that does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame says nothing of its length, or another length.
    #[error(
        "expected a zstd frame of {expected} bytes, found one {}",
        found.map_or("that does not say its length".to_owned(), |found| format!("of {found}"))
    )]
    Length {
        /// What the caller knows its length to be.
        expected: u64,
        /// What the frame says, if anything.
        found: Option<u64>,
    },
    /// The frame is no zstd frame, is cut short or damaged.
    #[error("the zstd frame is damaged: {why}")]
    Damaged {
        /// What the decoder said.
        why: String,
    },
}

/// What a quick look shortens by no more than this share of it is left at
/// that: a high level takes a third of a second for a mebibyte of noise.
const NOISE_SHARE: usize = 256;

/// A level that is over in a few milliseconds a mebibyte.
const QUICK: i32 = 1;

/// Packs `bytes` into one frame at compression `level` (1 to 19), or quickly
/// if that shows that they are packed already.
#[must_use]
pub fn pack(bytes: &[u8], level: i32) -> Vec<u8> {
    let quick = packed(bytes, QUICK);
    let is_noise =
        bytes.len() > NOISE_SHARE && quick.len() + bytes.len() / NOISE_SHARE > bytes.len();
    if level <= QUICK || is_noise { quick } else { packed(bytes, level) }
}

fn packed(bytes: &[u8], level: i32) -> Vec<u8> {
    let mut compressor = Compressor::new(level.clamp(1, 19)).expect("the level is one of zstd's");
    compressor
        .set_parameter(CParameter::WindowLog(FRAME_WINDOW_LOG))
        .expect("the window is one of zstd's");
    compressor.compress(bytes).expect("compress sizes its own buffer")
}

/// Unpacks a frame whose content is exactly `len` bytes long.
///
/// # Errors
/// [`FrameError::Length`] before any memory is taken; [`FrameError::Damaged`].
pub fn unpack(frame: &[u8], len: u64) -> Result<Vec<u8>, FrameError> {
    let found = zstd::zstd_safe::get_frame_content_size(frame)
        .map_err(|_| FrameError::Damaged { why: "no frame header".to_owned() })?;
    let capacity = usize::try_from(len).unwrap_or(usize::MAX);
    if found != Some(len) || len > crate::limits::OBJECT_BYTES {
        return Err(FrameError::Length { expected: len, found });
    }
    let damaged = |error: std::io::Error| FrameError::Damaged { why: error.to_string() };
    let mut decompressor = Decompressor::new().map_err(damaged)?;
    decompressor.set_parameter(DParameter::WindowLogMax(FRAME_WINDOW_LOG)).map_err(damaged)?;
    let bytes = decompressor.decompress(frame, capacity).map_err(damaged)?;
    if bytes.len() as u64 == len {
        Ok(bytes)
    } else {
        Err(FrameError::Length { expected: len, found: Some(bytes.len() as u64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_back() {
        for bytes in [Vec::new(), vec![7; 3 << 20], (0..=255).cycle().take(99_999).collect()] {
            assert_eq!(unpack(&pack(&bytes, 9), bytes.len() as u64).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_packed_already_is_not_packed_for_long() {
        let noise: Vec<u8> = (0..100_000u32)
            .flat_map(|at| blake3::hash(&at.to_le_bytes()).as_bytes()[..4].to_vec())
            .collect();
        assert_eq!(pack(&noise, 19), packed(&noise, QUICK));
        assert_eq!(unpack(&pack(&noise, 19), 400_000).unwrap(), noise);
        // Every byte is one of 32: a high level finds more in it than a low one.
        let text: Vec<u8> = noise.iter().map(|byte| byte & 31).collect();
        let text = [&text[..], &noise[..1000], &text[..5000]].concat();
        assert_eq!(pack(&text, 19), packed(&text, 19));
    }

    #[test]
    fn another_length_is_refused_before_memory_is_taken() {
        let frame = pack(&[0; 1000], 3);
        assert!(matches!(unpack(&frame, 999), Err(FrameError::Length { .. })));
        assert!(matches!(unpack(&frame, 1 << 60), Err(FrameError::Length { .. })));
    }

    #[test]
    fn damage_is_found_or_harmless_at_every_byte() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let frame = pack(&bytes, 3);
        for cut in 0..frame.len() {
            assert!(unpack(&frame[..cut], 5000).is_err());
            let mut mutated = frame.clone();
            mutated[cut] ^= 0x55;
            let _ = unpack(&mutated, 5000);
        }
    }
}
