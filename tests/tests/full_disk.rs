//! A disk that is full, or becomes full: told, nothing lost, and gone on with
//! once there is room.
//!
//! The disk is a tmpfs that the test mounts. Where that is not allowed a test
//! says SKIPPED, or fails where `CI=true`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, Told};

/// A small disk; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, limits: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", limits, "updraft-test"])
            .arg(at)
            .output()
            .expect("mount is there");
        if output.status.success() {
            return Some(Self(at.to_owned()));
        }
        let why = String::from_utf8_lossy(&output.stderr);
        let why = format!("a disk cannot be mounted, which takes root: {why}");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("SKIPPED: {why}");
        None
    }

    fn change(&self, limits: &str) {
        let options = format!("remount,{limits}");
        let changed = Command::new("mount").args(["-o", &options]).arg(&self.0).status();
        assert!(changed.expect("mount is there").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the test that failed may still have a process in there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A machine whose installation is on a disk with these limits, and a vendor
/// that has published 1.0 of the sample.
fn scene(limits: &str) -> Option<(Scene, Disk)> {
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    scene.release(1, Health::Good);
    let disk = Disk::mount(&scene.cast.machines[0].into, limits)?;
    scene.join(&scene.ticket()).well();
    Some((scene, disk))
}

fn update(scene: &Scene) -> Told {
    let mirror = format!("file://{}", scene.cast.vendor.join("repository").display());
    scene.agent(&["run", "--once", "--no-dns-sd", "--mirror", &mirror])
}

#[test]
fn too_little_room_is_told_before_anything_is_fetched() {
    let Some((scene, disk)) = scene("size=30m") else { return };
    update(&scene).well();
    scene.assert_runs(1);
    fs::write(disk.0.join("other"), vec![1; 15 << 20]).unwrap();
    scene.release(2, Health::Good);
    let told = update(&scene).refused(&["bytes free", "are needed"]);
    let objects = scene.cast.machines[0].home.join("objects");
    let fetched: u64 = walk(&objects).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(fetched < 256 << 10, "{fetched} bytes were fetched in vain: {}", told.text);
    scene.assert_runs(1);
    fs::remove_file(disk.0.join("other")).unwrap();
    update(&scene).well();
    scene.assert_runs(2);
}

#[test]
fn a_disk_that_fills_up_while_staging_harms_nothing() {
    // Enough bytes, and room for the names of one release alone.
    let Some((scene, disk)) = scene("size=200m,nr_inodes=200") else { return };
    update(&scene).well();
    scene.assert_runs(1);
    scene.release(2, Health::Good);
    update(&scene).refused(&["No space left on device"]);
    scene.assert_runs(1);
    scene.agent(&["verify"]).well();
    disk.change("nr_inodes=2000");
    update(&scene).well();
    scene.assert_runs(2);
    scene.agent(&["audit", "verify"]).well();
}

#[test]
fn blocks_that_find_no_room_are_only_told_of() {
    let mut scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    scene.release(1, Health::Good);
    let _seeder = scene.cast.seed(None).unwrap();
    scene.join(&scene.ticket()).well();
    // Room for two blocks of objects that are not whole.
    let Some(_disk) = Disk::mount(&scene.cast.machines[0].home.join("partials"), "size=64k") else {
        return;
    };
    scene.cast.start_with(0, &["--total-download-limit", "2000000"]).unwrap();
    scene.wait_for_version("1.0");
    scene.assert_runs(1);
    let said = fs::read_to_string(scene.path("machine-1.log")).unwrap();
    assert!(said.contains("would not outlive a restart"), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

/// Every file below `dir`.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
