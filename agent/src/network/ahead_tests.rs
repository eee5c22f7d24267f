//! What is written before all is here, and what is left for the end.

use std::sync::Arc;

use container::Here;
use manifest::audit::event::ReleaseRef;
use manifest::content::ContentId;
use store::objects::Checked;
use store::testing::TestRelease;

use crate::network::Network;
use crate::network::ahead::Ahead;
use crate::network::assemble::assemble;
use crate::network::fake::{Fake, network, peer};
use crate::network::peers::{Arrival, Peers};
use crate::network::prepare::Prepared;
use crate::testing::Vendor;
use crate::update::state::InSlot;

/// A machine that has heard of `release`, with peers that bring nothing yet.
async fn machine(release: &TestRelease) -> ((tempfile::TempDir, Vendor), Arc<Fake>, Network) {
    let mut vendor = Vendor::new();
    vendor.publish_manifest(&release.manifest);
    let fake = Arc::new(Fake::default());
    let peers = Arc::clone(&fake) as Arc<dyn Peers>;
    let (dir, network) = network(&vendor, peers, &[vendor.mirror()]);
    network.refresh().await.unwrap();
    ((dir, vendor), fake, network)
}

fn named(release: &TestRelease) -> ReleaseRef {
    let about = release.manifest.about().clone();
    let manifest = release.manifest.id();
    ReleaseRef { version: about.version, number: about.number, manifest }
}

async fn prepared(network: &Network, release: &TestRelease) -> Arc<Prepared> {
    Arc::new(network.prepare(&named(release), None).await.unwrap())
}

fn arrival(piece: &[u8]) -> Arrival {
    let (id, from) = (ContentId::of(piece), vec![(peer(7, false), piece.len() as u64)]);
    Arrival::Object { id, bytes: piece.to_vec().into(), from }
}

/// Makes the slot out of what is `ahead`, and says whether all is right there.
fn is_made(network: &Network, ahead: Ahead, release: &TestRelease) -> bool {
    assemble(&ahead, &network.shelf, &Here).unwrap();
    let slot = network.into.join("versions").join(ahead.finish().unwrap().to_string());
    std::fs::read(slot.join("bin/tool")).unwrap() == release.file("bin/tool")
        && std::fs::read(slot.join("data/small")).unwrap() == release.file("data/small")
}

#[tokio::test]
async fn a_piece_is_written_although_others_never_come() {
    let release = TestRelease::sample(1);
    let (_places, fake, network) = machine(&release).await;
    let prepared = prepared(&network, &release).await;
    let first = &release.pieces[0];
    assert!(release.pieces.len() > 1 && release.file("bin/tool").starts_with(first));
    *fake.arrivals.lock().unwrap() = vec![arrival(first)];

    let ahead = Ahead::begin(&network, prepared).await.unwrap();
    assert!(ahead.fetch(&network).await.is_err(), "nobody has the others");

    let half = network.into.join("versions/.staging-1.0");
    let tool = std::fs::read(half.join("bin/tool")).unwrap();
    assert!(tool == *first, "the file holds what came, and nothing else");
    network.authority.ask(|applier| applier.discard_staged()).await.unwrap();
    assert!(!half.exists());
}

#[tokio::test]
async fn only_what_was_here_before_is_left_to_the_end() {
    let release = TestRelease::sample(1);
    let (_places, fake, network) = machine(&release).await;
    let prepared = prepared(&network, &release).await;
    let (first, others) = release.pieces.split_first().unwrap();
    network.shelf.put(Checked::of(first)).unwrap();
    *fake.arrivals.lock().unwrap() = others.iter().map(|piece| arrival(piece)).collect();

    let ahead = Ahead::begin(&network, prepared).await.unwrap();
    let ahead = ahead.fetch(&network).await.unwrap();
    assert_eq!(ahead.left().len(), 1);
    assert!(is_made(&network, ahead, &release));
}

#[tokio::test]
async fn what_is_installed_is_copied_once_something_arrives() {
    let (old, new) = (TestRelease::sample(1), TestRelease::sample(2));
    let ((_dir, mut vendor), fake, network) = machine(&old).await;
    let first = prepared(&network, &old).await;
    *fake.arrivals.lock().unwrap() = old.pieces.iter().map(|piece| arrival(piece)).collect();
    let ahead = Ahead::begin(&network, first).await.unwrap().fetch(&network).await.unwrap();
    assert!(is_made(&network, ahead, &old));
    let slot = InSlot::new(&named(&old), "1.0".parse().unwrap());

    vendor.publish_manifest(&new.manifest);
    network.refresh().await.unwrap();
    let prepared = network.prepare(&named(&new), Some(&slot)).await.unwrap();
    let local = prepared.plan.copies.len()
        + prepared.plan.plains.iter().filter(|step| step.local.is_some()).count();
    let coming = prepared.plan.wanted();
    assert!(local > 0 && !coming.is_empty());

    let ahead = Arc::new(Ahead::begin(&network, Arc::new(prepared)).await.unwrap());
    let all = ahead.left().len();
    let copying = tokio::spawn(Arc::clone(&ahead).take_local());
    tokio::task::yield_now().await;
    assert_eq!(ahead.left().len(), all, "nothing has come yet");
    for piece in new.pieces.iter().filter(|piece| coming[0].id == ContentId::of(piece)) {
        ahead.arrived(coming[0].id, piece);
    }
    copying.await.unwrap();
    assert_eq!(ahead.left().len(), all - local - 1);
}
