//! Who signs what: shown, changed, and replaced over the years.
//!
//! A change of root's own keys, or of the three roles beneath it, is a new
//! root. Where enough of root's keys are here it is signed and made public at
//! once; else it becomes a proposal for the people who have them. A channel's
//! keys are named by targets, so its key is enough.

use std::path::PathBuf;

use manifest::key::PublicKey;
use manifest::time::UnixTime;
use manifest::trust::author::key_edit::{KeyEdit, KeyEditError};
use manifest::trust::author::keyring::SignError;
use manifest::trust::author::lifetimes::Lifetimes;
use manifest::trust::author::proposal::{Proposal, ProposalError};
use manifest::trust::author::repository::Repository as Metadata;
use manifest::trust::authority::Authority;
use manifest::trust::role::RoleName;
use manifest::trust::root::Root;
use serde::Serialize;
use store::keyfile::KeyFileError;

use crate::home::Home;
use crate::keys::{KeyName, Keys, KeysError};
use crate::publish::{PublishError, Session};
use crate::renew::{is_due, key_of};

/// A role and those who may sign it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signers {
    /// The role.
    pub role: String,
    /// How many of its keys must sign.
    pub threshold: u64,
    /// Its keys.
    pub keys: Vec<Signer>,
    /// Files here that are called after the role and are none of its keys,
    /// or cannot be read.
    pub others: Vec<OtherFile>,
    /// When its present file ends.
    pub expires: Option<UnixTime>,
    /// Whether that is so soon that it should be signed anew.
    pub due: bool,
}

/// A key that may sign a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// What metadata calls it.
    pub id: String,
    /// Its public half, if it is an ed25519 key.
    pub public: Option<PublicKey>,
    /// The file of its private half, if that is here.
    pub file: Option<PathBuf>,
}

/// A file that is no key of the role it is called after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherFile {
    /// The file.
    pub file: PathBuf,
    /// What is known of it.
    pub what: String,
}

/// What became of a change.
#[derive(Debug)]
pub enum Changed {
    /// It is public.
    Published,
    /// It waits for signatures.
    Proposed(Box<Proposal>),
}

/// A change that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignersError {
    /// It makes no sense.
    #[error(transparent)]
    Edit(#[from] KeyEditError),
    /// It could not be signed or made public.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// It could not be proposed.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// There is no such role.
    #[error("{found} is no role of this home, only {}", known.join(", "))]
    NoSuchRole {
        /// What was asked for.
        found: String,
        /// The roles there are.
        known: Vec<String>,
    },
    /// None of the role's keys is here to be replaced.
    #[error("none of the keys of {role} is here")]
    NothingToReplace {
        /// The role.
        role: RoleName,
    },
    /// The proposal does not follow the root that is public.
    #[error("the proposal follows root version {follows}, and version {present} is public")]
    Overtaken {
        /// The version that it follows.
        follows: u64,
        /// The version that is public.
        present: u64,
    },
}

/// The role called `name`: one of the four, a channel's, or `workgroup`, which
/// signs who is revoked.
///
/// # Errors
/// [`SignersError::NoSuchRole`].
pub fn role_called(home: &Home, name: &str) -> Result<RoleName, SignersError> {
    let known = [RoleName::ROOT, RoleName::TARGETS, RoleName::SNAPSHOT, RoleName::TIMESTAMP];
    let known = known.into_iter().chain(home.channel_roles()).chain([RoleName::WORKGROUP]);
    let known: Vec<RoleName> = known.collect();
    known.iter().find(|role| role.as_str() == name).cloned().ok_or_else(|| {
        let known = known.iter().map(ToString::to_string).collect();
        SignersError::NoSuchRole { found: name.chars().take(80).collect(), known }
    })
}

/// Who signs what, in the order in which trust flows.
///
/// # Errors
/// [`SignersError`].
pub fn list(
    home: &Home,
    keys: &Keys,
    metadata: &Metadata,
    now: UnixTime,
) -> Result<Vec<Signers>, SignersError> {
    let expiries = metadata.expiries();
    let top = [RoleName::ROOT, RoleName::TARGETS, RoleName::SNAPSHOT, RoleName::TIMESTAMP];
    let mut signers = Vec::new();
    for role in top.into_iter().chain(metadata.channels().cloned()) {
        let Some(authority) = authority(metadata, &role) else { continue };
        let expires = expiries.iter().find(|(of, _)| *of == role).map(|(_, expires)| *expires);
        let mut here = Vec::new();
        let mut others = Vec::new();
        if let Some(name) = key_of(&role, home) {
            for file in keys.files(&name)? {
                match keys.read_file(&name, &file) {
                    Ok(key) => here.push((key.public(), file)),
                    Err(KeysError::File(KeyFileError::Encrypted { .. })) => {
                        others.push(OtherFile { file, what: "encrypted".to_owned() });
                    }
                    Err(error) => others.push(OtherFile { file, what: error.to_string() }),
                }
            }
        }
        let mut of_role = Vec::new();
        for (id, material) in authority.keys() {
            let public = material.ed25519();
            let at = here.iter().position(|(here, _)| Some(*here) == public);
            let file = at.map(|at| here.remove(at).1);
            of_role.push(Signer { id: id.to_string(), public, file });
        }
        others.extend(
            here.into_iter().map(|(key, file)| OtherFile {
                file,
                what: format!("{key} signs nothing any more"),
            }),
        );
        signers.push(Signers {
            threshold: authority.threshold(),
            keys: of_role,
            others,
            expires,
            due: expires.is_some_and(|expires| is_due(&role, expires, now)),
            role: role.to_string(),
        });
    }
    Ok(signers)
}

