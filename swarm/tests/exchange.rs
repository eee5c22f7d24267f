//! Objects move between real nodes on loopback.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Node, QUIC, TCP, key, objects, options, within};
use manifest::admission::credential::Role;
use manifest::content::ContentId;
use manifest::testing::TestWorkgroup;
use updraft_swarm::handle::{Delivery, Wanted};

#[expect(clippy::disallowed_methods, reason = "speed is measured")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_exchange_over_tcp_and_over_quic() {
    for listen in [TCP, QUIC] {
        let group = TestWorkgroup::new(1);
        let objects = objects(&[1, 32_768, 100_000, 1_048_576, 3_000_000]);
        let one = Node::start(options(&group, 1, Role::Member, listen));
        one.hold(&objects).await;
        let mut second = options(&group, 2, Role::Member, listen);
        second.bootstrap = vec![one.address().await];
        let two = Node::start(second);
        let given = within(30, two.fetch(&objects)).await;
        let bytes: usize = objects.iter().map(Bytes::len).sum();
        assert_eq!(given, [(key(1), bytes as u64)].into(), "{listen}");
        let peers = two.handle.peers().await.unwrap();
        assert!(peers[0].bytes_in as usize > bytes && peers[0].bytes_out > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_to_one_is_fast() {
    for listen in [TCP, QUIC] {
        let group = TestWorkgroup::new(1);
        let objects = objects(&[1_048_576; 100]);
        let one = Node::start(options(&group, 1, Role::Seeder, listen));
        one.hold(&objects).await;
        let mut second = options(&group, 2, Role::Member, listen);
        second.bootstrap = vec![one.address().await];
        let mut two = Node::start(second);
        two.admitted().await;
        let start = now();
        within(120, two.fetch(&objects)).await;
        let speed = 100.0 / start.elapsed().as_secs_f64();
        println!("{listen}: {speed:.0} MiB/s");
        assert!(speed > 10.0, "{listen}: {speed} MiB/s even on a busy machine");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_limit_is_respected() {
    let group = TestWorkgroup::new(1);
    let objects = objects(&[1_000_000; 2]);
    let mut first = options(&group, 1, Role::Member, TCP);
    first.upload_bytes_per_second = Some(1_000_000);
    let one = Node::start(first);
    one.hold(&objects).await;
    let mut second = options(&group, 2, Role::Member, TCP);
    second.bootstrap = vec![one.address().await];
    let mut two = Node::start(second);
    two.admitted().await;
    let start = now();
    within(60, two.fetch(&objects)).await;
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1_600), "{took:?} for 2 MB at 1 MB/s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_complete_from_each_other_after_the_origin_has_died() {
    let group = TestWorkgroup::new(1);
    let objects = objects(&[1_000_000; 4]);
    let mut first = options(&group, 1, Role::Seeder, TCP);
    first.upload_bytes_per_second = Some(2_000_000);
    let origin = Node::start(first);
    origin.hold(&objects).await;
    let address = origin.address().await;
    let mut nodes = Vec::new();
    for who in 2..6 {
        let mut options = options(&group, who, Role::Member, TCP);
        options.bootstrap = vec![address.clone()];
        // Slow enough that nobody is done when everything is spread.
        options.upload_bytes_per_second = Some(400_000);
        nodes.push(Node::start(options));
    }
    for node in &nodes {
        node.has_peers(4).await;
    }
    let wanted: Vec<Wanted> = objects
        .iter()
        .map(|bytes| Wanted { id: ContentId::of(bytes), len: bytes.len() as u64 })
        .collect();
    let mut fetches = Vec::new();
    for node in &nodes {
        fetches.push(node.handle.fetch(wanted.clone()).await.unwrap());
    }
    // Until every block is with somebody.
    let spread = async {
        loop {
            let mut blocks = std::collections::HashSet::new();
            for node in &nodes {
                for object in node.handle.progress().await.unwrap() {
                    blocks.extend(object.blocks.iter().map(|block| (object.id, *block)));
                }
            }
            if blocks.len() == 4 * 31 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(60, spread).await;
    drop(origin);
    let mut unfinished = 0;
    for (node, fetch) in nodes.iter().zip(fetches) {
        unfinished += usize::from(!node.handle.progress().await.unwrap().is_empty());
        within(120, finish(fetch, 4)).await;
    }
    assert!(unfinished > 0, "somebody finished without the origin");
}

async fn finish(mut fetch: updraft_swarm::handle::Fetch, objects: usize) {
    let mut came = 0;
    while let Some(delivery) = fetch.next().await {
        came += usize::from(matches!(delivery, Delivery::Delivered { .. }));
    }
    assert_eq!(came, objects);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_fetch_says_so_and_takes_what_is_provided() {
    let group = TestWorkgroup::new(1);
    let objects = objects(&[500_000]);
    let one = Node::start(options(&group, 1, Role::Member, TCP));
    let mut second = options(&group, 2, Role::Member, TCP);
    second.bootstrap = vec![one.address().await];
    let two = Node::start(second);
    let id = ContentId::of(&objects[0]);
    let wanted = Wanted { id, len: 500_000 };
    let mut fetch = one.handle.fetch([wanted]).await.unwrap();
    let stalled = within(10, async {
        loop {
            if let Some(Delivery::Stalled { missing }) = fetch.next().await {
                return missing;
            }
        }
    });
    assert_eq!(stalled.await, [id]);
    assert!(one.handle.provide(id, Bytes::from_static(b"other")).await.is_err());
    one.handle.provide(id, objects[0].clone()).await.unwrap();
    within(10, finish(fetch, 1)).await;
    // It is shared too, though it was never held.
    let given = within(10, two.fetch(&objects)).await;
    assert_eq!(given, [(key(1), 500_000)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_was_edited_on_disk_is_withdrawn_and_had_from_another() {
    let group = TestWorkgroup::new(1);
    let objects = objects(&[900_000]);
    let id = ContentId::of(&objects[0]);
    let mut edited = Node::start(options(&group, 1, Role::Member, TCP));
    edited.hold(&objects).await;
    edited.disk.lock().unwrap().insert(id, Bytes::from(vec![7; 900_000]));
    let mut third = options(&group, 3, Role::Member, TCP);
    third.bootstrap = vec![edited.address().await];
    let three = Node::start(third);
    let withdrawn = edited.wait(|event| match event {
        updraft_swarm::event::Event::Withdrawn { object } => Some(object),
        _ => None,
    });
    // The good one comes later: nobody else could be asked before.
    let later = async {
        assert_eq!(withdrawn.await, id);
        let mut second = options(&group, 2, Role::Member, TCP);
        second.bootstrap = vec![three.address().await];
        let good = Node::start(second);
        good.hold(&objects).await;
        good
    };
    let (given, _good) = within(60, async { tokio::join!(three.fetch(&objects), later) }).await;
    assert_eq!(given, [(key(2), 900_000)].into());
}
