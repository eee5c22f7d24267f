//! A member that is revoked while it sends blocks.

use swarm::testing::liar::{Lie, lie};
use updraft_tests::programs::wait_for;

use crate::world::World;

#[test]
fn revoked_mid_transfer() {
    let mut world = World::new(4 << 20);
    let member = world.member(1);
    let (mut raw, objects) = (world.connect(&member), world.objects());
    let (sent, mut blocks) = tokio::sync::mpsc::unbounded_channel();
    let sending = world.runtime.spawn(async move {
        // One object after the other, so that the transfer lasts.
        let slowly = |id| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            let _ = sent.send(());
            objects(id)
        };
        let _ = lie(&mut raw, Lie::NotYet, slowly).await;
        raw.hung_up().await;
    });
    world.seed(Some(100_000));
    assert!(world.runtime.block_on(blocks.recv()).is_some());
    assert!(!world.scene.current().exists(), "the transfer is under way");
    let id = member.installation.to_string();
    let _ = world.scene.publisher(&["revoke", "machine", &id, "--why", "stolen"]).well();
    world.named(&[&member.name(), &member.key().to_string(), "was let go", "revoked", "stolen"]);
    world.runtime.block_on(sending).unwrap();
    let listed = || (world.status()["peers"].as_u64() == Some(1)).then_some(());
    wait_for("the revoked one to be gone", std::time::Duration::from_secs(20), listed).unwrap();
    world.completes();
}
