//! The metadata that is trusted, and the only ways into it.
//!
//! Each `update_…` checks one received file by the rules of TUF 5.3 to 5.6 and
//! either takes it or leaves the set as it was. Expiry is judged against a
//! reference time that the caller keeps for a whole refresh; what has expired
//! stays in the set, as a floor for versions, but is given to nobody by
//! [`TrustedSet::current`].

use std::collections::BTreeMap;

use crate::time::UnixTime;
use crate::trust::authority::{Authority, BelowThreshold};
use crate::trust::key::KeyMaterial;
use crate::trust::limits::{
    DELEGATIONS, NAMED_BYTES, ROOT_BYTES, SNAPSHOT_BYTES, TARGETS_BYTES, TIMESTAMP_BYTES,
};
use crate::trust::meta::{MetaFile, Mismatch};
use crate::trust::role::{MetadataVersion, RoleName};
use crate::trust::root::Root;
use crate::trust::signed::{Document, FormatError, Signed, Verified};
use crate::trust::snapshot::Snapshot;
use crate::trust::targets::Targets;
use crate::trust::timestamp::Timestamp;

/// Metadata that was verified, from root down to delegated roles.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    root: Verified<Root>,
    timestamp: Option<Verified<Timestamp>>,
    snapshot: Option<Verified<Snapshot>>,
    targets: Option<Verified<Targets>>,
    delegated: BTreeMap<RoleName, Delegated>,
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone)]
struct Delegated {
    by: RoleName,
    file: Verified<Targets>,
}

/// A persisted file that is not trusted any more.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// Its name in the trusted directory.
    pub name: String,
    /// Why, as a sentence's end.
    pub why: String,
}

/// Whether a file replaced the trusted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is the trusted one now, and must be persisted.
    Taken,
    /// It has the version that is trusted already, which stays.
    Kept,
}

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

impl TrustedSet {
    /// Begins with a root that came in a trusted way (TUF 5.2).
    ///
    /// # Errors
    /// [`TrustError`] if it is no root signed by its own keys.
    pub fn from_root(bytes: &[u8]) -> Result<Self, TrustError> {
        let role = RoleName::ROOT;
        let root = parse::<Root>(&role, bytes, ROOT_BYTES)?
            .verify_by_itself()
            .map_err(|source| TrustError::Signatures { role, source })?;
        Ok(Self {
            root,
            timestamp: None,
            snapshot: None,
            targets: None,
            delegated: BTreeMap::new(),
            left_out: Vec::new(),
        })
    }

