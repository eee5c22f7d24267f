//! Whole exchanges on the network in memory: whatever happens, every run ends.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::limits::ASSEMBLY_BYTES;
use crate::simnet::{Conduct, Net, PACKET, PACKET_HEADERS, nobody};
use crate::testing::{random_bytes, seed};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// 10 Mbit/s.
pub(super) const SLOW: Option<u64> = Some(1_250_000);

pub(super) fn objects(sizes: &[usize], seed: u64) -> Vec<Bytes> {
    sizes.iter().zip(seed..).map(|(size, seed)| random_bytes(*size, seed).into()).collect()
}

/// An origin with `objects` and `peers` honest nodes that want them.
pub(super) fn swarm(seed: u64, peers: usize, rate: Option<u64>, objects: &[Bytes]) -> Net {
    let mut net = Net::new(seed, 5 * MS);
    net.add(Manner::Origin, rate, Conduct::Honest);
    net.hold(0, objects);
    for _ in 0..peers {
        net.add(Manner::Peer, rate, Conduct::Honest);
    }
    net
}

pub(super) fn fetch_all(net: &mut Net, nodes: std::ops::Range<usize>, objects: &[Bytes]) {
    nodes.for_each(|node| net.fetch(node, objects));
}

#[test]
fn one_to_one_needs_each_byte_once() {
    let objects = objects(&[1, 40_000, 1_000_000, 1_048_576, 3_000_000], 1);
    let mut net = swarm(1, 1, SLOW, &objects);
    net.connect_all();
    net.fetch(1, &objects);
    let took = net.run(60 * SECOND, |net| net.all_finished(1..2)).expect("finished");
    let bytes: usize = objects.iter().map(Bytes::len).sum();
    let on_wire = bytes * (PACKET + PACKET_HEADERS) / PACKET;
    let bound = Duration::from_secs_f64(on_wire as f64 / 1_250_000.0);
    // Each block crosses an uplink and then a downlink; objects begin in turn.
    assert!(took < bound.mul_f64(1.15), "{took:?} of {bound:?}");
    assert!(net.nodes[0].sent < bytes as u64 * 102 / 100, "{}", net.nodes[0].sent);
}

#[test]
fn the_origin_sends_little_more_than_one_copy() {
    let seed = seed(7);
    let objects = objects(&[1_048_576; 16], 5);
    for peers in [7, 15] {
        let mut net = swarm(seed, peers, SLOW, &objects);
        net.connect_all();
        fetch_all(&mut net, 1..peers + 1, &objects);
        let took = net.run(300 * SECOND, |net| net.all_finished(1..peers + 1)).expect("finished");
        let payload = 16.0 * 1_048_576.0;
        let bound = payload / 1_250_000.0;
        let (ratio, egress) = (took.as_secs_f64() / bound, net.nodes[0].sent as f64 / payload);
        let sent: u64 = net.nodes.iter().map(|node| node.sent).sum();
        let total = sent as f64 / payload / peers as f64;
        let wire: u64 = net.nodes.iter().map(|node| node.on_wire).sum();
        let wire = wire as f64 / payload / peers as f64;
        println!(
            "{peers} peers: {ratio:.3} x bound, origin sent {egress:.3} x payload, \
             all together {total:.3} for each, {wire:.3} with headers"
        );
        assert!(wire < 1.09, "{wire}");
        assert!(ratio < 1.25 && egress < 1.05 && total < 1.05, "{ratio} {egress} {total}");
    }
}

