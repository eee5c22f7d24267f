//! Staging, switching and inspecting, with every step cut once.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use delta::read_at::ReadAt;

use crate::installed::{Difference, Installed};
use crate::slots::{SWITCH_STEPS, SlotError, SlotName, Slots};
use crate::stage::{self, StageError};
use crate::steps::Steps;
use crate::testing::TestRelease;

/// Stages `release` from its pieces and, where `base` has the file, copies.
fn install(
    slots: &Slots,
    release: &TestRelease,
    base: Option<&Installed>,
) -> Result<(SlotName, Installed), StageError> {
    let about = release.manifest.about();
    let slot = slots.free_name(&about.version, about.number);
    let staging = slots.stage(&slot, Arc::clone(&release.manifest))?;
    for (piece, bytes) in release.manifest.pieces().iter().zip(&release.pieces) {
        staging.write_shape(&piece.shape, bytes)?;
    }
    if let Some(base) = base {
        let rows = release.manifest.tree().entries().iter().enumerate();
        for (row, entry) in rows.filter(|(_, entry)| entry.path.as_str() == "data/same") {
            let old = base.manifest().tree().entries();
            let from = old.iter().position(|old| old.path == entry.path).unwrap();
            staging.copy(row as u32, base, from as u32)?;
        }
    }
    Ok((slot, staging.finish()?))
}

fn is_whole(slots: &Slots, release: &TestRelease) -> bool {
    let slot = slots.current().unwrap().expect("there is a current release");
    let installed = slots.installed(&slot, Arc::clone(&release.manifest)).unwrap();
    let report = installed.inspect();
    report.is_intact() && report.extra.is_empty()
}

fn open(dir: &Path) -> Slots {
    Slots::open(dir, Steps::free()).unwrap()
}

#[test]
fn a_staged_release_is_the_manifest_byte_for_byte_and_mode_for_mode() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path());
    let one = TestRelease::sample(1);
    let (slot, installed) = install(&slots, &one, None).unwrap();
    assert_eq!(slot.to_string(), "1.0");
    slots.switch(&slot).unwrap();
    assert!(is_whole(&slots, &one));
    let two = TestRelease::sample(2);
    let (slot, new) = install(&slots, &two, Some(&installed)).unwrap();
    slots.switch(&slot).unwrap();
    assert!(is_whole(&slots, &two));
    assert_eq!(fs::read_link(dir.path().join("current")).unwrap(), Path::new("versions/2.0"));
    let mode = |path| fs::metadata(new.dir().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("bin/tool"), mode("data"), mode("data/small")), (0o755, 0o555, 0o600));
    let inode = |dir: &Path| fs::metadata(dir.join("data/same")).unwrap().ino();
    assert_ne!(inode(installed.dir()), inode(new.dir()), "a hard link would share damage");
}

#[test]
fn cut_at_any_step_the_current_release_is_wholly_old_or_wholly_new() {
    let (one, two) = (TestRelease::sample(1), TestRelease::sample(2));
    for cut in stage::STEPS.into_iter().chain(SWITCH_STEPS) {
        let dir = tempfile::tempdir().unwrap();
        let (slot, _) = install(&open(dir.path()), &one, None).unwrap();
        open(dir.path()).switch(&slot).unwrap();

        let doomed = Slots::open(dir.path(), Steps::until(cut)).unwrap();
        let failed = match install(&doomed, &two, None) {
            Err(_) => true,
            Ok((slot, _)) => doomed.switch(&slot).is_err(),
        };
        assert!(failed, "{cut}");

        let slots = open(dir.path());
        let current = slots.current().unwrap().unwrap().to_string();
        let is_new = cut == SWITCH_STEPS[2];
        assert_eq!(current, if is_new { "2.0" } else { "1.0" }, "{cut}");
        assert!(is_whole(&slots, if is_new { &two } else { &one }), "{cut}");
        // Whatever is called a slot was staged completely.
        for slot in slots.list().unwrap() {
            let release = if slot.to_string() == "1.0" { &one } else { &two };
            let installed = slots.installed(&slot, Arc::clone(&release.manifest)).unwrap();
            assert!(installed.inspect().is_intact(), "{cut}");
        }
        let names = fs::read_dir(dir.path().join("versions")).unwrap();
        let hidden =
            names.filter(|n| n.as_ref().unwrap().file_name().as_encoded_bytes()[0] == b'.');
        assert_eq!(hidden.count(), 0, "{cut}: leftovers are removed");
        // And the next attempt carries on.
        let again: SlotName = "2.0".parse().unwrap();
        if !slots.exists(&again) {
            install(&slots, &two, None).unwrap();
        }
        slots.switch(&again).unwrap();
        assert!(is_whole(&slots, &two), "{cut}");
    }
}

