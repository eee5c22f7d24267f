//! Where bytes differ from old ones, as few words and the gaps between them.
//!
//! In executables a difference is mostly an address of 4 bytes that moved, and
//! many moved by the same amount. Seen as one number, little-endian, that
//! amount is small and repeats itself; byte by byte, carries hide it.

use crate::varint::{self, BadVarint};

/// The bytes of a word; the last one may be cut short by the end.
const WORD: usize = 4;

/// Differences as two streams of varints.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// How many equal bytes stand before each word.
    pub(crate) gaps: Vec<u8>,
    /// What is added to each word, modulo 2^32.
    pub(crate) changes: Vec<u8>,
}

impl Words {
    /// What makes `new` of `old`, both being equally long.
    pub(crate) fn between(old: &[u8], new: &[u8]) -> Self {
        let mut words = Self::default();
        let mut done = 0;
        loop {
            let equal = crate::index::common_bytes(&old[done..], &new[done..], 0);
            let start = done + equal;
            if start == new.len() {
                return words;
            }
            done = (start + WORD).min(new.len());
            let change = word(&new[start..done]).wrapping_sub(word(&old[start..done]));
            varint::write(&mut words.gaps, equal as u64);
            varint::write_signed(&mut words.changes, i64::from(change.cast_signed()));
        }
    }
}

/// Words that do not fit what they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A number is not written as numbers are.
    #[error(transparent)]
    Number(#[from] BadVarint),
    /// A word begins where nothing is left to change.
    #[error("a word of the difference begins beyond the {len} bytes it changes")]
    BeyondEnd {
        /// The number of bytes that words may change.
        len: usize,
    },
    /// A change is larger than a word.
    #[error("a word of the difference changes by {found}, which is more than 32 bits hold")]
    TooLarge {
        /// The change found.
        found: i64,
    },
    /// There are more gaps than changes, or fewer.
    #[error("the difference has not as many gaps as words")]
    Unpaired,
}

/// Makes new bytes of the old ones in `bytes`.
pub(crate) fn change(
    bytes: &mut [u8],
    mut gaps: &[u8],
    mut changes: &[u8],
) -> Result<(), WordsError> {
    let len = bytes.len();
    let mut rest = bytes;
    while !gaps.is_empty() && !changes.is_empty() {
        let gap = varint::read(&mut gaps)?;
        let found = varint::read_signed(&mut changes)?;
        let change = i32::try_from(found).map_err(|_| WordsError::TooLarge { found })?;
        let start = usize::try_from(gap).unwrap_or(usize::MAX);
        let from_word = rest.get_mut(start..).filter(|bytes| !bytes.is_empty());
        let from_word = from_word.ok_or(WordsError::BeyondEnd { len })?;
        let (here, left) = from_word.split_at_mut(from_word.len().min(WORD));
        let changed = word(here).wrapping_add_signed(change).to_le_bytes();
        here.copy_from_slice(&changed[..here.len()]);
        rest = left;
    }
    if gaps.is_empty() && changes.is_empty() { Ok(()) } else { Err(WordsError::Unpaired) }
}

/// Up to four bytes as a number, little-endian.
fn word(bytes: &[u8]) -> u32 {
    let mut all = [0; WORD];
    all[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back() {
        let old: Vec<u8> = (0..200u8).collect();
        let mut new = old.clone();
        for at in [0, 3, 4, 17, 18, 19, 100, 197, 199] {
            new[at] = new[at].wrapping_mul(7).wrapping_add(200);
        }
        for len in [0, 1, 2, 3, 5, 18, 198, 199, 200] {
            let words = Words::between(&old[..len], &new[..len]);
            let mut made = old[..len].to_vec();
            change(&mut made, &words.gaps, &words.changes).unwrap();
            assert_eq!(made, new[..len]);
        }
    }

    #[test]
    fn addresses_that_moved_alike_look_alike() {
        let addresses = [0x0012_fff0u32, 0x7fff_fff8, 0x00ff_fffe, 0xffff_fffe];
        let bytes = |by: u32| -> Vec<u8> {
            addresses.iter().flat_map(|at| at.wrapping_add(by).to_le_bytes()).collect()
        };
        let words = Words::between(&bytes(0), &bytes(0x11));
        assert_eq!(words.gaps, [0; 4]);
        assert_eq!(words.changes, [0x22; 4]);
    }

    #[test]
    fn words_that_do_not_fit_are_refused() {
        let mut bytes = [0; 6];
        let beyond = Err(WordsError::BeyondEnd { len: 6 });
        assert_eq!(change(&mut bytes, &[6], &[2]), beyond);
        assert_eq!(change(&mut bytes, &[0, 0, 0], &[2, 2, 2]), beyond);
        assert_eq!(change(&mut bytes, &[0, 0], &[2]), Err(WordsError::Unpaired));
        assert_eq!(change(&mut bytes, &[], &[2]), Err(WordsError::Unpaired));
        let large = [0x80, 0x80, 0x80, 0x80, 0x20];
        let found = 1 << 32;
        assert_eq!(change(&mut bytes, &[0], &large), Err(WordsError::TooLarge { found }));
        assert_eq!(change(&mut bytes, &[0x80], &[2]), Err(WordsError::Number(BadVarint)));
    }
}