#[test]
fn nobody_is_entrusted_with_more_than_it_passes_on() {
    // 50 Mbit/s, and one that has a twentieth of it.
    let (fast, slow) = (Some(6_250_000), Some(312_500));
    let seed = seed(9);
    let objects = objects(&[1_048_576; 32], 5);
    let payload = 32.0 * 1_048_576.0;
    for with_slow in [false, true] {
        let mut net = swarm(seed, 7, fast, &objects);
        if with_slow {
            net.add(Manner::Peer, slow, Conduct::Honest);
        }
        net.connect_all();
        let nodes = net.nodes.len();
        fetch_all(&mut net, 1..nodes, &objects);
        let took = net.run(300 * SECOND, |net| net.all_finished(1..8)).expect("finished");
        let ratio = took.as_secs_f64() / (payload / 6_250_000.0);
        let first: Vec<u64> = (1..8).map(|node| net.account(node, 0).bytes_in).collect();
        let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
        println!("slow one: {with_slow}: {ratio:.3} x bound; from the origin {first:?}");
        assert!(ratio < if with_slow { 1.36 } else { 1.16 }, "{ratio}");
        assert!(*most < least * 5 / 4, "{first:?}");
    }
}

#[test]
fn about_one_copy_comes_to_each_site() {
    let seed = seed(17);
    let objects = objects(&[1_048_576; 8], 6);
    let payload = 8.0 * 1_048_576.0;
    // The vendor by itself, three sites of four machines.
    let mut net = swarm(seed, 12, SLOW, &objects);
    (1..13).for_each(|node| net.nodes[node].site = node.div_ceil(4));
    net.connect_all();
    fetch_all(&mut net, 1..13, &objects);
    net.run(300 * SECOND, |net| net.all_finished(1..13)).expect("finished");
    for site in 1..4 {
        let of = |node: &usize| net.nodes[*node].site == site;
        let inside: Vec<usize> = (1..13).filter(of).collect();
        let far = (0..13).filter(|other| !inside.contains(other));
        let pairs = far.flat_map(|other| inside.iter().map(move |node| (*node, other)));
        let came: u64 = pairs.map(|(node, other)| net.account(node, other).bytes_in).sum();
        let copies = came as f64 / payload;
        let origin: u64 = inside.iter().map(|node| net.account(*node, 0).bytes_in).sum();
        let origin = origin as f64 / payload;
        println!("site {site}: {copies:.3} copies, {origin:.3} of them from the origin");
        assert!(copies < 1.15, "{copies}");
    }
}

#[test]
fn a_small_patch_is_shared_out_whoever_comes_first() {
    let first = seed(300);
    // The bound is 0.42 s.
    for sizes in [vec![524_288], vec![300_000, 100_000, 112_000]] {
        let mut runs = Vec::new();
        for seed in first..first + 20 {
            let objects = objects(&sizes, seed);
            let mut net = swarm(seed, 7, SLOW, &objects);
            net.connect_all();
            // They hear of it one after another.
            let mut dice = crate::dice::Dice::new(seed);
            for node in 1..8 {
                let objects = objects.clone();
                net.at(MS * dice.below(60) as u32, move |net| net.fetch(node, &objects));
            }
            let took = net.run(60 * SECOND, |net| net.all_finished(1..8)).expect("finished");
            runs.push(took);
        }
        runs.sort_unstable();
        println!("512 KiB to 7 peers: {:?}, {:?}, {:?}", runs[0], runs[10], runs[19]);
        assert!(runs[10] < 900 * MS && runs[19] < 1_200 * MS, "{runs:?}");
    }
}

#[test]
fn blocks_travel_on_before_their_object_is_whole() {
    // A chain: what the last one gets has passed through everyone.
    let objects = objects(&[4_000_000], 2);
    let mut net = swarm(4, 4, SLOW, &objects);
    (0..4).for_each(|node| net.connect(node, node + 1));
    fetch_all(&mut net, 1..5, &objects);
    let took = net.run(60 * SECOND, |net| net.all_finished(1..5)).expect("finished");
    // Whole objects would take four times 3.2 s.
    assert!(took < 5 * SECOND, "{took:?}");
}

