//! Who is let in, on both transports, and what is left of who is not.

mod common;

use std::time::Duration;

use common::{Node, QUIC, TCP, key, options, unix_now, within};
use manifest::admission::credential::Role;
use manifest::testing::TestWorkgroup;
use updraft_swarm::event::Event;
use updraft_swarm::options::Options;

/// Has a dialer with `bad` options meet an honest listener: why the listener
/// refused it, and what the dialer was told.
async fn refusal(listen: &str, bad: impl Fn(&TestWorkgroup) -> Options) -> (String, String) {
    let group = TestWorkgroup::new(1);
    let mut listener = Node::start(options(&group, 1, Role::Member, listen));
    let mut dialer = bad(&group);
    dialer.bootstrap = vec![listener.address().await];
    let mut dialer = Node::start(dialer);
    let (refused, told) = (listener.refused().await, dialer.refused().await);
    assert!(listener.handle.peers().await.unwrap().is_empty(), "nobody was let in");
    let known = dialer.handle.peers().await.unwrap();
    assert!(known.iter().all(|peer| peer.member.is_none()), "and nobody was shown");
    (refused, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialer_of_another_workgroup_is_refused_and_learns_why() {
    for listen in [TCP, QUIC] {
        let (refused, told) =
            refusal(listen, |_| options(&TestWorkgroup::new(2), 2, Role::Member, listen)).await;
        assert!(told.contains("the other side refuses us"), "{listen}: {told}");
        assert!(told.contains("signed by no key of this workgroup"), "{listen}: {told}");
        assert!(refused.contains("refused: the issuer is signed"), "{listen}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_credential_is_refused() {
    for listen in [TCP, QUIC] {
        let (refused, told) = refusal(listen, |group| {
            let mut options = options(group, 2, Role::Member, listen);
            let expired = group.expired_credential(2, Role::Member, unix_now());
            options.chain = expired.encode().unwrap();
            options
        })
        .await;
        assert!(refused.contains("expired at"), "{listen}: {refused}");
        assert!(told.contains("expired at"), "{listen}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_credential_is_refused() {
    for listen in [TCP, QUIC] {
        let (refused, told) = refusal(listen, |group| {
            let mut options = options(group, 2, Role::Member, listen);
            options.identity = TestWorkgroup::peer_key(66);
            options
        })
        .await;
        assert!(refused.contains("the connection proved"), "{listen}: {refused}");
        assert!(told.contains("the connection proved"), "{listen}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_no_member_is_left() {
    for listen in [TCP, QUIC] {
        let group = TestWorkgroup::new(1);
        // It lets everybody of our workgroup in, with somebody else's chain.
        let mut thief = options(&group, 1, Role::Member, listen);
        thief.identity = TestWorkgroup::peer_key(66);
        let thief = Node::start(thief);
        let mut dialer = options(&group, 2, Role::Member, listen);
        dialer.bootstrap = vec![thief.address().await];
        let mut dialer = Node::start(dialer);
        let why = dialer.refused().await;
        assert!(why.contains("the connection proved"), "{listen}: {why}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(thief.handle.peers().await.unwrap().iter().all(|p| p.member.is_none()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_whose_keys_are_believed_no_more_are_let_go() {
    let group = TestWorkgroup::new(1);
    let mut one = Node::start(options(&group, 1, Role::Member, TCP));
    let mut second = options(&group, 2, Role::Member, TCP);
    second.bootstrap = vec![one.address().await];
    let mut two = Node::start(second);
    assert_eq!(one.admitted().await, key(2));
    assert_eq!(two.admitted().await, key(1));
    let other = TestWorkgroup::new(3).workgroup_key.public();
    let trust =
        manifest::admission::workgroup::WorkgroupTrust::new(group.trust.id(), vec![other]).unwrap();
    one.handle.set_trust(trust, manifest::admission::guide::Guide::default()).await.unwrap();
    let gone = |event| match event {
        Event::Gone { peer } => Some(peer),
        _ => None,
    };
    assert_eq!(one.wait(gone).await, key(2));
    assert_eq!(two.wait(gone).await, key(1));
    // And it does not come back in.
    let told = within(20, two.refused()).await;
    assert!(told.contains("signed by no key of this workgroup"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_say_nothing_are_few_and_do_not_keep_members_out() {
    let group = TestWorkgroup::new(1);
    let mut one = Node::start(options(&group, 1, Role::Member, TCP));
    let address = one.address().await;
    let port: u16 = address.split('/').nth(4).unwrap().parse().unwrap();
    let mut strangers = Vec::new();
    for _ in 0..200 {
        strangers.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let why = one.refused().await;
    assert!(why.contains("wait to be admitted already"), "{why}");
    // They are given up after their time, and members come in.
    let mut second = options(&group, 2, Role::Member, TCP);
    second.bootstrap = vec![address];
    let two = Node::start(second);
    two.has_peers(1).await;
}
