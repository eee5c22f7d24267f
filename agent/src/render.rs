//! What people read: status, history, what was verified.

use std::fmt::Write;

use comfy_table::{Table, presets};
use manifest::audit::entry::Entry;
use manifest::audit::event::Event;
use manifest::time::UnixTime;

use crate::control::api::{Bytes, PaceView, Status, Verified};
use crate::control::peers::{PeersView, Way};
use crate::leave::Moves;
use crate::network::account::{Account, Named, Share};
use crate::update::state::Outcome;

/// The status in a few lines.
#[must_use]
pub(crate) fn status(status: &Status, now: UnixTime) -> String {
    let mut rows = vec![
        ("product", format!("{} ({}, {})", status.product, status.channel, status.platform)),
        (
            "installed",
            match &status.installed {
                Some(slot) => {
                    format!("{} (#{}) in {}", slot.version, slot.number, status.into.display())
                }
                None => format!("nothing yet, into {}", status.into.display()),
            },
        ),
        (
            "state",
            match (&status.under_way, status.daemon) {
                (Some(release), true) => format!("{}, for {release}", status.state),
                (Some(release), false) => format!("stopped in the midst of {release}"),
                (None, true) => status.state.clone(),
                (None, false) => "no agent runs".to_owned(),
            },
        ),
    ];
    if status.progress.objects > status.progress.objects_done {
        let progress = status.progress;
        let text = format!(
            "{} of {} objects, {} of {}",
            progress.objects_done,
            progress.objects,
            quantity(progress.bytes_done),
            quantity(progress.bytes)
        );
        rows.push(("progress", text));
    }
    rows.push(("bytes", bytes(&status.bytes)));
    if let Some(previous) = &status.previous {
        rows.push(("kept", format!("{} (#{}) to go back to", previous.version, previous.number)));
    }
    if status.daemon {
        rows.push(("peers", status.peers.to_string()));
        rows.push(("pace", pace(&status.pace)));
    }
    if let Some(why) = &status.pace.why {
        let moves = match status.pace.moves {
            Moves::All => "everything moves",
            Moves::Download => "nothing is given",
            Moves::Security => "only security releases move, slowly",
            Moves::Nothing => "nothing moves",
        };
        rows.push(("waits", format!("{moves}: {why}")));
    }
    if let Some(check) = &status.last_check {
        let mark = if check.ok { "" } else { "failed: " };
        rows.push(("last check", format!("{mark}{} ({})", check.outcome, ago(check.at, now))));
    }
    if let Some(update) = &status.last_update {
        let outcome = match update.outcome {
            Outcome::Committed => "installed",
            Outcome::RolledBack => "rolled back",
            Outcome::Failed => "failed",
        };
        let reason = update.reason.as_ref().map(|reason| format!(": {reason}"));
        let reason = reason.unwrap_or_default();
        let text = format!("{} {outcome} ({}){reason}", update.release, ago(update.at, now));
        rows.push(("last update", text));
    }
    for bad in &status.bad {
        rows.push(("bad", format!("{}: {}", bad.release, bad.reason)));
    }
    let over = status.expires.over(now);
    if !over.is_empty() {
        rows.push(("expired", format!("{}; nothing new is begun", over.join(", "))));
    }
    if let Some(why) = &status.closed_log {
        rows.push(("log", format!("{why}; nothing is installed")));
    }
    rows.push(("installation", status.installation.to_string()));
    lines(&rows)
}

/// What moves, and what may, in one line.
fn pace(pace: &PaceView) -> String {
    let limit = |limit: Option<u64>, far: Option<u64>| match (limit, far) {
        (Some(0), _) => "none allowed".to_owned(),
        (None, None) => "no limit".to_owned(),
        (Some(all), None) => format!("at most {}/s", quantity(all)),
        (None, Some(far)) => format!("at most {}/s beyond the local network", quantity(far)),
        (Some(all), Some(far)) => format!(
            "at most {}/s, of it {}/s beyond the local network",
            quantity(all),
            quantity(far.min(all))
        ),
    };
    let down = limit(pace.download_limit, pace.far_download_limit);
    let up = limit(pace.upload_limit, pace.far_upload_limit);
    let (received, sent) = (quantity(pace.received), quantity(pace.sent));
    let way = if pace.makes_way { "; makes way for others on this machine" } else { "" };
    format!("{received}/s in ({down}), {sent}/s out ({up}){way}")
}

