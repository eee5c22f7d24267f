//! A signed file, before and after its signatures were checked.
//!
//! [`Signed`] came from anywhere and gives nothing away. [`Verified`] can only
//! be had through a role's keys, and keeps the exact bytes that were received,
//! since these are what is stored and passed on.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::canonical::{self, ReadError, WriteError};
use crate::time::UnixTime;
use crate::trust::authority::{Authority, BelowThreshold};
use crate::trust::key::KeyId;
use crate::trust::limits::{NAMED_BYTES, SIGNATURES};
use crate::trust::role::MetadataVersion;

/// The `signed` part of one of TUF's four kinds of file.
pub trait Document: DeserializeOwned + Serialize {
    /// The value of `_type`.
    const TYPE: &'static str;

    /// Which version of its role's file this is.
    fn version(&self) -> MetadataVersion;

    /// From when on it is no longer trusted.
    fn expires(&self) -> UnixTime;
}

/// A file that cannot be read as metadata, whoever signed it.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Not bounded JSON.
    #[error(transparent)]
    Json(#[from] ReadError),
    /// `_type` says that this is another kind of file.
    #[error("expected the type {expected}, found {found}")]
    Type {
        /// What was asked for.
        expected: &'static str,
        /// What `_type` says, at most its first 80 characters.
        found: String,
    },
    /// A member is missing, or is not what TUF says it is.
    #[error("not {kind} metadata: {why}")]
    Shape {
        /// What was asked for.
        kind: &'static str,
        /// What is wrong.
        why: serde_json::Error,
    },
    /// TUF 4.2: a key id stands at most once among the signatures.
    #[error("two signatures bear the key id {keyid:.80}")]
    RepeatedSignature {
        /// The id that stands there twice.
        keyid: String,
    },
    /// More signatures than any role has keys.
    #[error("{found} signatures exceed the {SIGNATURES} allowed")]
    TooManySignatures {
        /// How many there are.
        found: usize,
    },
    /// The signed part has no canonical form.
    #[error(transparent)]
    NotCanonical(#[from] WriteError),
}

/// The version of TUF that a document follows: 1.x or 1.x.y.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SpecVersion(String);

impl SpecVersion {
    /// What our own files say.
    #[must_use]
    pub fn ours() -> Self {
        Self("1.0.34".to_owned())
    }
}

impl<'de> Deserialize<'de> for SpecVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // TUF 4.3 leaves the match to the client: the major version decides,
        // as it does for python-tuf, which also reads the older 1.x form.
        let text = String::deserialize(deserializer)?;
        let parts: Vec<&str> = text.split('.').collect();
        let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if (2..=3).contains(&parts.len()) && parts.iter().all(digits) && parts[0] == "1" {
            return Ok(Self(text));
        }
        Err(serde::de::Error::custom(format_args!("expected spec_version 1.x.y, found {text:.80}")))
    }
}

/// A file as it was received.
#[derive(Debug, Clone)]
pub struct Signed<T> {
    bytes: Vec<u8>,
    /// The canonical form of `signed`: what the signatures cover.
    message: Vec<u8>,
    signatures: BTreeMap<KeyId, Vec<u8>>,
    content: T,
}

/// A file that enough keys of its role have signed; a copy shares it.
#[derive(Debug, Clone)]
pub struct Verified<T>(Arc<Facts<T>>);

/// What is known of a verified file.
#[derive(Debug)]
struct Facts<T> {
    bytes: Vec<u8>,
    signers: Vec<KeyId>,
    authority: Authority,
    content: T,
}

#[derive(Deserialize)]
struct Envelope {
    signatures: Vec<OneSignature>,
    signed: Map<String, Value>,
}

#[derive(Deserialize)]
struct OneSignature {
    keyid: KeyId,
    sig: String,
}

impl<T: Document> Signed<T> {
    /// Reads a file; its content stays out of reach until it is verified.
    ///
    /// # Errors
    /// [`FormatError`] for anything that is not one well-formed file of `T`.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let shape = |why| FormatError::Shape { kind: T::TYPE, why };
        let value = canonical::parse(bytes, NAMED_BYTES)?;
        let Envelope { signatures, mut signed } = serde_json::from_value(value).map_err(shape)?;
        if signatures.len() > SIGNATURES {
            return Err(FormatError::TooManySignatures { found: signatures.len() });
        }
        let mut by_key = BTreeMap::new();
        for OneSignature { keyid, sig } in signatures {
            // A signature that is no hex is a wrong one, and a wrong one is
            // ignored: it may come from a scheme that writes it otherwise.
            let sig = hex::decode(sig).unwrap_or_default();
            if by_key.contains_key(&keyid) {
                return Err(FormatError::RepeatedSignature { keyid: keyid.as_str().to_owned() });
            }
            by_key.insert(keyid, sig);
        }
        let kind = signed.get("_type").and_then(Value::as_str).unwrap_or("nothing");
        if kind != T::TYPE {
            let found = kind.chars().take(80).collect();
            return Err(FormatError::Type { expected: T::TYPE, found });
        }
        // Unknown members are signed too, so the message is made from what was
        // read, before anything is left out.
        let signed_value = Value::Object(signed);
        let message = canonical::to_vec(&signed_value)?;
        signed = match signed_value {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        signed.remove("_type");
        let content = serde_json::from_value(Value::Object(signed)).map_err(shape)?;
        Ok(Self { bytes: bytes.to_vec(), message, signatures: by_key, content })
    }

    /// Checks the signatures against a role's keys.
    ///
    /// # Errors
    /// [`BelowThreshold`] if too few of them have signed.
    pub fn verify(self, authority: &Authority) -> Result<Verified<T>, BelowThreshold> {
        let signers = authority.verify(&self.message, &self.signatures)?;
        let authority = authority.clone();
        let facts = Facts { bytes: self.bytes, signers, authority, content: self.content };
        Ok(Verified(Arc::new(facts)))
    }

    /// The parts of a file that is still being signed: its content, what is
    /// signed, and the signatures so far. Only whoever writes needs this.
    pub(super) fn into_draft(self) -> (T, Vec<u8>, BTreeMap<KeyId, Vec<u8>>) {
        (self.content, self.message, self.signatures)
    }

    /// As [`Signed::verify`], by two roles at once; the signers are those of
    /// `second`. Only root, which brings its own keys, needs this.
    pub(super) fn verify_both(
        self,
        first: Option<&Authority>,
        second: impl FnOnce(&T) -> Authority,
    ) -> Result<Verified<T>, BelowThreshold> {
        if let Some(first) = first {
            first.verify(&self.message, &self.signatures)?;
        }
        let second = second(&self.content);
        self.verify(&second)
    }
}

impl<T> Verified<T> {
    /// The file, exactly as it was received.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The ids of the keys whose signatures counted.
    #[must_use]
    pub fn signers(&self) -> &[KeyId] {
        &self.0.signers
    }

    /// The keys that the file was verified with.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.content
    }
}
