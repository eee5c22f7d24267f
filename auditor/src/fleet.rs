//! The fleet at a glance: one row for each installation.
//!
//! Everything is read from what was kept: what a machine runs is what its log
//! says, up to the last entry that was found good.

use std::collections::BTreeMap;
use std::time::Duration;

use manifest::audit::entry::Entry;
use manifest::audit::event::{Event, ReleaseRef};
use manifest::name::{ChannelName, Platform, ReleaseNumber};
use manifest::time::UnixTime;
use serde::Serialize;

use crate::record::{Finding, Record, Standing};

/// One installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The installation's id.
    pub installation: String,
    /// The machine's own name, once its log told it.
    pub machine: Option<String>,
    /// Whose it is.
    pub organisation: String,
    /// What it has installed.
    pub product: String,
    /// The line of releases it follows.
    pub channel: Option<ChannelName>,
    /// What it runs on.
    pub platform: Option<Platform>,
    /// The release that runs.
    pub release: Option<ReleaseRef>,
    /// Since when.
    pub since: Option<UnixTime>,
    /// How it came to run, in words.
    pub state: String,
    /// When the machine was last connected.
    pub last_seen: UnixTime,
    /// When its log was last read.
    pub last_read: Option<UnixTime>,
    /// Entries kept, all of them good.
    pub entries: usize,
    /// Bytes that its updates took over the network, and that they did not
    /// need to: from other machines, and from its own disk.
    pub bytes: Bytes,
    /// What is thought of its log.
    #[serde(flatten)]
    pub standing: Standing,
    /// Everything ever found wrong with it.
    pub findings: Vec<Finding>,
    /// Not seen for longer than it should be.
    pub silent: bool,
    /// An older release than another machine of its channel has.
    pub stale: bool,
}

/// Bytes of all updates of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Bytes {
    /// From the vendor's seeders and mirrors.
    pub origin: u64,
    /// From other installations.
    pub peers: u64,
    /// Already on its disk.
    pub disk: u64,
}

/// What a log says of a machine's present.
#[derive(Debug, Default)]
struct Present {
    machine: Option<String>,
    channel: Option<ChannelName>,
    platform: Option<Platform>,
    release: Option<ReleaseRef>,
    since: Option<UnixTime>,
    state: String,
    bytes: Bytes,
}

/// The fleet as of `now`; machines not seen for `silent_after` are silent.
#[must_use]
pub fn fleet<'a>(
    installations: impl IntoIterator<Item = (&'a Record, &'a [Entry])>,
    now: UnixTime,
    silent_after: Duration,
) -> Vec<Row> {
    let mut rows: Vec<Row> = installations
        .into_iter()
        .map(|(record, entries)| row(record, entries, now, silent_after))
        .collect();
    mark_stale(&mut rows);
    rows.sort_by(|a, b| (&a.machine, &a.installation).cmp(&(&b.machine, &b.installation)));
    rows
}

fn row(record: &Record, entries: &[Entry], now: UnixTime, silent_after: Duration) -> Row {
    let present = Present::of(entries);
    Row {
        installation: record.installation.to_string(),
        machine: present.machine,
        organisation: record.organisation.clone(),
        product: record.product.to_string(),
        channel: present.channel,
        platform: present.platform,
        release: present.release,
        since: present.since,
        state: present.state,
        last_seen: record.last_seen,
        last_read: record.last_read,
        entries: entries.len(),
        bytes: present.bytes,
        standing: record.standing.clone(),
        findings: record.findings.clone(),
        silent: now.since(record.last_seen) > silent_after,
        stale: false,
    }
}

/// Marks who runs an older release than the newest that anybody of the same
/// product, channel and platform committed.
fn mark_stale(rows: &mut [Row]) {
    let line = |row: &Row| (row.product.clone(), row.channel.clone(), row.platform.clone());
    let mut newest: BTreeMap<_, ReleaseNumber> = BTreeMap::new();
    for row in rows.iter() {
        if let Some(release) = &row.release {
            let number = newest.entry(line(row)).or_default();
            *number = (*number).max(release.number);
        }
    }
    for row in rows {
        let newest = newest.get(&line(row)).copied();
        row.stale = row.release.as_ref().map(|release| release.number) < newest;
    }
}

impl Present {
    fn of(entries: &[Entry]) -> Self {
        let mut present = Self::default();
        for entry in entries {
            present.take(entry);
        }
        if present.state.is_empty() {
            present.state = "nothing installed".to_owned();
        }
        present
    }

    /// Notes that `release` runs, since this entry if another one did before.
    fn runs(&mut self, release: Option<&ReleaseRef>, entry: &Entry) {
        if self.release.as_ref() != release {
            self.release = release.cloned();
            self.since = Some(entry.moment.wall);
        }
    }

