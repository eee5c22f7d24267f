//! The program from outside, without a network: joining, and logs on disk.

use std::fs;

use crate::workgroup::{Workgroup, auditor, told, write_ticket};
use manifest::admission::credential::Role;
use manifest::admission::installation::InstallationId;
use manifest::audit::testing::SampleLog;
use manifest::testing::{TestWorkgroup, key};
use store::steps::Steps;
use updraft_auditor::collect::Reading;
use updraft_auditor::intake::{meet, take_in};
use updraft_auditor::vault::Vault;

#[test]
fn joining_tells_the_fingerprint_and_compares_it() {
    let dir = tempfile::tempdir().unwrap();
    let group = Workgroup::new(1);
    let ticket = write_ticket(dir.path(), &group.ticket(Role::Auditor, Vec::new()));
    let (ticket, home) = (ticket.to_str().unwrap(), dir.path().join("home"));
    let fingerprint = group.trust.id().to_string();

    let wrong = "00".repeat(32);
    let (code, text) = told(&auditor(&home, &["join", ticket, "--root-fingerprint", &wrong]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains(&fingerprint) && text.contains(&wrong), "{text}");
    assert!(!home.exists(), "a refused ticket leaves nothing behind");

    let (code, text) = told(&auditor(&home, &["join", ticket]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&fingerprint), "{text}");
    // A second time renews.
    let again = auditor(&home, &["join", ticket, "--root-fingerprint", &fingerprint]);
    assert_eq!(told(&again).0, 0);
}

#[test]
fn a_members_ticket_makes_no_auditor() {
    let dir = tempfile::tempdir().unwrap();
    let ticket = Workgroup::new(1).ticket(Role::Member, Vec::new());
    let ticket = write_ticket(dir.path(), &ticket);
    let home = dir.path().join("home");
    let (code, text) = told(&auditor(&home, &["join", ticket.to_str().unwrap()]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("not Auditor") && text.contains("auditor-ticket"), "{text}");
}

#[test]
fn a_ticket_of_another_workgroup_does_not_replace_the_one_joined() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let ticket = write_ticket(dir.path(), &Workgroup::new(1).ticket(Role::Auditor, Vec::new()));
    assert_eq!(told(&auditor(&home, &["join", ticket.to_str().unwrap()])).0, 0);
    let before = fs::read(home.join("ticket.json")).unwrap();
    let other = write_ticket(dir.path(), &Workgroup::new(2).ticket(Role::Auditor, Vec::new()));
    let (code, text) = told(&auditor(&home, &["join", other.to_str().unwrap()]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("workgroup"), "{text}");
    assert_eq!(fs::read(home.join("ticket.json")).unwrap(), before);
}

#[test]
fn a_tampered_or_foreign_file_is_no_ticket() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let good = Workgroup::new(1).ticket(Role::Auditor, Vec::new()).encode().unwrap();
    let path = dir.path().join("auditor.ticket");
    let organisation = good.replace("Test Organisation", "Fest Organisation");
    assert_ne!(organisation, good);
    let root = good.replace(r#"\"version\":1"#, r#"\"version\":2"#);
    assert_ne!(root, good);
    for (bad, code) in [("{}", 3), ("", 3), (organisation.as_str(), 3), (root.as_str(), 3)] {
        fs::write(&path, bad).unwrap();
        let output = told(&auditor(&home, &["join", path.to_str().unwrap()]));
        assert_eq!(output.0, code, "{}", output.1);
        assert!(!home.exists());
    }
    let (code, text) = told(&auditor(&home, &["join", "/nowhere/ticket"]));
    assert_eq!(
        (code, text.trim_end()),
        (2, "updraft-auditor: cannot join: there is no ticket at /nowhere/ticket")
    );
}

#[test]
fn whoever_has_not_joined_is_told_how() {
    let dir = tempfile::tempdir().unwrap();
    for words in [&["fleet"][..], &["export"], &["history", "x"], &["run", "--once"]] {
        let (code, text) = told(&auditor(&dir.path().join("home"), words));
        assert_eq!(code, 4, "{text}");
        assert!(text.contains("join TICKET"), "{text}");
    }
    assert_eq!(told(&auditor(dir.path(), &["flee"])).0, 2);
    assert_eq!(told(&auditor(dir.path(), &["--help"])).0, 0);
}

#[test]
fn a_log_is_verified_offline_with_its_public_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let sample = SampleLog::with_story(key(1));
    fs::write(dir.path().join("entries.jsonl"), &sample.lines).unwrap();
    fs::write(dir.path().join("checkpoint"), sample.checkpoint()).unwrap();
    let (log, public) = (dir.path().to_str().unwrap(), key(1).public().to_string());
    let (code, text) = told(&auditor(dir.path(), &["verify", log, "--log-key", &public]));
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("intact: 12 entries, signed by 01afc9af7a"), "{text}");

    let key_file = dir.path().join("log-key");
    fs::write(&key_file, format!("{public}\n")).unwrap();
    let file = dir.path().join("entries.jsonl");
    let words = ["verify", file.to_str().unwrap(), "--log-key", key_file.to_str().unwrap()];
    assert_eq!(told(&auditor(dir.path(), &words)).0, 0);

    let text = String::from_utf8(sample.lines.clone()).unwrap();
    fs::write(&file, text.replacen("rolled-back", "committed", 1)).unwrap();
    let (code, text) = told(&auditor(dir.path(), &words));
    assert_eq!((code, text.as_str()), (3, "TAMPERED: entry 10 was changed\n"));
    let (code, text) = told(&auditor(dir.path(), &[&words[..], &["--json"]].concat()));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &value["fault"]), (3, &"entry 10 was changed".into()));

    let other = key(2).public().to_string();
    let (code, text) = told(&auditor(dir.path(), &["verify", log, "--log-key", &other]));
    assert_eq!(code, 3, "{text}");
    assert!(text.starts_with("NOT VERIFIED: the checkpoint is of "), "{text}");
    let (code, text) = told(&auditor(dir.path(), &["verify", log]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("--log-key"), "{text}");
}

