//! What the network side needs of the members it meets.
//!
//! The swarm implements it; tests implement it with members that lie, lag and
//! leave.

use bytes::Bytes;
use futures::future::BoxFuture;
use manifest::content::ContentId;
use manifest::key::PublicKey;
use manifest::release::plan::Wanted;
use serde::{Deserialize, Serialize};

/// A member that is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its network identity.
    pub key: PublicKey,
    /// Whether it is one of the vendor's own seeders.
    pub is_origin: bool,
}

/// The members that are met.
pub trait Peers: Send + Sync {
    /// Those that are connected now.
    fn connected(&self) -> Vec<Peer>;

    /// Why the last few addresses that were dialled led to no member.
    fn refusals(&self) -> Vec<String> {
        Vec::new()
    }

    /// Asks one of them for metadata.
    fn ask_metadata(
        &self,
        peer: PublicKey,
        request: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>>;

    /// One of them answered with what nobody we know has signed.
    fn doubt(&self, peer: PublicKey) -> BoxFuture<'_, ()>;

    /// Begins to fetch objects; dropping the value ends it.
    fn fetch(&self, wanted: Vec<Wanted>) -> Box<dyn Arrivals>;

    /// From now on these, and no others, can be served.
    fn hold(&self, held: Vec<(ContentId, u64)>) -> BoxFuture<'_, ()>;

    /// This can be served as well.
    fn hold_more(&self, held: Vec<(ContentId, u64)>) -> BoxFuture<'_, ()>;

    /// These can no longer be served.
    fn withdraw(&self, gone: Vec<ContentId>) -> BoxFuture<'_, ()>;

    /// Tells all members something.
    fn publish(&self, announcement: Vec<u8>) -> BoxFuture<'_, ()>;
}

/// There is nobody to ask, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no member could be reached and no mirror is known{}", told(refusals))]
pub struct NoRoute {
    refusals: Vec<String>,
}

impl NoRoute {
    /// With what the addresses said that were dialled.
    #[must_use]
    pub fn new(peers: &dyn Peers) -> Self {
        Self { refusals: peers.refusals() }
    }
}

fn told(refusals: &[String]) -> String {
    if refusals.is_empty() { String::new() } else { format!(" ({})", refusals.join("; ")) }
}

/// Objects on their way from peers.
pub trait Arrivals: Send {
    /// What arrives next; `None` when no peer can help any more.
    fn next(&mut self) -> BoxFuture<'_, Option<Arrival>>;

    /// An object has come by another way; peers may have it from us.
    fn provide(&mut self, id: ContentId, bytes: Bytes);
}

/// Something that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A whole object.
    Object {
        /// Which.
        id: ContentId,
        /// Its bytes, which are checked again when they are kept.
        bytes: Bytes,
        /// How many bytes of it each peer sent.
        from: Vec<(Peer, u64)>,
    },
    /// Blocks of objects that are not whole yet.
    Blocks,
    /// Nothing has come for a while.
    Stalled,
}

/// Which blocks of an object are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// Which.
    pub id: ContentId,
    /// Its length in bytes.
    pub len: u64,
    /// For each block of 32 KiB whether it is here, as `1` or `0`.
    pub blocks: String,
}

/// No peers at all: a machine that only knows mirrors.
#[derive(Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn connected(&self) -> Vec<Peer> {
        Vec::new()
    }

    fn ask_metadata(&self, _: PublicKey, _: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async { Err("there is no such peer".to_owned()) })
    }

    fn doubt(&self, _: PublicKey) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn fetch(&self, _: Vec<Wanted>) -> Box<dyn Arrivals> {
        Box::new(Self)
    }

    fn hold(&self, _: Vec<(ContentId, u64)>) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn hold_more(&self, _: Vec<(ContentId, u64)>) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn withdraw(&self, _: Vec<ContentId>) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn publish(&self, _: Vec<u8>) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

impl Arrivals for NoPeers {
    fn next(&mut self) -> BoxFuture<'_, Option<Arrival>> {
        Box::pin(async { None })
    }

    fn provide(&mut self, _: ContentId, _: Bytes) {}
}