#[test]
fn the_rest_finish_without_the_origin_once_its_blocks_are_spread() {
    let seed = seed(11);
    let objects = objects(&[1_048_576; 4], 3);
    let mut net = swarm(seed, 6, SLOW, &objects);
    net.connect_all();
    fetch_all(&mut net, 1..7, &objects);
    let ids: Vec<ContentId> = objects.iter().map(|bytes| ContentId::of(bytes)).collect();
    let held = |net: &Net, id, block| {
        (1..7).any(|node| {
            let exchange = &net.nodes[node].exchange;
            exchange.shelf.holds(id).is_some()
                || exchange.transfer.assembly(id).is_some_and(|a| a.held().contains(block))
        })
    };
    let spread = |net: &Net| {
        net.nodes[0].sent > 4 * 1_048_576
            && ids.iter().all(|id| (0..32).all(|block| held(net, *id, block)))
    };
    net.run(60 * SECOND, spread).expect("spread");
    assert!((1..7).all(|node| net.nodes[node].finished_at.is_none()), "nobody is done yet");
    net.kill(0);
    net.run(120 * SECOND, |net| net.all_finished(1..7)).expect("finished without the origin");
}

#[test]
fn liars_are_banned_and_everyone_else_finishes() {
    let seed = seed(21);
    for liar in [Conduct::LiesInBlocks, Conduct::LiesInLists] {
        let objects = objects(&[500_000, 1_000_000, 1_000_000, 1_000_000], 4);
        let mut net = swarm(seed, 4, SLOW, &objects);
        let bad = net.add(Manner::Peer, None, liar);
        net.hold(bad, &objects);
        net.connect_all();
        fetch_all(&mut net, 1..5, &objects);
        net.run(120 * SECOND, |net| net.all_finished(1..5)).expect("finished");
        let key = net.nodes[bad].key;
        assert!((1..5).all(|node| net.nodes[node].banned.contains(&key)), "{liar:?}");
    }
}

#[test]
fn silent_slow_and_lossy_peers_hold_nobody_up_for_ever() {
    let seed = seed(31);
    for (conduct, rate) in
        [(Conduct::Silent, None), (Conduct::Honest, Some(20_000)), (Conduct::Lossy(30), None)]
    {
        let objects = objects(&[700_000; 4], 5);
        let mut net = swarm(seed, 3, SLOW, &objects);
        for _ in 0..2 {
            let bad = net.add(Manner::Peer, rate, conduct);
            net.hold(bad, &objects);
        }
        net.connect_all();
        fetch_all(&mut net, 1..4, &objects);
        let took = net.run(60 * SECOND, |net| net.all_finished(1..4)).expect("finished");
        println!("{conduct:?} {rate:?}: {took:?}");
        assert!(took < 30 * SECOND, "{conduct:?} {took:?}");
    }
}

#[test]
fn who_withholds_is_let_go_and_kept_away_if_it_does_so_again() {
    let objects = objects(&[700_000], 5);
    let mut net = Net::new(seed(32), 5 * MS);
    let taker = net.add(Manner::Peer, None, Conduct::Honest);
    let silent = net.add(Manner::Peer, None, Conduct::Silent);
    net.hold(silent, &objects);
    net.connect_all();
    fetch_all(&mut net, taker..taker + 1, &objects);
    net.at(60 * SECOND, move |net| net.connect(taker, silent));
    let key = net.nodes[silent].key;
    let banned = |net: &Net| net.nodes[taker].banned.contains(&key);
    let took = net.run(180 * SECOND, banned).expect("it was banned");
    println!("{took:?}");
    assert!(took > 75 * SECOND, "once may be bad luck: {took:?}");
}

#[test]
fn whom_nobody_else_helps_the_origin_leaves_to_the_others_for_longer_in_a_crowd() {
    let objects = objects(&[200_000], 8);
    for (peers, patience) in [(8, 700 * MS), (64, 2_100 * MS)] {
        let mut net = swarm(seed(33), peers, None, &objects);
        net.connect_all();
        fetch_all(&mut net, 1..peers + 1, &objects);
        let spread = net.run(60 * SECOND, |net| net.all_finished(1..peers + 1)).expect("finished");
        // One more, which knows the origin alone.
        let late = net.add(Manner::Peer, None, Conduct::Honest);
        net.connect(0, late);
        net.fetch(late, &objects);
        let all = net.run(120 * SECOND, |net| net.all_finished(late..late + 1));
        let took = all.expect("finished") - spread;
        println!("{peers} peers: {took:?}");
        assert!(took > patience && took < patience + 500 * MS, "{peers} peers: {took:?}");
    }
}

