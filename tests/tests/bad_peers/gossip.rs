//! Announcements, said by a peer that judges none of them.

use futures::AsyncWriteExt;
use manifest::trust::bundle::Bundle;
use manifest::trust::exchange::Announcement;
use manifest::trust::role::MetadataVersion;
use swarm::testing::raw::Raw;

use crate::world::{Member, World};

/// One field of a message, as protocol buffers lay it out.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, bytes.len());
    out.extend_from_slice(bytes);
    out
}

fn varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What a peer says that publishes `data`: gossipsub's RPC with a message that
/// has data and topic.
fn published(member: &Member, data: &[u8]) -> Vec<u8> {
    let topic = format!("/updraft/{}/announcements/1", member.options.trust.id());
    let message = [field(2, data), field(4, topic.as_bytes())].concat();
    let rpc = field(2, &message);
    let mut out = Vec::new();
    varint(&mut out, rpc.len());
    [out, rpc].concat()
}

/// Announces one thing after the other, until it is hung up on.
async fn announce(raw: &mut Raw, member: &Member, all: impl Iterator<Item = Vec<u8>>) {
    let mut stream = raw.stream(&member.options, "gossip/1.1.0").await.unwrap();
    for data in all {
        let said = published(member, &data);
        if stream.write_all(&said).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    raw.hung_up().await;
}

#[test]
fn announcement_spam() {
    let mut world = World::new(300_000);
    // What is no announcement, and thousands of others that tell nothing.
    let (babbler, bore) = (world.member(1), world.member(2));
    let mut met = [world.connect(&babbler), world.connect(&bore)];
    let [babbles, bores] = &mut met;
    let nothing = |number: u32| {
        let root = MetadataVersion::new(u64::from(number) + 1).unwrap();
        Announcement { root, files: Bundle::new() }.encode()
    };
    world.runtime.block_on(async {
        let babble = (0..1_000_u32).map(|n| n.to_be_bytes().repeat(100));
        announce(babbles, &babbler, babble).await;
        announce(bores, &bore, (0..20_000).map(nothing)).await;
    });
    world.named(&[&babbler.name(), "did wrong", "announced what is false"]);
    world.named(&[&babbler.key().to_string(), "kept away"]);
    world.named(&[&bore.name(), "did wrong", "too many announcements", "kept away"]);
    world.completes();
    world.alone_with_the_seeder();
}
