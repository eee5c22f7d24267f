//! How an object is cut into blocks.
//!
//! Pure arithmetic: a size that passed through here fits every bound, so that
//! nobody behind it computes with a foreign number.

use std::ops::Range;

use crate::limits::{BLOCK_BYTES, MAX_OBJECT_BYTES};

/// The size of an object in bytes, at most [`MAX_OBJECT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectSize(u32);

/// An object that is larger than any that is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an object has at most {MAX_OBJECT_BYTES} bytes, found {found}")]
pub struct TooLarge {
    /// The size that was declared.
    pub found: u64,
}

impl ObjectSize {
    /// The size `bytes`, if objects may be that large.
    ///
    /// # Errors
    /// [`TooLarge`] above [`MAX_OBJECT_BYTES`].
    pub fn new(bytes: u64) -> Result<Self, TooLarge> {
        match u32::try_from(bytes) {
            Ok(size) if size <= MAX_OBJECT_BYTES => Ok(Self(size)),
            _ => Err(TooLarge { found: bytes }),
        }
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// How many blocks there are; an empty object has none.
    #[must_use]
    pub const fn blocks(self) -> u32 {
        self.0.div_ceil(BLOCK_BYTES)
    }

    /// Where block `block` lies; empty when there is no such block.
    #[must_use]
    pub fn range(self, block: u32) -> Range<usize> {
        let size = self.0 as usize;
        let start = (block as usize).saturating_mul(BLOCK_BYTES as usize).min(size);
        start..start.saturating_add(BLOCK_BYTES as usize).min(size)
    }

    /// Whether `count` blocks from `first` on all exist, and are at least one.
    #[must_use]
    pub fn has_run(self, first: u32, count: u32) -> bool {
        count > 0 && first.checked_add(count).is_some_and(|end| end <= self.blocks())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_object_without_gap() {
        for bytes in [0, 1, 32_767, 32_768, 32_769, 1_048_576, u64::from(MAX_OBJECT_BYTES)] {
            let size = ObjectSize::new(bytes).unwrap();
            let mut end = 0;
            for block in 0..size.blocks() {
                let range = size.range(block);
                assert_eq!(range.start, end);
                assert!(!range.is_empty());
                end = range.end;
            }
            assert_eq!(end as u64, bytes);
            assert!(size.range(size.blocks()).is_empty());
            assert!(size.range(u32::MAX).is_empty());
        }
    }

    #[test]
    fn a_size_beyond_the_bound_is_refused() {
        for bytes in [u64::from(MAX_OBJECT_BYTES) + 1, 1 << 32, 1 << 60, u64::MAX] {
            assert_eq!(ObjectSize::new(bytes), Err(TooLarge { found: bytes }));
        }
    }

    #[test]
    fn runs_end_with_the_object() {
        let size = ObjectSize::new(100_000).unwrap();
        assert!(size.has_run(0, 4) && size.has_run(3, 1));
        assert!(!size.has_run(0, 0) && !size.has_run(3, 2) && !size.has_run(u32::MAX, 2));
    }
}