#[test]
fn a_slow_peer_does_not_keep_the_last_blocks() {
    let objects = objects(&[2_000_000], 6);
    let mut net = Net::new(8, 5 * MS);
    net.add(Manner::Peer, Some(10_000_000), Conduct::Honest);
    net.add(Manner::Peer, Some(15_000), Conduct::Honest);
    net.add(Manner::Peer, None, Conduct::Honest);
    net.hold(0, &objects);
    net.hold(1, &objects);
    net.connect_all();
    net.fetch(2, &objects);
    let took = net.run(60 * SECOND, |net| net.all_finished(2..3)).expect("finished");
    // The slow one alone needs 17 s for its first eight blocks.
    assert!(took < 3 * SECOND, "{took:?}");
}

#[test]
fn every_run_ends_whatever_happens() {
    let first = seed(1_000);
    for seed in first..first + 25 {
        let mut dice = crate::dice::Dice::new(seed);
        let count = 3 + dice.below(6) as usize;
        let sizes: Vec<usize> =
            (0..1 + dice.below(12)).map(|_| 1 + dice.below(2_000_000) as usize).collect();
        let objects = objects(&sizes, seed);
        let mut net = Net::new(seed, Duration::from_millis(dice.below(80)));
        net.add(Manner::Origin, SLOW, Conduct::Honest);
        net.hold(0, &objects);
        for _ in 0..count {
            let rate = [None, SLOW, Some(200_000)][dice.below(3) as usize];
            let lossy = Conduct::Lossy(dice.below(20));
            let conduct = if dice.percent(30) { lossy } else { Conduct::Honest };
            net.add(Manner::Peer, rate, conduct);
        }
        let honest = count + 1;
        for conduct in [Conduct::LiesInBlocks, Conduct::Silent, Conduct::LiesInLists] {
            if dice.percent(40) {
                let bad = net.add(Manner::Peer, SLOW, conduct);
                net.hold(bad, &objects);
            }
        }
        net.connect_all();
        for node in 1..honest {
            let objects = objects.clone();
            let late = Duration::from_millis(dice.below(3_000));
            net.at(late, move |net| net.fetch(node, &objects));
        }
        for _ in 0..dice.below(20) {
            net.at(Duration::from_millis(dice.below(20_000)), Net::flap);
        }
        let took = net.run(1_000 * SECOND, |net| net.all_finished(1..honest));
        println!("seed {seed}: {} objects, {honest} nodes, {took:?}", objects.len());
        assert!(took.is_some(), "seed {seed} did not finish");
    }
}

#[test]
fn more_than_fits_in_memory_is_fetched_in_turn() {
    let objects = objects(&[1_048_576; 12], 7);
    let mut net = swarm(9, 0, None, &objects);
    for _ in 0..3 {
        net.add_with(
            None,
            Conduct::Honest,
            &Options {
                own: nobody(),
                manner: Manner::Peer,
                upload: None,
                download: None,
                assembly_bytes: 2 * 1_048_576,
                seed: 0,
            },
        );
    }
    net.connect_all();
    fetch_all(&mut net, 1..4, &objects);
    net.run(60 * SECOND, |net| net.all_finished(1..4)).expect("finished");
}

#[test]
fn holders_that_leave_do_not_block_what_others_hold() {
    // Memory for one object; its only holder leaves halfway.
    let objects = objects(&[1_000_000, 1_000_000], 8);
    let mut net = Net::new(10, 5 * MS);
    net.add(Manner::Peer, SLOW, Conduct::Honest);
    net.add(Manner::Peer, SLOW, Conduct::Honest);
    net.add_with(
        None,
        Conduct::Honest,
        &Options {
            own: nobody(),
            manner: Manner::Peer,
            upload: None,
            download: None,
            assembly_bytes: 1_000_000,
            seed: 0,
        },
    );
    net.hold(0, &objects[..1]);
    net.connect(0, 2);
    net.fetch(2, &objects);
    net.run(SECOND / 2, |_| false);
    net.kill(0);
    net.hold(1, &objects[1..]);
    net.connect(1, 2);
    let second = ContentId::of(&objects[1]);
    net.run(60 * SECOND, |net| net.nodes[2].disk.contains_key(&second)).expect("the second");
    net.connect(0, 2);
    net.run(60 * SECOND, |net| net.all_finished(2..3)).expect("both");
}

