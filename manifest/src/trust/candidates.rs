//! What a channel offers to an installation.
//!
//! Taken from the channel's own role alone, at paths delegated to it, and only
//! while everything that it rests on is in force. Entries that this version
//! does not understand are left out, so that a vendor may add kinds that only
//! newer agents know.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::content::ContentId;
use crate::name::{ChannelName, Platform, ProductName, ReleaseNumber};
use crate::time::UnixTime;
use crate::trust::custom::{PatchTarget, ReleaseTarget, patch_path, release_path};
use crate::trust::floor::KeySet;
use crate::trust::key::KeyId;
use crate::trust::role::{MetadataVersion, RoleName};
use crate::trust::rules::TrustError;
use crate::trust::targets::Target;
use crate::trust::trusted::TrustedSet;

/// All that one channel offers for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// The channel's role.
    pub role: RoleName,
    /// The version of its file.
    pub role_version: MetadataVersion,
    /// The ids of the keys that signed it.
    pub signers: Vec<KeyId>,
    /// The keys that may sign it; the floor hangs on them.
    pub keys: KeySet,
    /// Its releases, the highest number first; withdrawn ones are not among
    /// them.
    pub releases: Vec<Candidate<ReleaseTarget>>,
    /// Its patches.
    pub patches: Vec<Candidate<PatchTarget>>,
    /// Targets of this platform that are not understood, and why.
    pub left_out: Vec<(String, String)>,
    consistent: bool,
}

/// A target that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<T> {
    /// What Updraft says of it.
    pub custom: T,
    /// Its path among the targets.
    pub path: String,
    /// Its path beneath `targets/` in the repository.
    pub file: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl Candidates {
    /// What `channel` of `product` offers for `platform` at `now`.
    ///
    /// # Errors
    /// [`TrustError`] if the channel's role, or anything above it, is missing
    /// or has expired.
    pub fn of(
        trusted: &TrustedSet,
        product: &ProductName,
        channel: &ChannelName,
        platform: &Platform,
        now: UnixTime,
    ) -> Result<Self, TrustError> {
        let role = RoleName::of_channel(product, channel);
        let by = RoleName::TARGETS;
        let file = trusted.current(&role, now)?;
        // The role may be delegated from below too; only targets' word counts.
        let top = trusted.current(&by, now)?;
        let delegations = top.delegations.as_ref();
        let delegated = delegations.and_then(|delegations| delegations.role(&role));
        let Some(delegated) = delegated.filter(|_| trusted.delegator(&role) == Some(&by)) else {
            return Err(TrustError::NotDelegated { role, by });
        };

        let mut candidates = Self {
            role_version: file.version,
            signers: file.signers().to_vec(),
            keys: KeySet::of(file.authority()),
            role,
            releases: Vec::new(),
            patches: Vec::new(),
            left_out: Vec::new(),
            consistent: trusted.root().consistent_snapshot(),
        };
        let place = format!("{product}/{channel}/{platform}/");
        for (path, target) in file.targets.range(place.clone()..) {
            let Some(name) = path.strip_prefix(&place) else { break };
            let taken = if !delegated.paths.contain(path) {
                Err("its path is not delegated to this role".to_owned())
            } else if name.ends_with(".release") {
                candidates.take_release(product, channel, platform, path, target)
            } else if name.ends_with(".patch") {
                candidates.take_patch(product, channel, platform, path, target)
            } else {
                Err("it is neither a release nor a patch".to_owned())
            };
            if let Err(why) = taken {
                candidates.left_out.push((path.clone(), why));
            }
        }
        candidates.releases.sort_by_key(|release| std::cmp::Reverse(release.custom.number));
        Ok(candidates)
    }

    fn take_release(
        &mut self,
        product: &ProductName,
        channel: &ChannelName,
        platform: &Platform,
        path: &str,
        target: &Target,
    ) -> Result<(), String> {
        let candidate = candidate::<ReleaseTarget>(path, target, self.consistent)?;
        if release_path(product, channel, platform, &candidate.custom.version) != path {
            return Err(format!("its version {} is not its path's", candidate.custom.version));
        }
        if !candidate.custom.withdrawn {
            self.releases.push(candidate);
        }
        Ok(())
    }

    fn take_patch(
        &mut self,
        product: &ProductName,
        channel: &ChannelName,
        platform: &Platform,
        path: &str,
        target: &Target,
    ) -> Result<(), String> {
        let candidate = candidate::<PatchTarget>(path, target, self.consistent)?;
        let numbers = path.rsplit('/').next().and_then(numbers_of);
        let named =
            numbers.map(|(base, number)| patch_path(product, channel, platform, base, number));
        if named.as_deref() != Some(path) {
            return Err("its path is not BASE..NUMBER.patch".to_owned());
        }
        self.patches.push(candidate);
        Ok(())
    }

    /// The newest release with at least the number `floor`.
    #[must_use]
    pub fn newest(&self, floor: ReleaseNumber) -> Option<&Candidate<ReleaseTarget>> {
        self.releases.first().filter(|release| release.custom.number >= floor)
    }

    /// The patch that leads from the release with the manifest `base` to the
    /// one with the manifest `release`.
    #[must_use]
    pub fn patch(&self, base: ContentId, release: ContentId) -> Option<&Candidate<PatchTarget>> {
        self.patches.iter().find(|p| p.custom.base == base && p.custom.release == release)
    }
}

impl Candidates {
    /// The fewest patches that lead from the release with the manifest `base`
    /// to the one with the manifest `release`, at most `most`; all but the
    /// last name a waypoint.
    #[must_use]
    pub fn way(
        &self,
        base: ContentId,
        release: ContentId,
        most: usize,
    ) -> Option<Vec<&Candidate<PatchTarget>>> {
        let mut ends = vec![(base, Vec::new())];
        let mut seen = HashSet::from([base]);
        for _ in 0..most {
            let mut next = Vec::new();
            for (end, way) in ends {
                let from_here = self.patches.iter().filter(|patch| patch.custom.base == end);
                for patch in from_here {
                    let mut longer = way.clone();
                    longer.push(patch);
                    if patch.custom.release == release {
                        return Some(longer);
                    }
                    if patch.custom.waypoint.is_some() && seen.insert(patch.custom.release) {
                        next.push((patch.custom.release, longer));
                    }
                }
            }
            ends = next;
        }
        None
    }
}

impl<T> Candidate<T> {
    /// Whether `bytes` have the length and SHA-256 that are signed.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.length && self.sha256 == *Sha256::digest(bytes)
    }
}

fn candidate<T: DeserializeOwned>(
    path: &str,
    target: &Target,
    consistent: bool,
) -> Result<Candidate<T>, String> {
    let custom = target.custom_as().map_err(|error| format!("its custom part: {error}"))?;
    let sha256 = target.hashes.sha256().ok_or("it has no sha256")?;
    let file = match consistent {
        true => target.consistent_names(path).next().ok_or("it has no hash")?,
        false => path.to_owned(),
    };
    Ok(Candidate { custom, path: path.to_owned(), file, length: target.length, sha256 })
}

/// The two numbers in `BASE..NUMBER.patch`.
fn numbers_of(name: &str) -> Option<(ReleaseNumber, ReleaseNumber)> {
    let (base, number) = name.strip_suffix(".patch")?.split_once("..")?;
    Some((ReleaseNumber(base.parse().ok()?), ReleaseNumber(number.parse().ok()?)))
}
