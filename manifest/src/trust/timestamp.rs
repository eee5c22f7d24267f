//! `timestamp.json`: which snapshot is the newest (TUF 4.6).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::UnixTime;
use crate::trust::meta::MetaFile;
use crate::trust::role::MetadataVersion;
use crate::trust::signed::{Document, SpecVersion};

/// The signed part of `timestamp.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// The TUF version it follows.
    pub spec_version: SpecVersion,
    /// Its version.
    pub version: MetadataVersion,
    /// When it ends.
    pub expires: UnixTime,
    /// What it vouches for.
    pub meta: TimestampMeta,
    /// When it was signed: the clock that no one can turn back.
    #[serde(rename = "x-updraft-issued", default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<UnixTime>,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// TUF 4.6: only the snapshot is described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampMeta {
    /// The newest snapshot.
    #[serde(rename = "snapshot.json")]
    pub snapshot: MetaFile,
}

impl Document for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn version(&self) -> MetadataVersion {
        self.version
    }

    fn expires(&self) -> UnixTime {
        self.expires
    }
}
