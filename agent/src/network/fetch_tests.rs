//! Peers that help, lie, lag and leave, and mirrors beside them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use manifest::content::ContentId;
use manifest::release::plan::Wanted;
use manifest::trust::bundle::Bundle;
use store::objects::Checked;
use store::partials::Parts;

use crate::applier::metadata::Taken;
use crate::clock;
use crate::network::fake::{Fake, network, peer};
use crate::network::fetch::FetchError;
use crate::network::peers::{Arrival, NoPeers, Peers};
use crate::network::refresh::RefreshFailure;
use crate::testing::Vendor;

fn object(n: u8) -> Vec<u8> {
    vec![n; 50_000]
}

fn wanted(n: u8) -> Wanted {
    Wanted { id: ContentId::of(&object(n)), len: 50_000 }
}

fn arrival(n: u8, bytes: Vec<u8>) -> Arrival {
    Arrival::Object { id: wanted(n).id, bytes: bytes.into(), from: vec![(peer(7, false), 50_000)] }
}

#[tokio::test]
async fn what_peers_bring_is_kept_and_counted_by_peer() {
    let fake = Fake {
        arrivals: Mutex::new(vec![arrival(1, object(1)), Arrival::Blocks, arrival(2, object(2))]),
        ..Fake::default()
    };
    let (_dir, network) = network(&Vendor::new(), Arc::new(fake), &[]);
    network.fetch(&[wanted(1), wanted(2)], None).await.unwrap();
    assert_eq!(network.shelf.object(wanted(2).id).unwrap().unwrap(), object(2));
    assert_eq!(network.meter.traffic().peers, 100_000);
    assert_eq!(network.progress.summary().objects_done, 2);
    // What is here is not fetched again.
    network.fetch(&[wanted(1)], None).await.unwrap();
}

#[tokio::test]
async fn a_lie_is_not_kept_and_a_mirror_helps_out() {
    let vendor = Vendor::new();
    vendor.repository.put_piece(wanted(1).id, &object(1), 3).unwrap();
    let fake = Fake { arrivals: Mutex::new(vec![arrival(1, object(9))]), ..Fake::default() };
    let (_dir, network) = network(&vendor, Arc::new(fake), &[vendor.mirror()]);
    network.fetch(&[wanted(1)], None).await.unwrap();
    assert_eq!(network.shelf.object(wanted(1).id).unwrap().unwrap(), object(1));
    assert!(network.meter.traffic().mirror > 0);
}

#[tokio::test]
async fn one_mirror_without_an_object_does_not_end_a_transfer() {
    let (vendor, empty) = (Vendor::new(), Vendor::with_seed(2));
    for n in 1..=9 {
        vendor.repository.put_object(wanted(n).id, &object(n)).unwrap();
    }
    let mirrors = [empty.mirror(), vendor.mirror()];
    let (_dir, network) = network(&vendor, Arc::new(NoPeers), &mirrors);
    network.fetch(&(1..=9).map(wanted).collect::<Vec<_>>(), None).await.unwrap();
}

