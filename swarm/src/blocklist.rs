//! The hashes of an object's blocks, proven by the object's id.
//!
//! blake3 is a tree: a block of 32 KiB is a whole subtree, and the object's id
//! is the root over those. A [`BlockList`] exists only if its hashes lead to
//! the id, so a block that fits it is a block of that object, whoever sent it.

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use manifest::content::ContentId;

use crate::block::ObjectSize;
use crate::limits::BLOCK_BYTES;

/// The verified block hashes of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockList {
    id: ContentId,
    size: ObjectSize,
    /// Empty when the object is a single block: its id says it all.
    hashes: Vec<ChainingValue>,
}

/// Hashes that do not lead to the object they were claimed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {found} block hashes are not those of object {id} with {} blocks", size.blocks())]
pub struct BadList {
    /// The object that was asked for.
    pub id: ContentId,
    /// Its size.
    pub size: ObjectSize,
    /// How many hashes came.
    pub found: usize,
}

impl BlockList {
    /// The list of an object of at most one block, known from its id alone.
    #[must_use]
    pub fn of_single(id: ContentId, size: ObjectSize) -> Option<Self> {
        (size.blocks() <= 1).then(|| Self { id, size, hashes: Vec::new() })
    }

    /// Checks `hashes` against the id of the object.
    ///
    /// # Errors
    /// [`BadList`] if they are not those of this object.
    pub fn verify(
        id: ContentId,
        size: ObjectSize,
        hashes: Vec<ChainingValue>,
    ) -> Result<Self, BadList> {
        let refused = BadList { id, size, found: hashes.len() };
        if let Some(list) = Self::of_single(id, size) {
            return if hashes.is_empty() { Ok(list) } else { Err(refused) };
        }
        if hashes.len() == size.blocks() as usize && root(&hashes, size) == id {
            Ok(Self { id, size, hashes })
        } else {
            Err(refused)
        }
    }

    /// The list of `bytes`, whose id it also finds.
    #[must_use]
    pub fn of(bytes: &[u8], size: ObjectSize) -> Self {
        if size.blocks() <= 1 {
            return Self { id: ContentId::of(bytes), size, hashes: Vec::new() };
        }
        let hash = |block| hash_block(block, &bytes[size.range(block)]);
        let hashes: Vec<ChainingValue> = (0..size.blocks()).map(hash).collect();
        Self { id: root(&hashes, size), size, hashes }
    }

    /// The object.
    #[must_use]
    pub const fn id(&self) -> ContentId {
        self.id
    }

    /// The object's size.
    #[must_use]
    pub const fn size(&self) -> ObjectSize {
        self.size
    }

    /// The hashes, one a block; none for an object of one block.
    #[must_use]
    pub fn hashes(&self) -> &[ChainingValue] {
        &self.hashes
    }

    /// Whether `bytes` are block `block` of the object.
    #[must_use]
    pub fn fits(&self, block: u32, bytes: &[u8]) -> bool {
        if block >= self.size.blocks() || bytes.len() != self.size.range(block).len() {
            return false;
        }
        match self.hashes.get(block as usize) {
            Some(hash) => hash_block(block, bytes) == *hash,
            None => ContentId::of(bytes) == self.id,
        }
    }
}

/// The hash of one block of an object that has several.
///
/// `bytes` are the 32 KiB at that place, or fewer for the last block, but
/// never none.
#[must_use]
pub fn hash_block(block: u32, bytes: &[u8]) -> ChainingValue {
    blake3::Hasher::new()
        .set_input_offset(u64::from(block) * u64::from(BLOCK_BYTES))
        .update(bytes)
        .finalize_non_root()
}

/// The id of an object of several blocks, out of all of their hashes.
fn root(hashes: &[ChainingValue], size: ObjectSize) -> ContentId {
    let (left, right) = hashes.split_at(left_blocks(size.bytes().into(), hashes.len()));
    let split = left.len() as u64 * u64::from(BLOCK_BYTES);
    let rest = u64::from(size.bytes()) - split;
    let root = merge_subtrees_root(&merge(left, split), &merge(right, rest), Mode::Hash);
    root.into()
}

