//! Who speaks for the workgroup, over the years: its keys, and the statements
//! that they sign of issuers.
//!
//! A workgroup key is replaced in two steps. `rotate` has root name the new
//! key beside the old one, and says all of every issuer anew with it; `finish`
//! has root name the new one alone. In between both are believed, so that no
//! machine has to hurry; whoever slept through all of it is led back by any
//! member, and shows the newer statement then.

use std::time::Duration;

use manifest::admission::issuer::{IssuerError, IssuerStatement, SignedIssuer};
use manifest::admission::issuers::{Issuers, IssuersError as ListError};
use manifest::admission::limits::ISSUER_LIFE;
use manifest::admission::revocation::Subject;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::key::{PublicKey, SigningKey};
use manifest::time::UnixTime;
use manifest::trust::author::key_edit::KeyEditError;
use manifest::trust::author::keyring::SignError;
use manifest::trust::author::lifetimes::Lifetimes;
use manifest::trust::author::proposal::{Proposal, ProposalError};
use manifest::trust::role::RoleName;
use manifest::trust::root::NoWorkgroupKeys;
use serde::Serialize;
use store::steps::Steps;

use crate::home::{Home, HomeError, read_note, write_note};
use crate::issuers::{IssuersError, workgroup};
use crate::keys::{KeyName, Keys, KeysError};
use crate::publish::{PublishError, Session};
use crate::workgroup_file::{self, WorkgroupFileError};

/// What became of a step.
#[derive(Debug)]
pub enum Step {
    /// It is public; these issuers were signed anew.
    Published(Vec<String>),
    /// Root's keys are not all here: it waits for signatures.
    Proposed(Box<Proposal>),
    /// It had been done before.
    Done,
}

/// An issuer as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuerState {
    /// What it is called here.
    pub name: String,
    /// Whose machines it admits.
    pub organisation: String,
    /// To what.
    pub roles: Vec<manifest::admission::credential::Role>,
    /// Its key.
    pub key: PublicKey,
    /// How long its credentials live, in seconds.
    pub credential_seconds: u64,
    /// When it ends.
    pub expires: UnixTime,
    /// Whether the newest workgroup key signed it.
    pub is_newest: bool,
    /// Whether its statement is public, so that machines with older tickets follow.
    pub is_listed: bool,
    /// Why it is revoked, if it is.
    pub revoked: Option<String>,
    /// Why it admits nobody, if so.
    pub problem: Option<String>,
}

