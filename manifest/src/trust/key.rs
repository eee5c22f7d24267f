//! Public keys as TUF writes them (TUF 4.2, "Key objects").
//!
//! Ed25519 keys verify. Keys of other types, and broken ones, are kept as they
//! are and never count, so that a vendor may add a key that only newer clients
//! understand.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::canonical;
use crate::key::{PublicKey, Signature};

/// What a document calls a key; a name only, never an identity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({:.12})", self.0)
    }
}

/// A key object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `ed25519`, or a type that this version does not verify.
    pub keytype: String,
    /// `ed25519`, or a scheme that this version does not verify.
    pub scheme: String,
    /// The public half, in the form of the key's type; for ed25519, `public`
    /// holds 64 hex digits.
    pub keyval: Map<String, Value>,
    /// Members that TUF does not define; they are part of the key's id.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What makes two key objects the same key: the bits that verify.
///
/// A threshold counts these, so that one key under two ids counts once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyMaterial {
    /// An ed25519 public key.
    Ed25519(PublicKey),
}

impl KeyMaterial {
    /// Whether this key made `signature` over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => <[u8; 64]>::try_from(signature)
                .is_ok_and(|bytes| key.verify_raw(message, &Signature::from_bytes(bytes)).is_ok()),
        }
    }
}

impl Key {
    /// The key object of an ed25519 key.
    #[must_use]
    pub fn ed25519(key: &PublicKey) -> Self {
        let public = ("public".to_owned(), Value::String(key.to_string()));
        Self {
            keytype: "ed25519".to_owned(),
            scheme: "ed25519".to_owned(),
            keyval: Map::from_iter([public]),
            extra: Map::new(),
        }
    }

    /// The id that TUF 4.2 gives this key: the SHA-256 of its canonical form.
    ///
    /// `None` only for a key with a float or too deep a value in an unknown
    /// member, which has no canonical form and never comes from a document.
    #[must_use]
    pub fn id(&self) -> Option<KeyId> {
        let value = serde_json::to_value(self).ok()?;
        let canonical = canonical::to_vec(&value).ok()?;
        Some(KeyId(hex::encode(Sha256::digest(canonical))))
    }

    /// What verifies, if this version knows the key's type.
    #[must_use]
    pub fn material(&self) -> Option<KeyMaterial> {
        if self.keytype != "ed25519" || self.scheme != "ed25519" {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(self.keyval.get("public")?.as_str()?, &mut bytes).ok()?;
        Some(KeyMaterial::Ed25519(PublicKey::from_bytes(bytes)))
    }
}

/// The id under which our own files name an ed25519 key.
#[must_use]
pub fn id_of(key: &PublicKey) -> KeyId {
    Key::ed25519(key).id().expect("an ed25519 key object holds only strings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;

    #[test]
    fn the_key_id_is_the_hash_of_the_canonical_key() {
        // The example of TUF 4.3, root.json.
        let public = "72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c";
        let key: Key = serde_json::from_value(serde_json::json!({
            "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public },
        }))
        .unwrap();
        assert_eq!(
            key.id().unwrap().as_str(),
            "1bf1c6e3cdd3d3a8420b19199e27511999850f4b376c4547b2f32fba7e80fca3"
        );
        assert_eq!(id_of(&public.parse().unwrap()), key.id().unwrap());
    }

    #[test]
    fn unknown_members_are_part_of_the_id_and_kept() {
        let signing = SigningKey::from_seed(&[1; 32]);
        let mut value = serde_json::to_value(Key::ed25519(&signing.public())).unwrap();
        value["x-note"] = "hers".into();
        let key: Key = serde_json::from_value(value.clone()).unwrap();
        assert_ne!(key.id(), Some(id_of(&signing.public())));
        assert_eq!(serde_json::to_value(&key).unwrap(), value);
    }

    #[test]
    fn keys_of_unknown_type_or_broken_ones_verify_nothing() {
        let good = Key::ed25519(&SigningKey::from_seed(&[1; 32]).public());
        assert!(good.material().is_some());
        let broken = [
            Key { keytype: "ecdsa".to_owned(), ..good.clone() },
            Key { scheme: "ed25519ph".to_owned(), ..good.clone() },
            Key { keyval: Map::from_iter([("public".to_owned(), "00".into())]), ..good.clone() },
            Key { keyval: Map::new(), ..good.clone() },
        ];
        for key in broken {
            assert_eq!(key.material(), None, "{key:?}");
        }
    }
}
