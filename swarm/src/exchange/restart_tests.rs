//! What outlives a restart, on the simulated network.

use std::time::Duration;

use bytes::Bytes;

use super::tests::{MS, SECOND, SLOW, objects, swarm};
use super::*;
use crate::limits::{ASSEMBLY_BYTES, BLOCK_BYTES, RECALL_PATIENCE};
use crate::simnet::{Net, nobody};
use crate::testing::{random_bytes, seed};

/// Has a node fetch what it has not.
fn fetch_missing(net: &mut Net, node: usize, objects: &[Bytes]) {
    let disk = &net.nodes[node].disk;
    let missing = objects.iter().filter(|bytes| !disk.contains_key(&ContentId::of(bytes)));
    let missing: Vec<Bytes> = missing.cloned().collect();
    net.fetch(node, &missing);
}

/// Bytes of the blocks that a node keeps of objects that are not whole.
fn kept_bytes(net: &Net, node: usize) -> u64 {
    let parts = net.nodes[node].parts.iter().flatten();
    parts.flat_map(|(_, parts)| &parts.blocks).map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn whoever_is_killed_again_and_again_fetches_little_twice() {
    let first = seed(900);
    for seed in first..first + 10 {
        let objects = objects(&[3_000_000, 1_048_576, 1_048_576, 40_000, 20_000], seed);
        let mut net = swarm(seed, 1, SLOW, &objects);
        net.keep_parts(1);
        let mut dice = crate::dice::Dice::new(seed);
        let kills = 4;
        let (mut at, mut received) = (Duration::ZERO, 0);
        for _ in 0..kills {
            net.connect(0, 1);
            fetch_missing(&mut net, 1, &objects);
            at += MS * (300 + dice.below(500) as u32);
            net.run(at, |_| false);
            assert!(net.nodes[1].finished_at.is_none(), "seed {seed}: it was killed too late");
            received += net.account(1, 0).bytes_in;
            net.restart(1);
        }
        net.connect(0, 1);
        fetch_missing(&mut net, 1, &objects);
        net.run(60 * SECOND, |net| net.all_finished(1..2)).expect("finished");
        let payload: u64 = objects.iter().map(|bytes| bytes.len() as u64).sum();
        received += net.account(1, 0).bytes_in;
        let twice = received.saturating_sub(payload);
        // What came within the moment that blocks wait, with its headers.
        let lost = 1_250_000 / 5 + 2 * u64::from(BLOCK_BYTES);
        assert!(twice < kills * lost, "seed {seed}: {twice} bytes twice");
        // Without parts it would be much of five objects each time.
        println!("seed {seed}: {twice} of {payload} bytes twice, {kills} kills");
        assert_eq!(kept_bytes(&net, 1), 0, "what is whole is kept as such");
    }
}

#[test]
fn what_came_back_from_the_disk_is_served_to_others() {
    let seed = seed(31);
    let objects = objects(&[3_000_000], seed);
    let mut net = swarm(seed, 2, SLOW, &objects);
    net.keep_parts(1);
    net.connect(0, 1);
    net.fetch(1, &objects);
    net.run(SECOND, |_| false);
    net.restart(1);
    let kept = kept_bytes(&net, 1);
    assert!(kept > 500_000, "{kept}");
    // The origin is gone: one has some, the other nothing.
    net.connect(1, 2);
    net.fetch(1, &objects);
    net.fetch(2, &objects);
    net.run(10 * SECOND, |_| false);
    let blocks = |node: usize| {
        let id = ContentId::of(&objects[0]);
        net.nodes[node].exchange.transfer.assembly(id).map_or(0, |a| a.bytes_held())
    };
    assert_eq!((blocks(1), blocks(2)), (kept, kept));
}

#[test]
fn parts_that_were_damaged_on_the_disk_are_fetched_again() {
    let seed = seed(32);
    let objects = objects(&[3_000_000, 1_048_576], seed);
    let id = ContentId::of(&objects[0]);
    type Damage = fn(&mut Parts);
    let damages: [(&str, Damage, bool); 6] = [
        ("a changed block", |p| p.blocks[3].1 = random_bytes(32_768, 1).into(), true),
        ("a short block", |p| p.blocks[0].1 = Bytes::from_static(b"short"), true),
        ("a block beyond the end", |p| p.blocks[1].0 = u32::MAX, true),
        ("a changed hash", |p| p.hashes[9][0] ^= 1, false),
        ("too few hashes", |p| _ = p.hashes.pop(), false),
        ("no blocks", |p| p.blocks.clear(), false),
    ];
    for (what, damage, some) in damages {
        let mut net = swarm(seed, 1, SLOW, &objects);
        net.keep_parts(1);
        net.connect(0, 1);
        net.fetch(1, &objects);
        net.run(2 * SECOND, |_| false);
        net.restart(1);
        let kept = net.nodes[1].parts.as_mut().and_then(|parts| parts.get_mut(&id));
        damage(kept.expect("some of it came"));
        let sent = net.nodes[0].sent;
        net.connect(0, 1);
        net.fetch(1, &objects);
        net.run(60 * SECOND, |net| net.all_finished(1..2)).expect(what);
        let sent = net.nodes[0].sent - sent;
        println!("{what}: {sent} bytes came again");
        assert_eq!(sent < 3_500_000, some, "{what}: {sent}");
    }
}

#[test]
fn a_program_that_never_brings_what_it_keeps_is_not_waited_for() {
    let objects = objects(&[1_048_576], 1);
    let (id, now) = (ContentId::of(&objects[0]), crate::testing::epoch());
    let options = Options {
        own: nobody(),
        manner: Manner::Peer,
        upload: None,
        download: None,
        assembly_bytes: ASSEMBLY_BYTES,
        seed: 1,
    };
    let mut exchange = Exchange::new(now, &options);
    let size = ObjectSize::new(1_048_576).unwrap();
    let (link, peer) = (LinkId(1), nobody());
    exchange.handle(now, Input::KeepParts(vec![id]));
    exchange.handle(now, Input::Joined { link, peer, origin: false, near: false, relayed: false });
    exchange.handle(now, Input::Fetch { fetch: FetchId(1), wanted: vec![(id, size)] });
    let have = Have { whose: Whose::Yours, index: 0, first: 0, count: 32 };
    exchange.handle(now, Input::Frame { link, frame: Frame::Have(vec![have]) });
    let mut asked = |now| {
        let outputs: Vec<Output> = std::iter::from_fn(|| exchange.poll(now)).collect();
        let recalls = outputs.iter().filter(|o| matches!(o, Output::Recall { .. })).count();
        let frames = outputs
            .iter()
            .filter(|o| matches!(o, Output::Send { frame: Frame::Request { .. }, .. }));
        (recalls, frames.count() > 0, exchange.next_deadline(now))
    };
    let (recalls, requests, deadline) = asked(now);
    assert_eq!((recalls, requests), (1, false), "its own disk comes first");
    assert!(deadline.is_some_and(|at| at <= now + RECALL_PATIENCE));
    let (recalls, requests, _) = asked(now + RECALL_PATIENCE);
    assert_eq!((recalls, requests), (0, true));
}
