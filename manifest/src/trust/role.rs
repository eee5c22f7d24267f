//! What roles, their versions and their files are called.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{ChannelName, ProductName};
use crate::trust::limits::ROLE_NAME_BYTES;
use crate::trust::quote::{quoted, unquoted};

/// A role's name: one of the four of TUF, or a delegated role's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(Cow<'static, str>);

/// A name that no delegated role may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a role's name has 1 to {ROLE_NAME_BYTES} bytes, found {found:?}")]
pub struct BadRoleName {
    /// What stood there, at most its first 80 characters.
    pub found: String,
}

impl RoleName {
    /// Signs which keys sign the other three.
    pub const ROOT: Self = Self(Cow::Borrowed("root"));
    /// Signs which snapshot is the newest.
    pub const TIMESTAMP: Self = Self(Cow::Borrowed("timestamp"));
    /// Signs the versions of all targets metadata.
    pub const SNAPSHOT: Self = Self(Cow::Borrowed("snapshot"));
    /// Signs target files and delegations.
    pub const TARGETS: Self = Self(Cow::Borrowed("targets"));

    /// Signs who is revoked; there is such a role once anybody was.
    pub const WORKGROUP: Self = Self(Cow::Borrowed("workgroup"));

    /// Any name, such as one that a delegation gives.
    ///
    /// # Errors
    /// [`BadRoleName`] if it is empty or too long.
    pub fn new(name: impl Into<String>) -> Result<Self, BadRoleName> {
        let name = name.into();
        if name.is_empty() || name.len() > ROLE_NAME_BYTES {
            return Err(BadRoleName { found: name.chars().take(80).collect() });
        }
        Ok(Self(Cow::Owned(name)))
    }

    /// The role that signs a channel's releases: `PRODUCT.CHANNEL`.
    #[must_use]
    pub fn of_channel(product: &ProductName, channel: &ChannelName) -> Self {
        Self(Cow::Owned(format!("{product}.{channel}")))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is one of TUF's four top-level roles.
    #[must_use]
    pub fn is_top_level(&self) -> bool {
        [Self::ROOT, Self::TIMESTAMP, Self::SNAPSHOT, Self::TARGETS].contains(self)
    }

    /// Whether this is the top-level targets role.
    #[must_use]
    pub fn is_targets(&self) -> bool {
        *self == Self::TARGETS
    }

    /// The member of a snapshot's `meta` that speaks of this role.
    #[must_use]
    pub fn meta_name(&self) -> String {
        format!("{}.json", self.0)
    }

    /// The file under which a trusted copy is kept: `NAME.json`, where every
    /// byte but letters, digits and `_.-~` is percent-encoded.
    #[must_use]
    pub fn file_name(&self) -> String {
        let mut name = quoted(&self.0);
        name.push_str(".json");
        name
    }

    /// The role whose trusted copy is kept under `name`, the inverse of
    /// [`RoleName::file_name`].
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let role = Self::new(unquoted(name.strip_suffix(".json")?)?).ok()?;
        (role.file_name() == name).then_some(role)
    }

    /// The file of one version in a repository: `VERSION.NAME.json`.
    #[must_use]
    pub fn versioned_file_name(&self, version: MetadataVersion) -> String {
        format!("{version}.{}", self.file_name())
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for RoleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The version of a metadata file, counted from 1 (TUF 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MetadataVersion(u64);

impl MetadataVersion {
    /// The version of a role's first file.
    pub const FIRST: Self = Self(1);

    /// The version `number`, unless it is 0.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The version as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version that follows; the last of all is its own successor.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for MetadataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for MetadataVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("a version is an integer greater than 0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_percent_encoded() {
        let role = |name: &str| RoleName::new(name).unwrap();
        assert_eq!(role("hello.stable").file_name(), "hello.stable.json");
        assert_eq!(role("../a b/%\u{e9}\"").file_name(), "..%2Fa%20b%2F%25%C3%A9%22.json");
        let seven = MetadataVersion::new(7).unwrap();
        assert_eq!(role("a/b").versioned_file_name(seven), "7.a%2Fb.json");
        // A snapshot names the role itself, not its file.
        assert_eq!(role("a/b").meta_name(), "a/b.json");
    }

    #[test]
    fn file_names_lead_back_to_roles() {
        for name in ["targets", "a.b", "../a b/%\u{e9}\""] {
            let role = RoleName::new(name).unwrap();
            assert_eq!(RoleName::from_file_name(&role.file_name()), Some(role));
        }
        for bad in ["a", ".json", "a b.json", "%41.json", "%2.json", "%FF.json", "%e9.json"] {
            assert_eq!(RoleName::from_file_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn version_zero_is_no_version() {
        assert!(serde_json::from_str::<MetadataVersion>("0").is_err());
        assert!(serde_json::from_str::<MetadataVersion>("-1").is_err());
        assert!(serde_json::from_str::<MetadataVersion>("\"1\"").is_err());
        assert_eq!(serde_json::from_str::<MetadataVersion>("1").unwrap(), MetadataVersion::FIRST);
    }
}