/// How many of `blocks` blocks with `bytes` bytes lie in the left subtree.
fn left_blocks(bytes: u64, blocks: usize) -> usize {
    debug_assert!(blocks >= 2);
    usize::try_from(left_subtree_len(bytes) / u64::from(BLOCK_BYTES)).expect("bounded by the size")
}

/// The chaining value over some neighbouring blocks with `bytes` bytes.
fn merge(hashes: &[ChainingValue], bytes: u64) -> ChainingValue {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(left_blocks(bytes, hashes.len()));
            let split = left.len() as u64 * u64::from(BLOCK_BYTES);
            merge_subtrees_non_root(&merge(left, split), &merge(right, bytes - split), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn bytes(len: usize, seed: u64) -> Vec<u8> {
        let mut dice = Dice::new(seed);
        (0..len).map(|_| dice.roll() as u8).collect()
    }

    #[test]
    fn a_list_leads_to_the_id_at_every_size() {
        let block = BLOCK_BYTES as usize;
        let mut sizes = vec![0, 1, 1_024, block - 1, block];
        for blocks in [1, 2, 3, 4, 5, 7, 8, 9, 31, 33] {
            sizes.extend([blocks * block + 1, blocks * block + block - 1, (blocks + 1) * block]);
        }
        for len in sizes {
            let bytes = bytes(len, len as u64);
            let size = ObjectSize::new(len as u64).unwrap();
            let list = BlockList::of(&bytes, size);
            let verified = BlockList::verify(ContentId::of(&bytes), size, list.hashes().to_vec());
            assert_eq!(verified.as_ref(), Ok(&list), "{len} bytes");
            for n in 0..size.blocks() {
                assert!(list.fits(n, &bytes[size.range(n)]), "block {n} of {len} bytes");
            }
        }
    }

    #[test]
    fn a_changed_hash_a_missing_one_or_another_size_is_refused() {
        let bytes = bytes(300_000, 1);
        let size = ObjectSize::new(300_000).unwrap();
        let id = ContentId::of(&bytes);
        let hashes = BlockList::of(&bytes, size).hashes().to_vec();
        for i in 0..hashes.len() {
            let mut changed = hashes.clone();
            changed[i][7] ^= 1;
            assert!(BlockList::verify(id, size, changed).is_err());
        }
        assert!(BlockList::verify(id, size, hashes[1..].to_vec()).is_err());
        assert!(BlockList::verify(id, size, Vec::new()).is_err());
        let other = ObjectSize::new(200_000).unwrap();
        assert!(BlockList::verify(id, other, hashes.clone()).is_err());
        let mut swapped = hashes;
        swapped.swap(0, 1);
        assert!(BlockList::verify(id, size, swapped).is_err());
    }

    #[test]
    fn a_block_fits_only_its_own_place() {
        let bytes = vec![9; 100_000];
        let size = ObjectSize::new(100_000).unwrap();
        let list = BlockList::of(&bytes, size);
        assert!(list.fits(0, &bytes[..32_768]));
        // Equal bytes at another place hash differently there, and still fit.
        assert!(list.fits(1, &bytes[..32_768]));
        assert!(!list.fits(3, &bytes[..32_768]));
        assert!(!list.fits(0, &bytes[..32_767]));
        assert!(!list.fits(4, &[]));
        let mut changed = bytes[..32_768].to_vec();
        changed[5] ^= 1;
        assert!(!list.fits(0, &changed));
    }

    #[test]
    fn a_single_block_is_known_by_the_id() {
        let bytes = bytes(100, 3);
        let size = ObjectSize::new(100).unwrap();
        let list = BlockList::of_single(ContentId::of(&bytes), size).unwrap();
        assert!(list.fits(0, &bytes));
        assert!(!list.fits(0, &bytes[1..]));
        let hashes = vec![[0; 32]];
        assert!(BlockList::verify(ContentId::of(&bytes), size, hashes).is_err());
    }
}
