//! The rules that a file is held against, and how it can break them.

use crate::time::UnixTime;
use crate::trust::authority::{Authority, BelowThreshold};
use crate::trust::hashes::Mismatch;
use crate::trust::key::KeyMaterial;
use crate::trust::limits::NAMED_BYTES;
use crate::trust::meta::MetaFile;
use crate::trust::role::{MetadataVersion, RoleName};
use crate::trust::signed::{Document, FormatError, Signed, Verified};

/// A file that is refused, or metadata that may not be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There is no root to begin with.
    #[error("there is no trusted root")]
    NoRoot,
    /// The source sent no metadata.
    #[error("the file of {role} cannot be read")]
    Format {
        /// Whose file.
        role: RoleName,
        /// What is wrong with it.
        source: FormatError,
    },
    /// More bytes than were asked for.
    #[error("the file of {role} has {found} bytes, of {limit} allowed")]
    TooLong {
        /// Whose file.
        role: RoleName,
        /// How long it may be.
        limit: usize,
        /// How long it is.
        found: usize,
    },
    /// Too few of the role's keys have signed.
    #[error("the file of {role} is not signed as it must be")]
    Signatures {
        /// Whose file.
        role: RoleName,
        /// How many have, how many must.
        source: BelowThreshold,
    },
    /// Other bytes than those that verified metadata names.
    #[error("the file of {role} is not the one that is named")]
    Mismatch {
        /// Whose file.
        role: RoleName,
        /// The length or hash that differs.
        source: Mismatch,
    },
    /// Another version than the one that must come.
    #[error("expected version {expected} of {role}, found {found}")]
    Version {
        /// Whose file.
        role: RoleName,
        /// The version named by its superior, or the next root's.
        expected: MetadataVersion,
        /// What the file says.
        found: MetadataVersion,
    },
    /// A source offers older metadata than is trusted already.
    #[error("{role} version {offered} is older than the trusted {trusted}")]
    Rollback {
        /// Which role would go back.
        role: RoleName,
        /// What is trusted.
        trusted: MetadataVersion,
        /// What was offered.
        offered: MetadataVersion,
    },
    /// A newer timestamp claims to have been signed earlier.
    #[error("timestamp was issued at {offered}, before the trusted one at {trusted}")]
    IssuedEarlier {
        /// What is trusted.
        trusted: UnixTime,
        /// What was offered.
        offered: UnixTime,
    },
    /// A snapshot leaves out what the trusted one names.
    #[error("the new snapshot no longer names {name:.80}")]
    Vanished {
        /// The member of `meta`.
        name: String,
    },
    /// Metadata that was valid once; a frozen mirror, or a sleeping vendor.
    #[error("{role} expired at {expired}, now is {now}")]
    Expired {
        /// Which role.
        role: RoleName,
        /// When.
        expired: UnixTime,
        /// The reference time.
        now: UnixTime,
    },
    /// A role that the snapshot does not name.
    #[error("the snapshot does not name {role}")]
    NotInSnapshot {
        /// Which role.
        role: RoleName,
    },
    /// A role that nobody delegates to.
    #[error("{by} does not delegate to {role}")]
    NotDelegated {
        /// Which role.
        role: RoleName,
        /// Who would have to.
        by: RoleName,
    },
    /// A role's file has not been fetched, or no longer fits its superior.
    #[error("there is no trusted file of {role}")]
    Absent {
        /// Which role.
        role: RoleName,
    },
}

/// How long a file may be: what its superior says, or `unnamed`, within the
/// bound for all files.
#[must_use]
pub fn max_len(named: &MetaFile, unnamed: usize) -> usize {
    named
        .length
        .map_or(unnamed, |length| usize::try_from(length).unwrap_or(usize::MAX).min(NAMED_BYTES))
}

pub(super) fn parse<T: Document>(
    role: &RoleName,
    bytes: &[u8],
    limit: usize,
) -> Result<Signed<T>, TrustError> {
    if bytes.len() > limit {
        return Err(TrustError::TooLong { role: role.clone(), limit, found: bytes.len() });
    }
    Signed::parse(bytes).map_err(|source| TrustError::Format { role: role.clone(), source })
}

pub(super) fn verify<T: Document>(
    role: &RoleName,
    bytes: &[u8],
    limit: usize,
    authority: &Authority,
) -> Result<Verified<T>, TrustError> {
    parse::<T>(role, bytes, limit)?
        .verify(authority)
        .map_err(|source| TrustError::Signatures { role: role.clone(), source })
}

pub(super) fn check_named(
    role: &RoleName,
    named: &MetaFile,
    bytes: &[u8],
) -> Result<(), TrustError> {
    named.check(bytes).map_err(|source| TrustError::Mismatch { role: role.clone(), source })
}

pub(super) fn present<'a, T>(
    role: &RoleName,
    file: Option<&'a Verified<T>>,
) -> Result<&'a Verified<T>, TrustError> {
    file.ok_or_else(|| TrustError::Absent { role: role.clone() })
}

pub(super) fn expect_version(
    role: &RoleName,
    expected: MetadataVersion,
    found: MetadataVersion,
) -> Result<(), TrustError> {
    if expected == found {
        return Ok(());
    }
    Err(TrustError::Version { role: role.clone(), expected, found })
}

pub(super) fn not_older(
    role: &RoleName,
    trusted: MetadataVersion,
    offered: MetadataVersion,
) -> Result<(), TrustError> {
    if offered >= trusted {
        return Ok(());
    }
    Err(TrustError::Rollback { role: role.clone(), trusted, offered })
}

/// TUF: the expiry must be higher than the fixed update start time.
pub(super) fn unexpired(
    role: &RoleName,
    file: &impl Document,
    now: UnixTime,
) -> Result<(), TrustError> {
    let expired = file.expires();
    if expired > now {
        return Ok(());
    }
    Err(TrustError::Expired { role: role.clone(), expired, now })
}

/// Whether a key that could sign before no longer can. A key more, or another
/// threshold, is no rotation: it needs no recovery, and forgetting would open
/// the way for older files.
pub(super) fn lost_a_key(old: &Authority, new: &Authority) -> bool {
    let new = new.materials();
    old.materials().into_iter().any(|key: &KeyMaterial| !new.contains(key))
}
