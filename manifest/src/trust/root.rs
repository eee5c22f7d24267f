//! `root.json`: the keys of the four roles, its own among them (TUF 4.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::key::PublicKey;
use crate::time::UnixTime;
use crate::trust::authority::{Authority, BelowThreshold, Role};
use crate::trust::key::{Key, KeyId};
use crate::trust::role::MetadataVersion;
use crate::trust::signed::{Document, Signed, SpecVersion, Verified};

/// The member of root that holds what Updraft adds.
pub const EXTENSION: &str = "x-updraft";

/// How many workgroup keys a root names: two while one replaces the other.
const WORKGROUP_KEYS: std::ops::RangeInclusive<usize> = 1..=2;

/// The signed part of `root.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The TUF version it follows.
    pub spec_version: SpecVersion,
    /// Its version.
    pub version: MetadataVersion,
    /// When it ends.
    pub expires: UnixTime,
    /// Whether files bear their version or hash in their name; false if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_snapshot: Option<bool>,
    /// All keys that the roles name.
    pub keys: BTreeMap<KeyId, Key>,
    /// Who signs what.
    pub roles: Roles,
    /// Members that TUF does not define, `x-updraft` among them.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The top-level roles; TUF 4.3 knows no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Who signs the next root.
    pub root: Role,
    /// Who signs the timestamp.
    pub timestamp: Role,
    /// Who signs the snapshot.
    pub snapshot: Role,
    /// Who signs the top-level targets.
    pub targets: Role,
    /// Who signs a mirror list, which nothing here reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<Role>,
}

/// A root without usable workgroup keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("root version {version} names no one or two workgroup keys in {EXTENSION}")]
pub struct NoWorkgroupKeys {
    /// Which root.
    pub version: MetadataVersion,
}

#[derive(Serialize, Deserialize)]
struct Extension {
    workgroup_keys: Vec<PublicKey>,
}

impl Root {
    /// Who signs the next root.
    #[must_use]
    pub fn root_authority(&self) -> Authority {
        self.authority(&self.roles.root)
    }

    /// Who signs the timestamp.
    #[must_use]
    pub fn timestamp_authority(&self) -> Authority {
        self.authority(&self.roles.timestamp)
    }

    /// Who signs the snapshot.
    #[must_use]
    pub fn snapshot_authority(&self) -> Authority {
        self.authority(&self.roles.snapshot)
    }

    /// Who signs the top-level targets.
    #[must_use]
    pub fn targets_authority(&self) -> Authority {
        self.authority(&self.roles.targets)
    }

    fn authority(&self, role: &Role) -> Authority {
        Authority::new(&role.keyids, role.threshold, &self.keys)
    }

    /// Whether files bear their version or hash in their name (TUF 6.2).
    #[must_use]
    pub fn consistent_snapshot(&self) -> bool {
        self.consistent_snapshot.unwrap_or(false)
    }

    /// The keys that sign the workgroup's issuers.
    ///
    /// # Errors
    /// [`NoWorkgroupKeys`] unless `x-updraft` names one or two distinct keys.
    pub fn workgroup_keys(&self) -> Result<Vec<PublicKey>, NoWorkgroupKeys> {
        let refused = NoWorkgroupKeys { version: self.version };
        let extension = self.extra.get(EXTENSION).ok_or_else(|| refused.clone())?;
        let Ok(Extension { workgroup_keys: keys }) = serde_json::from_value(extension.clone())
        else {
            return Err(refused);
        };
        let distinct = keys.len() < 2 || keys[0] != keys[1];
        if WORKGROUP_KEYS.contains(&keys.len()) && distinct { Ok(keys) } else { Err(refused) }
    }

    /// Writes the workgroup keys into `x-updraft`, keeping its other members.
    pub fn set_workgroup_keys(&mut self, keys: &[PublicKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| Value::String(key.to_string())).collect();
        let extension = self.extra.entry(EXTENSION).or_insert_with(|| Map::new().into());
        if !extension.is_object() {
            *extension = Map::new().into();
        }
        extension["workgroup_keys"] = keys.into();
    }
}

impl Document for Root {
    const TYPE: &'static str = "root";

    fn version(&self) -> MetadataVersion {
        self.version
    }

    fn expires(&self) -> UnixTime {
        self.expires
    }
}

impl Signed<Root> {
    /// Takes this root as the beginning of all trust: it need only be signed
    /// by its own keys. Where it came from is the caller's matter (TUF 5.2).
    ///
    /// # Errors
    /// [`BelowThreshold`] if too few of its own keys have signed it.
    pub fn verify_by_itself(self) -> Result<Verified<Root>, BelowThreshold> {
        self.verify_both(None, Root::root_authority)
    }

    /// Checks this root as the successor of `trusted`: enough keys of both
    /// have signed it (TUF 5.3.4). Its version is the caller's to check.
    ///
    /// # Errors
    /// [`BelowThreshold`] if too few keys of either have.
    pub fn verify_after(self, trusted: &Root) -> Result<Verified<Root>, BelowThreshold> {
        self.verify_both(Some(&trusted.root_authority()), Root::root_authority)
    }
}
