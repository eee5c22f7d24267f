//! Results as people like to read them.

use std::io::Write;
use std::path::Path;

use manifest::admission::workgroup::WorkgroupId;
use manifest::time::UnixTime;
use serde_json::{Value, json};

use crate::diff::Difference;
use crate::init;
use crate::release::Released;
use crate::report::{ahead, bytes, count, share, took};
use crate::seed::driver::Told;
use crate::status::{Lifetime, Status};
use crate::ticket::Written;

pub(crate) fn init(options: &init::Options, workgroup: &WorkgroupId) {
    println!("{} is ready to publish {}.", options.name, options.product);
    println!("  home         {}", options.dir.display());
    println!("  fingerprint  {workgroup}");
    println!();
    println!("Its keys/ are secret: keep a copy of root.pem and workgroup.pem in a safe place.");
    println!("Next: updraft-publisher release DIR --version 1.0");
}

pub(crate) fn released(released: &Released) {
    let record = &released.record;
    let title = format!("{} for {} is on {}", record.version, record.platform, record.channel);
    let Some(made) = &released.made else {
        println!("{title}: an interrupted run was finished.");
        return;
    };
    println!("{title}, as release {}.", record.number);
    println!(
        "  {}, {} in {} ({} new)",
        count(record.files, "file"),
        bytes(record.bytes),
        count(made.pieces as u64, "piece"),
        made.new_pieces
    );
    println!("  first install  {:>10}", bytes(made.full_bytes));
    for patch in &made.patches {
        let update = made.metadata_bytes + patch.manifest_bytes + patch.delta_bytes;
        println!(
            "  from {:10}{:>10}  {:>7}   deltas {}, manifests {}, metadata {}; {}",
            patch.from.to_string(),
            bytes(update),
            share(update, made.full_bytes),
            bytes(patch.delta_bytes),
            bytes(patch.manifest_bytes),
            bytes(made.metadata_bytes),
            fates(&[
                (patch.tally.changed, "changed"),
                (patch.tally.new, "new"),
                (patch.tally.moved, "moved"),
                (patch.tally.deleted, "deleted"),
            ]),
        );
    }
    println!("  signed and published in {}", took(made.wall));
}

fn fates(fates: &[(usize, &str)]) -> String {
    let told = fates.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, fate)| format!("{count} {fate}")).collect();
    if told.is_empty() { "nothing changed".to_owned() } else { told.join(", ") }
}

pub(crate) fn released_json(released: &Released) -> Value {
    let record = &released.record;
    let mut value = json!({
        "version": record.version,
        "number": record.number,
        "channel": record.channel,
        "platform": record.platform,
        "manifest": record.manifest,
        "files": record.files,
        "tree_bytes": record.bytes,
    });
    if let Some(made) = &released.made {
        value["pieces"] = json!(made.pieces);
        value["new_pieces"] = json!(made.new_pieces);
        value["full_bytes"] = json!(made.full_bytes);
        value["metadata_bytes"] = json!(made.metadata_bytes);
        value["seconds"] = json!(made.wall.as_secs_f64());
        let patches = made.patches.iter().map(|patch| {
            json!({
                "from": patch.from,
                "base": patch.base,
                "manifest_bytes": patch.manifest_bytes,
                "delta_bytes": patch.delta_bytes,
                "deltas": patch.delta_count,
                "encode_cpu_seconds": patch.cost.cpu.as_secs_f64(),
            })
        });
        value["patches"] = patches.collect();
    }
    value
}

