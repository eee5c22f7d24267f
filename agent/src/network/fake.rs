//! A network side with peers that answer as they are told, for tests.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use container::Here;
use futures::FutureExt;
use futures::future::BoxFuture;
use manifest::content::ContentId;
use manifest::key::PublicKey;
use manifest::release::plan::Wanted;
use store::heads::Heads;
use store::objects::Objects;
use store::partials::Partials;

use crate::applier::authority::Authority;
use crate::limits::{HEADS_BYTES, PARTIAL_BYTES};
use crate::mirror::Mirror;
use crate::network::Network;
use crate::network::peers::{Arrival, Arrivals, Peer, Peers};
use crate::network::shelf::Shelf;
use crate::testing::{Machine, Vendor};

/// Peers that answer as they are told.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) connected: Vec<Peer>,
    pub(super) metadata: Vec<(PublicKey, Vec<u8>)>,
    pub(super) doubted: Mutex<Vec<PublicKey>>,
    pub(super) arrivals: Mutex<Vec<Arrival>>,
    pub(super) published: Mutex<Vec<Vec<u8>>>,
}

struct FakeArrivals(Vec<Arrival>);

impl Peers for Fake {
    fn connected(&self) -> Vec<Peer> {
        self.connected.clone()
    }

    fn ask_metadata(&self, peer: PublicKey, _: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let answer = self.metadata.iter().find(|(key, _)| *key == peer);
        let answer = answer.map(|(_, bytes)| bytes.clone());
        async move { answer.ok_or_else(|| "it hung up".to_owned()) }.boxed()
    }

    fn doubt(&self, peer: PublicKey) -> BoxFuture<'_, ()> {
        self.doubted.lock().unwrap().push(peer);
        async {}.boxed()
    }

    fn fetch(&self, _: Vec<Wanted>) -> Box<dyn Arrivals> {
        Box::new(FakeArrivals(std::mem::take(&mut self.arrivals.lock().unwrap())))
    }

    fn hold(&self, _: Vec<(ContentId, u64)>) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn hold_more(&self, _: Vec<(ContentId, u64)>) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn withdraw(&self, _: Vec<ContentId>) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn publish(&self, announcement: Vec<u8>) -> BoxFuture<'_, ()> {
        self.published.lock().unwrap().push(announcement);
        async {}.boxed()
    }
}

impl Arrivals for FakeArrivals {
    fn next(&mut self) -> BoxFuture<'_, Option<Arrival>> {
        let next = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
        async move { next }.boxed()
    }

    fn provide(&mut self, _: ContentId, _: Bytes) {}
}

pub(super) fn peer(n: u8, is_origin: bool) -> Peer {
    Peer { key: PublicKey::from_bytes([n; 32]), is_origin }
}

/// A network side that joined `vendor`'s workgroup, with these peers and mirrors.
pub(super) fn network(
    vendor: &Vendor,
    peers: Arc<dyn Peers>,
    mirrors: &[String],
) -> (tempfile::TempDir, Network) {
    let machine = Machine::new(vendor);
    let (home, into) = (machine.home.clone(), machine.place());
    let (applier, role) = (machine.open(), Vendor::subject().role());
    let authority = Authority::new(applier);
    let objects = Objects::open(&home.objects(), 1 << 30).unwrap();
    let partials = Partials::open(&home.partials(), PARTIAL_BYTES).unwrap();
    let heads = Heads::open(&home.heads(), HEADS_BYTES).unwrap();
    let shelf = Arc::new(Shelf::new(authority.clone(), objects, partials, heads));
    let mirrors = mirrors.iter().map(|mirror| Mirror::new(mirror).unwrap()).collect();
    let places = (into, home.dir().to_owned());
    (machine.dir, Network::new(authority, shelf, peers, mirrors, role, places, Arc::new(Here)))
}
