//! Errors as sentences: what went wrong, what to do, and the exit code.

use std::error::Error;
use std::process::ExitCode;

use crate::diff::DiffError;
use crate::history::Refused;
use crate::home::HomeError;
use crate::init::InitError;
use crate::issuers::IssuersError;
use crate::keys::KeysError;
use crate::publish::PublishError;
use crate::rebuild::RebuildError;
use crate::release::ReleaseError;
use crate::revoke::RevokeError;
use crate::seed::credential::SeederCredentialError;
use crate::seed::driver::SeedError;
use crate::signers::SignersError;
use crate::status::StatusError;
use crate::ticket::TicketWriteError;

/// It did not work.
pub(crate) const FAILED: u8 = 1;
/// A signature, hash or key is not what it must be.
pub(crate) const REFUSED: u8 = 3;
/// There is no home.
pub(crate) const NO_HOME: u8 = 4;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    doing: &'static str,
    what: String,
    next: Option<&'static str>,
    code: u8,
}

impl Failure {
    /// `doing` (such as `release`) failed with `error`.
    pub(crate) fn new(doing: &'static str, error: &(dyn Error + 'static)) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            what.push_str(": ");
            what.push_str(&cause.to_string());
            source = cause.source();
        }
        let advice = advice(error);
        Self { doing, what, next: advice.1, code: advice.0 }
    }

    /// Tells it on standard error.
    pub(crate) fn tell(&self) -> ExitCode {
        eprintln!("updraft-publisher: cannot {}: {}", self.doing, self.what);
        if let Some(next) = self.next {
            eprintln!("  {next}");
        }
        ExitCode::from(self.code)
    }
}

/// The exit code of an error and what to do about it. Errors that only pass
/// another on are looked through.
fn advice(error: &(dyn Error + 'static)) -> (u8, Option<&'static str>) {
    if let Some(inner) = inside(error) {
        return advice(inner);
    }
    if let Some(error) = error.downcast_ref::<HomeError>() {
        return match error {
            HomeError::Missing { .. } | HomeError::NotFound { .. } => {
                (NO_HOME, Some("make one: updraft-publisher init NAME --product PRODUCT"))
            }
            HomeError::Exists { .. } => (FAILED, Some("choose another --home")),
            HomeError::NoSuchChannel { .. } => (FAILED, Some("channels are chosen at init")),
            _ => (FAILED, None),
        };
    }
    if let Some(error) = error.downcast_ref::<Refused>() {
        return match error {
            Refused::Released { .. } => (FAILED, Some("give it another --version")),
            Refused::Passed { .. } => {
                (FAILED, Some("a channel never goes back: release it under a new --version"))
            }
        };
    }
    if let Some(ReleaseError::HoldsHome { .. }) = error.downcast_ref::<ReleaseError>() {
        return (FAILED, Some("release the directory that your build makes, or move the --home"));
    }
    match error.downcast_ref::<KeysError>() {
        Some(KeysError::Example { .. }) => {
            return (REFUSED, Some("for a demonstration only: --allow-example-keys"));
        }
        Some(_) => return (FAILED, None),
        None => {}
    }
    if let Some(PublishError::Open(_)) = error.downcast_ref::<PublishError>() {
        return (REFUSED, Some("restore the repository's metadata/ from a copy"));
    }
    if let Some(RebuildError::Differs { .. } | RebuildError::Link(_)) =
        error.downcast_ref::<RebuildError>()
    {
        return (
            REFUSED,
            Some("this is a fault of the publisher; the trees would help to find it"),
        );
    }
    (FAILED, None)
}

/// The error that a transparent one passes on.
fn inside<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    macro_rules! look {
        ($($outer:ident: $($variant:ident)|+;)+) => {
            $(if let Some(error) = error.downcast_ref::<$outer>() {
                $(if let $outer::$variant(inner) = error {
                    return Some(inner as &(dyn Error + 'static));
                })+
                return None;
            })+
        };
    }
    look! {
        InitError: Home | Keys | Issuers | Publish;
        ReleaseError: Home | Refused | Publish;
        PublishError: Home | Keys;
        TicketWriteError: Issuers;
        IssuersError: Home | Keys | Publish;
        StatusError: Home | Issuers | Publish;
        SeedError: Home | Publish | Credential;
        SeederCredentialError: Keys | Issuers;
        SignersError: Publish | Keys | Proposal;
        RevokeError: Home | Keys | Issuers | Publish;
        DiffError: Home | Release | Rebuild | Publish;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_looks_through_what_only_passes_on() {
        let from = std::path::PathBuf::from("/nowhere");
        let error = ReleaseError::Publish(PublishError::Home(HomeError::NotFound { from }));
        let failure = Failure::new("release", &error);
        assert_eq!(failure.code, NO_HOME);
        assert_eq!(failure.what, "no .updraft in /nowhere or above it");
        assert!(failure.next.unwrap().contains("init"));
    }
}