#[tokio::test]
async fn without_a_route_to_anyone_the_failure_says_so() {
    let (_dir, network) = network(&Vendor::new(), Arc::new(NoPeers), &[]);
    let refused = network.fetch(&[wanted(1)], None).await.unwrap_err();
    assert!(matches!(refused, FetchError::NoRoute(_)), "{refused}");
    let refused = network.refresh().await.unwrap_err();
    assert!(matches!(refused, RefreshFailure::NoRoute(_)), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_had_is_counted_and_the_mirrors_words_are_told() {
    let vendor = Vendor::new();
    vendor.repository.put_object(wanted(1).id, &object(1)).unwrap();
    let (_dir, network) = network(&vendor, Arc::new(NoPeers), &[vendor.mirror()]);
    let refused = network.fetch(&[wanted(1), wanted(2)], None).await.unwrap_err().to_string();
    assert!(refused.contains("1 of 2") && refused.contains("is not there"), "{refused}");
    assert!(network.shelf.has_object(wanted(1).id), "what came is kept");
}

#[tokio::test]
async fn an_honest_source_wins_over_liars_and_the_silent() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let mut stranger = Vendor::with_seed(3);
    stranger.release(1);
    let fake = Fake {
        connected: vec![peer(1, false), peer(2, false), peer(3, true)],
        metadata: vec![
            (peer(1, false).key, b"garbage".to_vec()),
            (peer(2, false).key, stranger.bundle().encode()),
        ],
        ..Fake::default()
    };
    let fake = Arc::new(fake);
    let (_dir, network) = network(&vendor, Arc::clone(&fake) as Arc<dyn Peers>, &[vendor.mirror()]);
    assert_eq!(network.refresh().await.unwrap(), Taken::Newer);
    assert_eq!(fake.published.lock().unwrap().len(), 1, "our own verified copy is told on");
    assert_eq!(network.refresh().await.unwrap(), Taken::Nothing);
    assert_eq!(fake.published.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn when_all_lie_the_refresh_fails_and_names_each() {
    let mut stranger = Vendor::with_seed(3);
    stranger.release(1);
    let fake = Fake {
        connected: vec![peer(1, true), peer(2, false)],
        metadata: vec![
            (peer(1, true).key, Bundle::new().encode()),
            (peer(2, false).key, stranger.bundle().encode()),
        ],
        ..Fake::default()
    };
    let vendor = Vendor::new();
    let (_dir, network) = network(&vendor, Arc::new(fake), &[]);
    let RefreshFailure::Refused { reasons } = network.refresh().await.unwrap_err() else {
        panic!("there were peers");
    };
    assert_eq!(reasons.len(), 2, "{reasons:?}");
}

#[tokio::test]
async fn a_member_is_led_to_what_we_believe() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let (_dir, informed) = network(&vendor, Arc::new(NoPeers), &[vendor.mirror()]);
    informed.refresh().await.unwrap();
    let (_dir, newcomer) = network(&vendor, Arc::new(NoPeers), &[]);
    let trusted = newcomer.authority.ask(|applier| applier.trusted().clone()).await;
    let request = manifest::trust::exchange::MetadataRequest::of(&trusted).encode();
    let answer = informed.answer_metadata(&request).await.unwrap();
    let bundle = Bundle::decode(&answer, 1 << 20).unwrap();
    let now = clock::wall();
    let taken = newcomer.authority.ask(move |applier| applier.take_metadata(&bundle, now)).await;
    assert_eq!(taken.unwrap(), Taken::Newer);
    assert!(informed.answer_metadata(b"garbage").await.is_none());
}

#[tokio::test]
async fn a_shelf_hands_out_only_what_hashes_to_its_name() {
    let vendor = Vendor::new();
    let (_dir, network) = network(&vendor, Arc::new(NoPeers), &[]);
    network.shelf.put(Checked::of(&object(1))).unwrap();
    let found = network.shelf.find(wanted(1).id);
    assert_eq!(found, crate::network::shelf::Found::Here(Bytes::from(object(1))));
    let shelf = Arc::clone(&network.shelf);
    let unknown = tokio::task::spawn_blocking(move || shelf.find(wanted(2).id)).await.unwrap();
    assert_eq!(unknown, crate::network::shelf::Found::Unknown);
}

#[tokio::test]
async fn parts_go_when_their_object_is_whole_or_needed_no_more() {
    let vendor = Vendor::new();
    let (dir, network) = network(&vendor, Arc::new(NoPeers), &[]);
    let shelf = &network.shelf;
    let blocks = |n: u8| {
        let (first, rest) = (object(n)[..32 << 10].to_vec(), object(n)[32 << 10..].to_vec());
        vec![(0, Bytes::from(first)), (1, Bytes::from(rest))]
    };
    let part = |n: u8, block: usize| Parts {
        id: wanted(n).id,
        len: 50_000,
        hashes: vec![[n; 32]; 2],
        blocks: vec![blocks(n)[block].clone()],
    };
    shelf.keep(&part(1, 0));
    shelf.keep(&part(2, 1));
    assert_eq!(shelf.in_parts().len(), 2);
    assert_eq!(shelf.recall(wanted(2).id, 50_000), Some(part(2, 1)));
    shelf.put(Checked::of(&object(1))).unwrap();
    assert_eq!(shelf.object(wanted(1).id).unwrap().unwrap(), object(1));
    // A block that was still on its way to the disk leaves nothing behind.
    shelf.keep(&part(1, 1));
    assert_eq!(shelf.in_parts(), [wanted(2).id]);
    shelf.need([wanted(3).id]).unwrap();
    assert_eq!(shelf.in_parts(), []);
    drop(network);
    drop(dir);
}