    fn take(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Joined { channel, platform, host, .. } => {
                self.machine = Some(host.to_string());
                self.channel = Some(channel.clone());
                self.platform = Some(platform.clone());
                self.state = "joined".to_owned();
            }
            Event::Started { host, release, .. } => {
                self.machine = Some(host.to_string());
                self.runs(release.as_ref(), entry);
            }
            Event::Began { to, .. } => self.state = format!("fetching {to}"),
            Event::Staged { to, traffic, .. } => {
                self.state = format!("staged {to}");
                let bytes = &mut self.bytes;
                bytes.origin = bytes.origin.saturating_add(traffic.origin);
                bytes.origin = bytes.origin.saturating_add(traffic.mirror);
                bytes.peers = bytes.peers.saturating_add(traffic.peers);
                bytes.disk = bytes.disk.saturating_add(traffic.disk);
            }
            Event::Switching { to, .. } => self.state = format!("switching to {to}"),
            Event::Committed { to, .. } => {
                self.runs(Some(to), entry);
                self.state = "committed".to_owned();
            }
            Event::RolledBack { from, to, reason, .. } => {
                self.runs(to.as_ref(), entry);
                self.state = format!("rolled back from {from}: {reason}");
            }
            Event::Recovered { release, .. } => {
                self.runs(release.as_ref(), entry);
                self.state = "recovered".to_owned();
            }
            Event::Failed { to, during, reason } => {
                self.state = format!("{to} failed while {during}: {reason}");
            }
            Event::Checked { damaged, .. } if *damaged > 0 => {
                self.state = format!("{damaged} files differ from the release");
            }
            Event::Expired { what } => self.state = format!("{what} expired"),
            // A release that waits does not change what is said of this one:
            // a failed one stays failed.
            Event::Deferred { .. }
            | Event::Checked { .. }
            | Event::Stopped { .. }
            | Event::Renewed { .. }
            | Event::Refreshed { .. }
            | Event::Refused { .. }
            | Event::Restored { .. }
            | Event::Other(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use manifest::admission::credential::Role;
    use manifest::admission::installation::InstallationId;
    use manifest::audit::testing::{SAMPLE_START, SampleLog, release, story};
    use manifest::audit::verify::verify;
    use manifest::testing::TestWorkgroup;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn record(who: u64) -> Record {
        let group = TestWorkgroup::new(1);
        let chain = group.credential(who, Role::Member, SAMPLE_START);
        let key = TestWorkgroup::peer_key(who).public();
        Record::new(&chain.verify(&group.trust, &key, SAMPLE_START).unwrap(), SAMPLE_START)
    }

    fn entries(who: u64, events: &[Event]) -> Vec<Entry> {
        let mut log = SampleLog::new(TestWorkgroup::log_key(who));
        for event in events {
            log.append(event.clone());
        }
        let key = log.log_key.public();
        verify(&log.lines, &log.checkpoint(), &key).unwrap().entries().to_vec()
    }

    fn minute(count: u64) -> UnixTime {
        SAMPLE_START.after(Duration::from_secs(60 * count))
    }

    #[test]
    fn a_row_says_what_runs_since_when_and_how_it_came_so() {
        let (record, entries) = (record(1), entries(1, &story()));
        let rows = fleet([(&record, &entries[..])], SAMPLE_START, DAY);
        let row = &rows[0];
        assert_eq!(row.installation, InstallationId::of(&record.log_key).to_string());
        assert_eq!(row.machine.as_deref(), Some("desk-1"));
        // Entry 8 committed release 2; the attempt with 3 came back to it.
        assert_eq!(row.release, Some(release(2)));
        assert_eq!(row.since, Some(minute(8)));
        assert_eq!(row.state, "rolled back from 1.3.0 (#3): the probe failed");
        assert_eq!(row.bytes, Bytes { origin: 1030, peers: 2000, disk: 400_000 });
        assert!(!row.silent && !row.stale);
    }

    #[test]
    fn what_is_being_done_shows() {
        let record = record(1);
        for (count, state) in [
            (0, "nothing installed"),
            (1, "joined"),
            (3, "switching to 1.1.0 (#1)"),
            (4, "committed"),
            (6, "fetching 1.2.0 (#2)"),
            (7, "staged 1.2.0 (#2)"),
        ] {
            let entries = entries(1, &story()[..count]);
            assert_eq!(fleet([(&record, &entries[..])], SAMPLE_START, DAY)[0].state, state);
        }
    }

    #[test]
    fn a_machine_not_seen_for_long_is_silent() {
        let record = record(1);
        let at = |now: UnixTime| fleet([(&record, &[][..])], now, DAY)[0].silent;
        assert!(!at(SAMPLE_START.after(DAY)));
        assert!(at(SAMPLE_START.after(DAY + Duration::from_secs(1))));
    }

    #[test]
    fn a_machine_behind_the_others_of_its_channel_is_stale() {
        let (ahead, behind, empty) = (record(1), record(2), record(3));
        let ahead_entries = entries(1, &story());
        let behind_entries = entries(2, &story()[..4]);
        let empty_entries = entries(3, &story()[..1]);
        let rows = fleet(
            [
                (&ahead, &ahead_entries[..]),
                (&behind, &behind_entries[..]),
                (&empty, &empty_entries[..]),
            ],
            SAMPLE_START,
            DAY,
        );
        let stale = |record: &Record| {
            let id = record.installation.to_string();
            rows.iter().find(|row| row.installation == id).unwrap().stale
        };
        assert!(!stale(&ahead) && stale(&behind) && stale(&empty));
    }

    #[test]
    fn the_same_logs_in_another_order_give_the_same_fleet() {
        let (one, two) = (record(1), record(2));
        let (log_one, log_two) = (entries(1, &story()), entries(2, &story()));
        let a = fleet([(&one, &log_one[..]), (&two, &log_two[..])], SAMPLE_START, DAY);
        let b = fleet([(&two, &log_two[..]), (&one, &log_one[..])], SAMPLE_START, DAY);
        assert_eq!(a, b);
    }
}
