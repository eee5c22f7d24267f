//! Members behind real NATs: routers that masquerade, made of network
//! namespaces and nftables. Without the privilege to make them the tests say
//! SKIPPED, or fail where `CI=true`.
//!
//! Each node is a process of its own: this test program again, which then runs
//! `node_of_a_namespace` and does what it is told line by line.

#![expect(clippy::disallowed_methods, reason = "tests of the whole, with clocks and processes")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Node, key, objects, options};
use manifest::admission::credential::Role;
use manifest::testing::TestWorkgroup;
use updraft_swarm::gate::peer_id;

/// What tells a process of this program to be a node, and which.
const BE: &str = "UPDRAFT_NAT_NODE";
/// Where the vendor's seeder is: documentation addresses stand for public ones.
const SEEDER: &str = "203.0.113.1";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Nat {
    /// Keeps ports, as home routers do, and lets in only what answers.
    Keeping,
    /// Another port for each connection.
    Symmetric,
}

/// Runs a command; what it says when it fails.
fn run(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command has a name");
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{command}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{command}: {said}"))
}

/// A public network, the seeder on it, and two sites behind routers of their
/// own; gone when dropped. Members are 2 and 3, each the host .2 of its site.
struct Net {
    prefix: String,
}

impl Net {
    const PLACES: [&str; 6] = ["wan", "1", "r2", "r3", "2", "3"];

    fn make(name: &str, nat: Nat) -> Result<Self, String> {
        let net = Self { prefix: format!("nat{}{name}", std::process::id()) };
        for place in Self::PLACES {
            run(&format!("ip netns add {}", net.at(place)))?;
            run(&format!("ip -n {} link set lo up", net.at(place)))?;
        }
        let wan = net.at("wan");
        run(&format!("ip -n {wan} link add br0 type bridge forward_delay 0 stp_state 0"))?;
        run(&format!("ip -n {wan} link set br0 up"))?;
        for (place, ip) in [("1", SEEDER), ("r2", "203.0.113.12"), ("r3", "203.0.113.13")] {
            net.cable(place, "wan", &format!("{ip}/24"), "wan", &format!("p{place}"))?;
            run(&format!("ip -n {wan} link set p{place} master br0"))?;
        }
        for (member, router) in [("2", "r2"), ("3", "r3")] {
            net.cable(member, "lan", "192.168.1.2/24", router, "lan")?;
            let (inside, outside) = (net.at(member), net.at(router));
            run(&format!("ip -n {outside} addr add 192.168.1.1/24 dev lan"))?;
            run(&format!("ip -n {inside} route add default via 192.168.1.1"))?;
            run(&format!("ip netns exec {outside} sysctl -qw net.ipv4.ip_forward=1"))?;
            net.masquerade(router, nat)?;
        }
        Ok(net)
    }