/// Who gives and takes what, a line each.
#[must_use]
pub(crate) fn peers(view: &PeersView) -> String {
    if view.peers.is_empty() {
        return "no member was met yet\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "member",
        "way",
        "received",
        "a second",
        "sent",
        "a second",
        "organisation",
        "address",
    ]);
    for peer in &view.peers {
        let name = match (&peer.installation, peer.origin) {
            (_, true) => "vendor".to_owned(),
            (Some(installation), false) => installation.short(),
            (None, false) => "unknown".to_owned(),
        };
        let way = match peer.way {
            Way::Direct if peer.near => "local",
            Way::Direct => "direct",
            Way::Relayed => "relayed",
            Way::Absent => "not connected",
        };
        table.add_row([
            name,
            way.to_owned(),
            quantity(peer.received),
            quantity(peer.receiving),
            quantity(peer.sent),
            quantity(peer.sending),
            peer.organisation.clone().unwrap_or_default(),
            // Who it is stands in front; through whom it is reached is in the JSON.
            peer.addresses
                .first()
                .and_then(|address| address.split("/p2p/").next())
                .unwrap_or_default()
                .to_owned(),
        ]);
    }
    let all = [view.received, view.receiving, view.sent, view.sending].map(quantity);
    table.add_row(["all".to_owned(), String::new()].into_iter().chain(all));
    let text = table.to_string();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Why things are as they are, one sentence each.
#[must_use]
pub(crate) fn reasons(status: &Status, now: UnixTime) -> Vec<String> {
    let mut reasons = Vec::new();
    match &status.installed {
        Some(slot) => reasons.push(format!("{} (#{}) runs.", slot.version, slot.number)),
        None => {
            reasons.push("No release runs: none was installed yet, or the first failed.".into())
        }
    }
    if !status.daemon {
        reasons.push("No agent runs, so nothing is looked for: updraft-agent run.".into());
    }
    if let Some(release) = &status.under_way {
        reasons.push(format!("An update to {release} is under way ({}).", status.state));
    }
    match &status.last_check {
        None => reasons.push("Nobody was asked for releases yet.".into()),
        Some(check) if check.ok => reasons.push(format!("When last asked: {}.", check.outcome)),
        Some(check) => reasons.push(format!("The last look failed: {}.", check.outcome)),
    }
    if let Some(update) = status.last_update.as_ref()
        && let Some(reason) = &update.reason
    {
        reasons.push(format!("The last update, to {}, did not stay: {reason}.", update.release));
    }
    for bad in &status.bad {
        reasons.push(format!(
            "{} is not installed again by itself since {}: {}. To try it: updraft-agent update --retry.",
            bad.release, bad.since, bad.reason
        ));
    }
    if let Some(why) = &status.closed_log {
        reasons.push(format!("Nothing is installed, because {why}."));
    }
    for name in status.expires.over(now) {
        reasons.push(format!("The {name} has expired, so nothing new is begun."));
    }
    reasons
}

