//! A directory in which the program is run.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The directory; gone with this.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the publisher in this place.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_updraft-publisher"))
            .args(args)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// What it prints when it must succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code, and what it says on standard error.
    pub(crate) fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    pub(crate) fn with_home() -> Self {
        let place = Self::new();
        place.ok(&["init", "Example Ltd", "--product", "hello"]);
        place
    }

    pub(crate) fn tree(&self, name: &str, text: &str) -> PathBuf {
        let dir = self.at(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("hello"), text.repeat(5000)).unwrap();
        fs::set_permissions(dir.join("hello"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.join("readme"), "always the same").unwrap();
        dir
    }
}
