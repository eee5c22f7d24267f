//! Circuits through a relay, over loopback: members that listen nowhere meet,
//! are admitted to each other as on any connection, and are let go.

mod common;

use std::time::Duration;

use common::{Node, QUIC, TCP, key, objects, options, unix_now, within};
use futures::{AsyncReadExt, AsyncWriteExt};
use manifest::admission::credential::Role;
use manifest::admission::guide::Guide;
use manifest::admission::limits::CREDENTIAL_LIFE;
use manifest::admission::revocation::{Revocation, Revocations, Subject};
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::content::ContentId;
use manifest::testing::TestWorkgroup;
use updraft_swarm::handle::{PeerInfo, Wanted};
use updraft_swarm::limits::{CIRCUITS_FROM_ONE, RELAYED_OBJECT_BYTES};
use updraft_swarm::options::Options;
use updraft_swarm::testing::raw::Raw;

/// Options for a member that nobody can dial, and that knows the relay.
fn hidden(group: &TestWorkgroup, who: u64, relay: &str) -> Options {
    let mut options = options(group, who, Role::Member, TCP);
    options.listen.clear();
    options.bootstrap = vec![relay.to_owned()];
    options
}

async fn peer(node: &Node, who: u64) -> Option<PeerInfo> {
    let peers = node.handle.peers().await.unwrap();
    peers.into_iter().find(|peer| peer.key == key(who) && peer.member.is_some())
}

