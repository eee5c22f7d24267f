//! How a command ends: exit codes, and what is said when it does not end well.

use std::io;
use std::process::ExitCode;

use store::disk::DiskError;
use store::lock::LockError;

use crate::daemon::RunError;
use crate::home::HomeError;
use crate::vault::VaultError;

/// How a command ends; docs/exit-codes.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it was asked.
    Done,
    /// The disk, the network or something else failed.
    Failed,
    /// What was asked makes no sense.
    Usage,
    /// Something was not to be trusted.
    Refused,
    /// Something or somebody is missing.
    NotNow,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::Failed => 1,
            Ending::Usage => 2,
            Ending::Refused => 3,
            Ending::NotNow => 4,
        })
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("cannot use this home: {0}")]
    Home(HomeError),
    #[error("cannot join: {0}")]
    Join(HomeError),
    #[error("cannot run: {0}")]
    Run(RunError),
    #[error("cannot read what was collected: {0}")]
    Vault(#[from] VaultError),
    #[error("cannot read the log: {0}")]
    Log(DiskError),
    #[error("{0}")]
    Usage(String),
    #[error("cannot print")]
    Print(#[from] io::Error),
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

impl CommandError {
    const fn ending(&self) -> Ending {
        match self {
            Self::Home(error) | Self::Join(error) | Self::Run(RunError::Home(error))
                if error.is_refusal() =>
            {
                Ending::Refused
            }
            Self::Join(HomeError::NoTicket { .. }) => Ending::Usage,
            Self::Home(HomeError::NotJoined { .. })
            | Self::Run(RunError::Home(HomeError::Lock(LockError::Held { .. }))) => Ending::NotNow,
            _ => Ending::Failed,
        }
    }

    /// What a person can do about it.
    const fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Home(HomeError::NotJoined { .. }) => Some(
                "join first: updraft-auditor --home DIR join TICKET, with a ticket made by \
                 updraft-publisher auditor-ticket",
            ),
            Self::Join(HomeError::Ticket(_)) => {
                Some("ask the vendor for a ticket made by updraft-publisher auditor-ticket")
            }
            Self::Join(HomeError::OtherFingerprint { .. }) => {
                Some("do not use this ticket: it leads to another workgroup than you were told")
            }
            Self::Join(HomeError::OtherWorkgroup { .. }) => {
                Some("give each workgroup a home of its own with --home DIR")
            }
            _ => None,
        }
    }
}

/// Says what went wrong, why, and what to do next.
pub(crate) fn complain(error: CommandError) -> Ending {
    // Whoever reads our output stopped reading: that is no failure.
    if matches!(&error, CommandError::Print(io) if io.kind() == io::ErrorKind::BrokenPipe) {
        return Ending::Done;
    }
    let mut text = format!("updraft-auditor: {error}");
    let mut cause = match &error {
        CommandError::Home(error) | CommandError::Join(error) => std::error::Error::source(error),
        CommandError::Run(error) => std::error::Error::source(error),
        CommandError::Vault(error) => std::error::Error::source(error),
        CommandError::Log(error) => std::error::Error::source(error),
        CommandError::Usage(_) => None,
        CommandError::Print(error) | CommandError::Runtime(error) => {
            Some(error as &dyn std::error::Error)
        }
    };
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{text}");
    if let Some(step) = error.next_step() {
        eprintln!("  {step}");
    }
    error.ending()
}
