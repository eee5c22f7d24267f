//! The log format as docs/audit.md shows it, and logs that were tampered with.

use proptest::prelude::*;
use updraft_manifest::admission::installation::InstallationId;
use updraft_manifest::audit::checkpoint::Checkpoint;
use updraft_manifest::audit::entry::Entry;
use updraft_manifest::audit::event::Event;
use updraft_manifest::audit::exchange::{LogAnswer, LogRequest};
use updraft_manifest::audit::limits::LINE_BYTES;
use updraft_manifest::audit::note::Note;
use updraft_manifest::audit::testing::{SampleLog, story};
use updraft_manifest::audit::verify::verify;
use updraft_manifest::canonical;
use updraft_manifest::testing::key;

fn sample() -> SampleLog {
    SampleLog::with_story(key(1))
}

#[test]
fn the_golden_log_stays_as_it_is() {
    let sample = sample();
    let request = LogRequest { from: 10 };
    let answer = LogAnswer::to(&request, sample.checkpoint(), 12, &sample.lines);
    for (name, bytes) in [
        ("story.log", sample.lines.clone()),
        ("story.checkpoint", sample.checkpoint()),
        ("story.log-key", format!("{}\n", sample.log_key.public()).into_bytes()),
        ("story.request", request.encode()),
        ("story.answer", answer.encode().unwrap()),
    ] {
        let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDRAFT_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
    }
}

#[test]
fn an_event_that_only_newer_agents_know_is_kept_as_it_stands() {
    let mut log = SampleLog::new(key(1));
    let newer = serde_json::json!({ "kind": "teleported", "to": ["elsewhere", 7] });
    log.append(Event::Other(newer.clone()));
    let verified = verify(&log.lines, &log.checkpoint(), &key(1).public()).unwrap();
    assert_eq!(verified.entries()[0].event, Event::Other(newer));
    assert_eq!(verified.entries()[0].event.kind(), "teleported");
}

