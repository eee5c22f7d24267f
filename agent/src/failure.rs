//! What went wrong as a sentence, with a next step and an exit code.

use std::io::Write;

use crate::applier::ApplyError;
use crate::audit::AuditError;
use crate::config::ConfigError;
use crate::control::client::ControlError;
use crate::daemon::DaemonError;
use crate::identity::IdentityError;
use crate::join::JoinError;
use crate::network::fetch::cause;
use crate::offline::OfflineError;
use crate::update::machine::RollBackError;

/// The disk, the network or the system refused.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const USAGE: u8 = 2;
/// Something is not what was signed.
const REFUSED: u8 = 3;
/// Nothing can be done about it now.
const NOT_NOW: u8 = 4;

/// The end of a command that could not be done.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What went wrong.
    message: String,
    /// What to do about it.
    next: Option<String>,
}

impl Failure {
    /// Something the system refused.
    pub(crate) fn failed(message: String) -> Self {
        Self { code: FAILED, message, next: None }
    }

    fn of(error: &(dyn std::error::Error + 'static), code: u8, next: Option<&str>) -> Self {
        Self { code, message: cause(error), next: next.map(str::to_owned) }
    }

    /// Tells it on standard error; as JSON on standard output with `json`.
    pub(crate) fn print(&self, json: bool) {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "updraft-agent: {}", self.message);
        if let Some(next) = &self.next {
            let _ = writeln!(stderr, "next: {next}");
        }
        if json {
            let value = serde_json::json!({
                "error": self.message, "next": self.next, "exit_code": self.code,
            });
            let _ = writeln!(std::io::stdout().lock(), "{value:#}");
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let code = if matches!(error, ConfigError::Disk(_)) { FAILED } else { USAGE };
        Self::of(&error, code, Some("correct it; docs/agent.md lists the keys"))
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let (code, next) = match &error {
            JoinError::Ticket { .. } => {
                (REFUSED, Some("ask the vendor for a ticket, and keep the file as it is"))
            }
            JoinError::Example(_) => (REFUSED, Some("for a demonstration: --allow-example-keys")),
            JoinError::Root(_) | JoinError::Fingerprint { .. } => {
                (REFUSED, Some("do not use this ticket; ask the vendor how it came to you"))
            }
            JoinError::OtherRoot { .. } | JoinError::OtherDirectory { .. } => {
                (REFUSED, Some("choose another --home for another installation"))
            }
            JoinError::Lock(_) => (NOT_NOW, Some("stop the agent of this home first")),
            JoinError::NoTicket { .. } => (USAGE, None),
            JoinError::Slots(_) => (FAILED, Some("choose a new or empty directory for --into")),
            JoinError::Audit(error) => return Self::of_audit(error),
            _ => (FAILED, None),
        };
        Self::of(&error, code, next)
    }
}

impl Failure {
    fn of_audit(error: &AuditError) -> Self {
        let changed = matches!(
            error,
            AuditError::Changed { .. } | AuditError::Unsealed { .. } | AuditError::Closed { .. }
        );
        let next = "look at it with: updraft-agent audit verify; to begin a new log, move it away \
                    (auditors will see that it was)";
        if changed { Self::of(error, REFUSED, Some(next)) } else { Self::of(error, FAILED, None) }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match &error {
            ApplyError::Audit(error) => Self::of_audit(error),
            ApplyError::Trust(_)
            | ApplyError::WrongManifest { .. }
            | ApplyError::OtherRelease { .. }
            | ApplyError::Manifest(_) => Self::of(&error, REFUSED, None),
            _ => Self::of(&error, FAILED, None),
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let (code, next) = match &error {
            IdentityError::NotJoined { .. } => {
                (NOT_NOW, Some("updraft-agent join TICKET --into DIR"))
            }
            IdentityError::Ticket { .. } | IdentityError::Credential { .. } => {
                (REFUSED, Some("join again with a ticket of the same vendor"))
            }
            _ => (FAILED, None),
        };
        Self::of(&error, code, next)
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Identity(error) => error.into(),
            DaemonError::Apply(error) => error.into(),
            DaemonError::Lock(_) => {
                Self::of(&error, NOT_NOW, Some("an agent runs already: updraft-agent status"))
            }
            DaemonError::Mirror(_) => Self::of(&error, USAGE, None),
            DaemonError::Swarm(_) | DaemonError::Disk(_) => Self::of(&error, FAILED, None),
        }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match &error {
            ControlError::NotRunning => Self::of(&error, NOT_NOW, Some("updraft-agent run")),
            ControlError::Refused(refusal) if refusal.code != "failed" => {
                Self::of(&error, NOT_NOW, None)
            }
            _ => Self::of(&error, FAILED, None),
        }
    }
}

impl From<OfflineError> for Failure {
    fn from(error: OfflineError) -> Self {
        match error {
            OfflineError::Identity(error) => error.into(),
            OfflineError::Apply(error) => error.into(),
            OfflineError::Log { .. } => Self::of(
                &error,
                REFUSED,
                Some("keep the log as it is, and tell whoever audits this machine"),
            ),
            OfflineError::Trust(_) => Self::of(&error, REFUSED, None),
            OfflineError::RollBack(RollBackError::Busy { .. }) => {
                Self::of(&error, NOT_NOW, Some("let the agent finish it: updraft-agent run"))
            }
            OfflineError::Lock(_)
            | OfflineError::RollBack(RollBackError::NoPrevious)
            | OfflineError::NothingInstalled
            | OfflineError::NoLog { .. } => Self::of(&error, NOT_NOW, None),
            OfflineError::Journal(_) | OfflineError::Disk(_) => Self::of(&error, FAILED, None),
        }
    }
}
