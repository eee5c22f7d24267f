//! The metadata that is trusted, and the only ways into it.
//!
//! Each `update_…` checks one received file by the rules of TUF 5.3 to 5.6 and
//! either takes it or leaves the set as it was. Expiry is judged against a
//! reference time that the caller keeps for a whole refresh; what has expired
//! stays in the set, as a floor for versions, but is given to nobody by
//! [`TrustedSet::current`].

use std::collections::{BTreeMap, BTreeSet};

use crate::key::PublicKey;
use crate::time::UnixTime;
use crate::trust::authority::Authority;
use crate::trust::key::Key;
use crate::trust::limits::{
    DELEGATIONS, ROOT_BYTES, SNAPSHOT_BYTES, TARGETS_BYTES, TIMESTAMP_BYTES,
};
use crate::trust::meta::MetaFile;
use crate::trust::persisted::LeftOut;
use crate::trust::role::RoleName;
use crate::trust::root::Root;
use crate::trust::rules::{
    TrustError, check_named, expect_version, lost_a_key, max_len, not_older, parse, present,
    unexpired, verify,
};
use crate::trust::signed::{Document, Signed, Verified};
use crate::trust::snapshot::Snapshot;
use crate::trust::targets::Targets;
use crate::trust::timestamp::Timestamp;

/// Metadata that was verified, from root down to delegated roles.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    pub(super) root: Verified<Root>,
    pub(super) timestamp: Option<Verified<Timestamp>>,
    pub(super) snapshot: Option<Verified<Snapshot>>,
    pub(super) targets: Option<Verified<Targets>>,
    pub(super) delegated: BTreeMap<RoleName, Delegated>,
    pub(super) left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone)]
pub(super) struct Delegated {
    pub(super) by: RoleName,
    pub(super) file: Verified<Targets>,
}

/// Whether a file replaced the trusted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is the trusted one now, and must be persisted.
    Taken,
    /// It has the version that is trusted already, which stays.
    Kept,
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

    /// Every ed25519 key that this set lets sign anything: root's, those of all
    /// delegations, and the workgroup's. A program looks here for keys that it
    /// must refuse, whatever role they stand in.
    #[must_use]
    pub fn public_keys(&self) -> BTreeSet<PublicKey> {
        let delegating = self.targets.iter().chain(self.delegated.values().map(|held| &held.file));
        let delegated = delegating.filter_map(|file| file.delegations.as_ref());
        let materials = self.root.keys.values().chain(delegated.flat_map(|d| d.keys.values()));
        let ed25519 = materials.filter_map(Key::material).filter_map(|key| key.ed25519());
        ed25519.chain(self.root.workgroup_keys().unwrap_or_default()).collect()
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

    /// Takes up a role's trusted file on the word of `by`, another delegator
    /// than the one it came by, if it would also have taken it from there.
    pub(super) fn adopt(&mut self, role: &RoleName, by: &RoleName, reference: UnixTime) -> bool {
        let Some(held) = self.delegated.get(role) else { return false };
        let bytes = held.file.bytes().to_vec();
        self.update_targets(role, by, &bytes, reference).is_ok()
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
    pub(super) fn verify_named(
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

impl<T: Document> Verified<T> {
    /// Whether the file would also be verified by these keys.
    fn holds_under(&self, authority: &Authority) -> bool {
        *authority == *self.authority()
            || Signed::<T>::parse(self.bytes()).is_ok_and(|file| file.verify(authority).is_ok())
    }
}