#[test]
fn lines_that_say_the_same_in_other_bytes_are_refused() {
    let line = sample().lines.split(|byte| *byte == b'\n').next().unwrap().to_vec();
    let text = String::from_utf8(line).unwrap();
    assert!(Entry::parse(text.as_bytes()).is_ok());
    for other in [
        format!(" {text}"),
        format!("{text}\n"),
        text.replace("desk-1", "desk-\\u0031"),
        text.replace("\"seq\":0", "\"seq\":00"),
        text.replace("\"seq\":0", "\"seq\":0.0"),
        text.replace("\"seq\":0", "\"seq\":-0"),
        text.replace("\"seq\":0", "\"seq\":0,\"seq\":0"),
        text.replacen("{\"boot\"", "{\"zzzz\":1,\"boot\"", 1),
    ] {
        assert_ne!(other, text);
        assert!(Entry::parse(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn entries_that_break_a_rule_are_refused() {
    let line = sample().lines.split(|byte| *byte == b'\n').next().unwrap().to_vec();
    let text = String::from_utf8(line).unwrap();
    for bad in [
        text.replace("\"by\":\"agent\"", "\"by\":\"uid:-1\""),
        text.replace("\"by\":\"agent\"", "\"by\":\"uid:+1\""),
        text.replace("\"by\":\"agent\"", "\"by\":\"somebody\""),
        text.replace("\"kind\":\"joined\"", "\"kind\":7"),
        text.replace("T09:00:00Z", "T09:00:00.5Z"),
        text.replace("\"seq\":0", "\"seq\":-1"),
        text.replace("\"seq\":0", "\"seq\":18446744073709551616"),
        text.replace("desk-1", &"x".repeat(LINE_BYTES)),
        "[".repeat(LINE_BYTES),
        "null".to_owned(),
        String::new(),
    ] {
        assert_ne!(bad, text);
        assert!(Entry::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn an_entry_too_long_to_be_read_is_not_written() {
    let log = sample();
    let entry = Entry::parse(log.lines.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let long = serde_json::json!({ "kind": "x", "text": "x".repeat(LINE_BYTES) });
    assert!(Entry { event: Event::Other(long), ..entry.clone() }.to_line().is_err());
    let kindless = serde_json::json!({ "text": "x" });
    assert!(Entry { event: Event::Other(kindless), ..entry }.to_line().is_err());
}

/// Something done to a log by somebody who has no key.
#[derive(Debug, Clone)]
enum Tampering {
    FlipBits(Vec<(usize, u8)>),
    CutBytes(usize, usize),
    InsertBytes(usize, Vec<u8>),
    SwapLines(usize, usize),
    DropLines(usize, usize),
    RepeatLine(usize, usize),
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let at = any::<usize>;
    prop_oneof![
        prop::collection::vec((at(), 0..8u8), 1..6).prop_map(Tampering::FlipBits),
        (at(), 1..600usize).prop_map(|(at, count)| Tampering::CutBytes(at, count)),
        (at(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Tampering::InsertBytes(at, bytes)),
        (at(), at()).prop_map(|(a, b)| Tampering::SwapLines(a, b)),
        (at(), 1..4usize).prop_map(|(at, count)| Tampering::DropLines(at, count)),
        (at(), at()).prop_map(|(from, to)| Tampering::RepeatLine(from, to)),
    ]
}

fn tamper(log: &[u8], how: &Tampering) -> Vec<u8> {
    let mut bytes = log.to_vec();
    let mut lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let count = lines.len();
    match how {
        Tampering::FlipBits(bits) => {
            for (at, bit) in bits {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            return bytes;
        }
        Tampering::CutBytes(at, cut) => {
            let at = at % bytes.len();
            let end = (at + cut).min(bytes.len());
            bytes.drain(at..end);
            return bytes;
        }
        Tampering::InsertBytes(at, more) => {
            let at = at % bytes.len();
            bytes.splice(at..at, more.iter().copied());
            return bytes;
        }
        Tampering::SwapLines(a, b) => lines.swap(a % count, b % count),
        Tampering::DropLines(at, dropped) => {
            let at = at % count;
            lines.drain(at..(at + dropped).min(count));
        }
        Tampering::RepeatLine(from, to) => lines.insert(to % count, lines[from % count]),
    }
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_tampering_without_the_key_goes_unnoticed(how in prop::collection::vec(tampering(), 1..3)) {
        let sample = sample();
        let doctored = how.iter().fold(sample.lines.clone(), |log, how| {
            if log.is_empty() { log } else { tamper(&log, how) }
        });
        let verdict = verify(&doctored, &sample.checkpoint(), &sample.log_key.public());
        prop_assert_eq!(verdict.is_ok(), doctored == sample.lines, "{:?}", verdict);
    }

    #[test]
    fn no_tampered_checkpoint_says_anything_else(how in tampering()) {
        let sample = sample();
        let doctored = tamper(&sample.checkpoint(), &how);
        // A signature line may stand there twice; the text may not differ.
        if let Ok(checkpoint) = Checkpoint::verify(&doctored, &sample.log_key.public()) {
            prop_assert_eq!(checkpoint.head(), sample.chain.head());
        }
    }

    #[test]
    fn parsers_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Entry::parse(&bytes);
        let _ = Note::parse(&bytes);
        let _ = Checkpoint::verify(&bytes, &key(1).public());
        let _ = LogRequest::decode(&bytes);
        let _ = verify(&bytes, &sample().checkpoint(), &key(1).public());
        if let Ok(answer) = LogAnswer::decode(&bytes) {
            prop_assert_eq!(answer.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn parsers_survive_damaged_entries(how in tampering()) {
        let lines = sample().lines;
        for line in tamper(&lines, &how).split(|byte| *byte == b'\n') {
            if Entry::parse(line).is_ok() {
                let value = serde_json::from_slice(line).unwrap();
                prop_assert_eq!(canonical::to_vec(&value).unwrap(), line);
            }
        }
    }
}

#[test]
fn the_installation_is_the_hash_of_the_log_key() {
    let sample = sample();
    let verified = verify(&sample.lines, &sample.checkpoint(), &sample.log_key.public()).unwrap();
    let installation = InstallationId::of(&sample.log_key.public());
    assert_eq!(verified.checkpoint().installation(), installation);
    assert!(verified.entries().iter().all(|entry| entry.installation == installation));
    assert_eq!(verified.entries().len(), story().len());
}
