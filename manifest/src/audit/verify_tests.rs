//! Every way to change a log, and what is said of each.

use super::*;
use crate::audit::checkpoint;
use crate::audit::testing::{SampleLog, release, story};
use crate::testing::key;

fn sample() -> SampleLog {
    SampleLog::with_story(key(1))
}

/// The lines with their newlines.
fn split(log: &[u8]) -> Vec<Vec<u8>> {
    log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// What is said of these lines under the checkpoint of the whole sample.
fn verdict(lines: &[Vec<u8>]) -> String {
    let sample = sample();
    match verify(&lines.concat(), &sample.checkpoint(), &sample.log_key.public()) {
        Ok(verified) => verified.to_string(),
        Err(fault) => fault.to_string(),
    }
}

fn replace(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(line).unwrap();
    assert!(text.contains(from), "{text} holds no {from}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn an_untouched_log_is_intact() {
    let sample = sample();
    let verified = verify(&sample.lines, &sample.checkpoint(), &key(1).public()).unwrap();
    assert_eq!(verified.entries().len(), story().len());
    assert_eq!(verified.unsealed_count(), 0);
    assert_eq!(verified.head(), sample.chain.head());
    let events: Vec<Event> = verified.entries().iter().map(|entry| entry.event.clone()).collect();
    assert_eq!(events, story());
}

#[test]
fn an_empty_log_is_intact() {
    let empty = SampleLog::new(key(1));
    assert!(verify(b"", &empty.checkpoint(), &key(1).public()).is_ok());
}

#[test]
fn a_changed_entry_is_named() {
    for (index, from, to) in
        [(0, "desk-1", "desk-2"), (7, "offered", "wished"), (10, "exit_code\":1", "exit_code\":0")]
    {
        let mut lines = split(&sample().lines);
        lines[index] = replace(&lines[index], from, to);
        assert_eq!(verdict(&lines), format!("entry {index} was changed"));
    }
}

#[test]
fn the_last_entry_changed_is_noticed() {
    let mut lines = split(&sample().lines);
    lines[11] = replace(&lines[11], "failed here", "stayed here");
    assert_eq!(
        verdict(&lines),
        "entry 11, or a run of entries up to it, was changed after it was signed"
    );
}

#[test]
fn a_changed_link_is_blamed_on_its_own_entry() {
    let mut lines = split(&sample().lines);
    let line = String::from_utf8(lines[5].clone()).unwrap();
    let at = line.find("\"prev\":\"").unwrap() + 8;
    let digit = if &line[at..=at] == "0" { "1" } else { "0" };
    lines[5].splice(at..=at, digit.bytes());
    assert_eq!(verdict(&lines), "entry 5 was changed");
}

#[test]
fn a_changed_number_is_blamed_on_its_own_entry() {
    for (index, to) in [(4, "\"seq\":3,"), (4, "\"seq\":9,"), (11, "\"seq\":12,")] {
        let mut lines = split(&sample().lines);
        lines[index] = replace(&lines[index], &format!("\"seq\":{index},"), to);
        assert_eq!(verdict(&lines), format!("entry {index} was changed"));
    }
}

#[test]
fn an_unreadable_entry_is_named() {
    let mut lines = split(&sample().lines);
    lines[3] = replace(&lines[3], "\"seq\"", "\"seq\" ");
    assert_eq!(verdict(&lines), "entry 3 was changed: the line is not in canonical form");
    lines[2] = b"{]\n".to_vec();
    assert_eq!(verdict(&lines), "entry 2 was changed: the line is not JSON");
}

#[test]
fn missing_entries_are_named() {
    let mut lines = split(&sample().lines);
    lines.remove(6);
    assert_eq!(verdict(&lines), "entry 6 is missing");
    lines.remove(6);
    lines.remove(6);
    assert_eq!(verdict(&lines), "entries 6 to 8 are missing");
    let mut lines = split(&sample().lines);
    lines.remove(0);
    assert_eq!(verdict(&lines), "entry 0 is missing");
}

#[test]
fn reordered_and_repeated_entries_are_named() {
    let mut lines = split(&sample().lines);
    lines.swap(4, 5);
    assert_eq!(verdict(&lines), "entry 5 stands where entry 4 was");
    let mut lines = split(&sample().lines);
    lines.insert(4, lines[3].clone());
    assert_eq!(verdict(&lines), "entry 3 stands where entry 4 was");
}

#[test]
fn a_truncated_log_is_measured_against_its_checkpoint() {
    let lines = split(&sample().lines);
    assert_eq!(verdict(&lines[..9]), "truncated: 12 entries were signed, 9 are there");
    assert_eq!(verdict(&[]), "truncated: 12 entries were signed, 0 are there");
}

#[test]
fn an_entry_from_another_log_is_named() {
    let other = SampleLog::with_story(key(2));
    let mut lines = split(&sample().lines);
    lines[5] = split(&other.lines)[5].clone();
    let owner = InstallationId::of(&key(2).public());
    assert_eq!(verdict(&lines), format!("entry 5 is from the log of {owner}"));
}

#[test]
fn a_rewritten_tail_does_not_reach_the_signed_root() {
    let mut other = SampleLog::new(key(1));
    for event in story().into_iter().take(6) {
        other.append(event);
    }
    for _ in 6..12 {
        other.append(Event::Stopped { reason: "nothing to see here".into() });
    }
    let refused = verify(&other.lines, &sample().checkpoint(), &key(1).public());
    assert!(matches!(refused, Err(Fault::WrongRoot { last: 11 })), "{refused:?}");
}

#[test]
fn entries_after_the_checkpoint_are_linked_but_not_signed() {
    let mut log = sample();
    let checkpoint = log.checkpoint();
    log.append(Event::Stopped { reason: "power cut".into() });
    let verified = verify(&log.lines, &checkpoint, &key(1).public()).unwrap();
    assert_eq!((verified.sealed().len(), verified.unsealed_count()), (12, 1));
    assert!(verified.to_string().ends_with("1 more entry not yet signed"));
    log.lines.extend_from_slice(b"{\"boot\":");
    let verified = verify(&log.lines, &checkpoint, &key(1).public()).unwrap();
    assert_eq!(verified.torn_bytes(), 8);
}

#[test]
fn another_installations_key_or_checkpoint_is_refused() {
    let sample = sample();
    let other = SampleLog::with_story(key(2));
    for (checkpoint, key) in
        [(sample.checkpoint(), key(2).public()), (other.checkpoint(), key(1).public())]
    {
        let refused = verify(&sample.lines, &checkpoint, &key);
        let expected =
            matches!(refused, Err(Fault::Checkpoint(CheckpointError::WrongOrigin { .. })));
        assert!(expected, "{refused:?}");
    }
    let refused = verify(&sample.lines, &other.checkpoint(), &key(2).public());
    assert!(matches!(refused, Err(Fault::Foreign { entry: 0, .. })), "{refused:?}");
}

#[test]
fn any_single_changed_bit_of_a_log_is_noticed() {
    let mut log = SampleLog::new(key(1));
    for event in story().into_iter().take(4) {
        log.append(event);
    }
    let checkpoint = log.checkpoint();
    for bit in 0..log.lines.len() * 8 {
        let mut changed = log.lines.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&changed, &checkpoint, &key(1).public()).is_err(), "bit {bit}");
    }
}

