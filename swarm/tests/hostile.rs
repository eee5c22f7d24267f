//! Members that lie or break the protocol: each is dropped, and what others
//! hold still arrives.

mod common;

use std::time::Duration;

use common::{Node, TCP, key, objects, options, within};
use futures::AsyncWriteExt;
use manifest::admission::credential::Role;
use manifest::content::ContentId;
use manifest::testing::TestWorkgroup;
use updraft_swarm::block::ObjectSize;
use updraft_swarm::event::Event;
use updraft_swarm::testing::liar::{Lie, lie};
use updraft_swarm::testing::raw::{self, Raw};
use updraft_swarm::wire::{Frame, Lane, Run, Want};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_is_dropped_and_the_object_completed_from_another() {
    for how in [Lie::Blocks, Lie::Lists] {
        let group = TestWorkgroup::new(1);
        let objects = objects(&[1_000_000; 3]);
        let mut victim = Node::start(options(&group, 1, Role::Member, TCP));
        let address = victim.address().await;
        let mut raw = Raw::connect(&options(&group, 66, Role::Member, TCP), &address).await;
        assert_eq!(victim.admitted().await, key(66));
        let known = objects.clone();
        tokio::spawn(async move {
            let object = |id| known.iter().find(|bytes| ContentId::of(bytes) == id).cloned();
            lie(&mut raw, how, object).await
        });

        let mut honest = options(&group, 2, Role::Member, TCP);
        honest.bootstrap = vec![address];
        // Slow, so that the liar is asked too.
        honest.upload_bytes_per_second = Some(1_500_000);
        let honest = Node::start(honest);
        honest.hold(&objects).await;
        assert_eq!(victim.admitted().await, key(2));

        let given = within(60, victim.fetch(&objects)).await;
        assert!(given[&key(2)] > 0, "{how:?}");
        let banned = victim.wait(|event| match event {
            Event::Misbehaved { peer, banned: true, why, .. } => Some((peer, why.to_string())),
            _ => None,
        });
        let (peer, why) = within(20, banned).await;
        assert_eq!(peer, key(66), "{how:?}");
        assert!(why.contains("false"), "{how:?}: {why}");
        let peers = victim.handle.peers().await.unwrap();
        let connected = peers.iter().filter(|peer| peer.member.is_some()).map(|peer| peer.key);
        assert_eq!(connected.collect::<Vec<_>>(), [key(2)], "{how:?}");
    }
}

/// Has a member say `bytes` on its control lane: what it is accused of.
async fn accusation(bytes: &[u8]) -> String {
    let group = TestWorkgroup::new(1);
    let mut node = Node::start(options(&group, 1, Role::Member, TCP));
    let bad = options(&group, 66, Role::Member, TCP);
    let mut raw = Raw::connect(&bad, &node.address().await).await;
    let mut control = raw.open(Lane::Control).await.unwrap();
    // The node may hang up while we still talk.
    let _ = control.write_all(bytes).await;
    let _ = control.flush().await;
    let why = node
        .wait(|event| match event {
            Event::Misbehaved { banned: true, why, .. } => Some(why.to_string()),
            _ => None,
        })
        .await;
    within(10, raw.hung_up()).await;
    // Banned: its next connection goes no further.
    let again = tokio::spawn(async move {
        let mut raw = Raw::connect(&bad, &node.address().await).await;
        raw.hung_up().await;
        node
    });
    let node = within(10, again).await.unwrap();
    assert!(node.handle.peers().await.unwrap().iter().all(|peer| peer.member.is_none()));
    why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giant_and_meaningless_frames_end_the_connection() {
    let giant = accusation(&[1, 0xFF, 0xFF, 0xFF, 0, 0]).await;
    assert!(giant.contains("16777215 bytes"), "{giant}");
    let unknown = accusation(&[77, 0, 0, 0]).await;
    assert!(unknown.contains("kind 77"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_wants_ends_the_connection() {
    let size = ObjectSize::new(1).unwrap();
    let mut bytes = Vec::new();
    for frame in 0..9_u32 {
        let wants = (0..512).map(|n| {
            let index = frame * 512 + n;
            Want { index, id: ContentId::of(&index.to_be_bytes()), size }
        });
        bytes.extend_from_slice(&Frame::Want(wants.collect()).encode().0);
    }
    let why = accusation(&bytes).await;
    assert!(why.contains("too many objects wanted"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_never_reads_its_blocks_holds_nobody_up() {
    let group = TestWorkgroup::new(1);
    let objects = objects(&[1_048_576; 8]);
    let node = Node::start(options(&group, 1, Role::Member, TCP));
    node.hold(&objects).await;
    let address = node.address().await;
    let mut lazy = Vec::new();
    for who in 60..66 {
        let mut raw = Raw::connect(&options(&group, who, Role::Member, TCP), &address).await;
        let mut control = raw.open(Lane::Control).await.unwrap();
        let wants = (0..).zip(&objects).map(|(index, bytes)| {
            let size = ObjectSize::new(bytes.len() as u64).unwrap();
            Want { index, id: ContentId::of(bytes), size }
        });
        raw::write(&mut control, &Frame::Want(wants.collect())).await.unwrap();
        for index in 0..8 {
            let run = Run { index, first: 0, count: 32 };
            raw::write(&mut control, &Frame::Request { run, list: true }).await.unwrap();
        }
        lazy.push((raw, control));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut second = options(&group, 2, Role::Member, TCP);
    second.bootstrap = vec![address];
    let two = Node::start(second);
    within(60, two.fetch(&objects)).await;
}