#[test]
fn upload_and_download_limits_are_kept() {
    let objects = objects(&[1_000_000; 3], 9);
    for (upload, download) in [(Some(500_000), None), (None, Some(500_000))] {
        let mut net = Net::new(11, MS);
        let options = Options {
            own: nobody(),
            manner: Manner::Peer,
            upload,
            download,
            assembly_bytes: ASSEMBLY_BYTES,
            seed: 0,
        };
        net.add_with(None, Conduct::Honest, &options);
        net.add_with(None, Conduct::Honest, &options);
        net.hold(0, &objects);
        net.connect_all();
        net.fetch(1, &objects);
        let took = net.run(60 * SECOND, |net| net.all_finished(1..2)).expect("finished");
        assert!(took > 5_800 * MS && took < 6_600 * MS, "{upload:?} {download:?} {took:?}");
    }
}

#[test]
fn an_object_that_came_by_other_means_is_shared_too() {
    let objects = objects(&[900_000], 10);
    let mut net = Net::new(12, MS);
    (0..3).for_each(|_| _ = net.add(Manner::Peer, None, Conduct::Honest));
    net.connect_all();
    fetch_all(&mut net, 1..3, &objects);
    net.run(3 * SECOND, |_| false);
    assert!(net.nodes[1].stalls > 0, "nobody has it: that is a stall");
    net.input(1, Input::Provide(objects[0].clone()));
    net.run(60 * SECOND, |net| net.all_finished(1..3)).expect("finished");
    assert_eq!(net.nodes[1].given.len(), 0);
    assert_eq!(net.nodes[2].given[&net.nodes[1].key], 900_000);
}

#[test]
fn what_compresses_takes_fewer_bytes() {
    let text: Bytes =
        (0..60_000).map(|n| format!("line {n} of the release\n")).collect::<String>().into();
    let objects: Vec<Bytes> = vec![text.slice(..1_000_000), random_bytes(100_000, 1).into()];
    let mut net = swarm(13, 2, SLOW, &objects);
    net.connect_all();
    fetch_all(&mut net, 1..3, &objects);
    net.run(60 * SECOND, |net| net.all_finished(1..3)).expect("finished");
    assert!(net.nodes[0].sent < 600_000, "{}", net.nodes[0].sent);
}

#[test]
fn a_withdrawn_object_is_fetched_from_someone_else() {
    let objects = objects(&[1_000_000; 2], 14);
    let mut net = Net::new(14, MS);
    (0..3).for_each(|_| _ = net.add(Manner::Peer, SLOW, Conduct::Honest));
    net.hold(0, &objects);
    net.hold(1, &objects);
    // The file behind the first object was edited since it was offered.
    let id = ContentId::of(&objects[0]);
    net.nodes[0].disk.insert(id, random_bytes(1_000_000, 99).into());
    net.connect_all();
    net.fetch(2, &objects);
    net.run(60 * SECOND, |net| net.all_finished(2..3)).expect("finished");
    assert!(net.nodes[2].given[&net.nodes[1].key] >= 1_000_000);
    assert!(net.account(2, 1).bytes_in > 1_000_000);
}