#[test]
fn a_longer_log_goes_on_from_an_older_checkpoint() {
    let mut log = SampleLog::new(key(1));
    let mut kept = Vec::new();
    for event in story() {
        kept.push(Checkpoint::verify(&log.checkpoint(), &key(1).public()).unwrap());
        log.append(event);
    }
    let verified = verify(&log.lines, &log.checkpoint(), &key(1).public()).unwrap();
    for kept in kept {
        assert_eq!(continuity(&kept, &verified).unwrap(), Continuity::Unbroken);
    }
}

/// What an auditor that kept the sample's checkpoint says of `log`.
fn against_sample(log: &SampleLog) -> Result<Continuity, Fault> {
    let kept = Checkpoint::verify(&sample().checkpoint(), &key(1).public()).unwrap();
    let verified = verify(&log.lines, &log.checkpoint(), &key(1).public()).unwrap();
    continuity(&kept, &verified)
}

/// A log signed by the same key whose entries from 9 on are others.
fn rewritten(entries: usize) -> SampleLog {
    let mut log = SampleLog::new(key(1));
    for event in story().into_iter().take(9) {
        log.append(event);
    }
    for _ in 9..entries {
        log.append(Event::Stopped { reason: "nothing to see here".into() });
    }
    log
}

#[test]
fn a_log_signed_anew_after_truncation_is_caught_by_the_kept_checkpoint() {
    let refused = against_sample(&rewritten(9));
    assert!(matches!(refused, Err(Fault::Shrunk { older: 12, newer: 9 })), "{refused:?}");
}

#[test]
fn a_log_signed_anew_after_rewriting_is_caught_by_the_kept_checkpoint() {
    let refused = against_sample(&rewritten(20));
    assert!(matches!(refused, Err(Fault::Rewritten { older: 12 })), "{refused:?}");
}

#[test]
fn two_signed_logs_of_one_length_are_a_fork() {
    let refused = against_sample(&rewritten(12));
    assert!(matches!(refused, Err(Fault::Forked { size: 12 })), "{refused:?}");
}

#[test]
fn a_restored_machine_that_says_so_is_not_taken_for_a_forger() {
    let mut log = rewritten(9);
    let here = log.chain.head();
    let later = sample().chain.head();
    log.append(Event::Restored { here, later });
    assert_eq!(against_sample(&log).unwrap(), Continuity::Restored { entry: 9 });
    // Naming another head than the one that was signed excuses nothing.
    let mut log = rewritten(9);
    log.append(Event::Restored { here, later: here });
    assert!(against_sample(&log).is_err());
}

#[test]
fn the_first_difference_of_two_logs_is_found() {
    let was = sample();
    let is = rewritten(20);
    let (at, was_line, is_line) = first_difference(&was.lines, &is.lines).unwrap();
    assert_eq!(at, 9);
    assert!(Entry::parse(was_line).is_ok() && Entry::parse(is_line).is_ok());
    assert_eq!(first_difference(&was.lines, &was.lines), None);
    assert_eq!(first_difference(b"", &was.lines), None);
}

#[test]
fn an_old_checkpoint_under_a_longer_log_is_no_fault() {
    let mut log = sample();
    let checkpoint = log.checkpoint();
    log.append(Event::Checked { release: release(2), damaged: 0 });
    assert!(verify(&log.lines, &checkpoint, &key(1).public()).is_ok());
    assert!(
        Checkpoint::verify(&checkpoint::sign(&log.chain.head(), &key(1)), &key(1).public()).is_ok()
    );
}
