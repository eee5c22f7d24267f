//! Members that break the protocol, ask too much, or send what is false.

use futures::{AsyncReadExt, AsyncWriteExt};
use manifest::content::ContentId;
use manifest::trust::bundle::Bundle;
use manifest::trust::role::RoleName;
use swarm::block::ObjectSize;
use swarm::peer_exchange;
use swarm::testing::liar::{Lie, lie};
use swarm::testing::raw::{self, Raw};
use swarm::transport::keypair;
use swarm::wire::{Frame, Have, Lane, Want, Whose};

use crate::world::{Member, World};

const SMALL: usize = 300_000;

/// Asks something on a topic; the answer, or nothing if it was hung up on.
async fn ask(raw: &mut Raw, member: &Member, topic: &str, question: &[u8]) -> Option<Vec<u8>> {
    let mut stream = raw.stream(&member.options, topic).await?;
    stream.write_all(question).await.ok()?;
    stream.close().await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    Some(answer)
}

#[test]
fn giant_frames() {
    let mut world = World::new(SMALL);
    let members = [world.member(1), world.member(2)];
    let mut met = members.each_ref().map(|member| world.connect(member));
    let [one, two] = &mut met;
    world.runtime.block_on(async {
        let mut control = one.open(Lane::Control).await.unwrap();
        // A `Want` of 16 MiB. It may hang up while we still talk.
        let _ = raw::write_bytes(&mut control, &[1, 0xFF, 0xFF, 0xFF]).await;
        one.hung_up().await;
        let _ = ask(two, &members[1], "metadata/1", &vec![7; 1 << 20]).await;
        two.hung_up().await;
    });
    world.named(&[&members[0].name(), "16777215 bytes", "kept away"]);
    world.named(&[&members[1].name(), "more than the 16384 bytes", "kept away"]);
    world.completes();
    world.alone_with_the_seeder();
}

#[test]
fn flood_of_wants() {
    let mut world = World::new(SMALL);
    let members = [world.member(1), world.member(2)];
    let mut met = members.each_ref().map(|member| world.connect(member));
    let [wants, asks] = &mut met;
    world.runtime.block_on(async {
        let mut control = wants.open(Lane::Control).await.unwrap();
        let size = ObjectSize::new(1).unwrap();
        let want = |index: u32| Want { index, id: ContentId::of(&index.to_be_bytes()), size };
        for frame in 0..100 {
            let list = (0..512).map(|n| want(frame * 512 + n)).collect();
            if raw::write(&mut control, &Frame::Want(list)).await.is_err() {
                break;
            }
        }
        wants.hung_up().await;
        // Questions that are none, as fast as they are refused.
        while ask(asks, &members[1], "metadata/1", b"?").await.is_some() {}
        asks.hung_up().await;
    });
    world.named(&[&members[0].name(), "too many objects wanted", "kept away"]);
    world.named(&[&members[1].name(), "too many questions", "kept away"]);
    world.completes();
    world.alone_with_the_seeder();
}

#[test]
fn corrupt_blocks() {
    let mut world = World::new(4 << 20);
    let liars = [(world.member(1), Lie::Blocks), (world.member(2), Lie::Lists)];
    let mut lying = Vec::new();
    for (member, how) in &liars {
        let (mut raw, objects, how) = (world.connect(member), world.objects(), *how);
        lying.push(world.runtime.spawn(async move {
            let _ = lie(&mut raw, how, objects).await;
            raw.hung_up().await;
        }));
    }
    // Slow, so that the liars are asked too.
    world.seed(Some(1_000_000));
    for (member, how) in &liars {
        let what = if *how == Lie::Blocks { "block" } else { "the block list of object" };
        world.named(&[&member.name(), "did wrong", what, "is false", "kept away"]);
    }
    lying.into_iter().for_each(|liar| world.runtime.block_on(liar).unwrap());
    world.completes();
    world.alone_with_the_seeder();
}

#[test]
fn false_bitmaps() {
    let mut world = World::new(2 << 20);
    let (withholds, claims) = (world.member(1), world.member(2));
    let (mut raw, objects) = (world.connect(&withholds), world.objects());
    let withholding = world.runtime.spawn(async move {
        let _ = lie(&mut raw, Lie::Bitmaps, objects).await;
        raw.hung_up().await;
    });
    // The other holds blocks that no object has.
    let mut raw = world.connect(&claims);
    let claiming = world.runtime.spawn(async move {
        let mut heard = raw.control().await.unwrap();
        let mut say = raw.open(Lane::Control).await.unwrap();
        while let Ok(frame) = raw::read(&mut heard, Lane::Control).await {
            let Frame::Want(list) = frame else { continue };
            for Want { index, .. } in list {
                let have = Have { whose: Whose::Yours, index, first: 2_000, count: 48 };
                let _ = raw::write(&mut say, &Frame::Have(vec![have])).await;
            }
        }
        raw.hung_up().await;
    });
    // So slow that who says to hold everything is asked again and again.
    world.seed(Some(45_000));
    world.named(&[&claims.name(), "holds blocks beyond the object", "kept away"]);
    world.named(&[&withholds.name(), "says that it holds blocks, and sends none"]);
    world.runtime.block_on(async { futures::try_join!(withholding, claiming) }).unwrap();
    world.completes();
    world.alone_with_the_seeder();
}

