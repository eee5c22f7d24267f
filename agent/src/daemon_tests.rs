//! Whole journeys of one agent, with a directory as its mirror.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use container::Here;
use manifest::admission::credential::Role;
use manifest::content::ContentId;
use manifest::release::layout::Layout;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::tree::{Entry, Kind, Tree};
use store::installed::Installed;
use store::testing::{Content, TestRelease};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock;
use crate::config::Written;
use crate::control::api::{CheckRequest, Status, Verified};
use crate::control::client::{ControlError, Daemon as Client};
use crate::control::peers::{PeersView, Way};
use crate::daemon::{Daemon, DaemonError};
use crate::offline;
use crate::testing::{Machine, Origin, Vendor};
use crate::update::state::Outcome;

/// An agent at work, and the way to stop it.
struct Agent {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<Option<String>, DaemonError>>,
    client: Client,
}

fn config(machine: &Machine) -> crate::config::Config {
    let text = "[update]\npoll = 3600\n[network]\ndns-sd = false\n\
        listen = [\"/ip4/127.0.0.1/udp/0/quic-v1\", \"/ip4/127.0.0.1/tcp/0\"]\n";
    let path = machine.home.config();
    let written = Written::parse(text, &path).unwrap().or(Written::read(&path).unwrap());
    written.decide(&path).unwrap()
}

impl Agent {
    async fn start(machine: &Machine) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let daemon = Daemon::start(machine.home.clone(), config(machine), Arc::new(Here), false)
            .await
            .unwrap();
        let running = tokio::spawn(daemon.run(async move {
            let _ = stopped.await;
            "the test is over"
        }));
        let client = Client::at(&machine.home.socket()).await.unwrap();
        Self { stop, running, client }
    }

    async fn status(&self) -> Status {
        self.client.get("/status").await.unwrap()
    }

    /// Waits until `holds`, at most a minute.
    async fn until(&self, holds: impl Fn(&Status) -> bool) -> Status {
        for _ in 0..1200 {
            let status = self.status().await;
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it never came to that: {:#?}", self.status().await);
    }

    async fn runs(&self, number: u64) -> Status {
        self.until(|status| {
            status.state == "idle"
                && status.installed.as_ref().is_some_and(|i| i.number.0 == number)
        })
        .await
    }

    async fn check(&self, retry: bool) -> Status {
        let before: Status = self.client.post("/check", &CheckRequest { retry }).await.unwrap();
        self.until(|status| status.checks > before.checks && status.state == "idle").await
    }

    async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }
}

/// Whether `current` is wholly `release`, and nothing else is there.
fn is_whole(machine: &Machine, release: &TestRelease) -> bool {
    let dir = std::fs::canonicalize(machine.place().join("current")).unwrap();
    let report = Installed::open(&dir, Arc::clone(&release.manifest)).unwrap().inspect();
    report.is_intact() && report.extra.is_empty()
}

#[tokio::test]
async fn from_a_ticket_to_a_release_to_its_successor() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    let first = agent.runs(1).await;
    assert!(is_whole(&machine, vendor.last.as_ref().unwrap()));
    let full = first.bytes.mirror;

    vendor.release(2);
    let second = agent.check(false).await;
    assert_eq!(second.installed.as_ref().unwrap().number.0, 2);
    assert!(is_whole(&machine, vendor.last.as_ref().unwrap()));
    assert!(second.bytes.mirror * 20 < full, "{} of {full} as deltas", second.bytes.mirror);
    assert!(second.bytes.disk > 300_000);
    assert_eq!(second.previous.as_ref().unwrap().number.0, 1);
    assert_eq!(second.last_update.unwrap().outcome, Outcome::Committed);
    assert_eq!(agent.check(false).await.last_check.unwrap().outcome, "up to date");
    agent.stop().await;
    let update = ["refreshed", "began", "staged", "switching", "committed"];
    let told = [&["joined", "started"][..], &update, &update, &["stopped"]].concat();
    assert_eq!(machine.told(), told);
}