#[test]
fn bytes_are_synced_before_the_slot_has_its_name_and_before_the_switch() {
    let dir = tempfile::tempdir().unwrap();
    let (steps, taken) = Steps::recorded();
    let slots = Slots::open(dir.path(), steps).unwrap();
    let (slot, _) = install(&slots, &TestRelease::sample(1), None).unwrap();
    slots.switch(&slot).unwrap();
    let expected: Vec<_> = stage::STEPS.into_iter().chain(SWITCH_STEPS).collect();
    assert_eq!(taken(), expected);
}

#[test]
fn a_tampered_piece_never_becomes_a_slot() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path());
    let mut release = TestRelease::sample(1);
    release.pieces[0][0] ^= 1;
    let refused = install(&slots, &release, None);
    assert!(matches!(refused, Err(StageError::Differs { .. })));
    assert!(slots.list().unwrap().is_empty());
}

#[test]
fn a_symlink_planted_while_staging_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let slots = open(dir.path());
    let release = TestRelease::sample(1);
    let slot: SlotName = "1.0".parse().unwrap();
    let staging = slots.stage(&slot, Arc::clone(&release.manifest)).unwrap();
    let half = dir.path().join("versions/.staging-1.0");
    fs::remove_file(half.join("bin/tool")).unwrap();
    fs::remove_dir(half.join("bin")).unwrap();
    fs::write(outside.path().join("tool"), "precious").unwrap();
    symlink(outside.path(), half.join("bin")).unwrap();
    let row = release.manifest.tree().entries().iter().position(|e| e.path.as_str() == "bin/tool");
    assert!(staging.write(row.unwrap() as u32, 0, b"evil").is_err());
    assert!(staging.finish().is_err());
    assert_eq!(fs::read(outside.path().join("tool")).unwrap(), b"precious");
}

#[test]
fn bytes_beyond_a_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path());
    let release = TestRelease::sample(1);
    let staging = slots.stage(&"x".parse().unwrap(), Arc::clone(&release.manifest)).unwrap();
    for (row, offset) in [(0, 1 << 60), (0, u64::MAX), (1, 0), (99, 0), (u32::MAX, 0)] {
        assert!(staging.write(row, offset, b"x").is_err(), "row {row} at {offset}");
    }
}