#[test]
fn an_object_that_was_lost_is_fetched_from_the_same_peer_again() {
    for manner in [Manner::Origin, Manner::Peer] {
        let objects = objects(&[200_000], 15);
        let mut net = Net::new(15, MS);
        net.add(manner, None, Conduct::Honest);
        net.add(Manner::Peer, None, Conduct::Honest);
        net.hold(0, &objects);
        net.connect_all();
        net.fetch(1, &objects);
        net.run(60 * SECOND, |net| net.all_finished(1..2)).expect("finished");
        net.hold(1, &objects);
        // Its files were damaged: it has the object no more, and says so.
        net.input(1, Input::Withdraw(vec![ContentId::of(&objects[0])]));
        net.nodes[1].finished_at = None;
        net.fetch(1, &objects);
        let again = net.run(5 * SECOND, |net| net.all_finished(1..2));
        assert!(again.is_some(), "from {manner:?}");
    }
}

#[test]
fn the_limit_for_the_world_spares_the_local_network() {
    for limit_at_sender in [true, false] {
        let objects = objects(&[1_000_000; 2], 21);
        let mut net = Net::new(21, MS);
        (0..3).for_each(|_| _ = net.add(Manner::Peer, None, Conduct::Honest));
        net.nodes[2].site = 1;
        let (node, far) = match limit_at_sender {
            true => (0, Rates { up: Some(400_000), down: None }),
            false => (2, Rates { up: None, down: Some(400_000) }),
        };
        net.input(node, Input::Allow(Allowance { all: Rates::default(), far }));
        net.hold(0, &objects);
        net.connect(0, 1);
        net.connect(0, 2);
        net.fetch(1, &objects);
        net.fetch(2, &objects);
        let near = net.run(60 * SECOND, |net| net.all_finished(1..2)).expect("nearby");
        assert!(near < SECOND, "{near:?}");
        let far = net.run(60 * SECOND, |net| net.all_finished(2..3)).expect("far away");
        assert!(far > 4_500 * MS && far < 5_500 * MS, "{far:?}");
    }
}

#[test]
fn who_makes_way_soon_gets_little_and_afterwards_everything() {
    let seed = seed(22);
    let objects = objects(&[1_048_576; 8], 22);
    let mut net = swarm(seed, 7, SLOW, &objects);
    net.connect_all();
    fetch_all(&mut net, 1..8, &objects);
    let came = |net: &Net| (0..7).map(|peer| net.account(7, peer).bytes_in).sum::<u64>();
    net.run(2 * SECOND, |_| false);
    let all = Rates { up: Some(25_000), down: Some(25_000) };
    net.input(7, Input::Allow(Allowance { all, far: Rates::default() }));
    net.run(2_700 * MS, |_| false);
    let before = came(&net);
    net.run(4_700 * MS, |_| false);
    let little = came(&net) - before;
    println!("{little} bytes in two seconds");
    assert!(little < 120_000, "{little}");
    net.input(7, Input::Allow(Allowance::default()));
    let took = net.run(60 * SECOND, |net| net.all_finished(1..8)).expect("finished");
    assert!(took < 14 * SECOND, "{took:?}");
}

#[test]
fn a_member_that_may_not_move_anything_goes_on_once_it_may() {
    let objects = objects(&[1_000_000; 2], 23);
    let mut net = Net::new(23, MS);
    (0..3).for_each(|_| _ = net.add(Manner::Peer, SLOW, Conduct::Honest));
    net.hold(0, &objects);
    net.connect(0, 1);
    net.connect(1, 2);
    let closed = Allowance { all: Rates::NOTHING, far: Rates::default() };
    // The one in the middle fetches nothing, and later gives nothing.
    net.input(1, Input::Allow(closed));
    net.fetch(1, &objects);
    net.fetch(2, &objects);
    net.run(5 * SECOND, |_| false);
    assert_eq!(net.account(1, 0).bytes_in / 1_000, 0);
    let taking = Rates { up: Some(0), down: None };
    net.input(1, Input::Allow(Allowance { all: taking, far: Rates::default() }));
    net.run(20 * SECOND, |net| net.all_finished(1..2)).expect("the one in the middle");
    net.run(22 * SECOND, |_| false);
    assert_eq!(net.account(2, 1).bytes_in / 1_000, 0);
    net.input(1, Input::Allow(Allowance::default()));
    net.run(60 * SECOND, |net| net.all_finished(2..3)).expect("the last");
}
