//! Reads, proofs, eviction and withdrawal of what we serve.

use super::*;
use crate::limits::SHELF_CACHE_BYTES;
use crate::testing::{epoch, random_bytes};

/// A program that answers every read from memory.
fn answer(shelf: &mut Shelf, now: Instant, bytes: &Bytes) -> Vec<ContentId> {
    let mut withdrawn = Vec::new();
    while let Some(read) = shelf.poll_read(now) {
        let start = read.offset as usize;
        let bytes = bytes.slice(start..start + read.len as usize);
        withdrawn.extend(shelf.read_done(now, read.read, Some(bytes)));
    }
    withdrawn
}

fn held(shelf: &mut Shelf, bytes: &Bytes) -> (ContentId, ObjectSize) {
    let size = ObjectSize::new(bytes.len() as u64).unwrap();
    let id = ContentId::of(bytes);
    shelf.hold(id, size);
    (id, size)
}

fn block_of(shelf: &mut Shelf, now: Instant, id: ContentId, block: u32) -> Lookup<Bytes> {
    let mut squeezer = Squeezer::default();
    match shelf.block(now, id, block, &mut squeezer) {
        Lookup::Ready(Payload::Plain(bytes)) => Lookup::Ready(bytes),
        Lookup::Ready(squeezed) => {
            let len = shelf.holds(id).unwrap().range(block).len();
            Lookup::Ready(squeezer.unfold(&squeezed, len).unwrap())
        }
        Lookup::Loading => Lookup::Loading,
        Lookup::Gone => Lookup::Gone,
    }
}

#[test]
fn a_block_is_read_with_its_whole_extent_once() {
    let (now, mut shelf) = (epoch(), Shelf::new(SHELF_CACHE_BYTES));
    let bytes = Bytes::from(random_bytes(1_000_000, 1));
    let (id, size) = held(&mut shelf, &bytes);
    assert_eq!(block_of(&mut shelf, now, id, 3), Lookup::Loading);
    assert_eq!(block_of(&mut shelf, now, id, 4), Lookup::Loading);
    let read = shelf.poll_read(now).unwrap();
    assert_eq!((read.offset, read.len), (0, 1_000_000));
    assert!(shelf.poll_read(now).is_none());
    assert_eq!(shelf.read_done(now, read.read, Some(bytes.clone())), None);
    for block in 0..size.blocks() {
        let expected = bytes.slice(size.range(block));
        assert_eq!(block_of(&mut shelf, now, id, block), Lookup::Ready(expected));
    }
    assert_eq!(block_of(&mut shelf, now, id, size.blocks()), Lookup::Gone);
    assert!(shelf.poll_read(now).is_none());
}

#[test]
fn a_large_object_is_listed_before_its_first_block() {
    let (now, mut shelf) = (epoch(), Shelf::new(SHELF_CACHE_BYTES));
    let bytes = Bytes::from(random_bytes(3_500_000, 2));
    let (id, size) = held(&mut shelf, &bytes);
    let mut looks = 0;
    let found = loop {
        match block_of(&mut shelf, now, id, 100) {
            Lookup::Loading => assert!(answer(&mut shelf, now, &bytes).is_empty()),
            found => break found,
        }
        looks += 1;
        assert!(looks < 10);
    };
    assert_eq!(found, Lookup::Ready(bytes.slice(size.range(100))));
    let Lookup::Ready(list) = shelf.list(now, id) else { panic!("listed") };
    assert_eq!(*list, BlockList::of(&bytes, size));
}

#[test]
fn what_does_not_prove_true_is_withdrawn() {
    let (now, mut shelf) = (epoch(), Shelf::new(SHELF_CACHE_BYTES));
    for len in [100, 1_000_000, 3_000_000] {
        let bytes = Bytes::from(random_bytes(len, 3));
        let (id, _) = held(&mut shelf, &bytes);
        let edited = Bytes::from([&bytes[..len - 1], b"!"].concat());
        let mut withdrawn = Vec::new();
        while shelf.holds(id).is_some() {
            block_of(&mut shelf, now, id, 0);
            withdrawn.extend(answer(&mut shelf, now, &edited));
        }
        assert_eq!(withdrawn, [id], "{len} bytes");
        assert_eq!(block_of(&mut shelf, now, id, 0), Lookup::Gone);
    }
}

#[test]
fn what_the_program_no_longer_has_or_is_too_slow_to_read_is_withdrawn() {
    let (now, mut shelf) = (epoch(), Shelf::new(SHELF_CACHE_BYTES));
    let (id, _) = held(&mut shelf, &Bytes::from_static(b"gone"));
    block_of(&mut shelf, now, id, 0);
    let read = shelf.poll_read(now).unwrap();
    assert_eq!(shelf.read_done(now, read.read, None), Some(id));
    let (id, _) = held(&mut shelf, &Bytes::from_static(b"slow"));
    block_of(&mut shelf, now, id, 0);
    assert!(shelf.poll_read(now).is_some());
    assert_eq!(shelf.next_deadline(), Some(now + READ_PATIENCE));
    assert!(shelf.tick(now).is_empty());
    assert_eq!(shelf.tick(now + READ_PATIENCE), [id]);
}

#[test]
fn memory_stays_bounded_and_what_nobody_keeps_goes_last() {
    let (mut now, mut shelf) = (epoch(), Shelf::new(SHELF_CACHE_BYTES));
    let fresh = Bytes::from(random_bytes(1_000_000, 99));
    let size = ObjectSize::new(1_000_000).unwrap();
    let fresh_list = BlockList::of(&fresh, size);
    shelf.insert(now, fresh_list.clone(), &fresh);
    for seed in 0..50 {
        now += std::time::Duration::from_millis(1);
        let bytes = Bytes::from(random_bytes(1_000_000, seed));
        let (id, _) = held(&mut shelf, &bytes);
        assert_eq!(block_of(&mut shelf, now, id, 0), Lookup::Loading);
        answer(&mut shelf, now, &bytes);
        assert!(shelf.extent_bytes <= SHELF_CACHE_BYTES + EXTENT_BYTES as usize);
    }
    let block = fresh.slice(size.range(1));
    assert_eq!(block_of(&mut shelf, now, fresh_list.id(), 1), Lookup::Ready(block));
    now += SHELF_CACHE_AGE * 2;
    shelf.tick(now);
    assert_eq!(shelf.extent_bytes, 0);
    assert_eq!(shelf.holds(fresh_list.id()), None);
    assert_eq!(shelf.next_deadline(), None);
}

#[test]
fn reads_under_way_are_bounded() {
    let (now, mut shelf) = (epoch(), Shelf::new(SHELF_CACHE_BYTES));
    for seed in 0..2 * MAX_READS as u64 {
        let (id, _) = held(&mut shelf, &Bytes::from(random_bytes(10, seed)));
        shelf.expect(id, 0);
    }
    assert_eq!(std::iter::from_fn(|| shelf.poll_read(now)).count(), MAX_READS);
}