#[tokio::test]
async fn an_ill_release_is_left_remembered_and_retried_only_when_asked() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let good = vendor.last.clone().unwrap();
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    agent.runs(1).await;
    let rows = || vec![("README", Content::File(b"ill".to_vec(), 0o644))];
    let marker = machine.dir.path().join("well");
    let probe = format!("test -e {} || {{ echo broken; exit 7; }}", marker.display());
    vendor.publish_release(TestRelease::new(2, rows(), Some(&probe)));
    let status = agent.check(false).await;
    assert_eq!(status.installed.as_ref().unwrap().number.0, 1);
    assert!(is_whole(&machine, &good));
    let last = status.last_update.unwrap();
    assert_eq!(last.outcome, Outcome::RolledBack);
    assert!(last.reason.unwrap().contains("broken"));
    assert_eq!(status.bad.len(), 1);
    // Neither another look nor a restart tries it again.
    assert_eq!(agent.check(false).await.installed.unwrap().number.0, 1);
    agent.stop().await;
    let agent = Agent::start(&machine).await;
    let status = agent.check(false).await;
    assert_eq!(status.installed.unwrap().number.0, 1);
    assert!(status.last_check.unwrap().outcome.contains("failed here before"));
    std::fs::write(&marker, "").unwrap();
    assert_eq!(agent.check(true).await.installed.unwrap().number.0, 2);
    agent.stop().await;
    let told = machine.told();
    assert_eq!(told.iter().filter(|kind| *kind == "rolled-back").count(), 1);
    assert_eq!(told.iter().filter(|kind| *kind == "deferred").count(), 1);
}

/// A release with a gzip file of 400 KB of text, which changes a little with
/// the number, and a file of noise that does not.
fn packed(number: u64) -> TestRelease {
    let noise = store::testing::noise(7, 200_000);
    let mut text: Vec<u8> = noise.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect();
    text[100_000..100_008].copy_from_slice(format!("{number:08}").as_bytes());
    let mut file = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3];
    file.extend(miniz_oxide::deflate::compress_to_vec(&text, 6));
    file.extend([0; 8]);
    let rows = vec![
        ("manual.gz", Content::File(file, 0o644)),
        ("same", Content::File(store::testing::noise(8, 900_000), 0o644)),
    ];
    TestRelease::new(number, rows, None)
}

#[tokio::test]
async fn a_changed_container_comes_as_a_small_patch() {
    let mut vendor = Vendor::new();
    vendor.publish_release(packed(1));
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    agent.runs(1).await;
    vendor.publish_release(packed(2));
    let status = agent.check(false).await;
    assert_eq!(status.installed.unwrap().number.0, 2);
    assert!(is_whole(&machine, vendor.last.as_ref().unwrap()));
    let file = vendor.last.as_ref().unwrap().file("manual.gz").len() as u64;
    assert!(status.bytes.mirror * 8 < file, "{} of {file}", status.bytes.mirror);
    agent.stop().await;
}

#[tokio::test]
async fn a_container_that_does_not_close_is_fetched_as_it_is() {
    let mut vendor = Vendor::new();
    vendor.publish_release(packed(1));
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    agent.runs(1).await;
    vendor.spoils_recipes = true;
    vendor.publish_release(packed(2));
    agent.client.post::<Status>("/check", &CheckRequest { retry: false }).await.unwrap();
    // It fails once, and is planned anew without that view.
    let status = agent.runs(2).await;
    assert!(is_whole(&machine, vendor.last.as_ref().unwrap()));
    let file = vendor.last.as_ref().unwrap().file("manual.gz").len() as u64;
    assert!((file..file + 20_000).contains(&status.bytes.mirror), "{}", status.bytes.mirror);
    agent.stop().await;
}

#[tokio::test]
async fn a_hanging_probe_rolls_back() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    agent.runs(1).await;
    let rows = vec![("README", Content::File(b"slow".to_vec(), 0o644))];
    vendor.publish_release(TestRelease::new(2, rows, Some("sleep 100")));
    let status = agent.check(false).await;
    assert_eq!(status.installed.unwrap().number.0, 1);
    assert_eq!(status.last_update.unwrap().outcome, Outcome::RolledBack);
    agent.stop().await;
}

