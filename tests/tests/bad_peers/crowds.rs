//! As many members as somebody likes to make, with one ticket.

use swarm::limits::{ENOUGH_PEERS, MAX_PEERS};
use swarm::testing::raw::Raw;
use swarm::testing::unix_now;

use updraft_tests::scene::text;

use crate::world::World;

#[test]
fn sybils_from_one_ticket() {
    let mut world = World::new(300_000);
    let address = world.address(true);
    let places = MAX_PEERS - ENOUGH_PEERS;
    let guests = MAX_PEERS / 8;
    let sybils: Vec<_> = (0..places as u64 + 32).map(|who| world.member(who)).collect();
    let here = world.runtime.block_on(async {
        let mut here = Vec::new();
        for sybil in &sybils[..places] {
            here.extend(Raw::try_connect(&sybil.options, &address).await.ok());
        }
        // All at once, so that guests have no time to make room.
        let more = sybils[places..].iter();
        let more = more.map(|sybil| Raw::try_connect(&sybil.options, &address));
        here.extend(futures::future::join_all(more).await.into_iter().flatten());
        here
    });
    println!("{} were let in", here.len());
    // What they came with is named, so that it can be revoked.
    let crowd =
        format!("{places} members have come already, {places} of them with tickets of issuer");
    world.named(&["/ip4/127.0.0.1/", "turned away", &crowd]);
    let peers = world.status()["peers"].as_u64().unwrap();
    assert!(peers <= (places + guests) as u64, "{peers}");

    // Who has another ticket finds a place, and the last of the crowd goes.
    let ticket = text(&world.scene.path("other.ticket"));
    let _ = world.scene.publisher(&["ticket", "--out", &ticket, "--organisation", "Other"]).well();
    let other = world.member_of("other.ticket", 500, unix_now());
    let met = world.runtime.block_on(Raw::try_connect(&other.options, &address));
    assert!(met.is_ok(), "{:?}", met.err());
    world.named(&["machine", "was let go", &crowd]);
    // And the agent its seeder, whom it dials though so many are here already.
    world.completes();
    let peers = world.status()["peers"].as_u64().unwrap();
    assert!((2..=(MAX_PEERS + guests) as u64).contains(&peers), "{peers}");
    drop((here, met));
}
