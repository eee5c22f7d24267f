//! Takes up a published repository, to go on writing it.
//!
//! Everything is verified as a client would, but for expiry: what has expired
//! is what its vendor must be able to sign anew.

use crate::trust::author::repository::{Page, Repository};
use crate::trust::authority::Authority;
use crate::trust::limits::ROOT_STEPS;
use crate::trust::role::{MetadataVersion, RoleName};
use crate::trust::root::Root;
use crate::trust::rules::TrustError;
use crate::trust::signed::{Document, Signed, Verified};
use crate::trust::snapshot::Snapshot;
use crate::trust::timestamp::Timestamp;
use crate::trust::trusted::TrustedSet;

/// A repository that cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file is not there.
    #[error("there is no {name}")]
    Missing {
        /// Its name beneath `metadata/`.
        name: String,
    },
    /// A file does not verify.
    #[error("{name} is refused")]
    Refused {
        /// Its name beneath `metadata/`.
        name: String,
        /// Why.
        source: TrustError,
    },
}

impl Repository {
    /// Takes up the repository whose files `read` gives by name.
    ///
    /// # Errors
    /// [`OpenError`] if a file is missing or does not verify.
    pub fn open(mut read: impl FnMut(&str) -> Option<Vec<u8>>) -> Result<Self, OpenError> {
        let mut get =
            |name: &str| read(name).ok_or_else(|| OpenError::Missing { name: name.to_owned() });
        let roots = open_roots(&mut get)?;
        let root = roots.last().expect("the first root is there, or opening has failed");

        // A rotation that was cut short leaves files that only the root before
        // vouches for; they are signed anew at the next publication.
        let by_any = |authority: fn(&Root) -> Authority| -> Vec<Authority> {
            roots.iter().rev().map(|root| authority(root)).collect()
        };
        let name = RoleName::TIMESTAMP.file_name();
        let timestamp: Verified<Timestamp> = open_one(
            &RoleName::TIMESTAMP,
            name.clone(),
            &get(&name)?,
            &by_any(Root::timestamp_authority),
        )?;
        let version = timestamp.meta.snapshot.version;
        let name = RoleName::SNAPSHOT.versioned_file_name(version);
        let snapshot: Verified<Snapshot> = open_one(
            &RoleName::SNAPSHOT,
            name.clone(),
            &get(&name)?,
            &by_any(Root::snapshot_authority),
        )?;

        let role = RoleName::TARGETS;
        let name = name_in(&snapshot, &role)?;
        let targets =
            open_one(&role, name.clone(), &get(&name)?, &by_any(Root::targets_authority))?;
        let mut repository = Self::with(Page::published(root.clone()), Page::published(targets));
        if let Some(delegations) = &repository.targets.content.delegations.clone() {
            for role in delegations.names() {
                let name = name_in(&snapshot, role)?;
                let authority = delegations.authority(role).expect("it lists this role");
                let file = open_one(role, name.clone(), &get(&name)?, &[authority])?;
                repository.channels.insert(role.clone(), Page::published(file));
            }
        }
        repository.snapshot = Some(snapshot);
        repository.timestamp = Some(timestamp);
        Ok(repository)
    }
}

/// The chain of roots, from the first to the newest that is there.
fn open_roots(
    get: &mut impl FnMut(&str) -> Result<Vec<u8>, OpenError>,
) -> Result<Vec<Verified<Root>>, OpenError> {
    let name = RoleName::ROOT.versioned_file_name(MetadataVersion::FIRST);
    let refused = |name: String| move |source| OpenError::Refused { name, source };
    let mut set = TrustedSet::from_root(&get(&name)?).map_err(refused(name))?;
    let mut roots = vec![set.root().clone()];
    for _ in 0..ROOT_STEPS {
        let name = RoleName::ROOT.versioned_file_name(set.root().version.next());
        let Ok(bytes) = get(&name) else { break };
        set.update_root(&bytes).map_err(refused(name))?;
        roots.push(set.root().clone());
    }
    Ok(roots)
}

fn name_in(snapshot: &Snapshot, role: &RoleName) -> Result<String, OpenError> {
    match snapshot.of(role) {
        Some(meta) => Ok(role.versioned_file_name(meta.version)),
        None => {
            let source = TrustError::NotInSnapshot { role: role.clone() };
            Err(OpenError::Refused { name: role.file_name(), source })
        }
    }
}

/// Verifies a file with the first of `authorities` that vouches for it.
fn open_one<T: Document + Clone>(
    role: &RoleName,
    name: String,
    bytes: &[u8],
    authorities: &[Authority],
) -> Result<Verified<T>, OpenError> {
    let refused = |source| OpenError::Refused { name, source };
    let file = match Signed::<T>::parse(bytes) {
        Ok(file) => file,
        Err(source) => return Err(refused(TrustError::Format { role: role.clone(), source })),
    };
    let mut error = None;
    for authority in authorities {
        match file.clone().verify(authority) {
            Ok(file) => return Ok(file),
            Err(source) => error = error.or(Some(source)),
        }
    }
    let source = error.expect("a role has at least one root to vouch for it");
    Err(refused(TrustError::Signatures { role: role.clone(), source }))
}