#[tokio::test]
async fn damage_is_found_told_and_repaired_from_intact_files_and_a_few_pieces() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    agent.runs(1).await;
    let tool = machine.place().join("current/bin/tool");
    std::fs::write(&tool, "edited").unwrap();
    let found: Verified = agent.client.post("/verify", &()).await.unwrap();
    assert_eq!(found.damaged.len(), 1);
    assert!(found.damaged[0].how.contains("2500000"), "{:?}", found.damaged);
    let status = agent
        .until(|status| {
            status.installed.as_ref().is_some_and(|i| i.slot.to_string() == "1.0@1")
                && status.state == "idle"
        })
        .await;
    assert!(status.bytes.mirror < 2_600_000, "{}", status.bytes.mirror);
    assert!(is_whole(&machine, vendor.last.as_ref().unwrap()));
    let found: Verified = agent.client.post("/verify", &()).await.unwrap();
    assert!(found.damaged.is_empty());
    agent.stop().await;
}

#[tokio::test]
async fn a_damaged_base_still_leads_to_the_next_release() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    agent.runs(1).await;
    let current = machine.place().join("current");
    std::fs::write(current.join("bin/tool"), "edited").unwrap();
    std::fs::remove_file(current.join("data/same")).unwrap_or_else(|_| {
        // The directory may not be written by an ordinary user.
        let data = current.join("data");
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::remove_file(data.join("same")).unwrap();
    });
    vendor.release(2);
    agent.check(false).await;
    assert!(is_whole(&machine, vendor.last.as_ref().unwrap()));
    agent.stop().await;
}

#[tokio::test]
async fn the_owner_goes_back_with_or_without_a_daemon() {
    for with_daemon in [true, false] {
        let mut vendor = Vendor::new();
        vendor.release(1);
        let one = vendor.last.clone().unwrap();
        let machine = Machine::new(&vendor);
        let agent = Agent::start(&machine).await;
        agent.runs(1).await;
        vendor.release(2);
        agent.check(false).await;
        if with_daemon {
            agent.client.post::<Status>("/rollback", &()).await.unwrap();
            agent.runs(1).await;
            let refused = agent.client.post::<Status>("/rollback", &()).await;
            assert!(matches!(refused, Err(ControlError::Refused(r)) if r.code == "nothing-to-do"));
            agent.stop().await;
        } else {
            agent.stop().await;
            let status = offline::roll_back(&machine.home, &config(&machine), clock::wall());
            assert_eq!(status.unwrap().installed.unwrap().number.0, 1);
        }
        assert!(is_whole(&machine, &one));
        // It stays there: the release that was left is not offered again.
        let agent = Agent::start(&machine).await;
        assert_eq!(agent.check(false).await.installed.unwrap().number.0, 1);
        agent.stop().await;
        let verified = offline::verify_files(&machine.home, &config(&machine)).unwrap();
        assert!(verified.damaged.is_empty());
    }
}

#[tokio::test]
async fn one_agent_at_a_time_keeps_a_home() {
    let vendor = Vendor::new();
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    let second = Daemon::start(machine.home.clone(), config(&machine), Arc::new(Here), false).await;
    assert!(matches!(second, Err(DaemonError::Lock(_))));
    agent.stop().await;
    assert!(matches!(Client::at(&machine.home.socket()).await, Err(ControlError::NotRunning)));
    let status = offline::status(&machine.home, &config(&machine), clock::wall()).unwrap();
    assert!(!status.daemon);
}

#[tokio::test]
async fn a_tampered_piece_on_the_mirror_is_not_installed() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let release = vendor.last.clone().unwrap();
    let piece = release.manifest.pieces()[0].id;
    let path = vendor.repository.stored(piece).unwrap().unwrap().path;
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let at = bad.len() / 2;
    bad[at] ^= 1;
    std::fs::write(&path, bad).unwrap();
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    let status = agent.until(|status| status.last_update.is_some()).await;
    let last = status.last_update.unwrap();
    assert_eq!(last.outcome, Outcome::Failed);
    assert!(last.reason.unwrap().contains("could not be had"));
    assert!(!machine.place().join("current").exists());
    std::fs::write(&path, good).unwrap();
    agent.check(false).await;
    assert!(is_whole(&machine, &release));
    agent.stop().await;
}