    /// What a router does: it drops what nobody behind it has asked for, also
    /// before it would take a port away from them.
    fn masquerade(&self, router: &str, nat: Nat) -> Result<(), String> {
        let how = if nat == Nat::Symmetric { "masquerade fully-random" } else { "masquerade" };
        let rules = format!(
            "table ip updraft {{
                chain leaving {{
                    type nat hook postrouting priority 100
                    oifname \"wan\" {how}
                }}
                chain arriving {{
                    type filter hook input priority 0; policy drop
                    iifname \"lan\" accept
                    ct state established,related accept
                }}
                chain passing {{
                    type filter hook forward priority 0; policy drop
                    iifname \"lan\" accept
                    ct state established,related accept
                }}
            }}\n"
        );
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.at(router), "nft", "-f", "-"]);
        let started = nft.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut started = started.map_err(|error| format!("nft: {error}"))?;
        let mut rules_in = started.stdin.take().expect("it is piped");
        rules_in.write_all(rules.as_bytes()).map_err(|error| format!("nft: {error}"))?;
        drop(rules_in);
        let output = started.wait_with_output().map_err(|error| format!("nft: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    }

    fn at(&self, place: &str) -> String {
        format!("{}-{place}", self.prefix)
    }

    /// A cable from a device with an address to a device of another place.
    fn cable(
        &self,
        place: &str,
        device: &str,
        address: &str,
        other: &str,
        port: &str,
    ) -> Result<(), String> {
        let (here, there) = (self.at(place), self.at(other));
        run(&format!("ip -n {there} link add {port} type veth peer name {device} netns {here}"))?;
        run(&format!("ip -n {here} addr add {address} dev {device}"))?;
        run(&format!("ip -n {here} link set {device} up"))?;
        run(&format!("ip -n {there} link set {port} up"))
    }

    fn start(&self, who: u64, way: &str) -> Process {
        let program = std::env::current_exe().expect("a test has a program");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.at(&who.to_string())]).arg(program);
        command.args(["--exact", "node_of_a_namespace", "--ignored", "--nocapture"]);
        command.env(BE, format!("{who} {way}")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("`ip` ran before");
        let (lines, heard) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The first answer follows what the test's frame has printed.
                if let Some((_, line)) = line.split_once("> ")
                    && lines.send(line.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let stdin = child.stdin.take().expect("it is piped");
        Process { child, stdin, heard }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for place in Self::PLACES {
            // What was not made cannot be taken away.
            let _ = run(&format!("ip netns del {}", self.at(place)));
        }
    }
}

/// A node; killed when dropped.
struct Process {
    child: Child,
    stdin: ChildStdin,
    heard: mpsc::Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn ask(&mut self, what: &str) -> String {
        writeln!(self.stdin, "{what}").expect("the node runs");
        let answer = self.heard.recv_timeout(Duration::from_secs(60));
        answer.unwrap_or_else(|_| panic!("no answer to {what:?}"))
    }

    /// Asks until the answer is as it should be.
    fn until(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.ask(what);
            if is(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "{what:?} is still {answer:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The seeder and two members behind NATs of that kind, or nothing where none
/// can be made.
fn scene(name: &str, nat: Nat, way: &str) -> Option<(Net, [Process; 3])> {
    match Net::make(name, nat) {
        Ok(net) => {
            let nodes = [1, 2, 3].map(|who| net.start(who, way));
            Some((net, nodes))
        }
        Err(why) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            eprintln!("SKIPPED: no NAT can be made here: {why}");
            None
        }
    }
}

fn punched(name: &str, way: &str) {
    let Some((_net, [mut seeder, mut two, mut three])) = scene(name, Nat::Keeping, way) else {
        return;
    };
    let direct = two.until("peer 3", |how| how == "direct");
    assert_eq!(direct, "direct");
    three.until("peer 2", |how| how == "direct");
    // What is large comes straight from the other, through both routers.
    assert_eq!(two.ask("hold 3000000"), "holds");
    assert_eq!(three.ask("fetch 3000000"), "2: 3000000");
    // Nobody far away was told of the networks behind the routers.
    let known = seeder.ask("addresses");
    assert!(known.contains("p2p-circuit") && !known.contains("192.168"), "{known}");
}

#[test]
fn two_behind_nats_meet_at_the_seeder_and_connect_directly_over_quic() {
    punched("q", "quic");
}

#[test]
fn two_behind_nats_meet_at_the_seeder_and_connect_directly_over_tcp() {
    punched("t", "tcp");
}

#[test]
fn where_no_nat_opens_what_is_small_goes_over_the_circuit() {
    let Some((_net, [mut seeder, mut two, mut three])) = scene("s", Nat::Symmetric, "quic") else {
        return;
    };
    two.until("peer 3", |how| how == "relayed");
    three.until("peer 2", |how| how == "relayed");
    assert_eq!(two.ask("hold 50000"), "holds");
    assert_eq!(three.ask("fetch 50000"), "2: 50000");
    assert_eq!(two.ask("hold 3000000"), "holds");
    assert_eq!(seeder.ask("hold 3000000"), "holds");
    assert_eq!(three.ask("fetch 3000000"), "1: 3000000");
    assert_eq!(three.ask("peer 2"), "relayed");
}

/// No test, but a node that the others start; see above.
#[test]
#[ignore = "a node that the other tests start"]
fn node_of_a_namespace() {
    let Ok(be) = std::env::var(BE) else { return };
    let (who, way) = be.split_once(' ').expect("who, and how to listen");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(node(who.parse().expect("a number"), way));
}

async fn node(who: u64, way: &str) {
    let group = TestWorkgroup::new(1);
    let port = if way == "tcp" { "tcp/4001" } else { "udp/4001/quic-v1" };
    let role = if who == 1 { Role::Seeder } else { Role::Member };
    let mut options = options(&group, who, role, &format!("/ip4/0.0.0.0/{port}"));
    if who != 1 {
        let seeder = peer_id(&key(1)).unwrap();
        options.bootstrap = vec![format!("/ip4/{SEEDER}/{port}/p2p/{seeder}")];
    }
    let node = Node::start(options);
    let (lines, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = told.recv().await {
        let (verb, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse().expect("a number");
        let peers = node.handle.peers().await.unwrap();
        let answer = match verb {
            "peer" => match peers.iter().find(|peer| peer.key == key(number)) {
                Some(peer) if peer.member.is_none() => "known".to_owned(),
                Some(peer) if peer.is_relayed => "relayed".to_owned(),
                Some(_) => "direct".to_owned(),
                None => "unknown".to_owned(),
            },
            "addresses" => {
                let all: Vec<_> = peers.iter().flat_map(|peer| &peer.addresses).cloned().collect();
                all.join(" ")
            }
            "hold" => {
                node.hold(&objects(&[number as usize])).await;
                "holds".to_owned()
            }
            "fetch" => {
                let given = node.fetch(&objects(&[number as usize])).await;
                let who = |peer| (1..4).find(|who| key(*who) == peer).expect("one of us");
                let given = given.into_iter().map(|(peer, n)| format!("{}: {n}", who(peer)));
                given.collect::<Vec<_>>().join(", ")
            }
            other => panic!("{other:?} means nothing"),
        };
        println!("> {answer}");
    }
}