/// Waits until `node` is connected to `who`, and how.
async fn meets(node: &Node, who: u64) -> PeerInfo {
    let met = async {
        loop {
            if let Some(info) = peer(node, who).await {
                return info;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(30, met).await
}

/// Waits until `who` has been away from `node` for a second: of two circuits
/// that crossed, one may close and be made anew while all is well.
async fn loses(node: &Node, who: u64) {
    let mut away = 0;
    while away < 20 {
        away = if peer(node, who).await.is_none() { away + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn revoking(group: &TestWorkgroup, who: u64) -> WorkgroupTrust {
    let mut list = Revocations::default();
    let until = unix_now().after(Duration::from_secs(86_400));
    let entry = Revocation { subject: Subject::Key(key(who)), until, why: "lost".into() };
    list.add(entry, unix_now()).unwrap();
    group.trust.clone().without(list)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_nobody_can_dial_meet_through_the_origin_and_exchange_what_is_small() {
    for listen in [TCP, QUIC] {
        let group = TestWorkgroup::new(1);
        let origin = Node::start(options(&group, 1, Role::Seeder, listen));
        let relay = origin.address().await;
        let two = Node::start(hidden(&group, 2, &relay));
        let three = Node::start(hidden(&group, 3, &relay));
        assert!(meets(&two, 3).await.is_relayed && meets(&three, 2).await.is_relayed);
        assert!(!meets(&two, 1).await.is_relayed);
        let small = objects(&[40_000]);
        let large = objects(&[RELAYED_OBJECT_BYTES as usize + 1]);
        two.hold(&small).await;
        two.hold(&large).await;
        let given = within(20, three.fetch(&small)).await;
        assert_eq!(given.get(&key(2)), Some(&40_000), "over the circuit");
        // What is large waits until somebody who is there has it.
        let wanted = Wanted { id: ContentId::of(&large[0]), len: large[0].len() as u64 };
        let mut fetch = three.handle.fetch([wanted]).await.unwrap();
        let early = tokio::time::timeout(Duration::from_secs(1), async {
            while let Some(delivery) = fetch.next().await {
                let whole = matches!(delivery, updraft_swarm::handle::Delivery::Delivered { .. });
                assert!(!whole, "a large object came over a circuit");
            }
        });
        early.await.expect_err("it still waits");
        drop(fetch);
        origin.hold(&large).await;
        let given = within(20, three.fetch(&large)).await;
        assert_eq!(given.keys().collect::<Vec<_>>(), [&key(1)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_member_loses_its_circuits_and_gets_nothing_over_a_new_one() {
    let group = TestWorkgroup::new(1);
    // The relay has not heard of it: the ends of a circuit judge for themselves.
    let origin = Node::start(options(&group, 1, Role::Seeder, TCP));
    let relay = origin.address().await;
    let two = Node::start(hidden(&group, 2, &relay));
    let mut three = Node::start(hidden(&group, 3, &relay));
    meets(&three, 2).await;
    let small = objects(&[40_000]);
    two.hold(&small).await;
    two.handle.set_trust(revoking(&group, 3), Guide::default()).await.unwrap();
    within(6, loses(&two, 3)).await;
    within(6, loses(&three, 2)).await;
    // It comes again, through the relay, and is told why not.
    let why = within(20, async {
        loop {
            let why = three.refused().await;
            if why.contains("the other side refuses us") {
                return why;
            }
        }
    })
    .await;
    assert!(why.contains("revoked") && why.contains("lost"), "{why}");
    let wanted = Wanted { id: ContentId::of(&small[0]), len: 40_000 };
    let mut fetch = three.handle.fetch([wanted]).await.unwrap();
    let early = tokio::time::timeout(Duration::from_secs(2), fetch.next()).await;
    let whole = |d: &_| matches!(d, updraft_swarm::handle::Delivery::Delivered { .. });
    assert!(!early.ok().flatten().as_ref().is_some_and(whole));
    assert!(peer(&two, 3).await.is_none() && peer(&three, 1).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_the_relay_revokes_loses_every_circuit_through_it() {
    let group = TestWorkgroup::new(1);
    let origin = Node::start(options(&group, 1, Role::Seeder, TCP));
    let relay = origin.address().await;
    let two = Node::start(hidden(&group, 2, &relay));
    let three = Node::start(hidden(&group, 3, &relay));
    meets(&two, 3).await;
    meets(&three, 2).await;
    origin.handle.set_trust(revoking(&group, 3), Guide::default()).await.unwrap();
    within(6, loses(&two, 3)).await;
    assert!(peer(&two, 1).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_credential_ends_loses_its_circuits_within_seconds() {
    let group = TestWorkgroup::new(1);
    let origin = Node::start(options(&group, 1, Role::Seeder, TCP));
    let relay = origin.address().await;
    let two = Node::start(hidden(&group, 2, &relay));
    let mut ending = hidden(&group, 3, &relay);
    // Time to meet; the credential has been good for a month but for these.
    let left = Duration::from_secs(8);
    let issued = unix_now().before(CREDENTIAL_LIFE).after(left);
    ending.chain = group.credential(3, Role::Member, issued).encode().unwrap();
    let three = Node::start(ending);
    assert!(meets(&two, 3).await.is_relayed);
    // Whoever is gone before that has only been met over two circuits.
    tokio::time::sleep(left).await;
    within(6, loses(&two, 3)).await;
    within(6, loses(&three, 2)).await;
    within(6, loses(&three, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_of_another_workgroup_is_refused_inside_the_circuit() {
    let group = TestWorkgroup::new(1);
    let origin = Node::start(options(&group, 1, Role::Seeder, TCP));
    let relay = origin.address().await;
    let mut two = Node::start(hidden(&group, 2, &relay));
    within(20, two.has_peers(1)).await;
    // To the relay it shows what holds, in the circuit what does not.
    let mut options = hidden(&group, 3, &relay);
    let three = Node::start(options.clone());
    meets(&three, 2).await;
    meets(&two, 3).await;
    let foreign = TestWorkgroup::new(9).credential(3, Role::Member, unix_now());
    three.handle.set_chain(foreign.encode().unwrap()).await.unwrap();
    // A circuit of its own making, after the first is gone.
    two.handle.set_trust(revoking(&group, 3), Guide::default()).await.unwrap();
    within(6, loses(&two, 3)).await;
    two.handle.set_trust(group.trust.clone(), Guide::default()).await.unwrap();
    let why = within(30, async {
        loop {
            let why = two.refused().await;
            if why.contains("signed by no key of this workgroup") {
                return why;
            }
        }
    })
    .await;
    assert!(why.contains("refused") || why.contains("refuses"), "{why}");
    assert!(peer(&two, 3).await.is_none());
    // A stranger does not even get to the relay.
    options.chain = foreign.encode().unwrap();
    let mut stranger = Node::start(options);
    assert!(within(20, stranger.refused()).await.contains("the other side refuses us"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_abuse_by_one_member_leaves_circuits_for_the_others() {
    let group = TestWorkgroup::new(1);
    let origin = Node::start(options(&group, 1, Role::Seeder, TCP));
    let relay = origin.address().await;
    let two = Node::start(hidden(&group, 2, &relay));
    within(20, two.has_peers(1)).await;
    let abuser = options(&group, 5, Role::Member, TCP);
    let mut raw = Raw::connect(&abuser, &relay).await;
    let mut open = Vec::new();
    let mut answers = Vec::new();
    // Circuits to the one who reserved, to nobody, to no key, and words that
    // never come: over and over, flooded with bytes where one begins.
    for n in 0..200_u64 {
        let Some(mut stream) = raw.stream(&abuser, "circuit-ask/1").await else { break };
        let asked = match n % 4 {
            0 => stream.write_all(key(2).as_bytes()).await,
            1 => stream.write_all(key(77).as_bytes()).await,
            2 => stream.write_all(&[0xFF; 32]).await,
            _ => Ok(()),
        };
        let mut answer = [0xFF];
        let heard = async {
            asked?;
            stream.flush().await?;
            stream.read_exact(&mut answer).await
        };
        let heard = tokio::time::timeout(Duration::from_millis(200), heard).await;
        if matches!(heard, Ok(Ok(()))) {
            answers.push(answer[0]);
        }
        if answer == [0] {
            let flood = async { while stream.write_all(&[1; 4096]).await.is_ok() {} };
            let _ = tokio::time::timeout(Duration::from_millis(50), flood).await;
            open.push(stream);
        }
        if open.len() > CIRCUITS_FROM_ONE {
            open.remove(0);
        }
    }
    let begun = answers.iter().filter(|answer| **answer == 0).count();
    let refused = answers.iter().filter(|answer| **answer != 0).count();
    assert!(begun > 0 && refused > 40, "{begun} begun, {refused} refused: {answers:?}");
    // Whoever keeps to the rules is served as ever, and nobody was let in.
    let three = Node::start(hidden(&group, 3, &relay));
    assert!(meets(&three, 2).await.is_relayed);
    let small = objects(&[40_000]);
    two.hold(&small).await;
    within(20, three.fetch(&small)).await;
    assert!(peer(&two, 5).await.is_none(), "a circuit is no admission");
    drop(open);
}
