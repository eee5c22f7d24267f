//! `snapshot.json`: the versions of all targets metadata (TUF 4.4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::UnixTime;
use crate::trust::meta::MetaFile;
use crate::trust::role::{MetadataVersion, RoleName};
use crate::trust::signed::{Document, SpecVersion};

/// The signed part of `snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The TUF version it follows.
    pub spec_version: SpecVersion,
    /// Its version.
    pub version: MetadataVersion,
    /// When it ends.
    pub expires: UnixTime,
    /// The files of targets and of all delegated roles, by `ROLE.json`.
    pub meta: BTreeMap<String, MetaFile>,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Snapshot {
    /// What is said of a role's file.
    #[must_use]
    pub fn of(&self, role: &RoleName) -> Option<&MetaFile> {
        self.meta.get(&role.meta_name())
    }
}

impl Document for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn version(&self) -> MetadataVersion {
        self.version
    }

    fn expires(&self) -> UnixTime {
        self.expires
    }
}
