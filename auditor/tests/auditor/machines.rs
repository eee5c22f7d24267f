//! Machines on loopback whose logs are read by a real auditor.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use manifest::admission::credential::Role;
use manifest::admission::installation::InstallationId;
use manifest::audit::event::Event as LogEvent;
use manifest::audit::exchange::{LogAnswer, LogRequest};
use manifest::audit::testing::{SampleLog, story};
use manifest::testing::TestWorkgroup;
use swarm::ask::Topic;
use swarm::event::Event;
use swarm::handle::Handle;
use swarm::options::Options;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::workgroup::{Workgroup, auditor, told, write_ticket};

/// What a machine answers when it is asked for its log.
#[derive(Clone)]
enum Answers {
    /// This log, under this checkpoint.
    Log { sealed: u64, lines: Vec<u8>, checkpoint: Vec<u8> },
    /// Nothing.
    Refusal,
}

impl Answers {
    fn honest(log: &SampleLog) -> Self {
        Self::Log {
            sealed: log.chain.size(),
            lines: log.lines.clone(),
            checkpoint: log.checkpoint(),
        }
    }
}

/// A machine that serves its log.
struct Machine {
    answers: Arc<Mutex<Answers>>,
    handle: Handle,
    address: String,
    id: InstallationId,
}

struct Fleet {
    dir: TempDir,
    group: Workgroup,
    runtime: Runtime,
    machines: Vec<Machine>,
}

impl Fleet {
    fn of(count: u64) -> Self {
        let runtime = Runtime::new().unwrap();
        let group = Workgroup::new(1);
        let dir = tempfile::tempdir().unwrap();
        let mut machines: Vec<Machine> = Vec::new();
        for who in 1..=count {
            let first = machines.first().map(|first| first.address.clone());
            machines.push(runtime.block_on(machine(&group, who, first)));
        }
        Self { dir, group, runtime, machines }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Lets an auditor join with a ticket that knows one machine.
    fn join(&self) {
        let addresses = vec![self.machines[0].address.clone()];
        let ticket = write_ticket(self.dir.path(), &self.group.ticket(Role::Auditor, addresses));
        let joined = auditor(&self.home(), &["join", ticket.to_str().unwrap()]);
        assert_eq!(told(&joined).0, 0);
    }

    /// Runs the auditor until it has read every log.
    fn collect(&self) -> (i32, String) {
        let expect = self.machines.len().to_string();
        let words = ["run", "--once", "--no-dns-sd", "--wait", "20", "--expect", &expect];
        told(&auditor(&self.home(), &words))
    }

    fn fleet(&self) -> String {
        told(&auditor(&self.home(), &["fleet"])).1
    }

    fn kept(&self, machine: &Machine) -> Vec<u8> {
        let dir = self.home().join("logs").join(machine.id.to_string());
        std::fs::read(dir.join("entries.jsonl")).unwrap_or_default()
    }
}

fn log_of(who: u64) -> SampleLog {
    SampleLog::with_story(TestWorkgroup::log_key(who))
}

async fn machine(group: &Workgroup, who: u64, friend: Option<String>) -> Machine {
    let (chain, peer_key) = group.member(who);
    let (handle, mut events) = swarm::start(Options {
        listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()],
        bootstrap: friend.into_iter().collect(),
        ..Options::new(peer_key, chain.encode().unwrap(), group.trust.clone())
    })
    .unwrap();
    let answers = Arc::new(Mutex::new(Answers::honest(&log_of(who))));
    let serving = Arc::clone(&answers);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let Event::Asked { topic: Topic::Log, member, request, reply, .. } = event else {
                continue;
            };
            assert!(member.has(Role::Auditor), "the swarm lets nobody else ask");
            let answers = serving.lock().unwrap().clone();
            if let Answers::Log { sealed, lines, checkpoint } = answers {
                let request = LogRequest::decode(&request).unwrap();
                let answer = LogAnswer::to(&request, checkpoint, sealed, &lines);
                reply.send(answer.encode().unwrap());
            }
        }
    });
    let address = loop {
        match handle.listen_addresses().await.unwrap().into_iter().next() {
            Some(address) => break address,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let id = InstallationId::of(&TestWorkgroup::log_key(who).public());
    Machine { answers, handle, address, id }
}

fn doctored(log: &SampleLog) -> Answers {
    let text = String::from_utf8(log.lines.clone()).unwrap();
    let lines = text.replacen("rolled-back", "committed", 1).into_bytes();
    Answers::Log { sealed: log.chain.size(), lines, checkpoint: log.checkpoint() }
}

/// A log signed with the same key in which the rollback never happened.
fn rewritten(log: &SampleLog) -> Answers {
    let mut other = SampleLog::new(log.log_key.clone());
    for event in story().into_iter().take(9) {
        other.append(event);
    }
    for _ in 0..5 {
        other.append(LogEvent::Stopped { reason: "nothing to see here".into() });
    }
    Answers::honest(&other)
}

#[test]
fn intact_logs_are_collected_and_grow() {
    let fleet = Fleet::of(3);
    fleet.join();
    let (code, text) = fleet.collect();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("read 3 logs, 3 intact, 0 tampered with\n"), "{text}");
    let shown = fleet.fleet();
    assert!(shown.contains("1.2.0") && shown.ends_with("3 machines, 3 logs intact\n"), "{shown}");

    let mut log = log_of(2);
    log.append(LogEvent::Stopped { reason: "done".into() });
    *fleet.machines[1].answers.lock().unwrap() = Answers::honest(&log);
    assert_eq!(fleet.collect().0, 0);
    assert_eq!(fleet.kept(&fleet.machines[1]), log.lines);
    assert!(fleet.fleet().contains("intact, 13 entries"));
}

