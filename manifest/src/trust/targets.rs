//! `targets.json` and the files of delegated roles: target files by path, with
//! their lengths and hashes (TUF 4.5).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::UnixTime;
use crate::trust::delegation::Delegations;
use crate::trust::hashes::{Arrival, Hashes, Mismatch};
use crate::trust::role::MetadataVersion;
use crate::trust::signed::{Document, SpecVersion};

/// The signed part of `targets.json` or of a delegated role's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// The TUF version it follows.
    pub spec_version: SpecVersion,
    /// Its version.
    pub version: MetadataVersion,
    /// When it ends.
    pub expires: UnixTime,
    /// The target files by path.
    pub targets: BTreeMap<String, Target>,
    /// Who else may speak of target files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What is said of one target file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its length in bytes.
    pub length: u64,
    /// Its hashes.
    pub hashes: Hashes,
    /// What the application adds; see `custom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Target {
    /// Its custom part as a `T`.
    ///
    /// # Errors
    /// What serde says, if it is absent or of another shape.
    pub fn custom_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(self.custom.as_ref().unwrap_or(&Value::Null))
    }

    /// Checks that `bytes` are this target file (TUF 5.7.3).
    ///
    /// # Errors
    /// [`Mismatch`] in the length or in one of the hashes.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Mismatch> {
        let mut arrival = self.arrival()?;
        arrival.take(bytes)?;
        arrival.finish()
    }

    /// Begins to check this target file while it arrives (TUF 5.7.3).
    ///
    /// # Errors
    /// [`Mismatch::Unsupported`] for a hash that cannot be computed.
    pub fn arrival(&self) -> Result<Arrival, Mismatch> {
        Arrival::of(self.length, &self.hashes)
    }

    /// The names beneath `targets/` under which a repository with consistent
    /// snapshots has the file at `path`, one for each hash (TUF 6.2.1).
    pub fn consistent_names(&self, path: &str) -> impl Iterator<Item = String> {
        let (dir, name) = path
            .rsplit_once('/')
            .map_or(("", path), |(_, name)| (&path[..path.len() - name.len()], name));
        self.hashes.iter().map(move |(_, hash)| format!("{dir}{hash}.{name}"))
    }
}

impl Document for Targets {
    const TYPE: &'static str = "targets";

    fn version(&self) -> MetadataVersion {
        self.version
    }

    fn expires(&self) -> UnixTime {
        self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consistent_names_put_the_hash_before_the_last_component() {
        let target = Target {
            length: 1,
            hashes: Hashes::from_sha256([0xab; 32]),
            custom: None,
            extra: Map::new(),
        };
        let hash = "ab".repeat(32);
        let name = |path| target.consistent_names(path).next().unwrap();
        assert_eq!(name("a/b/c.release"), format!("a/b/{hash}.c.release"));
        assert_eq!(name("c"), format!("{hash}.c"));
    }
}