/// What a plan came to, a line for each way that bytes come.
#[must_use]
pub(crate) fn account(account: &Account, now: UnixTime) -> String {
    let named = |named: &Named| format!("{} (#{})", named.version, named.number);
    let from = match &account.from {
        None => "nothing".to_owned(),
        Some(from) => named(from),
    };
    let head = format!(
        "\nThe last plan made {} from {} ({}):\n",
        named(&account.release),
        from,
        ago(account.at, now)
    );
    let share = |share: &Share| format!("{}, {}", files(share.files), quantity(share.bytes));
    let mut rows = vec![("kept", format!("{}, as they stand on this disk", share(&account.kept)))];
    let mut row = |name: &'static str, is_there: bool, text: String| {
        if is_there {
            rows.push((name, text));
        }
    };
    let moved = format!("{}, from another path of the old release", share(&account.moved));
    row("moved", account.moved.files > 0, moved);
    let opened = match account.opened {
        0 => String::new(),
        count => format!(", {count} of them archives that are opened and closed again"),
    };
    let patched = &account.patched;
    let fetched = quantity(patched.fetched);
    let text = format!("{}{opened}: {fetched} to fetch", share(patched));
    row("patched", patched.files > 0, text);
    for step in &account.patches {
        let text = format!(
            "from {} to {}: {} deltas, {}",
            named(&step.from),
            named(&step.to),
            step.deltas,
            quantity(step.fetched)
        );
        row("", step.deltas > 0, text);
    }
    let text = format!("{} in pieces that this disk has", quantity(account.found));
    row("found", account.found > 0, text);
    let fetched = quantity(account.whole.fetched);
    let text = format!("{}: {fetched} to fetch", share(&account.whole));
    row("whole", account.whole.files > 0, text);
    let shown = account.damaged_paths.len() as u64;
    let more = match account.damaged - shown {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let paths = account.damaged_paths.join(", ");
    let text = format!(
        "{} changed by somebody: nothing is made from {paths}{more}",
        files(account.damaged)
    );
    row("damaged", account.damaged > 0, text);
    let text = format!(
        "{} to fetch, {} of it lists of what to do; without patches {}",
        quantity(account.fetched),
        quantity(account.manifests),
        quantity(account.without_patches)
    );
    row("in all", true, text);
    head + &lines(&rows)
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// What was compared, and what differs.
#[must_use]
pub(crate) fn verified(verified: &Verified) -> String {
    let mut text = format!(
        "{} (#{}) in {}: {} files, {}\n",
        verified.version,
        verified.number,
        verified.dir.display(),
        verified.files,
        quantity(verified.bytes)
    );
    for difference in &verified.damaged {
        let _ = writeln!(text, "differs  {}  {}", difference.path, difference.how);
    }
    for extra in &verified.extra {
        let _ = writeln!(text, "extra    {extra}");
    }
    let count = verified.damaged.len();
    let _ = match count {
        0 => writeln!(text, "every file is as it was signed"),
        _ => writeln!(text, "{count} paths differ from the signed manifest"),
    };
    text
}

/// Entries of the log, oldest first.
#[must_use]
pub(crate) fn history(entries: &[Entry]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for entry in entries {
        table.add_row(vec![
            entry.seq.to_string(),
            entry.moment.wall.to_string(),
            entry.by.to_string(),
            entry.event.kind().to_owned(),
            told(&entry.event),
        ]);
    }
    let text = table.to_string();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What an event says beside its kind, for one line.
fn told(event: &Event) -> String {
    let from = |from: &Option<manifest::audit::event::ReleaseRef>| {
        from.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
    };
    match event {
        Event::Joined { product, channel, organisation, .. } => {
            format!("{product} {channel}, by {organisation}")
        }
        Event::Started { agent, release, .. } => {
            format!("agent {agent}, {} installed", from(release))
        }
        Event::Stopped { reason } => reason.to_string(),
        Event::Renewed { expires, .. } => format!("until {expires}"),
        Event::Refreshed { metadata, offered, .. } => {
            format!("timestamp {}, offered {}", metadata.timestamp, from(offered))
        }
        Event::Refused { what, reason, .. } => format!("{what}: {reason}"),
        Event::Deferred { to, reason, .. } => format!("{to}: {reason}"),
        Event::Began { from: old, to, wire_bytes, .. } => {
            format!("{} to {to}, {} to fetch", from(old), quantity(*wire_bytes))
        }
        Event::Staged { to, traffic, .. } => format!("{to}, {}", bytes(&traffic.into())),
        Event::Switching { from: old, to, reason, .. } => {
            format!("{} to {to}: {reason}", from(old))
        }
        Event::Committed { to, verdict, .. } => format!("{to}: {verdict}"),
        Event::RolledBack { from: old, to, reason, .. } => {
            format!("{old} to {}: {reason}", from(to))
        }
        Event::Failed { to, during, reason } => format!("{to}, {during}: {reason}"),
        Event::Recovered { found, release } => format!("{found}, {} installed", from(release)),
        Event::Expired { what } => format!("{what}; nothing new is begun"),
        Event::Checked { release, damaged } => format!("{release}: {damaged} damaged"),
        Event::Restored { here, later } => format!("at {}, once at {}", here.size, later.size),
        Event::Other(_) => String::new(),
    }
}

fn bytes(bytes: &Bytes) -> String {
    let Bytes { origin, peers, mirror, disk } = *bytes;
    let [origin, peers, mirror, disk] = [origin, peers, mirror, disk].map(quantity);
    format!("{origin} from the origin, {peers} from peers, {mirror} from mirrors, {disk} from disk")
}

/// Bytes for people.
fn quantity(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

fn ago(then: UnixTime, now: UnixTime) -> String {
    let seconds = now.since(then).as_secs();
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn lines(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, text)| format!("{name:width$}  {text}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_960, "1.0 MB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(quantity(bytes), text);
        }
    }
}
