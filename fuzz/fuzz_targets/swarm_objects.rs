//! What travels of an object: a payload unfolds to exactly the block's length or
//! is refused; hashes are a block list only if they lead to the object's id; and
//! of blocks only those fit that are the object's.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use manifest::content::ContentId;
use swarm::block::ObjectSize;
use swarm::blocklist::BlockList;
use swarm::limits::BLOCK_BYTES;
use swarm::squeeze::{Payload, Squeezer};

fuzz_target!(|bytes: &[u8]| {
    let Some((&[a, b, c, d], rest)) = bytes.split_first_chunk() else { return };
    let mut squeezer = Squeezer::default();
    let len = usize::from(u16::from_be_bytes([a, b])) % (BLOCK_BYTES as usize + 1);
    let rest = Bytes::copy_from_slice(rest);
    for payload in [Payload::Plain(rest.clone()), Payload::Squeezed(rest.clone())] {
        if let Ok(block) = squeezer.unfold(&payload, len) {
            assert_eq!(block.len(), len);
        }
    }
    // What is sent unfolds to what it was.
    let block = rest.slice(..rest.len().min(BLOCK_BYTES as usize));
    let sent = squeezer.squeeze(&block);
    assert_eq!(squeezer.unfold(&sent, block.len()).expect("it is a block"), block);

    // An object of several blocks that these bytes are repeated to.
    let whole = usize::from(u16::from_be_bytes([c, d])) * 4;
    let object: Vec<u8> = rest.iter().copied().chain([0]).cycle().take(whole).collect();
    let size = ObjectSize::new(whole as u64).expect("it is small");
    let list = BlockList::of(&object, size);
    let id = ContentId::of(&object);
    assert_eq!(list.id(), id);
    let hashes = list.hashes().to_vec();
    assert!(BlockList::verify(id, size, hashes.clone()).is_ok());
    let mut others: Vec<[u8; 32]> =
        rest.chunks_exact(32).map(|hash| hash.try_into().expect("it has 32 bytes")).collect();
    if others != hashes {
        assert!(BlockList::verify(id, size, others.clone()).is_err());
        others.resize(hashes.len(), [a; 32]);
        assert!(others == hashes || BlockList::verify(id, size, others).is_err());
    }
    for number in 0..size.blocks() {
        let true_block = &object[size.range(number)];
        assert!(list.fits(number, true_block));
        assert_eq!(list.fits(number, &rest), rest == true_block);
    }
    assert!(!list.fits(size.blocks(), &rest));
});