#[test]
fn an_inspection_names_each_difference_and_what_stands_there_besides() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path());
    let release = TestRelease::sample(1);
    let (_, installed) = install(&slots, &release, None).unwrap();
    let at = |path: &str| installed.dir().join(path);
    fs::write(at("README"), "hello, release 9\n").unwrap();
    fs::remove_file(at("latest")).unwrap();
    symlink("/etc/passwd", at("latest")).unwrap();
    fs::set_permissions(at("bin/tool"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(at("data"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(at("data/small")).unwrap();
    fs::write(at("data/notes"), "mine").unwrap();
    fs::write(at("empty"), "not any more").unwrap();
    let report = installed.inspect();
    let found: Vec<_> = report.damaged.iter().map(|d| (d.path.as_str(), &d.how)).collect();
    assert!(matches!(found[0], ("README", Difference::Content { .. })));
    let mode = |expected, found| Difference::Mode { expected, found };
    assert_eq!(found[1], ("bin/tool", &mode(0o755, 0o700)));
    assert_eq!(found[2], ("data", &mode(0o555, 0o755)));
    assert_eq!(found[3], ("data/small", &Difference::Missing));
    assert_eq!(found[4], ("empty", &Difference::Size { expected: 0, found: 12 }));
    assert!(matches!(found[5], ("latest", Difference::Target { .. })));
    assert_eq!(found.len(), 6);
    assert_eq!(report.extra, ["data/notes"]);
    assert!(!report.unusable_rows().contains(&report.damaged[1].row));
}

#[test]
fn a_piece_is_served_only_when_it_hashes_to_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let release = TestRelease::sample(1);
    let (_, installed) = install(&open(dir.path()), &release, None).unwrap();
    for (piece, bytes) in release.manifest.pieces().iter().zip(&release.pieces) {
        assert_eq!(installed.piece(piece.id, &piece.shape).unwrap(), *bytes);
    }
    let tool = installed.dir().join("bin/tool");
    let mut bytes = fs::read(&tool).unwrap();
    bytes[1_500_000] ^= 1;
    fs::write(&tool, bytes).unwrap();
    let refused = release
        .manifest
        .pieces()
        .iter()
        .filter(|piece| installed.piece(piece.id, &piece.shape).is_err());
    assert_eq!(refused.count(), 1, "one edit withdraws one piece");
}

#[test]
fn joined_files_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let release = TestRelease::sample(1);
    let (_, installed) = install(&open(dir.path()), &release, None).unwrap();
    let row = |path: &str| {
        let entries = release.manifest.tree().entries();
        entries.iter().position(|entry| entry.path.as_str() == path).unwrap() as u32
    };
    let rows = [row("README"), row("empty"), row("data/small")];
    let joined = installed.joined(&rows).unwrap();
    let expected = [release.file("README"), release.file("data/small")].concat();
    assert_eq!(joined.len(), expected.len() as u64);
    for (from, to) in [(0, 10), (10, 30), (0, expected.len()), (20, 20), (4000, 5017)] {
        let mut out = vec![0; to - from];
        joined.read_at(from as u64, &mut out).unwrap();
        assert_eq!(out, expected[from..to]);
    }
    assert!(joined.read_at(expected.len() as u64, &mut [0]).is_err());
    assert!(joined.read_at(u64::MAX, &mut [0]).is_err());
    assert!(installed.joined(&[row("bin")]).is_none());
    assert!(installed.joined(&[99]).is_none());
}

#[test]
fn what_stands_in_the_way_of_current_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("current")).unwrap();
    let refused = Slots::open(dir.path(), Steps::free()).unwrap_err();
    assert!(matches!(refused, SlotError::InTheWay { .. }));
    fs::remove_dir(dir.path().join("current")).unwrap();
    symlink("/opt/other", dir.path().join("current")).unwrap();
    let refused = Slots::open(dir.path(), Steps::free()).unwrap_err().to_string();
    assert!(refused.contains("/opt/other"), "{refused}");
}

#[test]
fn slot_names_are_plain_and_never_meet() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path());
    let name = |version: &str, number| {
        let number = manifest::name::ReleaseNumber(number);
        slots.free_name(&version.parse().unwrap(), number).to_string()
    };
    assert_eq!(name("1.0", 3), "1.0");
    assert_eq!(name("4:7.4+deb~1", 9), "4_7.4+deb~1@9");
    fs::create_dir(dir.path().join("versions/1.0")).unwrap();
    assert_eq!(name("1.0", 3), "1.0@3");
    fs::create_dir(dir.path().join("versions/1.0@3")).unwrap();
    assert_eq!(name("1.0", 3), "1.0@3.2");
    for bad in ["", ".", "..", "a/b", ".staging-1.0", &"x".repeat(201)] {
        assert!(bad.parse::<SlotName>().is_err(), "{bad:?}");
    }
}

#[test]
fn the_running_release_is_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path());
    let (one, _) = install(&slots, &TestRelease::sample(1), None).unwrap();
    let (two, _) = install(&slots, &TestRelease::sample(2), None).unwrap();
    slots.switch(&two).unwrap();
    assert!(matches!(slots.remove(&two), Err(SlotError::Running { .. })));
    slots.remove(&one).unwrap();
    slots.remove(&one).unwrap();
    assert_eq!(slots.list().unwrap(), [two]);
}

#[test]
fn without_a_current_release_nothing_runs_and_the_slots_stay() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path());
    let (one, _) = install(&slots, &TestRelease::sample(1), None).unwrap();
    slots.switch(&one).unwrap();
    slots.clear().unwrap();
    slots.clear().unwrap();
    assert_eq!((slots.current().unwrap(), slots.list().unwrap()), (None, vec![one]));
}
