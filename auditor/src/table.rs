//! The fleet as text for people, and as JSON for programs.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use manifest::audit::entry::Entry;
use manifest::time::UnixTime;
use serde::Serialize;

use crate::fleet::Row;
use crate::record::{Standing, shown};

/// Columns of the table; longer cells are wrapped.
const WIDTH: u16 = 132;

/// The fleet as one JSON document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: &'static str,
    as_of: UnixTime,
    machines: &'a [Row],
}

/// The rows as JSON, as docs/auditor.md describes it.
#[must_use]
pub fn json(rows: &[Row], now: UnixTime) -> String {
    let document = Document { format: "updraft-fleet/1", as_of: now, machines: rows };
    let mut text = serde_json::to_string_pretty(&document).expect("plain fields always serialise");
    text.push('\n');
    text
}

/// The rows as a table, what was found wrong, and a line that sums it up.
/// `logs` is the directory that the evidence is in.
#[must_use]
pub fn text(rows: &[Row], now: UnixTime, logs: &Path) -> String {
    if rows.is_empty() {
        return "No machine was met yet.\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.set_header(["machine", "release", "since", "state", "last seen", "log"]);
    for row in rows {
        table.add_row([
            name(row),
            row.release.as_ref().map_or_else(|| "none".to_owned(), |r| r.version.to_string())
                + if row.stale { " (behind)" } else { "" },
            row.since.map_or_else(String::new, moment),
            shown(row.state.as_bytes()),
            ago(row.last_seen, now) + if row.silent { " (silent)" } else { "" },
            standing(row),
        ]);
    }
    let mut text = format!("{table}\n");
    for row in rows {
        findings(&mut text, row, logs);
    }
    text.push_str(&summary(rows));
    text
}

/// What the log's column says.
fn standing(row: &Row) -> String {
    match &row.standing {
        Standing::Unread => "not read yet".to_owned(),
        Standing::Unreadable { reason } => format!("not read: {reason}"),
        Standing::Intact if row.findings.is_empty() => format!("intact, {} entries", row.entries),
        Standing::Intact => format!("intact again, {} entries; see below", row.entries),
        Standing::Restored { entry } => format!("restored at entry {entry}, intact since"),
        Standing::Tampered { sentence } => format!("TAMPERED: {sentence}"),
    }
}

/// Everything ever found wrong with one machine's log.
fn findings(text: &mut String, row: &Row, logs: &Path) {
    for finding in &row.findings {
        let (name, at) = (name(row), moment(finding.found));
        let mut line = |line: String| writeln!(text, "{line}").expect("text never fails");
        line(format!("{name}: {}; found {at}", finding.sentence));
        for (what, bytes) in [("was", &finding.was), ("is", &finding.is)] {
            if let Some(bytes) = bytes {
                line(format!("  {what:<4}{}", told(bytes)));
            }
        }
        line(format!("  kept {}", logs.join(&row.installation).join(&finding.evidence).display()));
    }
}

/// What an entry's line says, or the line itself if it is no entry.
fn told(line: &str) -> String {
    let told = Entry::parse(line.as_bytes()).map(|entry| entry.event.to_string());
    shown(told.as_deref().unwrap_or(line).as_bytes())
}

fn summary(rows: &[Row]) -> String {
    let count = |holds: fn(&Row) -> bool| rows.iter().filter(|row| holds(row)).count();
    let tampered = count(|row| matches!(row.standing, Standing::Tampered { .. }));
    let unread =
        count(|row| matches!(row.standing, Standing::Unread | Standing::Unreadable { .. }));
    let good = rows.len() - tampered - unread;
    let mut parts = vec![match rows.len() {
        1 => "1 machine".to_owned(),
        many => format!("{many} machines"),
    }];
    for (count, one, many) in [
        (good, "log intact", "logs intact"),
        (tampered, "log TAMPERED WITH", "logs TAMPERED WITH"),
        (unread, "log not read", "logs not read"),
        (count(|row| row.silent), "silent", "silent"),
        (count(|row| row.stale), "behind", "behind"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    }
    format!("{}\n", parts.join(", "))
}

fn name(row: &Row) -> String {
    let short = &row.installation[..10];
    match &row.machine {
        Some(machine) => format!("{machine} ({short})"),
        None => short.to_owned(),
    }
}

/// A time as `2026-11-23 09:31`, always UTC.
fn moment(time: UnixTime) -> String {
    let text = time.to_string();
    text.replacen('T', " ", 1)[..16].to_owned()
}

fn ago(time: UnixTime, now: UnixTime) -> String {
    match now.since(time) {
        past if past < Duration::from_secs(120) => format!("{} s ago", past.as_secs()),
        past if past < Duration::from_secs(2 * 60 * 60) => {
            format!("{} min ago", past.as_secs() / 60)
        }
        past if past < Duration::from_secs(48 * 60 * 60) => {
            format!("{} h ago", past.as_secs() / 3600)
        }
        past => format!("{} days ago", past.as_secs() / 86400),
    }
}

#[cfg(test)]
mod tests {
    use manifest::audit::testing::{SAMPLE_START, SampleLog, release};
    use manifest::testing::key;

    use super::*;
    use crate::fleet::Bytes;
    use crate::record::Finding;

    fn row() -> Row {
        Row {
            installation: "ab".repeat(32),
            machine: Some("desk-1".to_owned()),
            organisation: "Test Organisation".to_owned(),
            product: "hello".to_owned(),
            channel: None,
            platform: None,
            release: Some(release(2)),
            since: Some(SAMPLE_START),
            state: "committed".to_owned(),
            last_seen: SAMPLE_START,
            last_read: Some(SAMPLE_START),
            entries: 12,
            bytes: Bytes::default(),
            standing: Standing::Intact,
            findings: Vec::new(),
            silent: false,
            stale: false,
        }
    }

    fn tampered() -> Row {
        let log = SampleLog::with_story(key(1));
        let was = String::from_utf8(log.lines).unwrap().lines().nth(10).unwrap().to_owned();
        let sentence = "entry 10 was changed".to_owned();
        Row {
            standing: Standing::Tampered { sentence: sentence.clone() },
            findings: vec![Finding {
                found: SAMPLE_START,
                sentence,
                entry: Some(10),
                was: Some(was),
                is: Some("{}".to_owned()),
                evidence: "evidence/0011".to_owned(),
            }],
            machine: None,
            ..row()
        }
    }

    #[test]
    fn an_intact_machine_shows_release_since_seen_and_log() {
        let text = text(&[row()], SAMPLE_START.after(Duration::from_secs(60)), Path::new("/l"));
        for part in
            ["desk-1 (ababababab)", "1.2.0", "2026-11-23 09:00", "60 s ago", "intact, 12 entries"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(text.ends_with("1 machine, 1 log intact\n"), "{text}");
    }

    #[test]
    fn a_tampered_log_shows_what_was_and_what_is() {
        let text = text(&[row(), tampered()], SAMPLE_START, Path::new("/logs"));
        for part in [
            "TAMPERED: entry 10 was changed",
            "  was rolled back 1.3.0 (#3) -> 1.2.0 (#2): the probe failed",
            "  is  {}",
            "/logs/abababab",
            "/evidence/0011",
            "2 machines, 1 log intact, 1 log TAMPERED WITH\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn nothing_met_is_said_so() {
        assert_eq!(text(&[], SAMPLE_START, Path::new("/")), "No machine was met yet.\n");
    }

    #[test]
    fn json_names_the_standing_of_each_log() {
        let value: serde_json::Value =
            serde_json::from_str(&json(&[row(), tampered()], SAMPLE_START)).unwrap();
        assert_eq!(value["format"], "updraft-fleet/1");
        assert_eq!(value["machines"][0]["log"], "intact");
        assert_eq!(value["machines"][1]["log"], "tampered");
        assert_eq!(value["machines"][1]["sentence"], "entry 10 was changed");
    }
}
