//! What one metadata file says of another: version, length and hashes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::trust::role::MetadataVersion;

/// Hashes of a file by algorithm; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Hashes(BTreeMap<String, String>);

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

/// Bytes that are not the ones that metadata names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The length differs.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// What metadata says.
        expected: u64,
        /// What arrived.
        found: u64,
    },
    /// A hash differs.
    #[error("expected {algorithm} {expected:.140}, found {found}")]
    Hash {
        /// The algorithm.
        algorithm: &'static str,
        /// What metadata says.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// A hash that this version cannot compute, and so cannot confirm.
    #[error("the hash algorithm {algorithm:.80} is not supported")]
    Unsupported {
        /// The algorithm.
        algorithm: String,
    },
}

impl Hashes {
    /// The SHA-256 alone of `bytes`, as our own files have it.
    #[must_use]
    pub fn sha256_of(bytes: &[u8]) -> Self {
        Self::from_sha256(Sha256::digest(bytes).into())
    }

    /// This SHA-256 alone.
    #[must_use]
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        Self(BTreeMap::from([("sha256".to_owned(), hex::encode(hash))]))
    }

    /// The SHA-256, if it is named and well-formed.
    #[must_use]
    pub fn sha256(&self) -> Option<[u8; 32]> {
        let mut hash = [0; 32];
        hex::decode_to_slice(self.0.get("sha256")?, &mut hash).ok()?;
        Some(hash)
    }

    /// All hashes, as hex digits by algorithm.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(algorithm, hash)| (algorithm.as_str(), hash.as_str()))
    }

    /// Checks that `bytes` have every one of these hashes.
    ///
    /// # Errors
    /// [`Mismatch`] for the first that differs or cannot be computed.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Mismatch> {
        for (algorithm, expected) in &self.0 {
            let (algorithm, found) = match algorithm.as_str() {
                "sha224" => ("sha224", hex::encode(Sha224::digest(bytes))),
                "sha256" => ("sha256", hex::encode(Sha256::digest(bytes))),
                "sha384" => ("sha384", hex::encode(Sha384::digest(bytes))),
                "sha512" => ("sha512", hex::encode(Sha512::digest(bytes))),
                // TUF 5.5.2: the hashes must match; one that cannot be
                // computed cannot be said to.
                other => return Err(Mismatch::Unsupported { algorithm: other.to_owned() }),
            };
            if *expected != found {
                let expected = expected.clone();
                return Err(Mismatch::Hash { algorithm, expected, found });
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hashes = BTreeMap::deserialize(deserializer)?;
        if hashes.is_empty() {
            return Err(serde::de::Error::custom("hashes name at least one algorithm"));
        }
        Ok(Self(hashes))
    }
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
    fn every_hash_must_match_and_be_known() {
        let parse = |json: &str| serde_json::from_str::<Hashes>(json);
        let sha256 = hex::encode(Sha256::digest(b"x"));
        let sha512 = hex::encode(Sha512::digest(b"x"));
        let both = parse(&format!(r#"{{"sha256":"{sha256}","sha512":"{sha512}"}}"#)).unwrap();
        assert_eq!(both.check(b"x"), Ok(()));
        assert!(matches!(both.check(b"y"), Err(Mismatch::Hash { algorithm: "sha256", .. })));
        let one_wrong = parse(&format!(r#"{{"sha256":"{sha256}","sha512":"00"}}"#)).unwrap();
        assert!(matches!(one_wrong.check(b"x"), Err(Mismatch::Hash { algorithm: "sha512", .. })));
        let unknown = parse(&format!(r#"{{"blake3":"00","sha256":"{sha256}"}}"#)).unwrap();
        assert!(matches!(unknown.check(b"x"), Err(Mismatch::Unsupported { .. })));
        assert!(parse("{}").is_err());
    }

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
