//! Those whom the gate lets in at no time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use manifest::admission::credential::Role;
use manifest::testing::TestWorkgroup;
use swarm::options::Options;
use swarm::testing::raw::{self, Raw};
use swarm::testing::unix_now;
use swarm::wire::Lane;
use tokio::net::TcpSocket;

use crate::world::World;

const SMALL: usize = 300_000;

/// Comes with these credentials, on TCP and on QUIC, and is let in on neither.
#[track_caller]
fn refused(world: &World, options: &Options) {
    for tcp in [true, false] {
        let address = world.address(tcp);
        let met = world.runtime.block_on(Raw::try_connect(options, &address));
        let error = met.expect_err("nobody lets it in");
        println!("{address}: {error:?}");
    }
}

#[test]
fn wrong_workgroup() {
    let mut world = World::new(SMALL);
    let other = TestWorkgroup::new(7);
    let chain = other.credential(66, Role::Member, unix_now()).encode().unwrap();
    refused(&world, &Options::new(TestWorkgroup::peer_key(66), chain, other.trust));
    world.named(&["/ip4/127.0.0.1/", "turned away", "signed by no key of this workgroup"]);
    world.completes();
    world.alone_with_the_seeder();
}

#[test]
fn expired_credential() {
    let mut world = World::new(SMALL);
    let long_ago = unix_now().before(Duration::from_secs(40 * 86_400));
    refused(&world, &world.member_of("hello.ticket", 1, long_ago).options);
    world.named(&["/ip4/127.0.0.1/", "turned away", "expired at"]);
    world.completes();
    world.alone_with_the_seeder();
}

/// Listens between a member and the agent; what the member said is kept.
fn wiretap(port: u16) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (own, said) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<u8>>>::default());
    let kept = Arc::clone(&said);
    std::thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (mut back_from, mut back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = near.read(&mut bytes) {
            kept.lock().unwrap().extend_from_slice(&bytes[..count]);
            if far.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = far.shutdown(std::net::Shutdown::Both);
    });
    (own, said)
}

#[test]
fn replayed_handshake() {
    let mut world = World::new(SMALL);
    let member = world.member(1);
    let (port, said) = wiretap(world.port());
    let tapped = format!("/ip4/127.0.0.1/tcp/{port}");
    let met = world.runtime.block_on(async {
        let mut raw = Raw::connect(&member.options, &tapped).await;
        assert!(raw.open(Lane::Control).await.is_some(), "a member like any other");
        raw
    });
    drop(met);
    // All that it said, once more: keys that are made for one handshake do not
    // fit another.
    let said = said.lock().unwrap().clone();
    assert!(said.len() > 1_000, "{} bytes", said.len());
    let mut again = TcpStream::connect((Ipv4Addr::LOCALHOST, world.port())).unwrap();
    let own = again.local_addr().unwrap();
    again.write_all(&said).unwrap();
    // It hangs up, sooner or later and with or without having read everything.
    again.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hung_up = again.read_to_end(&mut Vec::new());
    assert!(hung_up.is_ok() || !is_timeout(&hung_up), "{hung_up:?}");
    world.named(&[&format!("/ip4/127.0.0.1/tcp/{} was turned away", own.port())]);
    // And its credential in the hands of another.
    let mut thief = member.options;
    thief.identity = world.member(2).options.identity;
    refused(&world, &thief);
    world.named(&["/ip4/127.0.0.1/", "turned away", "the connection proved"]);
    world.completes();
    world.alone_with_the_seeder();
}

fn is_timeout<T>(result: &std::io::Result<T>) -> bool {
    let timeout = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
    result.as_ref().is_err_and(|error| timeout.contains(&error.kind()))
}

/// A connection to the agent from an address of its own.
async fn stranger(host: u8, port: u16) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.unwrap()
}

#[test]
fn slow_loris() {
    let mut world = World::new(SMALL);
    let port = world.port();
    // One says nothing, one a byte now and then, one begins a frame as a member.
    let outside =
        world.runtime.block_on(async { [stranger(61, port).await, stranger(62, port).await] });
    let [silent, slow] = outside;
    world.runtime.spawn(async move {
        use tokio::io::AsyncWriteExt;
        let mut slow = slow;
        for byte in b"\x13/multistream/1.0.0\n" {
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let member = world.member(1);
    let mut raw = world.connect(&member);
    let address = world.address(true);
    let begun = world.runtime.block_on(async {
        let mut control = raw.open(Lane::Control).await.unwrap();
        let half = [1, 0];
        raw::write_bytes(&mut control, &half).await.unwrap();
        control
    });
    world.completes();
    println!("{address}");
    for host in ["61", "62"] {
        world.named(&[&format!("/ip4/127.0.0.{host}/tcp/"), "turned away"]);
    }
    world.named(&[&member.name(), "did wrong", "took longer than 40 seconds"]);
    world.runtime.block_on(raw.hung_up());
    world.alone_with_the_seeder();
    drop((silent, begun));
}

#[test]
fn unadmitted_connection_flood() {
    let mut world = World::new(SMALL);
    let port = world.port();
    let flood = world.runtime.block_on(async {
        let mut flood = Vec::new();
        for _ in 0..500 {
            flood.push(stranger(66, port).await);
        }
        flood
    });
    world.named(&["/ip4/127.0.0.66/tcp/", "turned away", "wait to be admitted already"]);
    world.completes();
    world.alone_with_the_seeder();
    let lines = world.log().lines().filter(|line| line.contains("127.0.0.66")).count();
    assert!((1..5).contains(&lines), "{lines} lines tell of one flood");
    drop(flood);
}
