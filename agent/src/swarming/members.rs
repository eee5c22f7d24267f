//! The members that are connected, as the network side sees them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use manifest::content::ContentId;
use manifest::key::PublicKey;
use manifest::release::plan::Wanted;
use swarm::ask::Topic;
use swarm::handle::{Delivery, Handle, Wanted as SwarmWanted};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::limits::{ARRIVALS, REASONS};
use crate::network::peers::{Arrival, Arrivals, Peer, Peers};

/// Members that are connected, and what they may have from us.
pub struct Members {
    handle: Handle,
    connected: Mutex<BTreeMap<PublicKey, Peer>>,
    /// What is offered, to take back what no longer is.
    held: Mutex<HashSet<ContentId>>,
    /// Why the last few addresses led to nobody.
    refusals: Mutex<VecDeque<(String, String)>>,
}

impl Members {
    /// Nobody yet.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self {
            handle,
            connected: Mutex::default(),
            held: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    /// A member is connected.
    pub fn met(&self, peer: Peer) {
        lock(&self.connected).insert(peer.key, peer);
    }

    /// An address led to nobody, or to somebody who is no member.
    pub fn refused(&self, address: String, why: String) {
        let mut refusals = lock(&self.refusals);
        // Of an address only the latest: what it says may count seconds.
        refusals.retain(|(known, _)| *known != address);
        refusals.push_back((address, why));
        if refusals.len() > REASONS {
            refusals.pop_front();
        }
    }

    /// A member is gone.
    pub fn gone(&self, key: &PublicKey) {
        lock(&self.connected).remove(key);
    }

    /// The member with this key; one that is gone is taken for a plain one.
    #[must_use]
    pub fn peer(&self, key: PublicKey) -> Peer {
        let connected = lock(&self.connected).get(&key).copied();
        connected.unwrap_or(Peer { key, is_origin: false })
    }

    /// The swarm offers an object no more.
    pub fn withdrawn(&self, id: &ContentId) {
        lock(&self.held).remove(id);
    }

    async fn offer(&self, held: Vec<(ContentId, u64)>) {
        if let Err(error) = self.handle.hold(held).await {
            tracing::warn!(%error, "objects cannot be offered");
        }
    }
}

impl Peers for Members {
    fn connected(&self) -> Vec<Peer> {
        lock(&self.connected).values().copied().collect()
    }

    fn refusals(&self) -> Vec<String> {
        lock(&self.refusals).iter().map(|(address, why)| format!("{address}: {why}")).collect()
    }

    fn ask_metadata(
        &self,
        peer: PublicKey,
        request: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        async move {
            let answer = self.handle.ask(peer, Topic::Metadata, request).await;
            answer.map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn doubt(&self, peer: PublicKey) -> BoxFuture<'_, ()> {
        async move {
            // Only a swarm that has stopped does not hear it.
            let _ = self.handle.doubt(peer).await;
        }
        .boxed()
    }

    fn fetch(&self, wanted: Vec<Wanted>) -> Box<dyn Arrivals> {
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let handle = self.handle.clone();
        let connected = lock(&self.connected).clone();
        let task = tokio::spawn(forward(handle.clone(), wanted, connected, sender));
        Box::new(SwarmArrivals { handle, arrivals, task: task.abort_handle() })
    }

    fn hold(&self, held: Vec<(ContentId, u64)>) -> BoxFuture<'_, ()> {
        async move {
            let (gone, new) = {
                let mut known = lock(&self.held);
                let now: HashSet<ContentId> = held.iter().map(|(id, _)| *id).collect();
                let gone: Vec<ContentId> = known.difference(&now).copied().collect();
                let new: Vec<_> = held.into_iter().filter(|(id, _)| !known.contains(id)).collect();
                *known = now;
                (gone, new)
            };
            if !gone.is_empty() {
                let _ = self.handle.drop_objects(gone).await;
            }
            if !new.is_empty() {
                self.offer(new).await;
            }
        }
        .boxed()
    }

    fn hold_more(&self, held: Vec<(ContentId, u64)>) -> BoxFuture<'_, ()> {
        lock(&self.held).extend(held.iter().map(|(id, _)| *id));
        self.offer(held).boxed()
    }

    fn withdraw(&self, gone: Vec<ContentId>) -> BoxFuture<'_, ()> {
        for id in &gone {
            self.withdrawn(id);
        }
        async move {
            if !gone.is_empty() {
                let _ = self.handle.drop_objects(gone).await;
            }
        }
        .boxed()
    }

    fn publish(&self, announcement: Vec<u8>) -> BoxFuture<'_, ()> {
        async move {
            if let Err(error) = self.handle.publish(announcement).await {
                tracing::warn!(%error, "new metadata cannot be announced");
            }
        }
        .boxed()
    }
}

/// Objects on their way; dropping it ends the fetch.
struct SwarmArrivals {
    handle: Handle,
    arrivals: mpsc::Receiver<Arrival>,
    task: AbortHandle,
}

impl Arrivals for SwarmArrivals {
    fn next(&mut self) -> BoxFuture<'_, Option<Arrival>> {
        self.arrivals.recv().boxed()
    }

    fn provide(&mut self, id: ContentId, bytes: Bytes) {
        let handle = self.handle.clone();
        tokio::spawn(async move {
            if let Err(error) = handle.provide(id, bytes).await {
                tracing::warn!(%error, "an object cannot be passed on");
            }
        });
    }
}

impl Drop for SwarmArrivals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins a fetch and passes on what it brings, until nobody listens.
async fn forward(
    handle: Handle,
    wanted: Vec<Wanted>,
    connected: BTreeMap<PublicKey, Peer>,
    sender: mpsc::Sender<Arrival>,
) {
    let wanted = wanted.into_iter().map(|Wanted { id, len }| SwarmWanted { id, len });
    let mut fetch = match handle.fetch(wanted).await {
        Ok(fetch) => fetch,
        Err(error) => {
            tracing::warn!(%error, "objects cannot be fetched from members");
            return;
        }
    };
    // Who joins meanwhile is asked for by name at the end.
    let mut known = connected;
    while let Some(delivery) = fetch.next().await {
        let arrival = match delivery {
            Delivery::Delivered { id, bytes, from } => {
                if from.iter().any(|(key, _)| !known.contains_key(key)) {
                    let peers = handle.peers().await.unwrap_or_default();
                    let peers = peers
                        .into_iter()
                        .map(|info| Peer { key: info.key, is_origin: info.is_origin });
                    known.extend(peers.map(|peer| (peer.key, peer)));
                }
                let peer = |key| known.get(&key).copied().unwrap_or(Peer { key, is_origin: false });
                let from = from.into_iter().map(|(key, sent)| (peer(key), sent)).collect();
                Arrival::Object { id, bytes, from }
            }
            Delivery::Progress { .. } => Arrival::Blocks,
            Delivery::Stalled { .. } => Arrival::Stalled,
        };
        if sender.send(arrival).await.is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
