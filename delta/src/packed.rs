//! A run of bytes as it lies in a delta: as it is, or as one zstd frame.
//!
//! A frame stands without its magic number, which would say the same each
//! time. Unpacking takes memory for the declared length only after the caller
//! has bounded it, and gives exactly that many bytes or an error.

use zstd_safe::{CCtx, CParameter, DCtx};

use crate::varint::{self, BadVarint};

/// The first bytes of every zstd frame (RFC 8878 3.1.1).
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How many places zstd looks at for a match where there is a prefix, as a
/// power of two.
const PREFIX_SEARCH_LOG: u32 = 5;

/// How hard zstd works for small targets' sake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packer {
    pub(crate) level: i32,
}

impl Packer {
    /// Packs `bytes` the shorter way, with `prefix` as bytes that went before.
    pub(crate) fn pack(self, bytes: &[u8], prefix: &[u8]) -> Vec<u8> {
        let frame = self.frame(bytes, prefix);
        let packed = frame.len() < bytes.len();
        let mut out = Vec::with_capacity(frame.len().min(bytes.len()) + 5);
        varint::write(&mut out, (bytes.len() as u64) << 1 | u64::from(packed));
        out.extend_from_slice(if packed { &frame } else { bytes });
        out
    }

    /// One frame without its magic number.
    fn frame(self, bytes: &[u8], prefix: &[u8]) -> Vec<u8> {
        let window_log = usize::BITS - (bytes.len() + prefix.len()).leading_zeros();
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
        let mut context = CCtx::create();
        let sound = "parameters are within zstd's bounds and the output has room";
        context.set_parameter(CParameter::CompressionLevel(self.level)).expect(sound);
        if !prefix.is_empty() {
            // Most of the time goes into reading the prefix, and searching it
            // shorter costs about a thousandth of the size.
            context.set_parameter(CParameter::SearchLog(PREFIX_SEARCH_LOG)).expect(sound);
        }
        context.set_parameter(CParameter::ContentSizeFlag(false)).expect(sound);
        context.set_parameter(CParameter::WindowLog(window_log.clamp(10, 27))).expect(sound);
        if !prefix.is_empty() {
            context.ref_prefix(prefix).expect(sound);
        }
        context.compress2(&mut out, bytes).expect(sound);
        out.drain(..FRAME_MAGIC.len());
        out
    }
}

/// A packed run, its declared length not yet believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed<'a> {
    /// How many bytes it declares to unpack to.
    pub(crate) len: u64,
    compressed: bool,
    bytes: &'a [u8],
}

/// Packed bytes that do not unpack to what they declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// The declared length cannot be read.
    #[error(transparent)]
    Number(#[from] BadVarint),
    /// More is declared than this place allows.
    #[error("a stream declares {declared} bytes, at most {allowed} are allowed")]
    TooLong {
        /// The length declared.
        declared: u64,
        /// The most that may stand here.
        allowed: u64,
    },
    /// What is packed is not one sound zstd frame.
    #[error("a stream is not one sound zstd frame")]
    Frame,
    /// Fewer or more bytes come out than were declared.
    #[error("a stream declares {declared} bytes and holds {found}")]
    Length {
        /// The length declared.
        declared: u64,
        /// What it unpacked to.
        found: u64,
    },
}

impl<'a> Packed<'a> {
    /// Reads what a packed run declares; at most `allowed` bytes are accepted.
    pub(crate) fn parse(mut bytes: &'a [u8], allowed: u64) -> Result<Self, UnpackError> {
        let declared = varint::read(&mut bytes)?;
        let len = declared >> 1;
        if len > allowed {
            return Err(UnpackError::TooLong { declared: len, allowed });
        }
        Ok(Self { len, compressed: declared & 1 == 1, bytes })
    }

    /// Unpacks the run, `prefix` being the bytes that went before.
    pub(crate) fn unpack(self, prefix: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let unpacked = if self.compressed { self.unframed(prefix)? } else { self.bytes.to_vec() };
        if unpacked.len() as u64 != self.len {
            let (declared, found) = (self.len, unpacked.len() as u64);
            return Err(UnpackError::Length { declared, found });
        }
        Ok(unpacked)
    }

    fn unframed(self, prefix: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let mut frame = Vec::with_capacity(FRAME_MAGIC.len() + self.bytes.len());
        frame.extend_from_slice(&FRAME_MAGIC);
        frame.extend_from_slice(self.bytes);
        if zstd_safe::find_frame_compressed_size(&frame) != Ok(frame.len()) {
            return Err(UnpackError::Frame);
        }
        let len = usize::try_from(self.len).map_err(|_| UnpackError::Frame)?;
        let mut out = Vec::with_capacity(len);
        let mut context = DCtx::create();
        if !prefix.is_empty() {
            context.ref_prefix(prefix).map_err(|_| UnpackError::Frame)?;
        }
        context.decompress(&mut out, &frame).map_err(|_| UnpackError::Frame)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKER: Packer = Packer { level: 19 };

    #[test]
    fn runs_come_back() {
        let text = b"one two one two one two one two one two".repeat(9);
        for bytes in [&b""[..], b"x", b"no gain", &text] {
            for prefix in [&b""[..], b"two one two"] {
                let packed = PACKER.pack(bytes, prefix);
                let parsed = Packed::parse(&packed, bytes.len() as u64).unwrap();
                assert_eq!(parsed.unpack(prefix).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn a_run_longer_than_allowed_is_refused_before_unpacking() {
        let packed = PACKER.pack(&[0; 1000], b"");
        let refused = Packed::parse(&packed, 999).unwrap_err();
        assert_eq!(refused, UnpackError::TooLong { declared: 1000, allowed: 999 });
    }

    #[test]
    fn a_run_that_holds_another_length_is_refused() {
        let mut packed = PACKER.pack(&[0; 50], b"");
        // 50 zeros are declared as 50 << 1 | 1 in one byte.
        for (declared, error) in
            [(49, UnpackError::Frame), (51, UnpackError::Length { declared: 51, found: 50 })]
        {
            packed[0] = declared << 1 | 1;
            let parsed = Packed::parse(&packed, 100).unwrap();
            assert_eq!(parsed.unpack(b"").unwrap_err(), error);
        }
    }

    #[test]
    fn two_frames_are_not_one() {
        let mut packed = PACKER.pack(&[0; 30], b"");
        let second = [&FRAME_MAGIC[..], &packed[1..]].concat();
        packed.extend_from_slice(&second);
        packed[0] = 60 << 1 | 1;
        assert_eq!(Packed::parse(&packed, 200).unwrap().unpack(b""), Err(UnpackError::Frame));
    }
}
