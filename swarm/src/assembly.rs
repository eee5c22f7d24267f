//! One object under way: its block list, and the blocks that came so far.
//!
//! Only verified blocks get in. What is in may be passed on before the object
//! is whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::key::PublicKey;

use crate::block::ObjectSize;
use crate::blocklist::{BadList, BlockList};
use crate::blockmap::BlockMap;

/// What became of a block that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is the object's, and is kept.
    Kept,
    /// It was there already.
    Known,
    /// It cannot be judged before the block list is known.
    Unproven,
    /// It is not the object's.
    False,
}

/// An object that is being put together.
#[derive(Debug)]
pub struct Assembly {
    id: ContentId,
    size: ObjectSize,
    list: Option<BlockList>,
    held: BlockMap,
    bytes: Vec<u8>,
    /// Whether blocks of this object came squeezed, and should be passed on so.
    shrinks: bool,
    from: BTreeMap<PublicKey, u64>,
}

impl Assembly {
    /// Takes memory for the whole object.
    #[must_use]
    pub fn new(id: ContentId, size: ObjectSize) -> Self {
        Self {
            id,
            size,
            list: BlockList::of_single(id, size),
            held: BlockMap::new(size.blocks()),
            bytes: vec![0; size.bytes() as usize],
            shrinks: false,
            from: BTreeMap::new(),
        }
    }

    /// Takes the object's block hashes, if they prove to be its own.
    ///
    /// # Errors
    /// [`BadList`] if they are not.
    pub fn prove(&mut self, hashes: Vec<[u8; 32]>) -> Result<(), BadList> {
        if self.list.is_none() {
            self.list = Some(BlockList::verify(self.id, self.size, hashes)?);
        }
        Ok(())
    }

    /// Takes the object's block list.
    pub fn adopt(&mut self, list: BlockList) {
        debug_assert_eq!((list.id(), list.size()), (self.id, self.size));
        self.list.get_or_insert(list);
    }

    /// Takes a block if it proves to be the object's.
    pub fn add(&mut self, block: u32, bytes: &[u8], squeezed: bool, from: PublicKey) -> Added {
        let Some(list) = &self.list else { return Added::Unproven };
        if self.held.contains(block) {
            return Added::Known;
        }
        if !list.fits(block, bytes) {
            return Added::False;
        }
        self.bytes[self.size.range(block)].copy_from_slice(bytes);
        self.held.insert(block);
        self.shrinks |= squeezed;
        *self.from.entry(from).or_default() += bytes.len() as u64;
        Added::Kept
    }

    /// Takes back a block that was kept since an earlier time, if it proves to
    /// be the object's; whether it was missing.
    pub fn restore(&mut self, block: u32, bytes: &[u8]) -> bool {
        let fits = self.list.as_ref().is_some_and(|list| list.fits(block, bytes));
        let new = fits && !self.held.contains(block);
        if new {
            self.bytes[self.size.range(block)].copy_from_slice(bytes);
            self.held.insert(block);
        }
        new
    }

    /// Which object it is.
    #[must_use]
    pub const fn id(&self) -> ContentId {
        self.id
    }

    /// The blocks that came.
    #[must_use]
    pub const fn held(&self) -> &BlockMap {
        &self.held
    }

    /// How many bytes came.
    #[must_use]
    pub fn bytes_held(&self) -> u64 {
        self.held.iter().map(|block| self.size.range(block).len() as u64).sum()
    }

    /// The block list, once it is proven.
    #[must_use]
    pub const fn list(&self) -> Option<&BlockList> {
        self.list.as_ref()
    }

    /// Whether blocks of this object are worth squeezing.
    #[must_use]
    pub const fn shrinks(&self) -> bool {
        self.shrinks
    }

    /// A block that came.
    #[must_use]
    pub fn block(&self, block: u32) -> Option<Bytes> {
        let held = self.held.contains(block);
        held.then(|| Bytes::copy_from_slice(&self.bytes[self.size.range(block)]))
    }

    /// The whole object, its list, and how many bytes each peer gave.
    ///
    /// Only for an object of which every block came.
    #[must_use]
    pub fn finish(self) -> (Bytes, BlockList, Vec<(PublicKey, u64)>) {
        assert!(self.held.is_full(), "an object is finished when every block is held");
        let list = self.list.expect("no block is held without a list");
        (self.bytes.into(), list, self.from.into_iter().collect())
    }
}
