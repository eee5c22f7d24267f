//! A member that offers everything that anybody wants, and lies.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use manifest::content::ContentId;

use crate::block::ObjectSize;
use crate::blocklist::BlockList;
use crate::squeeze::Payload;
use crate::testing::raw::{self, Raw};
use crate::wire::{Frame, Have, Lane, Run, Want, WantIndex, Whose};

/// How a liar lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// It sends false blocks.
    Blocks,
    /// It sends false block lists.
    Lists,
    /// It sends nothing of what it says to hold.
    Bitmaps,
    /// It sends what it says to hold: it does not lie yet.
    NotYet,
}

/// Offers all blocks of whatever is wanted, and lies about what `object` knows
/// of; of other objects everything is made up. Goes on until the other side
/// hangs up.
///
/// # Errors
/// How the connection ended.
pub async fn lie(
    raw: &mut Raw,
    lie: Lie,
    object: impl Fn(ContentId) -> Option<Bytes>,
) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::NotConnected);
    let mut heard = raw.control().await.ok_or_else(gone)?;
    let mut say = raw.open(Lane::Control).await.ok_or_else(gone)?;
    let mut send = raw.open(Lane::Data).await.ok_or_else(gone)?;
    let mut wanted: HashMap<WantIndex, (ContentId, ObjectSize)> = HashMap::new();
    loop {
        match raw::read(&mut heard, Lane::Control).await? {
            Frame::Want(list) => {
                for Want { index, id, size } in list {
                    wanted.insert(index, (id, size));
                    let have = Have { whose: Whose::Yours, index, first: 0, count: size.blocks() };
                    raw::write(&mut say, &Frame::Have(vec![have])).await?;
                }
            }
            Frame::Request { run: Run { index, first, count }, list } if lie != Lie::Bitmaps => {
                let Some((id, size)) = wanted.get(&index).copied() else { continue };
                let made_up = || Bytes::from(vec![0x5A; size.bytes() as usize]);
                let bytes = object(id).unwrap_or_else(made_up);
                if list {
                    let mut hashes = BlockList::of(&bytes, size).hashes().to_vec();
                    if let (Lie::Lists, Some(first)) = (lie, hashes.first_mut()) {
                        first[0] ^= 1;
                    }
                    raw::write(&mut send, &Frame::List { index, hashes }).await?;
                }
                for block in first..first + count {
                    let mut bytes = bytes[size.range(block)].to_vec();
                    if let (Lie::Blocks, Some(byte)) = (lie, bytes.first_mut()) {
                        *byte ^= 0x20;
                    }
                    let payload = Payload::Plain(bytes.into());
                    raw::write(&mut send, &Frame::Block { index, block, payload }).await?;
                }
            }
            _ => {}
        }
    }
}
