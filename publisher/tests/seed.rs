//! A seeder as a real process: what a member that has only its ticket gets
//! from it, and what it hears when something is released.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use manifest::admission::credential::Role;
use manifest::admission::ticket::Ticket;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::content::ContentId;
use manifest::key::SigningKey;
use manifest::name::ReleaseNumber;
use manifest::release::manifest::ReleaseManifest;
use manifest::trust::bundle::Bundle;
use manifest::trust::candidates::Candidates;
use manifest::trust::exchange::{Announcement, MetadataRequest};
use manifest::trust::limits::BUNDLE_BYTES;
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::role::RoleName;
use manifest::trust::trusted::TrustedSet;
use swarm::ask::Topic;
use swarm::event::{Event, Events};
use swarm::handle::{Delivery, Handle, Verdict, Wanted};
use swarm::options::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use updraft_publisher::clock::now;

const PUBLISHER: &str = env!("CARGO_BIN_EXE_updraft-publisher");
const PLATFORM: &str = "linux-x86_64";
const PATIENCE: Duration = Duration::from_secs(30);

struct Vendor(tempfile::TempDir);

impl Vendor {
    fn new() -> Self {
        let vendor = Self(tempfile::tempdir().unwrap());
        vendor.run(&["init", "Example Ltd", "--product", "hello"]);
        vendor
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) {
        let output = Command::new(PUBLISHER).args(args).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    fn release(&self, version: &str, program: &str) {
        let dir = self.at(version);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("hello"), program.repeat(200_000)).unwrap();
        fs::write(dir.join("readme"), "always the same").unwrap();
        let level = ["--level", "3", "--platform", PLATFORM];
        self.run(&[&["release", version, "--version", version][..], &level].concat());
    }

    fn ticket(&self) -> Ticket {
        self.run(&["ticket", "--out", "ticket"]);
        Ticket::parse(&fs::read(self.at("ticket")).unwrap()).unwrap()
    }
}

