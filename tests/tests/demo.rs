//! The demo does what README.md says of it, and leaves nothing running.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Command lines of processes that still run and name `folder`.
fn left_running(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").expect("proc is mounted").flatten();
    let command_line = |process: fs::DirEntry| {
        let line = fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    };
    processes.filter_map(command_line).filter(|line| line.contains(&folder)).collect()
}

#[test]
fn the_demo_tells_its_whole_story() {
    let folder = tempfile::tempdir().unwrap();
    let stage = folder.path().join("stage");
    let output = Command::new(env!("CARGO_BIN_EXE_updraft-demo"))
        .arg("--keep")
        .arg(&stage)
        .output()
        .expect("the demo is built");
    let told = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{said}");
    for part in [
        "KILLED after",
        "no machine had finished",
        "All have 2.0",
        "went back to 2.0 by itself",
        "byte for byte, mode for mode",
        "logs intact",
        "was changed",
        "Nothing is left running",
    ] {
        assert!(told.contains(part), "{part:?} is missing in:\n{told}\n{said}");
    }
    assert_eq!(left_running(&stage), Vec::<String>::new());
}

#[test]
fn an_occupied_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine"), "precious").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_updraft-demo"))
        .arg("--keep")
        .arg(folder.path())
        .output()
        .expect("the demo is built");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
