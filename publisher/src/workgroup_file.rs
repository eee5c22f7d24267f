//! The file of the role `workgroup`: what is signed about members.
//!
//! It says who is revoked, and what the vendor says now of its issuers. The
//! role is delegated when there is something to say for the first time.

use manifest::trust::author::repository::EditError;
use manifest::trust::author::role_keys::RoleKeys;
use manifest::trust::role::RoleName;
use serde_json::{Map, Value};

use crate::keys::{KeyName, KeysError};
use crate::publish::Session;

/// What the role may speak of: no target at all, in practice.
const PATHS: &str = "workgroup/*";

/// A file that could not be edited.
#[derive(Debug, thiserror::Error)]
pub enum WorkgroupFileError {
    /// The role's key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The role cannot be delegated.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// The members of the public file that TUF does not define; none if there is
/// no such file yet.
#[must_use]
pub fn extra(session: &Session) -> Map<String, Value> {
    let file = session.metadata().targets(&RoleName::WORKGROUP);
    file.map(|file| file.extra.clone()).unwrap_or_default()
}

/// Edits the file under the pen; gives the keys that its publication takes.
///
/// # Errors
/// [`WorkgroupFileError`].
pub fn edit(
    session: &mut Session,
    edit: impl FnOnce(&mut Map<String, Value>),
) -> Result<Vec<KeyName>, WorkgroupFileError> {
    let mut names = vec![KeyName::Revocation, KeyName::Snapshot, KeyName::Timestamp];
    if session.metadata().targets(&RoleName::WORKGROUP).is_none() {
        let keys = session.keys();
        let key = match keys.has(&KeyName::Revocation) {
            true => keys.read(&KeyName::Revocation)?,
            false => keys.generate(&KeyName::Revocation)?,
        };
        let signers = RoleKeys::one(key.public());
        let paths = vec![PATHS.to_owned()];
        session.metadata_mut().delegate_to(RoleName::WORKGROUP, paths, &signers)?;
        names.push(KeyName::Targets);
    }
    session.metadata_mut().edit_extra(&RoleName::WORKGROUP, edit)?;
    Ok(names)
}