/// A seeder under way; it ends with this.
struct Seeder {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Seeder {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let mut process = Command::new(PUBLISHER)
            .args(["seed", "--no-dns-sd", "--listen", "/ip4/127.0.0.1/tcp/0"])
            .args(more)
            .current_dir(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = read_lines(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// The rest of the next line that begins with `word`.
    fn says(&self, word: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("the seeder says so in time");
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read_lines(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// A member with nothing but its ticket.
struct Member {
    handle: Handle,
    events: Events,
    trusted: TrustedSet,
}

impl Member {
    fn join(ticket: &Ticket) -> Self {
        let trusted = TrustedSet::from_root(&ticket.root).unwrap();
        let keys = trusted.root().workgroup_keys().unwrap();
        let trust = WorkgroupTrust::new(ticket.workgroup(), keys).unwrap();
        let (log, peer) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let chain = ticket.admit(&trust, Role::Member, &log, &peer, now()).unwrap();
        let mut options = Options::new(peer, chain.encode().unwrap(), trust);
        options.bootstrap.clone_from(&ticket.addresses);
        let (handle, events) = swarm::start(options).unwrap();
        Self { handle, events, trusted }
    }

    async fn next<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = pick(self.events.next().await.expect("the swarm runs")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it happens in time")
    }

    /// Takes files into the trusted set, as far as they lead.
    fn refresh(&mut self, files: &Bundle) {
        let role = RoleName::of_channel(&"hello".parse().unwrap(), &"stable".parse().unwrap());
        let mut refresh = Refresh::new(self.trusted.clone(), now(), vec![role]);
        while let Some(output) = refresh.poll() {
            let Output::Want { name, .. } = output else { continue };
            let file = files.get(&name).map(<[u8]>::to_vec);
            refresh.handle(file.map_or(Input::NotFound, Input::File)).unwrap();
        }
        self.trusted = refresh.finish();
    }

    fn newest(&self) -> (String, ContentId, u64) {
        let candidates = Candidates::of(
            &self.trusted,
            &"hello".parse().unwrap(),
            &"stable".parse().unwrap(),
            &PLATFORM.parse().unwrap(),
            now(),
        )
        .unwrap();
        let newest = candidates.newest(ReleaseNumber(0)).unwrap();
        (newest.custom.version.to_string(), newest.custom.blake3, newest.length)
    }

    async fn fetch(&self, wanted: Vec<Wanted>) -> Vec<Bytes> {
        let mut fetch = self.handle.fetch(wanted).await.unwrap();
        let all = async {
            let mut all = Vec::new();
            while let Some(delivery) = fetch.next().await {
                if let Delivery::Delivered { bytes, .. } = delivery {
                    all.push(bytes);
                }
            }
            all
        };
        tokio::time::timeout(PATIENCE, all).await.expect("everything comes in time")
    }
}

async fn get(url: &str, path: &str) -> String {
    let host = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.0\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_gets_everything_from_a_seeder_and_hears_of_what_is_new() {
    let vendor = Vendor::new();
    vendor.release("1.0", "first program ");
    let seeder = Seeder::start(vendor.0.path(), &["--http", "127.0.0.1:0"]);
    let mirror = seeder.says("mirror");
    let address = seeder.says("listening");
    assert!(address.starts_with("/ip4/127.0.0.1/tcp/") && address.contains("/p2p/"), "{address}");
    assert!(seeder.says("offering").starts_with("timestamp 2"));
    assert!(get(&mirror, "metadata/timestamp.json").await.contains("\"version\":2"));

    let ticket = vendor.ticket();
    assert_eq!(
        (ticket.addresses.as_slice(), ticket.mirrors.as_slice()),
        (&[address][..], &[mirror][..])
    );
    let mut member = Member::join(&ticket);
    let seen = member.next(|event| match event {
        Event::Admitted { peer, member } => Some((peer, member)),
        _ => None,
    });
    let (peer, seeder_member) = seen.await;
    assert!(seeder_member.has(Role::Seeder));
    let question = MetadataRequest::of(&member.trusted).encode();
    let answer = member.handle.ask(peer, Topic::Metadata, question).await.unwrap();
    member.refresh(&Bundle::decode(&answer, BUNDLE_BYTES).unwrap());
    let (version, id, len) = member.newest();
    assert_eq!(version, "1.0");
    assert!(member.handle.ask(peer, Topic::Log, Vec::new()).await.is_err());

    let manifest = member.fetch(vec![Wanted { id, len }]).await.pop().unwrap();
    let manifest = ReleaseManifest::decode(&manifest).unwrap();
    let pieces = manifest.pieces().iter();
    let pieces = pieces.map(|piece| Wanted { id: piece.id, len: u64::from(piece.shape.len) });
    let pieces: Vec<Wanted> = pieces.collect();
    assert_eq!(member.fetch(pieces.clone()).await.len(), pieces.len());

    vendor.release("1.1", "second program");
    // Newcomers hear of what was there before; what is new follows.
    while member.newest().0 != "1.1" {
        let heard = member.next(|event| match event {
            Event::Announcement { id, bytes, .. } => Some((id, bytes)),
            _ => None,
        });
        let (announcement, bytes) = heard.await;
        member.handle.verdict(announcement, Verdict::Accept).await.unwrap();
        member.refresh(&Announcement::decode(&bytes).unwrap().files);
    }
    let (_, id, len) = member.newest();
    // What was announced is there at once.
    assert_eq!(member.fetch(vec![Wanted { id, len }]).await.len(), 1);
}

#[test]
fn a_seeder_ends_when_its_time_is_over() {
    let vendor = Vendor::new();
    let mut seeder = Seeder::start(vendor.0.path(), &["--for", "1"]);
    seeder.says("listening");
    assert!(seeder.process.wait().unwrap().success());
}

#[test]
fn a_seeder_that_cannot_listen_says_where() {
    let vendor = Vendor::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let refused = |args: &[&str], what: &str| {
        let output = Command::new(PUBLISHER)
            .args(["seed", "--no-dns-sd", "--for", "5"])
            .args(args)
            .current_dir(&vendor.0)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(what), "{said}");
    };
    refused(&["--listen", &address], &address);
    refused(&["--listen", "nowhere"], "nowhere");
    let http = taken.local_addr().unwrap().to_string();
    refused(&["--listen", "/ip4/127.0.0.1/tcp/0", "--http", &http], &http);
}
