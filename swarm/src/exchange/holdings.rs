//! What we hold, wherever it is.

use std::sync::Arc;
use std::time::Instant;

use manifest::content::ContentId;

use crate::block::ObjectSize;
use crate::blocklist::BlockList;
use crate::serving::{Content, Holding};
use crate::shelf::{Lookup, Shelf};
use crate::squeeze::{Payload, Squeezer};
use crate::transfer::Transfer;

/// What we hold, in memory, on the program's disk, or in parts.
pub(super) struct Holdings<'a> {
    pub(super) shelf: &'a mut Shelf,
    pub(super) transfer: &'a Transfer,
    pub(super) squeezer: &'a mut Squeezer,
}

impl Content for Holdings<'_> {
    fn holding(&self, id: ContentId, size: ObjectSize) -> Holding<'_> {
        match self.shelf.holds(id) {
            Some(held) if held == size => Holding::All,
            Some(_) => Holding::Nothing,
            None => match self.transfer.assembly(id) {
                Some(assembly) if assembly.held().blocks() == size.blocks() => {
                    Holding::Some(assembly.held())
                }
                _ => Holding::Nothing,
            },
        }
    }

    fn block(&mut self, now: Instant, id: ContentId, block: u32) -> Lookup<Payload> {
        if self.shelf.holds(id).is_some() {
            return self.shelf.block(now, id, block, self.squeezer);
        }
        let Some(assembly) = self.transfer.assembly(id) else { return Lookup::Gone };
        match assembly.block(block) {
            Some(bytes) if assembly.shrinks() => Lookup::Ready(self.squeezer.squeeze(&bytes)),
            Some(bytes) => Lookup::Ready(Payload::Plain(bytes)),
            None => Lookup::Gone,
        }
    }

    fn list(&mut self, now: Instant, id: ContentId) -> Lookup<Arc<BlockList>> {
        if self.shelf.holds(id).is_some() {
            return self.shelf.list(now, id);
        }
        let list = self.transfer.assembly(id).and_then(|assembly| assembly.list());
        list.map_or(Lookup::Gone, |list| Lookup::Ready(Arc::new(list.clone())))
    }

    fn expect(&mut self, id: ContentId, block: u32) {
        self.shelf.expect(id, block);
    }
}
