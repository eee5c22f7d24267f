//! The hashes that metadata names for a file, and whether a file has them.

use std::collections::BTreeMap;

use blake2::Blake2b;
use blake2::digest::Digest as _;
use blake2::digest::consts::U32;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// Hashes of a file by algorithm; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Hashes(BTreeMap<String, String>);

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
        let mut arrival = Arrival::of(bytes.len() as u64, self)?;
        arrival.take(bytes)?;
        arrival.finish()
    }
}

/// A file that is hashed while it arrives, however long it is.
#[derive(Debug)]
pub struct Arrival {
    length: u64,
    arrived: u64,
    hashers: Vec<(Hasher, String)>,
}

/// One hash under way.
#[derive(Debug)]
enum Hasher {
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
    Blake2b(Blake2b<U32>),
}

impl Arrival {
    /// Begins a file of `length` bytes with these hashes.
    ///
    /// # Errors
    /// [`Mismatch::Unsupported`] for a hash that cannot be computed, before
    /// anything is fetched for it.
    pub fn of(length: u64, hashes: &Hashes) -> Result<Self, Mismatch> {
        let hashers = hashes.iter().map(|(algorithm, expected)| {
            let hasher = match algorithm {
                "sha224" => Hasher::Sha224(Sha224::new()),
                "sha256" => Hasher::Sha256(Sha256::new()),
                "sha384" => Hasher::Sha384(Sha384::new()),
                "sha512" => Hasher::Sha512(Sha512::new()),
                // What Warehouse and RSTUF write.
                "blake2b-256" => Hasher::Blake2b(Blake2b::new()),
                // TUF 5.5.2: the hashes must match; one that cannot be
                // computed cannot be said to.
                other => return Err(Mismatch::Unsupported { algorithm: other.to_owned() }),
            };
            Ok((hasher, expected.to_owned()))
        });
        Ok(Self { length, arrived: 0, hashers: hashers.collect::<Result<_, _>>()? })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Mismatch::Length`] as soon as there are too many.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        self.arrived = self.arrived.saturating_add(bytes.len() as u64);
        if self.arrived > self.length {
            return Err(Mismatch::Length { expected: self.length, found: self.arrived });
        }
        for (hasher, _) in &mut self.hashers {
            match hasher {
                Hasher::Sha224(hasher) => hasher.update(bytes),
                Hasher::Sha256(hasher) => hasher.update(bytes),
                Hasher::Sha384(hasher) => hasher.update(bytes),
                Hasher::Sha512(hasher) => hasher.update(bytes),
                Hasher::Blake2b(hasher) => hasher.update(bytes),
            }
        }
        Ok(())
    }

    /// Says whether all that arrived is the file.
    ///
    /// # Errors
    /// [`Mismatch`] in the length, or for the first hash that differs.
    pub fn finish(self) -> Result<(), Mismatch> {
        if self.arrived != self.length {
            return Err(Mismatch::Length { expected: self.length, found: self.arrived });
        }
        for (hasher, expected) in self.hashers {
            let (algorithm, found) = match hasher {
                Hasher::Sha224(hasher) => ("sha224", hex::encode(hasher.finalize())),
                Hasher::Sha256(hasher) => ("sha256", hex::encode(hasher.finalize())),
                Hasher::Sha384(hasher) => ("sha384", hex::encode(hasher.finalize())),
                Hasher::Sha512(hasher) => ("sha512", hex::encode(hasher.finalize())),
                Hasher::Blake2b(hasher) => ("blake2b-256", hex::encode(hasher.finalize())),
            };
            if expected != found {
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
    fn blake2b_of_32_bytes_is_known() {
        // Of the empty text; RFC 7693 has no vector of this length, Python's
        // hashlib.blake2b(digest_size=32) gives it.
        let hash = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8";
        let json = format!(r#"{{"blake2b-256":"{hash}"}}"#);
        let hashes: Hashes = serde_json::from_str(&json).unwrap();
        assert_eq!(hashes.check(b""), Ok(()));
        assert!(matches!(hashes.check(b"x"), Err(Mismatch::Hash { .. })));
    }

    #[test]
    fn a_file_is_refused_at_the_first_byte_too_many() {
        let hashes = Hashes::sha256_of(b"four");
        let arrival = || Arrival::of(4, &hashes).unwrap();
        let mut whole = arrival();
        whole.take(b"fo").unwrap();
        whole.take(b"ur").unwrap();
        assert_eq!(whole.finish(), Ok(()));
        let mut longer = arrival();
        longer.take(b"four").unwrap();
        assert_eq!(longer.take(b"s"), Err(Mismatch::Length { expected: 4, found: 5 }));
        let mut shorter = arrival();
        shorter.take(b"fou").unwrap();
        assert_eq!(shorter.finish(), Err(Mismatch::Length { expected: 4, found: 3 }));
    }
}
