//! Whom the origin sends what, when a small update begins and when it ends.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::testing::epoch;

/// One object, all of which is here.
struct Whole;

impl Content for Whole {
    fn holding(&self, _: ContentId, _: ObjectSize) -> Holding<'_> {
        Holding::All
    }

    fn block(&mut self, _: Instant, _: ContentId, _: u32) -> Lookup<Payload> {
        Lookup::Ready(Payload::Plain(Bytes::from(vec![0; BLOCK_BYTES as usize])))
    }

    fn list(&mut self, _: Instant, _: ContentId) -> Lookup<Arc<BlockList>> {
        Lookup::Gone
    }

    fn expect(&mut self, _: ContentId, _: u32) {}
}

/// An origin, and so many peers that want an object of so many blocks.
fn origin(peers: u64, blocks: u32) -> Serving {
    let mut serving = Serving::new(Manner::Origin, Purse::new(None), 1);
    let size = ObjectSize::new(u64::from(blocks * BLOCK_BYTES)).unwrap();
    let want = Want { index: 1, id: ContentId::of(b"small"), size };
    for link in (0..peers).map(LinkId) {
        serving.join(epoch(), link, true);
        serving.wants(epoch(), link, &[want], &Whole);
    }
    serving
}

/// All that it says at that moment: who is sent a block, who is told of which.
fn poll(serving: &mut Serving, now: Instant) -> (Vec<LinkId>, Vec<(LinkId, u32)>) {
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    while let Some(output) = serving.poll(now, &mut Whole) {
        match output {
            Output::Send { link, .. } => sent.push(link),
            Output::Have { link, have } => told.push((link, have.first)),
            other => panic!("{other:?}"),
        }
    }
    (sent, told)
}

fn ask(serving: &mut Serving, link: LinkId, block: u32) {
    serving.request(link, Run { index: 1, first: block, count: 1 }, false, &mut Whole);
}

#[test]
fn each_gets_a_block_before_anybody_gets_two() {
    let (mut now, mut serving) = (epoch(), origin(7, 16));
    for link in (0..7).map(LinkId) {
        [0, 1].iter().for_each(|block| ask(&mut serving, link, *block));
    }
    let (mut order, mut on_the_way) = (Vec::new(), VecDeque::new());
    while order.len() < 7 {
        let (sent, _) = poll(&mut serving, now);
        on_the_way.extend(&sent);
        order.extend(sent);
        let begun = order.len() >= 7;
        assert!(begun || on_the_way.len() <= 3, "together they come late: {on_the_way:?}");
        now += Duration::from_millis(27);
        serving.taken(now, on_the_way.pop_front().expect("something is sent"), 1);
    }
    order.truncate(7);
    order.sort_unstable();
    assert_eq!(order, (0..7).map(LinkId).collect::<Vec<_>>());
}

#[test]
fn one_that_takes_nothing_holds_up_no_beginning() {
    let (now, mut serving) = (epoch(), origin(4, 16));
    (0..4).for_each(|link| ask(&mut serving, LinkId(link), 0));
    assert_eq!(poll(&mut serving, now).0.len(), 2);
    let later = serving.next_deadline(now).expect("it is looked again");
    assert!(later <= now + Duration::from_millis(50));
    assert_eq!(poll(&mut serving, now + Duration::from_millis(300)).0.len(), 2, "the others");
}

#[test]
fn what_only_one_has_is_told_to_another_while_there_is_nothing_else_to_do() {
    for (blocks, again) in [(6, true), (MANY_BLOCKS as u32, false)] {
        let (mut now, mut serving) = (epoch(), origin(3, blocks));
        let mut told = Vec::new();
        // Everything is told of once, fetched, and told of by nobody else yet.
        for _ in 0..400 {
            let (sent, new) = poll(&mut serving, now);
            new.iter().for_each(|(link, block)| ask(&mut serving, *link, *block));
            told.extend(new.into_iter().map(|(_, block)| block));
            now += Duration::from_millis(1);
            sent.into_iter().for_each(|link| serving.taken(now, link, 1));
        }
        let first: BTreeSet<u32> = told.iter().copied().collect();
        assert_eq!(first.len(), blocks as usize, "each was told of");
        assert_eq!(told.len() > first.len(), again, "{blocks} blocks: {}", told.len());
    }
}
