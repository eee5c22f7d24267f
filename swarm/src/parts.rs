//! Parts of an object, on their way to the program's disk and back.
//!
//! Nothing in them is believed when they come back: the list is proven by the
//! object's id, and each block by the list.

use bytes::Bytes;
use manifest::content::ContentId;

/// Some blocks of an object, and the hashes that prove them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The object.
    pub id: ContentId,
    /// Its length in bytes.
    pub len: u64,
    /// The hashes of all its 32 KiB blocks.
    pub hashes: Vec<[u8; 32]>,
    /// Blocks, by their number.
    pub blocks: Vec<(u32, Bytes)>,
}