#[test]
fn what_was_collected_is_shown_exported_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let group = Workgroup::new(1);
    let ticket = write_ticket(dir.path(), &group.ticket(Role::Auditor, Vec::new()));
    assert_eq!(told(&auditor(&home, &["join", ticket.to_str().unwrap()])).0, 0);
    assert_eq!(told(&auditor(&home, &["fleet"])), (0, "No machine was met yet.\n".to_owned()));

    let vault = Vault::open(&home.join("logs"), Steps::free()).unwrap();
    let now = updraft_auditor::clock::now();
    let mut lines = Vec::new();
    for who in [1, 2] {
        let (chain, peer_key) = group.member(who);
        let member = chain.verify(&group.trust, &peer_key.public(), now).unwrap();
        meet(&vault, &member, now).unwrap();
        let log = SampleLog::with_story(TestWorkgroup::log_key(who));
        let reading = Reading { from: 0, lines: log.lines.clone(), checkpoint: log.checkpoint() };
        take_in(&vault, &member.installation, reading, now).unwrap();
        lines.push((InstallationId::of(&log.log_key.public()), log.lines));
    }
    lines.sort_by_key(|(id, _)| *id);

    let (code, text) = told(&auditor(&home, &["fleet"]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1.2.0") && text.ends_with("2 machines, 2 logs intact\n"), "{text}");
    let fleet = auditor(&home, &["fleet", "--json"]);
    let fleet: serde_json::Value = serde_json::from_slice(&fleet.stdout).unwrap();
    assert_eq!(fleet["machines"][1]["release"]["number"], 2);

    let (code, text) = told(&auditor(&home, &["history", "desk-1"]));
    assert_eq!(code, 1, "both are called so: {text}");
    let (code, text) = told(&auditor(&home, &["history", &lines[0].0.short()]));
    assert_eq!((code, text.lines().count()), (0, 12), "{text}");
    assert!(text.contains("   10  2026-11-23T09:10:00Z  rolled back 1.3.0 (#3)"), "{text}");

    let all = [&lines[0].1[..], &lines[1].1[..]].concat();
    assert_eq!(auditor(&home, &["export", "--format", "jsonl"]).stdout, all);
    let one = lines[1].0.to_string();
    assert_eq!(auditor(&home, &["export", &one[..8]]).stdout, lines[1].1);
    assert_eq!(told(&auditor(&home, &["export", "zz"])).0, 1);

    let kept = home.join("logs").join(&one);
    let (code, text) = told(&auditor(&home, &["verify", kept.to_str().unwrap()]));
    assert_eq!(code, 0, "{text}");
}
