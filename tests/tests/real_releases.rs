//! Real releases of real software go from the vendor to five machines, with
//! the vendor killed on the way, and arrive equal.
//!
//! The pairs are fetched by `bench/delta/fetch.sh` into the build's own
//! folder. Where a registry cannot be reached a test says SKIPPED, or fails
//! where `CI=true`. One pair at a time: each takes both cores of a small
//! machine.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Held by the test that is at work.
static STAGE: Mutex<()> = Mutex::new(());

/// Two consecutive releases, and the sole right to work with them.
struct Pair {
    old: String,
    new: String,
    _alone: MutexGuard<'static, ()>,
}

/// Fetches a pair, or says why it is not to be had.
fn pair(name: &str) -> Option<Pair> {
    let alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let pairs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pairs");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/delta/fetch.sh");
    let output = Command::new("bash").arg(script).arg(&pairs).arg(name).output();
    let why = match output {
        Ok(output) if output.status.success() => {
            let side = |side: &str| text(&pairs.join(name).join(side));
            return Some(Pair { old: side("old"), new: side("new"), _alone: alone });
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let why = format!("{name} cannot be fetched (this takes npm, pip and their registries): {why}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
    None
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn updraft(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_updraft-demo"))
        .args(args)
        .output()
        .expect("the programs are built");
    let said = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {told}\n{said}");
    told
}

impl Pair {
    /// What `diff --verify` says, having compared every byte and mode.
    fn diff(&self) -> Value {
        let told = updraft(&["publisher", "diff", &self.old, &self.new, "--json", "--verify"]);
        let report: Value = serde_json::from_str(&told).expect("--json prints JSON");
        assert_eq!(report["verified"], true, "{report}");
        report
    }

    /// Sends both releases to five machines, the second without its vendor,
    /// and has a third one rolled back.
    fn spread(&self) {
        let folder = tempfile::tempdir().unwrap();
        let stage = folder.path().join("stage");
        let told = updraft(&[&self.old, &self.new, "--keep", &text(&stage)]);
        assert!(told.contains("no machine had finished"), "{told}");
        // Once after each release, and after the rollback.
        assert_eq!(told.matches("byte for byte, mode for mode").count(), 3, "{told}");
    }
}

fn bytes(report: &Value, class: &str) -> u64 {
    report[class].as_u64().unwrap_or_else(|| panic!("{class} is missing in {report}"))
}

#[test]
fn esbuild_reaches_five_machines_without_its_vendor() {
    let Some(pair) = pair("esbuild-patch") else { return };
    let report = pair.diff();
    assert!(bytes(&report, "delta_bytes") * 5 < bytes(&report, "full_bytes"), "{report}");
    pair.spread();
}

#[test]
fn typescript_reaches_five_machines_without_its_vendor() {
    let Some(pair) = pair("typescript-patch") else { return };
    let report = pair.diff();
    let all = ["delta_bytes", "manifest_bytes", "metadata_bytes"];
    let all: u64 = all.iter().map(|class| bytes(&report, class)).sum();
    assert!(all < 12_000, "{report}");
    pair.spread();
}

#[test]
fn django_reaches_five_machines_without_its_vendor() {
    let Some(pair) = pair("django-patch") else { return };
    let report = pair.diff();
    assert!(bytes(&report, "manifest_bytes") < 10_000, "the list is not carried whole: {report}");
    pair.spread();
}

#[test]
fn botocore_reaches_five_machines_though_all_its_archives_changed() {
    let Some(pair) = pair("botocore-patch") else { return };
    let report = pair.diff();
    // 945 gzip files differ, 29 of them in more than their headers.
    assert!(bytes(&report, "delta_bytes") < 130_000, "{report}");
    pair.spread();
}