#[test]
fn more_machines_than_a_member_would_seek_are_all_found_through_one() {
    let fleet = Fleet::of(20);
    fleet.join();
    let (code, text) = fleet.collect();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("read 20 logs, 20 intact"), "{text}");
}

#[test]
fn a_log_doctored_on_its_machine_is_shown_with_the_entry() {
    let fleet = Fleet::of(2);
    fleet.join();
    assert_eq!(fleet.collect().0, 0);
    *fleet.machines[0].answers.lock().unwrap() = doctored(&log_of(1));
    let (code, text) = fleet.collect();
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("read 2 logs, 1 intact, 1 tampered with"), "{text}");
    let shown = fleet.fleet();
    for part in ["TAMPERED: entry 10 was changed", "was rolled back 1.3.0", "1 log TAMPERED WITH"] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    assert_eq!(fleet.kept(&fleet.machines[0]), log_of(1).lines, "what was kept stays");
    let evidence =
        fleet.home().join("logs").join(fleet.machines[0].id.to_string()).join("evidence");
    let evidence = std::fs::read_dir(evidence).unwrap().next().unwrap().unwrap().path();
    for (file, code) in [("kept.jsonl", 0), ("offered.jsonl", 3)] {
        let path = evidence.join(file);
        let (found, text) = told(&auditor(&fleet.home(), &["verify", path.to_str().unwrap()]));
        assert_eq!(found, code, "{text}");
    }
}

#[test]
fn a_log_rewritten_and_signed_anew_is_caught_by_the_kept_checkpoint() {
    let fleet = Fleet::of(1);
    fleet.join();
    assert_eq!(fleet.collect().0, 0);
    *fleet.machines[0].answers.lock().unwrap() = rewritten(&log_of(1));
    let (code, text) = fleet.collect();
    assert_eq!(code, 3, "{text}");
    let shown = fleet.fleet();
    let expected = "rewritten: the first 12 entries are not those that were signed before; \
                    entry 9 is the first that differs";
    assert!(shown.contains(expected), "{shown}");
    // Whoever puts the log back is believed, and the finding stays.
    *fleet.machines[0].answers.lock().unwrap() = Answers::honest(&log_of(1));
    assert_eq!(fleet.collect().0, 0);
    let shown = fleet.fleet();
    assert!(shown.contains("intact again") && shown.contains(expected), "{shown}");
}

#[test]
fn a_machine_that_refuses_is_counted_as_not_read() {
    let fleet = Fleet::of(1);
    fleet.join();
    *fleet.machines[0].answers.lock().unwrap() = Answers::Refusal;
    let words = ["run", "--once", "--no-dns-sd", "--wait", "3", "--expect", "1"];
    let (code, text) = told(&auditor(&fleet.home(), &words));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("read 0 of 1 logs"), "{text}");
    let shown = fleet.fleet();
    assert!(shown.contains("not read: the machine does not give it to us"), "{shown}");
}

#[test]
fn a_member_cannot_read_another_ones_log() {
    let fleet = Fleet::of(1);
    let machine = &fleet.machines[0];
    // The member stays while the machine is asked whether it still knows it.
    let (answer, _member) = fleet.runtime.block_on(async {
        let (chain, peer_key) = fleet.group.member(9);
        let (handle, mut events) = swarm::start(Options {
            bootstrap: vec![machine.address.clone()],
            ..Options::new(peer_key, chain.encode().unwrap(), fleet.group.trust.clone())
        })
        .unwrap();
        let peer = loop {
            if let Some(Event::Admitted { peer, .. }) = events.next().await {
                break peer;
            }
        };
        let answer = handle.ask(peer, Topic::Log, LogRequest { from: 0 }.encode()).await;
        (answer, (handle, events))
    });
    assert!(answer.is_err(), "{answer:?}");
    assert!(!fleet.runtime.block_on(machine.handle.peers()).unwrap().is_empty());
}

/// A running auditor; killed when dropped.
struct Running(Child);

impl Running {
    fn start(home: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_updraft-auditor"))
            .arg("--home")
            .arg(home)
            .args(["run", "--no-dns-sd", "--interval", "1"])
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_auditor_keeps_what_it_collected_and_goes_on() {
    let fleet = Fleet::of(2);
    fleet.join();
    let mut log = log_of(1);
    for round in 0..3 {
        let running = Running::start(&fleet.home());
        wait_for("both logs", || {
            fleet.kept(&fleet.machines[0]) == log.lines
                && fleet.kept(&fleet.machines[1]) == log_of(2).lines
        });
        // What is new is read while it runs.
        log.append(LogEvent::Stopped { reason: format!("round {round}").into() });
        *fleet.machines[0].answers.lock().unwrap() = Answers::honest(&log);
        wait_for("the new entry", || fleet.kept(&fleet.machines[0]) == log.lines);
        drop(running);
        let shown = fleet.fleet();
        assert!(shown.contains("2 logs intact"), "{shown}");
    }
}

#[test]
fn only_one_auditor_runs_in_a_home() {
    let fleet = Fleet::of(1);
    fleet.join();
    let _running = Running::start(&fleet.home());
    wait_for("the log", || !fleet.kept(&fleet.machines[0]).is_empty());
    let (code, text) = fleet.collect();
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("is held by process"), "{text}");
}