/// Who signs `role`, as the metadata stands under the pen.
fn authority(metadata: &Metadata, role: &RoleName) -> Option<Authority> {
    let root = metadata.root();
    match role.as_str() {
        "root" => Some(root.root_authority()),
        "targets" => Some(root.targets_authority()),
        "snapshot" => Some(root.snapshot_authority()),
        "timestamp" => Some(root.timestamp_authority()),
        _ => metadata.targets(&RoleName::TARGETS)?.delegations.as_ref()?.authority(role),
    }
}

/// Changes who signs `role`, and makes that public or proposes it.
///
/// # Errors
/// [`SignersError`]; nothing public has changed then.
pub fn change(
    session: &mut Session,
    role: &RoleName,
    edits: &[KeyEdit],
    now: UnixTime,
) -> Result<Changed, SignersError> {
    session.metadata_mut().edit_keys(role, edits)?;
    settle(session, role, now)
}

/// Signs what was changed for `role`, or proposes it.
fn settle(session: &mut Session, role: &RoleName, now: UnixTime) -> Result<Changed, SignersError> {
    let above = if role.is_top_level() { KeyName::Root } else { KeyName::Targets };
    let own = key_of(role, session.home());
    let names: Vec<KeyName> =
        [above].into_iter().chain(own).chain([KeyName::Snapshot, KeyName::Timestamp]).collect();
    match session.publish(&names, Vec::new(), None, now) {
        Ok(_) => Ok(Changed::Published),
        Err(PublishError::Sign(SignError::NotEnoughKeys { role, .. }))
            if role == RoleName::ROOT =>
        {
            let proposal = session.metadata().propose_root(now, &Lifetimes::default())?;
            Ok(Changed::Proposed(Box::new(proposal)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Replaces the keys of `role` that are here by a new one; gives what became
/// of it and the new key's file. Keys of other people stay.
///
/// # Errors
/// [`SignersError`]; nothing public has changed then.
pub fn rotate(
    session: &mut Session,
    role: &RoleName,
    now: UnixTime,
) -> Result<(Changed, PathBuf), SignersError> {
    let known = || SignersError::NothingToReplace { role: role.clone() };
    let name = key_of(role, session.home()).ok_or_else(known)?;
    let keys = session.keys().clone();
    let authority = authority(session.metadata(), role).ok_or_else(known)?;
    let present: Vec<PublicKey> =
        authority.materials().into_iter().filter_map(|material| material.ed25519()).collect();
    let mut old = Vec::new();
    for file in keys.files(&name)? {
        let key = keys.read_file(&name, &file)?.public();
        if present.contains(&key) {
            old.push((key, file));
        }
    }
    if old.is_empty() {
        return Err(known());
    }
    let (new, file) = keys.generate_beside(&name)?;
    let removed = old.iter().map(|(key, _)| KeyEdit::Remove(key.to_string()));
    let edits: Vec<KeyEdit> = [KeyEdit::Add(new.public())].into_iter().chain(removed).collect();
    let changed = change(session, role, &edits, now).inspect_err(|_| {
        // The key was never named anywhere.
        let _ = std::fs::remove_file(&file);
    })?;
    if matches!(changed, Changed::Published) {
        for (_, file) in &old {
            keys.retire(file)?;
        }
    }
    Ok((changed, file))
}

/// Makes a root public that enough people have signed, and signs what its
/// keys are to sign now. The files of keys that it names no longer are put
/// away; gives where they are.
///
/// # Errors
/// [`SignersError`]; nothing public has changed then, unless a file could not
/// be put away.
pub fn publish_root(
    session: &mut Session,
    proposal: Proposal,
    now: UnixTime,
) -> Result<Vec<PathBuf>, SignersError> {
    let follows = proposal.before().version.get();
    let present = session.metadata().root().version.get();
    if follows != present {
        return Err(SignersError::Overtaken { follows, present });
    }
    let root = proposal.finish()?;
    let before = named(session.metadata().root());
    let names: Vec<KeyName> = session.home().signing_keys();
    let names: Vec<KeyName> = names.into_iter().filter(|name| *name != KeyName::Root).collect();
    session.publish_root(root, &names, now)?;
    let after = named(session.metadata().root());
    let mut retired = Vec::new();
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        for file in session.keys().files(name)? {
            // A key that cannot be read is not known to be one of them.
            let key = session.keys().read_file(name, &file).map(|key| key.public());
            if key.is_ok_and(|key| before.contains(&key) && !after.contains(&key)) {
                retired.push(session.keys().retire(&file)?);
            }
        }
    }
    Ok(retired)
}

/// The keys that a root names itself.
fn named(root: &Root) -> [(KeyName, Vec<PublicKey>); 5] {
    let of = |authority: Authority| {
        authority.materials().into_iter().filter_map(|material| material.ed25519()).collect()
    };
    [
        (KeyName::Root, of(root.root_authority())),
        (KeyName::Targets, of(root.targets_authority())),
        (KeyName::Snapshot, of(root.snapshot_authority())),
        (KeyName::Timestamp, of(root.timestamp_authority())),
        // A root of other people names none.
        (KeyName::Workgroup, root.workgroup_keys().unwrap_or_default()),
    ]
}