/// A step that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An issuer cannot be read.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// A statement breaks its bounds.
    #[error(transparent)]
    Statement(#[from] IssuerError),
    /// The list of statements cannot be used.
    #[error(transparent)]
    List(#[from] ListError),
    /// The file that lists them cannot be edited.
    #[error(transparent)]
    File(#[from] WorkgroupFileError),
    /// Root names no workgroup key.
    #[error(transparent)]
    NoWorkgroupKeys(#[from] NoWorkgroupKeys),
    /// Root does not take the change.
    #[error(transparent)]
    Edit(#[from] KeyEditError),
    /// It could not be proposed.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// It could not be signed or made public.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Only one key speaks for the workgroup.
    #[error("root names one workgroup key: there is no older one to let go")]
    NothingToFinish,
    /// Machines of this issuer would be lost.
    #[error("{} of the issuers are not signed by the newer key yet: {}", names.len(), names.join(", "))]
    NotSignedAnew {
        /// What the issuers are called.
        names: Vec<String>,
    },
    /// There is no such issuer.
    #[error("{found:.80} is no issuer of this home, only {}", known.join(", "))]
    NoSuchIssuer {
        /// What was asked for.
        found: String,
        /// The issuers there are.
        known: Vec<String>,
    },
    /// The change would allow more than the issuer may now.
    #[error("{what}: an issuer can be narrowed, not widened")]
    Wider {
        /// What would be wider.
        what: String,
    },
}

/// The key that signs issuers now: the newest that root names.
fn newest_key(keys: &Keys, named: &[PublicKey]) -> Result<SigningKey, KeysError> {
    let newest = named.last().expect("root names at least one workgroup key");
    keys.read_public(&KeyName::Workgroup, newest)
}

/// Every issuer of the home.
///
/// # Errors
/// [`RotationError`].
pub fn list(home: &Home, now: UnixTime) -> Result<Vec<IssuerState>, RotationError> {
    let trust = workgroup(home)?;
    let newest = only_newest(&trust);
    let mut states = Vec::new();
    for (name, signed) in issuers(home)? {
        let statement = signed.unverified().map_err(RotationError::Statement)?;
        let revoked = revoked(&trust, &statement.issuer, now);
        states.push(IssuerState {
            name,
            organisation: statement.organisation,
            roles: statement.roles,
            key: statement.issuer,
            credential_seconds: statement.credential_seconds,
            expires: statement.expires,
            is_newest: signed.verify_but_time(&newest).is_ok(),
            is_listed: trust.statement_of(&statement.issuer) == Some(&signed),
            revoked,
            problem: signed.verify(&trust, now).err().map(|error| error.to_string()),
        });
    }
    Ok(states)
}

/// Makes the next step towards a new workgroup key: a key that root names
/// beside the present one, and every issuer signed anew with it.
///
/// # Errors
/// [`RotationError`]; nothing public has changed then.
pub fn rotate(session: &mut Session, now: UnixTime) -> Result<Step, RotationError> {
    let named = session.metadata().root().workgroup_keys()?;
    if named.len() > 1 {
        let key = newest_key(session.keys(), &named)?;
        return sign_anew(session, &key, Vec::new(), now);
    }
    // Never one that lies here already: it may be the key that was let go.
    let (key, _) = session.keys().generate_beside(&KeyName::Workgroup)?;
    let mut edited = Ok(());
    session.metadata_mut().edit_root(|root| edited = root.edit_workgroup(&[key.public()], &[]));
    edited?;
    sign_anew(session, &key, vec![KeyName::Root], now)
}

/// Has root name the newer workgroup key alone.
///
/// # Errors
/// [`RotationError`]; nothing public has changed then.
pub fn finish(session: &mut Session, now: UnixTime) -> Result<Step, RotationError> {
    let home = session.home().clone();
    let named = session.metadata().root().workgroup_keys()?;
    let [old, _] = named[..] else { return Err(RotationError::NothingToFinish) };
    let states = list(&home, now)?;
    let lost = states.iter().filter(|state| state.revoked.is_none() && state.problem.is_none());
    let lost = lost.filter(|state| !(state.is_newest && state.is_listed));
    let names: Vec<String> = lost.map(|state| state.name.clone()).collect();
    if !names.is_empty() {
        return Err(RotationError::NotSignedAnew { names });
    }
    let mut edited = Ok(());
    session.metadata_mut().edit_root(|root| edited = root.edit_workgroup(&[], &[old]));
    edited?;
    let names = [KeyName::Root, KeyName::Snapshot, KeyName::Timestamp];
    if let Some(proposed) = publish(session, &names, now)? {
        return Ok(proposed);
    }
    retire(session.keys(), &old)?;
    Ok(Step::Published(Vec::new()))
}

/// Lets an issuer live as long again as a new one would, and makes that public.
///
/// # Errors
/// [`RotationError`]; nothing public has changed then.
pub fn renew(session: &mut Session, name: &str, now: UnixTime) -> Result<(), RotationError> {
    change(session, name, now, |statement| {
        statement.expires = now.after(ISSUER_LIFE).max(statement.expires);
        Ok(())
    })
}

/// Allows an issuer less: credentials that live shorter, an earlier end. From
/// then on members go by that, whatever its tickets say.
///
/// # Errors
/// [`RotationError`]; nothing public has changed then.
pub fn narrow(
    session: &mut Session,
    name: &str,
    credential_life: Option<Duration>,
    expires: Option<UnixTime>,
    now: UnixTime,
) -> Result<(), RotationError> {
    change(session, name, now, |statement| {
        let wider = |what: String| Err(RotationError::Wider { what });
        if let Some(life) = credential_life {
            if life.as_secs() > statement.credential_seconds {
                return wider(format!(
                    "credentials live {} seconds now",
                    statement.credential_seconds
                ));
            }
            statement.credential_seconds = life.as_secs();
        }
        if let Some(expires) = expires {
            if expires > statement.expires {
                return wider(format!("it ends at {} now", statement.expires));
            }
            statement.expires = expires;
        }
        Ok(())
    })
}

/// Says something else of one issuer, lists it, and keeps it.
fn change(
    session: &mut Session,
    name: &str,
    now: UnixTime,
    edit: impl FnOnce(&mut IssuerStatement) -> Result<(), RotationError>,
) -> Result<(), RotationError> {
    let home = session.home().clone();
    let known = issuers(&home)?;
    let found = known.iter().find(|(known, _)| known == name).ok_or_else(|| {
        let known = known.iter().map(|(name, _)| name.clone()).collect();
        RotationError::NoSuchIssuer { found: name.to_owned(), known }
    })?;
    let mut statement = found.1.unverified()?;
    edit(&mut statement)?;
    let named = session.metadata().root().workgroup_keys()?;
    let signed = SignedIssuer::sign(&statement, &newest_key(session.keys(), &named)?)?;
    let names = list_publicly(session, std::slice::from_ref(&signed), now)?;
    session.publish(&names, Vec::new(), None, now)?;
    Ok(write_note(&home.issuer_path(name), &signed, &Steps::free())?)
}

/// Signs every issuer that is in force with `key`, lists what it says, and
/// publishes that together with what the keys `more` sign.
fn sign_anew(
    session: &mut Session,
    key: &SigningKey,
    more: Vec<KeyName>,
    now: UnixTime,
) -> Result<Step, RotationError> {
    let home = session.home().clone();
    let trust = workgroup(&home)?;
    let newest = WorkgroupTrust::new(trust.id(), vec![key.public()]).expect("one key is right");
    let mut signed_anew = Vec::new();
    for (name, signed) in issuers(&home)? {
        let statement = signed.unverified()?;
        let is_over =
            revoked(&trust, &statement.issuer, now).is_some() || statement.check_time(now).is_err();
        let is_listed = trust.statement_of(&statement.issuer) == Some(&signed);
        if is_over || (is_listed && signed.verify_but_time(&newest).is_ok()) {
            continue;
        }
        signed_anew.push((name, SignedIssuer::sign(&statement, key)?));
    }
    if more.is_empty() && signed_anew.is_empty() {
        return Ok(Step::Done);
    }
    let statements: Vec<SignedIssuer> =
        signed_anew.iter().map(|(_, signed)| signed.clone()).collect();
    let mut names = list_publicly(session, &statements, now)?;
    names.extend(more);
    if let Some(proposed) = publish(session, &names, now)? {
        return Ok(proposed);
    }
    // Public first: whoever is interrupted here signs the same anew.
    for (name, signed) in &signed_anew {
        write_note(&home.issuer_path(name), signed, &Steps::free())?;
    }
    Ok(Step::Published(signed_anew.into_iter().map(|(name, _)| name).collect()))
}

/// Puts statements into the public list, and lets go of those that have ended.
fn list_publicly(
    session: &mut Session,
    statements: &[SignedIssuer],
    now: UnixTime,
) -> Result<Vec<KeyName>, RotationError> {
    let mut listed = Issuers::read(&workgroup_file::extra(session))?;
    listed.retain(|signed| {
        signed.unverified().is_ok_and(|statement| statement.check_time(now).is_ok())
    });
    statements.iter().try_for_each(|signed| listed.set(signed.clone()))?;
    Ok(workgroup_file::edit(session, |extra| listed.write(extra))?)
}

/// Publishes, or gives a proposal if root's keys are not all here.
fn publish(
    session: &mut Session,
    names: &[KeyName],
    now: UnixTime,
) -> Result<Option<Step>, RotationError> {
    match session.publish(names, Vec::new(), None, now) {
        Ok(_) => Ok(None),
        Err(PublishError::Sign(SignError::NotEnoughKeys { role, .. }))
            if role == RoleName::ROOT =>
        {
            let proposal = session.metadata().propose_root(now, &Lifetimes::default())?;
            Ok(Some(Step::Proposed(Box::new(proposal))))
        }
        Err(error) => Err(error.into()),
    }
}

/// Puts the file of a workgroup key away.
fn retire(keys: &Keys, old: &PublicKey) -> Result<(), RotationError> {
    for file in keys.files(&KeyName::Workgroup)? {
        if keys.read_file(&KeyName::Workgroup, &file)?.public() == *old {
            keys.retire(&file)?;
        }
    }
    Ok(())
}

fn issuers(home: &Home) -> Result<Vec<(String, SignedIssuer)>, RotationError> {
    let mut found = Vec::new();
    for name in home.issuers()? {
        if let Some(signed) = read_note::<SignedIssuer>(&home.issuer_path(&name))? {
            found.push((name, signed));
        }
    }
    Ok(found)
}

fn revoked(trust: &WorkgroupTrust, issuer: &PublicKey, now: UnixTime) -> Option<String> {
    let mut entries = trust.revoked().entries().iter();
    let entry =
        entries.find(|entry| entry.subject == Subject::Issuer(*issuer) && entry.until > now);
    entry.map(|entry| entry.why.clone())
}

/// The workgroup as it will be when its older key is let go.
fn only_newest(trust: &WorkgroupTrust) -> WorkgroupTrust {
    let newest = *trust.keys().last().expect("a workgroup has a key");
    WorkgroupTrust::new(trust.id(), vec![newest]).expect("one key is right")
}
