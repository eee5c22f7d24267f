//! A vendor, machines and a folder for tests to play in; whatever goes wrong
//! here ends the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use crate::cast::Cast;
use crate::compare::differences;
use crate::programs::{Program, Programs, wait_for};
use crate::sample::{self, Health};
use crate::watch::Glimpse;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A vendor who has made keys, and machines that have not joined.
#[derive(Debug)]
pub struct Scene {
    /// Who appears.
    pub cast: Cast,
    folder: tempfile::TempDir,
}

/// How a program ended, and what it printed.
#[derive(Debug)]
pub struct Told {
    /// Its exit code.
    pub code: i32,
    /// Standard output, then standard error.
    pub text: String,
}

impl Told {
    fn new(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.contains("panicked"), "{text}");
        Self { code: output.status.code().unwrap_or(-1), text }
    }

    /// It succeeded.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.text);
        self
    }

    /// It failed, and said each of `parts`.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn refused(self, parts: &[&str]) -> Self {
        assert_ne!(self.code, 0, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part:?} is missing in: {}", self.text);
        }
        self
    }
}

impl Scene {
    /// The vendor of `hello`, whose programs are in `executable`.
    ///
    /// # Panics
    /// If it cannot begin.
    #[must_use]
    pub fn new(executable: &str, machines: u8) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let programs = Programs::within(executable.into());
        let stage = folder.path().to_owned();
        let cast = Cast::new(programs, stage, machines).expect("loopback has ports");
        let scene = Self { cast, folder };
        scene.publisher(&["init", "Example", "--product", "hello"]).well();
        scene
    }

    /// A path in the scene's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the vendor's program to its end.
    ///
    /// # Panics
    /// If it cannot be started, or panics itself.
    #[must_use]
    pub fn publisher(&self, args: &[&str]) -> Told {
        self.run(Program::Publisher, &self.cast.vendor, args)
    }

    /// Runs the first machine's agent to its end.
    ///
    /// # Panics
    /// If it cannot be started, or panics itself.
    #[must_use]
    pub fn agent(&self, args: &[&str]) -> Told {
        self.run(Program::Agent, &self.cast.machines[0].home, args)
    }

    /// Runs a program to its end.
    ///
    /// # Panics
    /// If it cannot be started, or panics itself.
    #[must_use]
    pub fn run(&self, program: Program, home: &Path, args: &[&str]) -> Told {
        Told::new(self.cast.programs.output(program, home, args).expect("the programs are built"))
    }

    /// The tree of release number `number` of the sample.
    #[must_use]
    pub fn tree(&self, number: u64) -> PathBuf {
        self.path(&format!("tree-{number}"))
    }

    /// Publishes release number `number` of the sample, as version NUMBER.0.
    ///
    /// # Panics
    /// If that fails.
    pub fn release(&self, number: u64, health: Health) {
        sample::write(&self.tree(number), number, health).expect("there is room");
        let (tree, version) = (text(&self.tree(number)), format!("{number}.0"));
        let probe = ["--probe", sample::PROBE];
        let _ = self
            .publisher(&[&["release", &tree, "--version", &version][..], &probe].concat())
            .well();
    }

    /// A member's ticket.
    ///
    /// # Panics
    /// If none can be written.
    #[must_use]
    pub fn ticket(&self) -> PathBuf {
        let ticket = self.path("hello.ticket");
        if !ticket.exists() {
            let _ = self.publisher(&["ticket", "--out", &text(&ticket)]).well();
        }
        ticket
    }

    /// Has the first machine join with `ticket`.
    ///
    /// # Panics
    /// If its program cannot be started.
    #[must_use]
    pub fn join(&self, ticket: &Path) -> Told {
        self.agent(&["join", &text(ticket), "--into", &text(&self.cast.machines[0].into)])
    }

    /// The release that runs on the first machine.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.cast.machines[0].current()
    }

    /// Waits until the running agent of the first machine has `version` and rests.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn wait_for_version(&self, version: &str) {
        let machine = &self.cast.machines[0];
        let waited = wait_for(&format!("{version} to run"), PATIENCE, || {
            let glimpse = Glimpse::of(machine);
            (glimpse.version.as_deref() == Some(version) && glimpse.state == "idle").then_some(())
        });
        let log = || fs::read_to_string(self.path("machine-1.log")).unwrap_or_default();
        assert!(waited.is_ok(), "{waited:?}: {}\n{}", self.agent(&["status"]).text, log());
    }

    /// What runs on the first machine equals release number `number`, byte
    /// for byte and mode for mode.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn assert_runs(&self, number: u64) {
        let found = differences(&self.tree(number), &self.current());
        assert_eq!(found.expect("both can be read"), Vec::<String>::new());
    }
}

/// A path as an argument.
#[must_use]
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
