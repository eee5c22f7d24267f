//! Updraft's programs as processes: started, watched, killed.
//!
//! A daemon that is dropped is killed and reaped, and one whose parent dies
//! is killed by the kernel, so that nothing is left running.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Set in the environment of daemons that must not outlive their parent.
const END_WITH_PARENT: &str = "UPDRAFT_END_WITH_PARENT";

/// Asks the kernel to kill this process when its parent ends, if the parent
/// wants it so.
pub fn end_with_parent_if_asked() {
    if std::env::var_os(END_WITH_PARENT).is_some() {
        let kill = Some(rustix::process::Signal::KILL);
        if rustix::process::set_parent_process_death_signal(kill).is_err() {
            eprintln!("warning: this process may outlive the one that started it");
        }
    }
}

/// The binary that is all three programs.
#[derive(Debug, Clone)]
pub struct Programs {
    executable: PathBuf,
    /// libfaketime, and how much later it is for the programs, as it is told.
    clock: Option<(PathBuf, String)>,
    /// The network namespace that they run in, if not this process's own.
    namespace: Option<String>,
}

/// Where distributions put libfaketime.
const LIBFAKETIME: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The vendor's.
    Publisher,
    /// The machine owner's.
    Agent,
    /// The admin's.
    Auditor,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Agent => "agent",
            Self::Auditor => "auditor",
        }
    }
}

/// A program that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started or awaited.
    #[error("updraft-{program} could not be run")]
    Start {
        /// Which one.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("updraft-{program} {args} ended with {status}:\n{said}")]
    Failed {
        /// Which one.
        program: &'static str,
        /// Its arguments.
        args: String,
        /// How it ended.
        status: String,
        /// What it said on standard error.
        said: String,
    },
}

impl Programs {
    /// The programs within `executable`, a build of `updraft-demo`.
    #[must_use]
    pub const fn within(executable: PathBuf) -> Self {
        Self { executable, clock: None, namespace: None }
    }

    /// The same programs in a network namespace, which takes root.
    #[must_use]
    pub fn in_namespace(&self, name: &str) -> Self {
        Self { namespace: Some(name.to_owned()), ..self.clone() }
    }

    /// The same programs, for which it is so many `days` ago; nothing where
    /// libfaketime is not installed.
    #[must_use]
    pub fn days_ago(&self, days: u32) -> Option<Self> {
        self.with_clock(format!("-{days}d"))
    }

    /// The same programs, for which it is so many `days` later; nothing where
    /// libfaketime is not installed.
    #[must_use]
    pub fn days_ahead(&self, days: u32) -> Option<Self> {
        self.with_clock(format!("+{days}d"))
    }

    fn with_clock(&self, shift: String) -> Option<Self> {
        let library = LIBFAKETIME.iter().map(PathBuf::from).find(|path| path.exists())?;
        Some(Self { clock: Some((library, shift)), ..self.clone() })
    }

    /// A command that starts `program`, whose state is under `home`.
    #[must_use]
    pub fn command(&self, program: Program, home: &Path) -> Command {
        let mut command = match &self.namespace {
            // It becomes the program: the process is the same.
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(&self.executable);
                command
            }
            None => Command::new(&self.executable),
        };
        command.arg(program.name()).arg("--home").arg(home);
        command.env(END_WITH_PARENT, "1").stdin(Stdio::null());
        if let Some((library, shift)) = &self.clock {
            command.env("LD_PRELOAD", library).env("FAKETIME", shift);
            // What waits goes by the other clock, which nobody sets.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    /// Runs `program` to its end and gives what it printed, whatever its exit code.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn output<S: AsRef<OsStr>>(
        &self,
        program: Program,
        home: &Path,
        args: &[S],
    ) -> Result<Output, ProgramError> {
        self.command(program, home)
            .args(args)
            .output()
            .map_err(|source| ProgramError::Start { program: program.name(), source })
    }

    /// Runs `program` to its end and gives its standard output.
    ///
    /// # Errors
    /// If it cannot be started, or ends with any exit code but 0.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: Program,
        home: &Path,
        args: &[S],
    ) -> Result<String, ProgramError> {
        let output = self.output(program, home, args)?;
        if !output.status.success() {
            let words = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned());
            return Err(ProgramError::Failed {
                program: program.name(),
                args: words.collect::<Vec<_>>().join(" "),
                status: output.status.to_string(),
                said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts `program` as a daemon whose output goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn daemon<S: AsRef<OsStr>>(
        &self,
        program: Program,
        home: &Path,
        args: &[S],
        log: &Path,
    ) -> Result<Daemon, ProgramError> {
        let start = |source| ProgramError::Start { program: program.name(), source };
        let out = File::options().create(true).append(true).open(log).map_err(start)?;
        let err = out.try_clone().map_err(start)?;
        let child = self
            .command(program, home)
            .args(args)
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .spawn()
            .map_err(start)?;
        Ok(Daemon { child, log: log.to_owned() })
    }
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it printed so far.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it at once, as a power cut would, and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks `ready` again and again until it gives something.
///
/// # Errors
/// What was waited for, if `within` passes first.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T, String> {
    let begun = Instant::now();
    loop {
        if let Some(value) = ready() {
            return Ok(value);
        }
        if begun.elapsed() > within {
            return Err(format!("waited {} s in vain for {what}", within.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
