//! What one metadata file says of another: version, length and hashes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::trust::hashes::{Hashes, Mismatch};
use crate::trust::role::MetadataVersion;

/// An entry of `meta` in a snapshot or timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// The version that the file has.
    pub version: MetadataVersion,
    /// Its length in bytes, if the repository says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Its hashes, if the repository names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Hashes>,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl MetaFile {
    /// The entry of a file whose bytes are at hand.
    #[must_use]
    pub fn of(version: MetadataVersion, bytes: &[u8]) -> Self {
        Self {
            version,
            length: Some(bytes.len() as u64),
            hashes: Some(Hashes::sha256_of(bytes)),
            extra: Map::new(),
        }
    }

    /// Checks `bytes` against the length and hashes, as far as they are named.
    ///
    /// # Errors
    /// [`Mismatch`] for the first that differs.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Mismatch> {
        let found = bytes.len() as u64;
        if let Some(expected) = self.length
            && expected != found
        {
            return Err(Mismatch::Length { expected, found });
        }
        self.hashes.as_ref().map_or(Ok(()), |hashes| hashes.check(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_hashes_are_optional_in_meta() {
        let meta: MetaFile = serde_json::from_str(r#"{"version":3,"x":1}"#).unwrap();
        assert_eq!(meta.check(b"anything"), Ok(()));
        assert_eq!(serde_json::to_string(&meta).unwrap(), r#"{"version":3,"x":1}"#);
        let full = MetaFile::of(MetadataVersion::FIRST, b"four");
        assert_eq!(full.check(b"four"), Ok(()));
        assert_eq!(full.check(b"fours"), Err(Mismatch::Length { expected: 4, found: 5 }));
        assert!(full.check(b"fou!").is_err());
    }
}