    /// Takes up what was persisted, by unversioned file name.
    ///
    /// Files that the persisted root or their superiors do not vouch for are
    /// left out, see [`TrustedSet::left_out`]; they will be fetched again.
    ///
    /// # Errors
    /// [`TrustError`] if `root.json` is missing or broken.
    pub fn load(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, TrustError> {
        let root = files.get(&RoleName::ROOT.file_name()).ok_or(TrustError::NoRoot)?;
        let mut set = Self::from_root(root)?;
        set.load_timestamp_and_snapshot(files);
        set.load_targets(files);
        Ok(set)
    }

    fn load_timestamp_and_snapshot(&mut self, files: &BTreeMap<String, Vec<u8>>) {
        let mut unsigned = false;
        let mut keep = |role: RoleName, error: TrustError| {
            unsigned |= matches!(error, TrustError::Signatures { .. });
            self.left_out.push(LeftOut::new(&role, &error));
        };
        let timestamp = files.get(&RoleName::TIMESTAMP.file_name()).and_then(|bytes| {
            verify(&RoleName::TIMESTAMP, bytes, TIMESTAMP_BYTES, &self.root.timestamp_authority())
                .map_err(|error| keep(RoleName::TIMESTAMP, error))
                .ok()
        });
        let snapshot = files.get(&RoleName::SNAPSHOT.file_name()).and_then(|bytes| {
            verify(&RoleName::SNAPSHOT, bytes, NAMED_BYTES, &self.root.snapshot_authority())
                .map_err(|error| keep(RoleName::SNAPSHOT, error))
                .ok()
        });
        // Each was signed as its root demanded when it was persisted. If one no
        // longer is, a newer root has taken keys away, and power was cut before
        // both were forgotten (TUF 5.3.11).
        if !unsigned {
            (self.timestamp, self.snapshot) = (timestamp, snapshot);
        }
    }

    fn load_targets(&mut self, files: &BTreeMap<String, Vec<u8>>) {
        if let Some(bytes) = files.get(&RoleName::TARGETS.file_name()) {
            match self.verify_named(&RoleName::TARGETS, &RoleName::ROOT, bytes) {
                Ok(file) => self.targets = Some(file),
                Err(error) => self.left_out.push(LeftOut::new(&RoleName::TARGETS, &error)),
            }
        }
        // A role's file is found by those who delegate to it, so each round
        // may make the next one's superiors known.
        let mut left: Vec<(RoleName, &Vec<u8>)> = files
            .iter()
            .filter_map(|(name, bytes)| Some((RoleName::from_file_name(name)?, bytes)))
            .filter(|(role, _)| !role.is_top_level())
            .collect();
        while self.delegated.len() < DELEGATIONS {
            let before = left.len();
            let mut superiors = vec![RoleName::TARGETS];
            superiors.extend(self.delegated.keys().cloned());
            left.retain(|(role, bytes)| {
                let found = superiors.iter().find_map(|by| {
                    let file = self.verify_named(role, by, bytes).ok()?;
                    Some(Delegated { by: by.clone(), file })
                });
                match found {
                    Some(delegated) => {
                        self.delegated.insert(role.clone(), delegated);
                        false
                    }
                    None => true,
                }
            });
            if left.len() == before {
                break;
            }
        }
    }

    /// The persisted files that [`TrustedSet::load`] did not trust.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The trusted root, which may have expired.
    #[must_use]
    pub const fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The trusted timestamp, which may have expired.
    #[must_use]
    pub const fn timestamp(&self) -> Option<&Verified<Timestamp>> {
        self.timestamp.as_ref()
    }

    /// The trusted snapshot, which may have expired, and may be an older one
    /// than the timestamp names.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&Verified<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The targets file, or a delegated role's, that the trusted snapshot
    /// names; it may have expired.
    #[must_use]
    pub fn targets(&self, role: &RoleName) -> Option<&Verified<Targets>> {
        if *role == RoleName::TARGETS {
            return self.targets.as_ref();
        }
        self.delegated.get(role).map(|delegated| &delegated.file)
    }

    /// Who delegates to a role whose file is trusted.
    #[must_use]
    pub fn delegator(&self, role: &RoleName) -> Option<&RoleName> {
        self.delegated.get(role).map(|delegated| &delegated.by)
    }

    /// The delegated roles whose files are trusted.
    pub fn delegated_roles(&self) -> impl Iterator<Item = &RoleName> {
        self.delegated.keys()
    }

    /// The time that expiry is judged against: the latest of `now` (which the
    /// caller makes of system clock and build date) and the trusted
    /// timestamp's signed time.
    ///
    /// The signed time goes when root takes the timestamp's keys away: a date
    /// in the far future, signed with a stolen key, ends with that key.
    #[must_use]
    pub fn reference_time(&self, now: UnixTime) -> UnixTime {
        self.timestamp.as_ref().and_then(|timestamp| timestamp.issued).map_or(now, |t| t.max(now))
    }

    /// A role's targets file, if all that it rests on is in force at `now`:
    /// root, timestamp, the snapshot this one names, targets and the roles
    /// between, none of them expired.
    ///
    /// # Errors
    /// [`TrustError::Expired`], [`TrustError::Absent`] or another, naming the
    /// first that is not.
    pub fn current(
        &self,
        role: &RoleName,
        now: UnixTime,
    ) -> Result<&Verified<Targets>, TrustError> {
        let now = self.reference_time(now);
        unexpired(&RoleName::ROOT, &*self.root, now)?;
        let timestamp = present(&RoleName::TIMESTAMP, self.timestamp.as_ref())?;
        unexpired(&RoleName::TIMESTAMP, &**timestamp, now)?;
        let snapshot = present(&RoleName::SNAPSHOT, self.snapshot.as_ref())?;
        expect_version(&RoleName::SNAPSHOT, timestamp.meta.snapshot.version, snapshot.version)?;
        unexpired(&RoleName::SNAPSHOT, &**snapshot, now)?;
        let file = present(role, self.targets(role))?;
        unexpired(role, &**file, now)?;
        // A delegation holds as long as all who passed it on are in force.
        let mut below = role;
        for _ in 0..=DELEGATIONS {
            let Some(Delegated { by, .. }) = self.delegated.get(below) else { break };
            unexpired(by, &**present(by, self.targets(by))?, now)?;
            below = by;
        }
        Ok(file)
    }

    /// Takes the next root, or none (TUF 5.3.4 to 5.3.7).
    ///
    /// Gives the names of the files to forget: timestamp and snapshot, when a
    /// key of either has been taken away (TUF 5.3.11).
    ///
    /// # Errors
    /// [`TrustError`] unless it is signed by enough keys of the trusted root
    /// and of its own, and its version is exactly one more. Its expiry is not
    /// looked at, see [`TrustedSet::check_root`].
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<Vec<RoleName>, TrustError> {
        let role = RoleName::ROOT;
        let new = parse::<Root>(&role, bytes, ROOT_BYTES)?
            .verify_after(&self.root)
            .map_err(|source| TrustError::Signatures { role: role.clone(), source })?;
        expect_version(&role, self.root.version.next(), new.version)?;
        let old = std::mem::replace(&mut self.root, new);

        let rotated = lost_a_key(&old.timestamp_authority(), &self.root.timestamp_authority())
            || lost_a_key(&old.snapshot_authority(), &self.root.snapshot_authority());
        let mut forgotten = Vec::new();
        let timestamp_authority = self.root.timestamp_authority();
        if self.timestamp.take_if(|t| rotated || !t.holds_under(&timestamp_authority)).is_some() {
            forgotten.push(RoleName::TIMESTAMP);
        }
        let snapshot_authority = self.root.snapshot_authority();
        if self.snapshot.take_if(|s| rotated || !s.holds_under(&snapshot_authority)).is_some() {
            forgotten.push(RoleName::SNAPSHOT);
        }
        self.drop_unfounded();
        Ok(forgotten)
    }

    /// Checks, at the end of the chain, that the root is in force (TUF 5.3.10).
    ///
    /// # Errors
    /// [`TrustError::Expired`].
    pub fn check_root(&self, reference: UnixTime) -> Result<(), TrustError> {
        unexpired(&RoleName::ROOT, &*self.root, reference)
    }

    /// Takes a newer timestamp (TUF 5.4).
    ///
    /// # Errors
    /// [`TrustError`] if it is not signed by root's keys, older than the
    /// trusted one, names an older snapshot, or has expired. One of equal
    /// version is [`Change::Kept`], unless the trusted one has expired.
    pub fn update_timestamp(
        &mut self,
        bytes: &[u8],
        reference: UnixTime,
    ) -> Result<Change, TrustError> {
        let role = RoleName::TIMESTAMP;
        self.check_root(reference)?;
        // The same bytes need no second look at their signatures.
        if let Some(trusted) = self.timestamp.as_ref().filter(|t| t.bytes() == bytes) {
            unexpired(&role, &**trusted, reference)?;
            return Ok(Change::Kept);
        }
        let new: Verified<Timestamp> =
            verify(&role, bytes, TIMESTAMP_BYTES, &self.root.timestamp_authority())?;
        if let Some(trusted) = &self.timestamp {
            // TUF 5.4.3.1: equal is normal, and the trusted one stays.
            not_older(&role, trusted.version, new.version)?;
            if new.version == trusted.version {
                unexpired(&role, &**trusted, reference)?;
                return Ok(Change::Kept);
            }
            // TUF 5.4.3.2
            let (trusted_snapshot, new_snapshot) = (&trusted.meta.snapshot, &new.meta.snapshot);
            not_older(&RoleName::SNAPSHOT, trusted_snapshot.version, new_snapshot.version)?;
            if let (Some(trusted), Some(offered)) = (trusted.issued, new.issued)
                && offered < trusted
            {
                return Err(TrustError::IssuedEarlier { trusted, offered });
            }
        }
        // TUF 5.4.4
        unexpired(&role, &*new, reference)?;
        self.timestamp = Some(new);
        Ok(Change::Taken)
    }

    /// Whether the trusted snapshot is the one that the timestamp names.
    #[must_use]
    pub fn has_named_snapshot(&self) -> bool {
        let (Some(timestamp), Some(snapshot)) = (&self.timestamp, &self.snapshot) else {
            return false;
        };
        let named = &timestamp.meta.snapshot;
        named.version == snapshot.version && named.check(snapshot.bytes()).is_ok()
    }

    /// Takes the snapshot that the timestamp names (TUF 5.5).
    ///
    /// # Errors
    /// [`TrustError`] if it is another one, not signed by root's keys, takes
    /// back or leaves out what the trusted one names, or has expired.
    pub fn update_snapshot(&mut self, bytes: &[u8], reference: UnixTime) -> Result<(), TrustError> {
        let role = RoleName::SNAPSHOT;
        let timestamp = present(&RoleName::TIMESTAMP, self.timestamp.as_ref())?;
        unexpired(&RoleName::TIMESTAMP, &**timestamp, reference)?;
        let named = &timestamp.meta.snapshot;
        // TUF 5.5.2, before anything is decoded.
        check_named(&role, named, bytes)?;
        let new: Verified<Snapshot> =
            verify(&role, bytes, max_len(named, SNAPSHOT_BYTES), &self.root.snapshot_authority())?;
        // TUF 5.5.4
        expect_version(&role, named.version, new.version)?;
        if let Some(trusted) = &self.snapshot {
            not_older(&role, trusted.version, new.version)?;
            // TUF 5.5.5
            for (name, trusted) in &trusted.meta {
                let Some(offered) = new.meta.get(name) else {
                    return Err(TrustError::Vanished { name: name.clone() });
                };
                if offered.version < trusted.version {
                    let role = name.strip_suffix(".json").unwrap_or(name);
                    return Err(TrustError::Rollback {
                        role: RoleName::new(role).unwrap_or(RoleName::SNAPSHOT),
                        trusted: trusted.version,
                        offered: offered.version,
                    });
                }
            }
        }
        // TUF 5.5.6
        unexpired(&role, &*new, reference)?;
        self.snapshot = Some(new);
        self.drop_unfounded();
        Ok(())
    }

    /// What the snapshot says of a role, given that the snapshot is in force.
    ///
    /// # Errors
    /// [`TrustError`] if there is no such snapshot, or it does not say.
    pub fn named(&self, role: &RoleName, reference: UnixTime) -> Result<&MetaFile, TrustError> {
        let timestamp = present(&RoleName::TIMESTAMP, self.timestamp.as_ref())?;
        let snapshot = present(&RoleName::SNAPSHOT, self.snapshot.as_ref())?;
        expect_version(&RoleName::SNAPSHOT, timestamp.meta.snapshot.version, snapshot.version)?;
        unexpired(&RoleName::SNAPSHOT, &**snapshot, reference)?;
        snapshot.of(role).ok_or_else(|| TrustError::NotInSnapshot { role: role.clone() })
    }

    /// Whether the file of `role` that the snapshot names is trusted already,
    /// on the word of `by`, and in force.
    #[must_use]
    pub fn has_named_targets(&self, role: &RoleName, by: &RoleName, reference: UnixTime) -> bool {
        // Whatever does not fit the snapshot has left the set with it.
        let known = match self.delegated.get(role) {
            Some(delegated) => delegated.by == *by,
            None => *role == RoleName::TARGETS,
        };
        known && self.targets(role).is_some_and(|file| file.expires > reference)
    }

    /// Takes the file of `targets`, or of a role that `by` delegates to
    /// (TUF 5.6).
    ///
    /// # Errors
    /// [`TrustError`] if it is not the one that the snapshot names, is not
    /// signed as `by` demands, or has expired.
    pub fn update_targets(
        &mut self,
        role: &RoleName,
        by: &RoleName,
        bytes: &[u8],
        reference: UnixTime,
    ) -> Result<(), TrustError> {
        self.named(role, reference)?;
        let file = self.verify_named(role, by, bytes)?;
        // TUF 5.6.5
        unexpired(role, &*file, reference)?;
        if *role == RoleName::TARGETS {
            self.targets = Some(file);
        } else {
            self.delegated.insert(role.clone(), Delegated { by: by.clone(), file });
        }
        self.drop_unfounded();
        Ok(())
    }

    /// Who signs the file of `role`, in the words of `by`.
    pub(super) fn authority(
        &self,
        role: &RoleName,
        by: &RoleName,
    ) -> Result<Authority, TrustError> {
        if *role == RoleName::TARGETS {
            return Ok(self.root.targets_authority());
        }
        let superior = present(by, self.targets(by))?;
        superior
            .delegations
            .as_ref()
            .and_then(|delegations| delegations.authority(role))
            .ok_or_else(|| TrustError::NotDelegated { role: role.clone(), by: by.clone() })
    }

    /// TUF 5.6.2 to 5.6.4: the file that the snapshot names, signed as `by`
    /// demands.
    fn verify_named(
        &self,
        role: &RoleName,
        by: &RoleName,
        bytes: &[u8],
    ) -> Result<Verified<Targets>, TrustError> {
        let snapshot = present(&RoleName::SNAPSHOT, self.snapshot.as_ref())?;
        let named =
            snapshot.of(role).ok_or_else(|| TrustError::NotInSnapshot { role: role.clone() })?;
        check_named(role, named, bytes)?;
        let authority = self.authority(role, by)?;
        let file: Verified<Targets> =
            verify(role, bytes, max_len(named, TARGETS_BYTES), &authority)?;
        expect_version(role, named.version, file.version)?;
        Ok(file)
    }

    /// Drops targets files that root, the snapshot or their delegator no
    /// longer vouch for. Without a snapshot they wait for the next one.
    fn drop_unfounded(&mut self) {
        let founded = |set: &Self, role: &RoleName, by: &RoleName, file: &Verified<Targets>| {
            set.snapshot.as_ref().is_none_or(|snapshot| {
                snapshot.of(role).is_some_and(|named| {
                    named.version == file.version && named.check(file.bytes()).is_ok()
                })
            }) && set.authority(role, by).is_ok_and(|authority| file.holds_under(&authority))
        };
        let unfounded = self
            .targets
            .as_ref()
            .is_some_and(|file| !founded(self, &RoleName::TARGETS, &RoleName::ROOT, file));
        if unfounded {
            self.targets = None;
        }
        // One that falls takes those below with it, so look until all stand.
        loop {
            let falling: Vec<RoleName> = self
                .delegated
                .iter()
                .filter(|(role, held)| !founded(self, role, &held.by, &held.file))
                .map(|(role, _)| role.clone())
                .collect();
            if falling.is_empty() {
                break;
            }
            for role in falling {
                self.delegated.remove(&role);
            }
        }
    }
}

impl LeftOut {
    fn new(role: &RoleName, error: &TrustError) -> Self {
        Self { name: role.file_name(), why: error.to_string() }
    }
}

impl<T: Document> Verified<T> {
    /// Whether the file would also be verified by these keys.
    fn holds_under(&self, authority: &Authority) -> bool {
        *authority == *self.authority()
            || Signed::<T>::parse(self.bytes()).is_ok_and(|file| file.verify(authority).is_ok())
    }
}

/// How long a file may be: what its superior says, or `unnamed`, within the
/// bound for all files.
#[must_use]
pub fn max_len(named: &MetaFile, unnamed: usize) -> usize {
    named
        .length
        .map_or(unnamed, |length| usize::try_from(length).unwrap_or(usize::MAX).min(NAMED_BYTES))
}

fn parse<T: Document>(
    role: &RoleName,
    bytes: &[u8],
    limit: usize,
) -> Result<Signed<T>, TrustError> {
    if bytes.len() > limit {
        return Err(TrustError::TooLong { role: role.clone(), limit, found: bytes.len() });
    }
    Signed::parse(bytes).map_err(|source| TrustError::Format { role: role.clone(), source })
}

fn verify<T: Document>(
    role: &RoleName,
    bytes: &[u8],
    limit: usize,
    authority: &Authority,
) -> Result<Verified<T>, TrustError> {
    parse::<T>(role, bytes, limit)?
        .verify(authority)
        .map_err(|source| TrustError::Signatures { role: role.clone(), source })
}

fn check_named(role: &RoleName, named: &MetaFile, bytes: &[u8]) -> Result<(), TrustError> {
    named.check(bytes).map_err(|source| TrustError::Mismatch { role: role.clone(), source })
}

fn present<'a, T>(
    role: &RoleName,
    file: Option<&'a Verified<T>>,
) -> Result<&'a Verified<T>, TrustError> {
    file.ok_or_else(|| TrustError::Absent { role: role.clone() })
}

fn expect_version(
    role: &RoleName,
    expected: MetadataVersion,
    found: MetadataVersion,
) -> Result<(), TrustError> {
    if expected == found {
        return Ok(());
    }
    Err(TrustError::Version { role: role.clone(), expected, found })
}

fn not_older(
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
fn unexpired(role: &RoleName, file: &impl Document, now: UnixTime) -> Result<(), TrustError> {
    let expired = file.expires();
    if expired > now {
        return Ok(());
    }
    Err(TrustError::Expired { role: role.clone(), expired, now })
}

/// Whether a key that could sign before no longer can. A key more, or another
/// threshold, is no rotation: it needs no recovery, and forgetting would open
/// the way for older files.
fn lost_a_key(old: &Authority, new: &Authority) -> bool {
    let new = new.materials();
    old.materials().into_iter().any(|key: &KeyMaterial| !new.contains(key))
}
