//! This very program, started once more for a part of its work.
//!
//! What may take too much memory or time is done by a process of its own,
//! which can be measured, and ended.

use std::ffi::OsString;
use std::process::Command;

/// How to start this program once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relaunch {
    program: OsString,
    leading: Vec<OsString>,
}

impl Relaunch {
    /// Of this process, if it was started with the arguments `own` (without
    /// the program's name), perhaps after others that chose one of several
    /// programs in one executable.
    #[must_use]
    pub fn of(own: &[OsString]) -> Option<Self> {
        let given: Vec<OsString> = std::env::args_os().collect();
        let leading = given.strip_suffix(own)?.get(1..)?.to_vec();
        Some(Self { program: std::env::current_exe().ok()?.into_os_string(), leading })
    }

    /// A program by its name, and what its arguments begin with.
    #[must_use]
    pub fn program(program: impl Into<OsString>, leading: &[&str]) -> Self {
        let leading = leading.iter().map(|argument| (*argument).into()).collect();
        Self { program: program.into(), leading }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &OsString {
        &self.program
    }

    /// What starts it with `subcommand`; further arguments may follow.
    #[must_use]
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.leading).arg(subcommand);
        command
    }
}
