//! Nodes on loopback, with programs that hold objects in memory.

// Each test file uses what it needs of these.
#![allow(dead_code, reason = "shared by several test binaries")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use manifest::admission::credential::Role;
use manifest::content::ContentId;
use manifest::key::PublicKey;
use manifest::testing::TestWorkgroup;
use tokio::sync::mpsc;
use updraft_swarm::event::{Event, Events};
use updraft_swarm::handle::{Delivery, Handle, Wanted};
use updraft_swarm::options::{self, Options};
pub(crate) use updraft_swarm::testing::unix_now;

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Options for installation `who` of a workgroup, which listens on `listen`.
pub(crate) fn options(group: &TestWorkgroup, who: u64, role: Role, listen: &str) -> Options {
    let chain = group.credential(who, role, unix_now()).encode().unwrap();
    let identity = TestWorkgroup::peer_key(who);
    let mut options = Options::new(identity, chain, group.trust.clone());
    options.listen = vec![listen.to_owned()];
    if role == Role::Seeder {
        options.role = options::Role::Origin;
    }
    options
}

pub(crate) fn key(who: u64) -> PublicKey {
    TestWorkgroup::peer_key(who).public()
}

pub(crate) type Disk = Arc<Mutex<HashMap<ContentId, Bytes>>>;

/// A node whose program serves what is on its disk and passes the other events
/// on.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) disk: Disk,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
}

impl Node {
    pub(crate) fn start(options: Options) -> Self {
        let (handle, events) = updraft_swarm::start(options).expect("loopback can be listened on");
        let disk = Disk::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(serve(events, Arc::clone(&disk), sender));
        Self { handle, disk, events: receiver }
    }

    pub(crate) async fn address(&self) -> String {
        for _ in 0..100 {
            if let Some(address) = self.handle.listen_addresses().await.unwrap().pop() {
                return address;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it listens nowhere");
    }

    pub(crate) async fn hold(&self, objects: &[Bytes]) {
        let list: Vec<_> =
            objects.iter().map(|bytes| (ContentId::of(bytes), bytes.len() as u64)).collect();
        let disk = objects.iter().map(|bytes| (ContentId::of(bytes), bytes.clone()));
        self.disk.lock().unwrap().extend(disk);
        self.handle.hold(list).await.unwrap();
    }

    /// Fetches objects, keeps them and offers them; who gave how much.
    pub(crate) async fn fetch(&self, objects: &[Bytes]) -> HashMap<PublicKey, u64> {
        let wanted = objects
            .iter()
            .map(|bytes| Wanted { id: ContentId::of(bytes), len: bytes.len() as u64 });
        let mut fetch = self.handle.fetch(wanted).await.unwrap();
        let (mut given, mut came) = (HashMap::new(), 0);
        while let Some(delivery) = fetch.next().await {
            let Delivery::Delivered { id, bytes, from } = delivery else { continue };
            assert_eq!(ContentId::of(&bytes), id);
            came += 1;
            from.into_iter().for_each(|(peer, count)| *given.entry(peer).or_default() += count);
            self.disk.lock().unwrap().insert(id, bytes.clone());
            self.handle.hold([(id, bytes.len() as u64)]).await.unwrap();
        }
        assert_eq!(came, objects.len(), "every object is delivered once");
        given
    }

    /// The next event that `pick` wants.
    pub(crate) async fn wait<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = pick(self.events.recv().await.expect("the node runs")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.expect("it happens in time")
    }

    pub(crate) async fn admitted(&mut self) -> PublicKey {
        self.wait(|event| match event {
            Event::Admitted { peer, .. } => Some(peer),
            _ => None,
        })
        .await
    }

    pub(crate) async fn refused(&mut self) -> String {
        self.wait(|event| match event {
            Event::Refused { why, .. } => Some(why),
            _ => None,
        })
        .await
    }

    /// Waits until this node knows `count` connected members.
    pub(crate) async fn has_peers(&self, count: usize) {
        for _ in 0..1_000 {
            let peers = self.handle.peers().await.unwrap();
            if peers.iter().filter(|peer| peer.member.is_some()).count() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("fewer than {count} peers: {:?}", self.handle.peers().await);
    }
}

async fn serve(mut events: Events, disk: Disk, others: mpsc::UnboundedSender<Event>) {
    while let Some(event) = events.next().await {
        match event {
            Event::Serve { object, offset, len, reply } => {
                let bytes = disk.lock().unwrap().get(&object).cloned();
                let start = offset as usize;
                reply.send(bytes.map(|bytes| bytes.slice(start..start + len as usize)));
            }
            other => _ = others.send(other),
        }
    }
}

/// Objects of these sizes that do not compress.
pub(crate) fn objects(sizes: &[usize]) -> Vec<Bytes> {
    let mut state = 0x5EED_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    sizes
        .iter()
        .map(|size| {
            let mut bytes: Vec<u8> =
                (0..size.div_ceil(8)).flat_map(|_| random().to_le_bytes()).collect();
            bytes.truncate(*size);
            bytes.into()
        })
        .collect()
}

/// Fails a test that takes longer than any should.
pub(crate) async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), what).await.expect("it ends in time")
}
