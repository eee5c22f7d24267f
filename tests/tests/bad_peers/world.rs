//! A vendor, an agent that waits for its first release, and keys for bad peers.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use manifest::admission::installation::InstallationId;
use manifest::admission::ticket::Ticket;
use manifest::content::ContentId;
use manifest::key::PublicKey;
use manifest::time::UnixTime;
use store::repository::Repository;
use store::steps::Steps;
use swarm::limits::{
    ASSEMBLY_BYTES, LIST_CACHE_BYTES, MAX_FRAME_BODY, MAX_PEERS, MAX_UNDELIVERED_BYTES,
    SHELF_CACHE_BYTES,
};
use swarm::options::Options;
use swarm::testing::raw::Raw;
use swarm::testing::{join, random_bytes, unix_now};
use tokio::runtime::Runtime;
use updraft_tests::compare::differences;
use updraft_tests::control;
use updraft_tests::programs::{Daemon, wait_for};
use updraft_tests::scene::{Scene, text};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// What an agent may ever have in memory: what it is made of, what its swarm
/// keeps by its own limits, and a frame each way for every peer.
const MOST_MEMORY: usize = (32 << 20)
    + SHELF_CACHE_BYTES
    + LIST_CACHE_BYTES
    + ASSEMBLY_BYTES
    + MAX_UNDELIVERED_BYTES
    + 2 * MAX_PEERS * MAX_FRAME_BODY;

/// Lines of a log that has not been flooded: a page of members, one of
/// strangers, and what an update tells itself.
const MOST_LINES: usize = 100;

/// The stage of one test.
pub(crate) struct World {
    pub(crate) scene: Scene,
    /// Where bad peers run.
    pub(crate) runtime: Runtime,
    seeder: Option<Daemon>,
}

/// A bad peer with a good credential.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) options: Options,
    pub(crate) installation: InstallationId,
}

impl Member {
    /// Its peer key.
    pub(crate) fn key(&self) -> PublicKey {
        self.options.identity.public()
    }

    /// What the log says of it: `machine SHORT`.
    pub(crate) fn name(&self) -> String {
        format!("machine {}", self.installation.short())
    }
}

impl World {
    /// A release of `bytes` that nobody serves yet, and an agent that runs.
    pub(crate) fn new(bytes: usize) -> Self {
        let mut scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
        let tree = scene.tree(1);
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("hello.bin"), random_bytes(bytes, 1)).unwrap();
        let _ = scene.publisher(&["release", &text(&tree), "--version", "1.0"]).well();
        let _ = scene.join(&scene.ticket()).well();
        let [tcp, ..] = scene.cast.listen() else { panic!("the vendor listens") };
        let tcp = tcp.clone();
        scene.cast.start_with(0, &["--peer", &tcp]).unwrap();
        Self { scene, runtime: Runtime::new().unwrap(), seeder: None }
    }

    /// The vendor's seeder comes, and sends at most so many bytes a second.
    pub(crate) fn seed(&mut self, upload: Option<u64>) {
        self.seeder = Some(self.scene.cast.seed(upload).unwrap());
    }

    /// Where the agent listens, on TCP or else QUIC.
    pub(crate) fn address(&self, tcp: bool) -> String {
        wait_for("the agent to listen", PATIENCE, || {
            let addresses = self.status()["addresses"].as_array()?.clone();
            let mut addresses = addresses.iter().filter_map(|address| address.as_str());
            addresses.find(|address| address.contains("/tcp/") == tcp).map(str::to_owned)
        })
        .unwrap()
    }

    /// The agent's TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.address(true).split('/').nth(4).and_then(|port| port.parse().ok()).unwrap()
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        control::get(&self.scene.cast.machines[0].home, "/status").unwrap_or_default()
    }

    /// Joins number `who` with the ticket in a file, as of a time.
    pub(crate) fn member_of(&self, ticket: &str, who: u64, now: UnixTime) -> Member {
        let ticket = Ticket::parse(&fs::read(self.scene.path(ticket)).unwrap()).unwrap();
        let (options, installation) = join(&ticket, who, now);
        Member { options, installation }
    }

    /// Joins number `who` with the ticket that the agent has joined with.
    pub(crate) fn member(&self, who: u64) -> Member {
        self.member_of("hello.ticket", who, unix_now())
    }

    /// Lets a bad peer in at the agent.
    pub(crate) fn connect(&self, member: &Member) -> Raw {
        self.runtime.block_on(Raw::connect(&member.options, &self.address(true)))
    }

    /// What the vendor publishes, for liars.
    pub(crate) fn objects(&self) -> impl Fn(ContentId) -> Option<Bytes> + Send + 'static {
        let dir = self.scene.cast.vendor.join("repository");
        let repository = Repository::open(&dir, Steps::free()).unwrap();
        move |id| repository.object(id).ok().flatten().map(Bytes::from)
    }

    /// What the agent's owner reads.
    pub(crate) fn log(&self) -> String {
        self.daemon().said()
    }

    fn daemon(&self) -> &Daemon {
        self.scene.cast.machines[0].daemon.as_ref().unwrap()
    }

    /// Waits for a line of the agent's log with all of `parts`.
    #[track_caller]
    pub(crate) fn named(&self, parts: &[&str]) {
        named_in(&|| self.log(), parts);
    }

    /// Waits for a line of the seeder's log with all of `parts`.
    #[track_caller]
    pub(crate) fn named_by_vendor(&self, parts: &[&str]) {
        let log = self.scene.path("vendor.log");
        named_in(&|| fs::read_to_string(&log).unwrap_or_default(), parts);
    }

    /// Waits until no member but the seeder is connected.
    pub(crate) fn alone_with_the_seeder(&self) {
        let alone = || (self.status()["peers"] == 1).then_some(());
        let waited = wait_for("the bad peers to be gone", PATIENCE, alone);
        assert!(waited.is_ok(), "{}\n{}", self.status(), self.log());
    }

    /// The update completes, within the bounds of memory and log.
    pub(crate) fn completes(&mut self) {
        if self.seeder.is_none() {
            self.seed(None);
        }
        self.scene.wait_for_version("1.0");
        let found = differences(&self.scene.tree(1), &self.scene.current()).unwrap();
        assert_eq!(found, Vec::<String>::new());
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon().id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("{} MiB at most of {}", peak >> 10, MOST_MEMORY >> 20);
        assert!(peak << 10 <= MOST_MEMORY, "{peak} KiB");
        let log = self.log();
        print!("{log}");
        assert!(log.lines().count() <= MOST_LINES, "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[track_caller]
fn named_in(log: &dyn Fn() -> String, parts: &[&str]) {
    let found = wait_for("the offender to be named", PATIENCE, || {
        let log = log();
        log.lines().any(|line| parts.iter().all(|part| line.contains(part))).then_some(())
    });
    assert!(found.is_ok(), "no line has all of {parts:?}:\n{}", log());
}