#[tokio::test]
async fn a_release_larger_than_the_disk_is_refused_before_it_is_fetched() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    agent.runs(1).await;
    let about = TestRelease::sample(2).manifest.about().clone();
    let kind = Kind::File { size: 1 << 39, content: ContentId::of(b"never made") };
    let entry = Entry { path: "huge".parse().unwrap(), mode: 0o644, kind };
    let tree = Tree::new(vec![entry]).unwrap();
    let ids = Layout::of(&tree).shapes.iter().map(|_| ContentId::of(b"nor this")).collect();
    let manifest = ReleaseManifest::new(about, tree, ids).unwrap();
    vendor.publish_manifest(&manifest);
    let status = agent.check(false).await;
    let last = status.last_update.unwrap();
    assert_eq!(last.outcome, Outcome::Failed);
    let reason = last.reason.unwrap();
    assert!(reason.contains("bytes free") && reason.contains("5497"), "{reason}");
    assert!(is_whole(&machine, vendor.last.as_ref().unwrap()));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_spread_from_peer_to_peer_and_outlive_their_origin() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let origin = Origin::start(&vendor).await;
    let mut ticket = vendor.ticket_for(Role::Member, Vec::new());
    ticket.addresses = origin.addresses().await;
    let first = Machine::with_ticket(&ticket);
    let one = Agent::start(&first).await;
    let status = one.runs(1).await;
    assert!(status.bytes.origin > 2_800_000, "{:?}", status.bytes);
    assert!(is_whole(&first, vendor.last.as_ref().unwrap()));

    // Release 2 comes by announcement, without anyone asking for it.
    vendor.release(2);
    origin.seed(&vendor).await;
    let status = one.runs(2).await;
    assert_eq!(status.last_update.unwrap().outcome, Outcome::Committed);
    assert!(is_whole(&first, vendor.last.as_ref().unwrap()));

    // The second machine never meets the origin.
    origin.kill();
    let mut ticket = vendor.ticket_for(Role::Member, Vec::new());
    ticket.addresses = one.status().await.addresses;
    assert!(!ticket.addresses.is_empty());
    let second = Machine::with_ticket(&ticket);
    let two = Agent::start(&second).await;
    let status = two.runs(2).await;
    assert_eq!(status.bytes.origin, 0);
    assert!(status.bytes.peers > 2_800_000, "{:?}", status.bytes);
    assert!(is_whole(&second, vendor.last.as_ref().unwrap()));
    assert_eq!(status.peers, 1);
    let view: PeersView = two.client.get("/peers").await.unwrap();
    let [given] = view.peers.iter().filter(|p| p.way == Way::Direct).collect::<Vec<_>>()[..] else {
        panic!("{view:?}")
    };
    assert!(!given.origin && given.received > 100_000, "{view:?}");
    assert_eq!(view.received, given.received);
    let view: PeersView = one.client.get("/peers").await.unwrap();
    assert!(view.peers.iter().any(|p| p.way == Way::Direct && p.sent > 100_000), "{view:?}");
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_damaged_files_withdraws_and_repairs_them() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let first = Machine::new(&vendor);
    let one = Agent::start(&first).await;
    one.runs(1).await;
    // What it holds in memory, to pass on, is gone after a restart.
    one.stop().await;
    let one = Agent::start(&first).await;
    std::fs::write(first.place().join("current/bin/tool"), "edited").unwrap();
    let mut ticket = vendor.ticket_for(Role::Member, Vec::new());
    ticket.addresses = one.status().await.addresses;
    let second = Machine::with_ticket(&ticket);
    let two = Agent::start(&second).await;
    // The first machine mends itself from its mirror, and then serves.
    two.runs(1).await;
    assert!(is_whole(&second, vendor.last.as_ref().unwrap()));
    one.until(|status| {
        status.installed.as_ref().is_some_and(|installed| installed.slot.to_string() == "1.0@1")
    })
    .await;
    assert!(is_whole(&first, vendor.last.as_ref().unwrap()));
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn with_a_changed_log_the_agent_serves_on_and_installs_nothing() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let agent = Agent::start(&machine).await;
    agent.runs(1).await;
    agent.stop().await;
    let path = machine.home.log().join("entries.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let forged = text.replace("Test Organisation", "Rest Organisation");
    std::fs::write(&path, &forged).unwrap();
    vendor.release(2);
    let agent = Agent::start(&machine).await;
    let status = agent.until(|status| status.last_check.as_ref().is_some_and(|c| !c.ok)).await;
    assert!(status.closed_log.unwrap().contains("was changed"));
    assert_eq!(status.installed.unwrap().number.0, 1);
    drop(agent.client);
    agent.stop.send(()).unwrap();
    assert!(agent.running.await.unwrap().is_err(), "it says so when it ends");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), forged, "the evidence stays");
}