#[test]
fn false_answers_on_metadata() {
    let mut world = World::new(SMALL);
    let members = [world.member(1), world.member(2)];
    let address = world.address(true);
    // What is no list of files, and a file that nobody has signed.
    let mut unsigned = Bundle::new();
    unsigned
        .put(RoleName::TIMESTAMP.file_name(), b"{\"signed\": {}, \"signatures\": []}".to_vec())
        .unwrap();
    let answers = [vec![0xA5; 2_000], unsigned.encode()];
    let mut answering = Vec::new();
    for (member, answer) in members.iter().zip(answers) {
        let options = member.options.clone();
        let raw = Raw::answering(&options, &address, "metadata/1");
        let mut raw = world.runtime.block_on(raw);
        answering.push(world.runtime.spawn(async move {
            while let Some(mut asked) = raw.question().await {
                let mut question = Vec::new();
                let _ = asked.read_to_end(&mut question).await;
                // The first byte says that it is an answer.
                let _ = asked.write_all(&[&[1], &answer[..]].concat()).await;
                let _ = asked.close().await;
            }
        }));
    }
    for member in &members {
        world.named(&[&member.name(), "did wrong", "answered with metadata that nobody", "kept"]);
    }
    answering.into_iter().for_each(|liar| world.runtime.block_on(liar).unwrap());
    world.completes();
    world.alone_with_the_seeder();
}

#[test]
fn questions_that_do_not_end() {
    let mut world = World::new(SMALL);
    let member = world.member(1);
    let mut raw = world.connect(&member);
    world.runtime.block_on(async {
        let mut begun = Vec::new();
        for _ in 0..swarm::limits::UNFINISHED_FROM_ONE + 3 {
            let mut stream = raw.stream(&member.options, "metadata/1").await.unwrap();
            let _ = raw::write_bytes(&mut stream, b"?").await;
            begun.push(stream);
        }
        raw.hung_up().await;
    });
    world.named(&[&member.name(), "did wrong", "questions that do not end", "kept away"]);
    world.completes();
    world.alone_with_the_seeder();
}

#[test]
fn poisoned_peer_exchange() {
    let mut world = World::new(SMALL);
    let members = [world.member(1), world.member(2), world.member(3)];
    let mut met = members.each_ref().map(|member| world.connect(member));
    let [forger, babbler, inventor] = &mut met;
    let word = |who: u64| {
        let at = format!("/ip4/127.0.0.1/tcp/{}", 1 + who % 900).parse().unwrap();
        peer_exchange::sign(&keypair(&world.member(who).options.identity), &[at]).unwrap()
    };
    world.runtime.block_on(async {
        // Another's word, with another address in it.
        let mut forged = word(50).to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let list = peer_exchange::encode(&[word(51), forged.into()]);
        let _ = ask(forger, &members[0], "peers/1", &list).await;
        forger.hung_up().await;
        let _ = ask(babbler, &members[1], "peers/1", &[0xFF; 4_000]).await;
        babbler.hung_up().await;
        // Words that hold, of hundreds who are nowhere.
        for list in 0..10 {
            let words: Vec<_> = (0..32).map(|n| word(1_000 + list * 32 + n)).collect();
            let list = peer_exchange::encode(&words);
            assert!(ask(inventor, &members[2], "peers/1", &list).await.is_some());
        }
    });
    world.named(&[&members[0].name(), "signed by somebody else, or by nobody", "kept away"]);
    world.named(&[&members[1].name(), "a list of addresses that breaks off", "kept away"]);
    let home = &world.scene.cast.machines[0].home;
    let known = updraft_tests::control::get(home, "/peers").unwrap();
    let known = known["peers"].as_array().unwrap().len();
    // Of all who were invented, as many as one member may tell of.
    let most = swarm::limits::MAX_PEERS_FROM_ONE + members.len() + 1;
    assert!((2..=most).contains(&known), "{known}");
    world.completes();
}

#[test]
fn relay_abuse() {
    let mut world = World::new(4 << 20);
    world.seed(Some(1_000_000));
    let (member, vendor) = (world.member(1), world.scene.cast.listen()[0].clone());
    let addresses = [world.address(true), vendor];
    world.runtime.block_on(async {
        for address in &addresses {
            let mut raw = Raw::connect(&member.options, address).await;
            // To somebody who never asked for circuits, again and again.
            let far = world.member(9).key();
            for _ in 0..1_000 {
                let asked = ask(&mut raw, &member, "circuit-ask/1", far.as_bytes()).await;
                if asked.is_none() {
                    break;
                }
            }
            raw.hung_up().await;
        }
    });
    let parts = [&member.name()[..], "too many circuits asked for", "kept away"];
    world.named(&parts);
    world.named_by_vendor(&parts);
    world.completes();
    world.alone_with_the_seeder();
}
