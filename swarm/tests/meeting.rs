//! How members find each other, with and without the origin; what they ask
//! and what they announce.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Node, QUIC, TCP, key, objects, options, within};
use manifest::admission::credential::Role;
use manifest::testing::TestWorkgroup;
use updraft_swarm::ask::Topic;
use updraft_swarm::event::{AnnouncementId, Event};
use updraft_swarm::handle::{AskError, Verdict};
use updraft_swarm::limits::MAX_PEERS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_who_know_only_the_origin_find_each_other() {
    let group = TestWorkgroup::new(1);
    let origin = Node::start(options(&group, 1, Role::Seeder, QUIC));
    let address = origin.address().await;
    let mut nodes = Vec::new();
    for who in 2..6 {
        let listen = if who % 2 == 0 { TCP } else { QUIC };
        let mut options = options(&group, who, Role::Member, listen);
        options.bootstrap = vec![address.clone()];
        nodes.push(Node::start(options));
    }
    for node in &nodes {
        within(20, node.has_peers(4)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_quic_finds_a_way_it_is_taken() {
    let group = TestWorkgroup::new(1);
    let mut both = options(&group, 1, Role::Seeder, QUIC);
    both.listen.push(TCP.to_owned());
    let origin = Node::start(both);
    let addresses = loop {
        let addresses = origin.handle.listen_addresses().await.unwrap();
        if addresses.len() == 2 {
            break addresses;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let way = async |bootstrap: Vec<String>, who| {
        let mut options = options(&group, who, Role::Member, TCP);
        options.listen.push(QUIC.to_owned());
        options.bootstrap = bootstrap;
        let node = Node::start(options);
        within(20, node.has_peers(1)).await;
        node.handle.peers().await.unwrap()[0].addresses[0].clone()
    };
    for who in 2..5 {
        assert!(way(addresses.clone(), who).await.contains("/quic"));
    }
    let tcp = addresses.into_iter().filter(|address| address.contains("/tcp/")).collect();
    assert!(way(tcp, 9).await.contains("/tcp/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_somebody_else_has_at_another_address_keeps_nobody_from_dialling() {
    let group = TestWorkgroup::new(1);
    let origin = Node::start(options(&group, 1, Role::Seeder, TCP));
    // What is dialled leaves from the port where we listen, at any address.
    let other = std::net::TcpListener::bind("127.0.0.66:0").unwrap();
    let listen = format!("/ip4/127.0.0.1/tcp/{}", other.local_addr().unwrap().port());
    let mut options = options(&group, 2, Role::Member, &listen);
    options.bootstrap = vec![origin.address().await];
    let node = Node::start(options);
    within(20, node.has_peers(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_origin_dead_a_newcomer_finds_all_through_a_remembered_member() {
    let group = TestWorkgroup::new(1);
    let origin = Node::start(options(&group, 1, Role::Seeder, TCP));
    let mut nodes = Vec::new();
    for who in 2..5 {
        let mut options = options(&group, who, Role::Member, TCP);
        options.bootstrap = vec![origin.address().await];
        nodes.push(Node::start(options));
    }
    for node in &nodes {
        within(20, node.has_peers(3)).await;
    }
    let objects = objects(&[100_000, 200_000]);
    nodes[0].hold(&objects).await;
    nodes[1].hold(&objects[1..]).await;
    drop(origin);
    // What a program remembers of its peers leads a newcomer to all of them.
    let known = nodes[2].handle.peers().await.unwrap();
    let remembered = known.iter().find(|peer| peer.key == key(3)).unwrap().addresses.clone();
    assert!(remembered[0].contains("/p2p/"), "{remembered:?}");
    let mut newcomer = options(&group, 9, Role::Member, TCP);
    newcomer.bootstrap = remembered;
    let newcomer = Node::start(newcomer);
    within(20, newcomer.has_peers(3)).await;
    within(20, newcomer.fetch(&objects)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_room_tells_newcomers_of_others() {
    let group = TestWorkgroup::new(1);
    let hub = Node::start(options(&group, 1, Role::Member, TCP));
    let known = vec![hub.address().await];
    // All its places, its guests, and some more.
    let mut nodes = Vec::new();
    for who in 2..=u64::try_from(MAX_PEERS).unwrap() + 20 {
        let mut options = options(&group, who, Role::Member, TCP);
        options.bootstrap.clone_from(&known);
        nodes.push(Node::start(options));
    }
    for node in &nodes {
        within(120, node.has_peers(2)).await;
    }
    let known = hub.handle.peers().await.unwrap();
    // Who is only known has no credential to show.
    let there = known.iter().filter(|peer| peer.member.is_some()).count();
    assert!((1..=MAX_PEERS + MAX_PEERS / 8).contains(&there), "{there}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_comes_up_late_is_reached() {
    let group = TestWorkgroup::new(1);
    // A port that is free now, and probably still in a moment.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let mut member = options(&group, 2, Role::Member, TCP);
    member.bootstrap = vec![address.clone()];
    let mut member = Node::start(member);
    let why = member.refused().await;
    assert!(why.contains("refused"), "{why}");
    let origin = Node::start(options(&group, 1, Role::Seeder, &address));
    within(20, origin.has_peers(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_elsewhere_is_met_by_one_who_listens_nowhere() {
    for listen in [TCP, QUIC] {
        let group = TestWorkgroup::new(1);
        let between = Node::start(options(&group, 1, Role::Member, TCP));
        let known = vec![between.address().await];
        let mut auditor = options(&group, 2, Role::Auditor, TCP);
        auditor.listen.clear();
        auditor.bootstrap = known.clone();
        let mut auditor = Node::start(auditor);
        let mut moving = options(&group, 3, Role::Member, listen);
        moving.bootstrap = known;
        let moved = moving.clone();
        let moving = Node::start(moving);
        within(20, auditor.has_peers(2)).await;
        // The auditor asks whom a new peer knows for five seconds, and then
        // for long not again; what it dials meanwhile is the old address.
        tokio::time::sleep(Duration::from_millis(5_500)).await;
        drop(moving);
        let gone = auditor.wait(|event| match event {
            Event::Gone { peer } => Some(peer),
            _ => None,
        });
        assert_eq!(gone.await, key(3));
        assert!(auditor.refused().await.contains("refused") || listen == QUIC);
        let _moved = Node::start(moved);
        within(10, auditor.has_peers(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_dial_each_other_keep_one_connection() {
    let group = TestWorkgroup::new(1);
    let one = Node::start(options(&group, 1, Role::Member, TCP));
    let two = Node::start(options(&group, 2, Role::Member, TCP));
    let (first, second) = (one.address().await, two.address().await);
    one.handle.dial(second.clone()).await.unwrap();
    two.handle.dial(first.clone()).await.unwrap();
    one.has_peers(1).await;
    two.has_peers(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let objects = objects(&[300_000]);
    one.hold(&objects).await;
    within(20, two.fetch(&objects)).await;
    assert_eq!(one.handle.peers().await.unwrap().len(), 1);
}

/// A chain of nodes, each of which knows only the one before.
async fn chain(group: &TestWorkgroup, roles: &[Role]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for (who, role) in (1..).zip(roles) {
        let mut options = options(group, who, *role, TCP);
        if let Some(last) = nodes.last() {
            options.bootstrap = vec![last.address().await];
        }
        let node = Node::start(options);
        if let Some(last) = nodes.last() {
            node.has_peers(1).await;
            last.has_peers(1).await;
        }
        nodes.push(node);
    }
    nodes
}

async fn announcement(node: &mut Node) -> (AnnouncementId, Bytes) {
    node.wait(|event| match event {
        Event::Announcement { id, bytes, .. } => Some((id, bytes)),
        _ => None,
    })
    .await
}

/// Whether an announcement reaches the node within a while.
async fn hears(node: &mut Node, patience: Duration) -> bool {
    tokio::time::timeout(patience, announcement(node)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_travels_on_only_after_the_verdict() {
    let group = TestWorkgroup::new(1);
    // Without addresses to tell, the ends do not find each other.
    let mut middle = Node::start(options(&group, 2, Role::Member, TCP));
    let ends = [1, 3].map(|who| options(&group, who, Role::Member, TCP));
    let mut nodes = Vec::new();
    for mut end in ends {
        end.listen.clear();
        end.bootstrap = vec![middle.address().await];
        let node = Node::start(end);
        node.has_peers(1).await;
        nodes.push(node);
    }
    middle.has_peers(2).await;
    let (mut last, first) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    for verdict in [Verdict::Accept, Verdict::Ignore, Verdict::Reject] {
        let said = format!("to be met with {verdict:?}").into_bytes();
        // Whoever is not subscribed yet does not hear it: it is said again.
        let heard = loop {
            first.handle.publish(said.clone()).await.unwrap();
            let patience = Duration::from_millis(500);
            if let Ok(heard) = tokio::time::timeout(patience, announcement(&mut middle)).await {
                break heard;
            }
        };
        assert_eq!(heard.1, said);
        assert!(!hears(&mut last, Duration::from_millis(300)).await, "before the verdict");
        middle.handle.verdict(heard.0, verdict).await.unwrap();
        let passed_on = hears(&mut last, Duration::from_millis(1_500)).await;
        assert_eq!(passed_on, verdict == Verdict::Accept, "{verdict:?}");
    }
    let accused = middle.wait(|event| match event {
        Event::Misbehaved { peer, banned, .. } => Some((peer, banned)),
        _ => None,
    });
    assert_eq!(accused.await, (key(1), false));
    assert!(first.handle.publish(vec![0; 70_000]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_that_nobody_heard_is_made_to_the_first_who_comes() {
    let group = TestWorkgroup::new(1);
    let one = Node::start(options(&group, 1, Role::Seeder, TCP));
    one.handle.publish(b"early".to_vec()).await.unwrap();
    let mut late = options(&group, 2, Role::Member, TCP);
    late.bootstrap = vec![one.address().await];
    let mut late = Node::start(late);
    assert_eq!(announcement(&mut late).await.1, "early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_or_refused() {
    let group = TestWorkgroup::new(1);
    let mut nodes = chain(&group, &[Role::Member, Role::Member, Role::Auditor]).await;
    let mut asked = nodes.remove(0);
    tokio::spawn(async move {
        while let Some(event) = asked.events.recv().await {
            let Event::Asked { topic, member, request, reply, .. } = event else { continue };
            // Dropping the reply refuses.
            if request != b"secret" {
                let told = format!(" {topic:?} {:?}", member.roles);
                reply.send([&request[..], told.as_bytes()].concat());
            }
        }
    });
    let (member, auditor) = (&nodes[0].handle, &nodes[1].handle);
    let ask = |topic| member.ask(key(1), topic, b"hello".to_vec());
    let metadata = within(10, ask(Topic::Metadata)).await.unwrap();
    assert_eq!(metadata, b"hello Metadata [Member]");
    assert_eq!(within(10, ask(Topic::Log)).await, Err(AskError::Refused(key(1))));
    let secret = member.ask(key(1), Topic::Metadata, b"secret".to_vec());
    assert_eq!(within(10, secret).await, Err(AskError::Refused(key(1))));
    nodes[1].has_peers(2).await;
    let log = within(10, auditor.ask(key(1), Topic::Log, b"all".to_vec())).await.unwrap();
    assert_eq!(log, b"all Log [Auditor]");
    let nobody = member.ask(key(77), Topic::Metadata, Vec::new()).await;
    assert_eq!(nobody, Err(AskError::NotConnected(key(77))));
    let long = member.ask(key(1), Topic::Metadata, vec![0; 1 << 20]).await;
    assert!(matches!(long, Err(AskError::TooLong { .. })));
}
