//! Shuts members out: an issuer with all its tickets, one installation, a key.
//!
//! The list is signed by a role of its own, `workgroup`, which is delegated
//! when somebody is first revoked. Machines learn of it with the metadata that
//! they ask for anyway; live connections end then.

use manifest::admission::issuer::SignedIssuer;
use manifest::admission::revocation::{Revocation, Revocations, RevocationsError, Subject};
use manifest::key::PublicKey;
use manifest::time::UnixTime;

use crate::home::{Home, HomeError, read_note};
use crate::issuers::{IssuersError, workgroup};
use crate::keys::KeysError;
use crate::publish::{PublishError, Session};
use crate::workgroup_file::{self, WorkgroupFileError};

/// Somebody who could not be revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An issuer's statement cannot be read.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// The file of members cannot be edited.
    #[error(transparent)]
    File(#[from] WorkgroupFileError),
    /// The list does not take it.
    #[error(transparent)]
    List(#[from] RevocationsError),
    /// It could not be signed or made public.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// The list that is public.
///
/// # Errors
/// [`RevokeError::List`].
pub fn list(session: &Session) -> Result<Revocations, RevokeError> {
    Ok(Revocations::read(&workgroup_file::extra(session))?)
}

/// Revokes `subject`, and makes that public.
///
/// # Errors
/// [`RevokeError`]; nothing public has changed then.
pub fn revoke(
    session: &mut Session,
    subject: Subject,
    why: String,
    now: UnixTime,
) -> Result<Revocation, RevokeError> {
    let home = session.home().clone();
    let until = match subject {
        Subject::Issuer(key) => ends(&home, |issuer| *issuer == key, now)?,
        // Whoever holds a ticket renews its credential for as long as the
        // ticket's issuer may sign.
        Subject::Installation(_) | Subject::Key(_) => ends(&home, |_| true, now)?,
    };
    let entry = Revocation { subject, until, why };
    let mut revoked = list(session)?;
    revoked.add(entry.clone(), now)?;
    let names = workgroup_file::edit(session, |extra| revoked.write(extra))?;
    session.publish(&names, Vec::new(), None, now)?;
    Ok(entry)
}

/// When the last of the home's issuers ends of which `of` holds; one that is
/// not known here counts as long as an issuer may live.
fn ends(
    home: &Home,
    of: impl Fn(&PublicKey) -> bool,
    now: UnixTime,
) -> Result<UnixTime, RevokeError> {
    let trust = workgroup(home)?;
    let mut last = None;
    for name in home.issuers()? {
        let Some(signed) = read_note::<SignedIssuer>(&home.issuer_path(&name))? else { continue };
        // One that has ended, or was signed by a key that is gone, admits nobody.
        let Ok(statement) = signed.verify(&trust, now) else { continue };
        if of(&statement.issuer) {
            last = last.max(Some(statement.expires));
        }
    }
    Ok(last.unwrap_or_else(|| now.after(manifest::admission::limits::ISSUER_LIFE)))
}
