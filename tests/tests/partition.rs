//! Two halves of a workgroup that lose sight of each other, with real agents in
//! network namespaces: each half goes on by itself, and once they see each
//! other again the news travels at once. Without the privilege to make
//! namespaces the test says SKIPPED, or fails where `CI=true`.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use updraft_tests::compare::differences;
use updraft_tests::programs::{Daemon, Program, Programs, wait_for};
use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, text};
use updraft_tests::watch::Glimpse;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the halves are apart: longer than connections last.
const APART: Duration = Duration::from_secs(30);

/// What a broken cable does: nothing comes, and nobody says so.
const CUT: &str = "table inet updraft {
    chain in { type filter hook input priority 0; iif != lo drop; }
    chain out { type filter hook output priority 0; oif != lo drop; }
}
";

/// Two namespaces and a cable between them; gone when dropped.
struct Net {
    prefix: String,
}

impl Net {
    fn make() -> Result<Self, String> {
        let net = Self { prefix: format!("part{}", std::process::id()) };
        for half in 0..2 {
            run(&format!("ip netns add {}", net.half(half)))?;
            run(&format!("ip -n {} link set lo up", net.half(half)))?;
        }
        let (here, there) = (net.half(0), net.half(1));
        run(&format!("ip -n {here} link add cable type veth peer name cable netns {there}"))?;
        for half in 0..2 {
            let name = net.half(half);
            run(&format!("ip -n {name} addr add {}/24 dev cable", Self::ip(half)))?;
            run(&format!("ip -n {name} link set cable up"))?;
        }
        Ok(net)
    }

    fn half(&self, half: usize) -> String {
        format!("{}-{half}", self.prefix)
    }

    /// Documentation addresses stand for public ones.
    fn ip(half: usize) -> String {
        format!("203.0.113.{}", half + 1)
    }

    fn firewall(&self, rules: &str) {
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.half(0), "nft", "-f", "-"]).stdin(Stdio::piped());
        let mut nft = nft.spawn().unwrap();
        nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success());
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for half in 0..2 {
            let _ = run(&format!("ip netns del {}", self.half(half)));
        }
    }
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

/// Starts a machine's agent in its half, where it looks for releases by itself
/// once an hour.
fn start(scene: &Scene, programs: &Programs, machine: usize, half: usize) -> Daemon {
    let ticket = text(&scene.ticket());
    let Machine { home, into, log } = Machine::of(scene, machine);
    let args = ["join", &ticket, "--into", &into];
    let _ = scene.run(Program::Agent, &home, &args).well();
    let mut args: Vec<String> =
        ["run", "--no-dns-sd", "--poll", "3600"].map(str::to_owned).to_vec();
    for end in ["tcp/0", "udp/0/quic-v1"] {
        args.extend(["--listen".to_owned(), format!("/ip4/{}/{end}", Net::ip(half))]);
    }
    programs.daemon(Program::Agent, &home, &args, &log).unwrap()
}

/// Where a machine's things are.
struct Machine {
    home: std::path::PathBuf,
    into: String,
    log: std::path::PathBuf,
}

impl Machine {
    fn of(scene: &Scene, machine: usize) -> Self {
        let known = &scene.cast.machines[machine];
        let log = scene.path(&format!("{}.log", known.name));
        Self { home: known.home.clone(), into: text(&known.into), log }
    }
}

#[track_caller]
fn waits(scene: &Scene, machine: usize, what: &str, ready: impl Fn(&Glimpse) -> bool) {
    let look = || ready(&Glimpse::of(&scene.cast.machines[machine])).then_some(());
    let waited = wait_for(&format!("machine {machine} {what}"), PATIENCE, look);
    let log = || fs::read_to_string(Machine::of(scene, machine).log).unwrap_or_default();
    assert!(waited.is_ok(), "{waited:?}\n{}", log());
}

#[test]
fn halves_that_lose_each_other_go_on_and_are_one_again_once_they_can() {
    let net = match Net::make() {
        Ok(net) => net,
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("SKIPPED: no network namespaces: {why}");
            return;
        }
    };
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 4);
    let programs = [0, 1].map(|half| scene.cast.programs.in_namespace(&net.half(half)));
    scene.release(1, Health::Good);
    // The vendor is in the first half.
    let seed = ["tcp/4001", "udp/4001/quic-v1"];
    let seed = seed.map(|end| ["--listen".to_owned(), format!("/ip4/{}/{end}", Net::ip(0))]);
    let args = [vec!["seed".to_owned(), "--no-dns-sd".to_owned()], seed.concat()].concat();
    let log = scene.path("vendor.log");
    let seeder = programs[0].daemon(Program::Publisher, &scene.cast.vendor, &args, &log).unwrap();
    let listens = || seeder.said().contains("listening ").then_some(());
    wait_for("the seeder to listen", PATIENCE, listens).unwrap();
    let agents: Vec<Daemon> =
        (0..4).map(|machine| start(&scene, &programs[machine / 2], machine, machine / 2)).collect();
    let runs = |glimpse: &Glimpse, version: &str| {
        glimpse.version.as_deref() == Some(version) && glimpse.state == "idle"
    };
    for machine in 0..4 {
        let all = |glimpse: &Glimpse| runs(glimpse, "1.0") && glimpse.peers == 4;
        waits(&scene, machine, "to have 1.0 and know all", all);
    }

    net.firewall(CUT);
    for (machine, others) in [(0, 2), (1, 2), (2, 1), (3, 1)] {
        let halved = |glimpse: &Glimpse| glimpse.peers == others;
        waits(&scene, machine, "to see its own half only", halved);
    }
    scene.release(2, Health::Good);
    for machine in 0..2 {
        waits(&scene, machine, "to have 2.0", |glimpse| runs(glimpse, "2.0"));
    }
    std::thread::sleep(APART);
    for machine in 2..4 {
        assert!(runs(&Glimpse::of(&scene.cast.machines[machine]), "1.0"), "it is cut off");
    }

    net.firewall("delete table inet updraft\n");
    for machine in 2..4 {
        waits(&scene, machine, "to have 2.0", |glimpse| runs(glimpse, "2.0"));
        let found = differences(&scene.tree(2), &scene.cast.machines[machine].current());
        assert_eq!(found.unwrap(), Vec::<String>::new());
    }
    for machine in 0..4 {
        waits(&scene, machine, "to know all again", |glimpse| glimpse.peers == 4);
    }
    drop((agents, seeder));
}