pub(crate) fn difference(diff: &Difference, old: &Path, new: &Path) {
    println!("{} → {}", old.display(), new.display());
    println!(
        "  {}: {}",
        count(diff.files, "file"),
        fates(&[
            (diff.changed, "changed"),
            (diff.new, "new"),
            (diff.moved, "moved"),
            (diff.deleted, "deleted"),
        ])
    );
    let row = |what: &str, size: u64, more: &str| {
        println!("  {what:15}{:>12}  {more}", bytes(size));
    };
    row("metadata", diff.metadata_bytes, "");
    row("manifests", diff.manifest_bytes, "");
    row("deltas", diff.delta_bytes, &count(diff.deltas as u64, "object"));
    row("update", diff.update_bytes, &format!("{} of", share(diff.update_bytes, diff.full_bytes)));
    row("first install", diff.full_bytes, &format!("{} unpacked", bytes(diff.tree_bytes)));
    let cost = |what: &str, cpu: f64, seconds: f64, peak: Option<u64>| {
        let peak = peak.map_or_else(String::new, |peak| format!(", {} of memory", bytes(peak)));
        println!("  {what:15}{seconds:>10.2} s  {cpu:.2} s of processor{peak}");
    };
    cost("made in", diff.encode_cpu_seconds, diff.encode_seconds, diff.encode_peak_bytes);
    cost("applied in", diff.apply_cpu_seconds, diff.apply_seconds, diff.apply_peak_bytes);
    if diff.verified {
        println!("  what was rebuilt equals {} in every byte and mode", new.display());
    }
}

pub(crate) fn ticket(written: &Written, file: Option<&Path>, auditors: bool) {
    let Some(file) = file else { return };
    let ticket = &written.ticket;
    println!(
        "{} admits {} until {}.",
        file.display(),
        whom(written, auditors),
        written.issuer.expires
    );
    println!("  fingerprint  {}", written.workgroup);
    for address in ticket.addresses.iter().chain(&ticket.mirrors) {
        println!("  leads to     {address}");
    }
    if ticket.addresses.is_empty() && ticket.mirrors.is_empty() {
        println!(
            "  leads to     nobody but its own network: start seed first, or give an --address"
        );
    }
    println!();
    if auditors {
        println!("It carries a private key: whoever has it can ask machines for their logs.");
    } else {
        println!("It carries a private key: whoever has it is a member. Shipped with a product it");
        println!("is public by nature: it keeps strangers out, not owners. A ticket is as");
        println!("trustworthy as the way it came; tell the fingerprint by another.");
    }
}

/// One line each, for people and programs: whoever started a seeder reads
/// where it is from here.
pub(crate) fn seed(told: Told) {
    let line = match told {
        Told::Listening(address) => format!("listening {address}"),
        Told::Mirror(url) => format!("mirror {url}"),
        Told::Offering { timestamp, objects } => {
            format!("offering timestamp {timestamp}, {}", count(objects as u64, "object"))
        }
        Told::Renewed(roles) => format!("signed anew {}", roles.join(" ")),
    };
    // Whoever started the seeder may have read enough and closed the pipe.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn whom(written: &Written, auditors: bool) -> String {
    let organisation = &written.issuer.organisation;
    let product = &written.ticket.product;
    if auditors {
        format!("auditors of {organisation} to the workgroup of {product}")
    } else {
        format!("machines of {organisation} to the workgroup of {product}")
    }
}

pub(crate) fn status(status: &Status, now: UnixTime) {
    println!("{}: {}, {}", status.vendor, status.product, count(status.releases as u64, "release"));
    println!("  fingerprint  {}", status.workgroup);
    if status.interrupted {
        println!("  an interrupted publication will be finished by the next command that signs");
    }
    println!();
    if status.newest.is_empty() {
        println!("Nothing released yet.");
    }
    for record in &status.newest {
        println!(
            "  {:10} {:16} {:12} release {:<4} {}  {}",
            record.channel.to_string(),
            record.platform.to_string(),
            record.version.to_string(),
            record.number.to_string(),
            record.released,
            bytes(record.bytes),
        );
    }
    println!();
    for file in &status.metadata {
        println!("  {:22} {}  {}", file.role, file.expires, state(file, now));
    }
    println!();
    for key in &status.keys {
        let shown = key.public.map(|key| key.to_string());
        let shown = shown.or_else(|| key.problem.clone()).unwrap_or_default();
        println!("  {:22} {shown}", key.name);
    }
}

fn state(file: &Lifetime, now: UnixTime) -> String {
    let left = ahead(file.expires.since(now));
    match (file.expired, file.due, file.key_here) {
        (true, _, true) => "expired: run updraft-publisher renew".to_owned(),
        (true, _, false) => "expired, and its key is not here".to_owned(),
        (false, true, true) => format!("{left} left: run updraft-publisher renew"),
        (false, true, false) => format!("{left} left, and its key is not here"),
        (false, false, _) => format!("{left} left"),
    }
}
