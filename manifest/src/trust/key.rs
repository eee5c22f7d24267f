//! Public keys as TUF writes them (TUF 4.2, "Key objects").
//!
//! The three types that TUF defines verify: ed25519, ECDSA over P-256, and RSA
//! with PSS. Keys of other types, and broken ones, are kept as they are and
//! never count, so that a vendor may add a key that only newer clients
//! understand.

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::canonical;
use crate::key::{PublicKey, Signature};
use crate::trust::spki::{self, POINT_BYTES};

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
    /// `ed25519`, `ecdsa`, `rsa`, or a type that this version does not verify.
    pub keytype: String,
    /// `ed25519`, `ecdsa-sha2-nistp256`, `rsassa-pss-sha256`, or a scheme that
    /// this version does not verify.
    pub scheme: String,
    /// The public half, in the form of the key's type: `public` holds 64 hex
    /// digits for ed25519, PEM for the others.
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
    /// A point of P-256; signs with ECDSA over SHA-256, in DER.
    EcdsaP256(EcdsaPoint),
    /// A modulus of 2048 to 8192 bits; signs with PSS over SHA-256, with a
    /// salt of 32 bytes.
    RsaPss(RsaKey),
}

/// An uncompressed point of P-256, not known to be on the curve.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EcdsaPoint([u8; POINT_BYTES]);

/// The two numbers of an RSA public key, big-endian without leading zeros.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RsaKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl KeyMaterial {
    /// Whether this key made `signature` over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => <[u8; 64]>::try_from(signature)
                .is_ok_and(|bytes| key.verify_raw(message, &Signature::from_bytes(bytes)).is_ok()),
            Self::EcdsaP256(EcdsaPoint(point)) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
                key.verify(message, signature).is_ok()
            }
            Self::RsaPss(RsaKey { modulus, exponent }) => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&RSA_PSS_2048_8192_SHA256, message, signature).is_ok()
            }
        }
    }

    /// The key, if it is one of the type that Updraft signs with.
    #[must_use]
    pub const fn ed25519(&self) -> Option<PublicKey> {
        match self {
            Self::Ed25519(key) => Some(*key),
            Self::EcdsaP256(_) | Self::RsaPss(_) => None,
        }
    }

    /// The key's type, a zero byte, and its bits: no two keys share them.
    #[must_use]
    pub fn identity(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [b"ed25519\0", key.as_bytes().as_slice()].concat(),
            Self::EcdsaP256(EcdsaPoint(point)) => [b"ecdsa\0", point.as_slice()].concat(),
            Self::RsaPss(RsaKey { modulus, exponent }) => {
                let len = (modulus.len() as u64).to_le_bytes();
                [b"rsa\0", len.as_slice(), modulus, exponent].concat()
            }
        }
    }
}

impl fmt::Debug for EcdsaPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EcdsaPoint({})", hex::encode(&self.0[1..7]))
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.modulus[..self.modulus.len().min(6)];
        write!(f, "RsaKey({}, {} bits)", hex::encode(shown), 8 * self.modulus.len())
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

    /// What verifies, if this version knows the key's type and scheme.
    #[must_use]
    pub fn material(&self) -> Option<KeyMaterial> {
        let public = self.keyval.get("public")?.as_str()?;
        match (self.keytype.as_str(), self.scheme.as_str()) {
            ("ed25519", "ed25519") => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(public, &mut bytes).ok()?;
                Some(KeyMaterial::Ed25519(PublicKey::from_bytes(bytes)))
            }
            // Before TUF 1.0.33, the type bore the scheme's name; some of
            // those repositories write the point in hex digits.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                let hex = || spki::point(&hex::decode(public).ok()?);
                let point = spki::p256(public).or_else(hex)?;
                Some(KeyMaterial::EcdsaP256(EcdsaPoint(point)))
            }
            ("rsa", "rsassa-pss-sha256") => {
                let (modulus, exponent) = spki::rsa(public)?;
                Some(KeyMaterial::RsaPss(RsaKey { modulus, exponent }))
            }
            _ => None,
        }
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
    use crate::trust::testing::foreign;

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

    fn foreign(keytype: &str, scheme: &str, public: &str) -> Key {
        Key {
            keytype: keytype.to_owned(),
            scheme: scheme.to_owned(),
            keyval: Map::from_iter([("public".to_owned(), public.into())]),
            extra: Map::new(),
        }
    }

    fn verifies(key: &Key, signature: &str) -> bool {
        let signature = hex::decode(signature).unwrap();
        let material = key.material().unwrap();
        assert!(!material.verifies(b"another message", &signature));
        assert!(!material.verifies(foreign::MESSAGE, &signature[1..]));
        assert!(!material.verifies(foreign::MESSAGE, &[]));
        material.verifies(foreign::MESSAGE, &signature)
    }

    #[test]
    fn ecdsa_keys_verify_under_both_names_of_their_type() {
        let scheme = "ecdsa-sha2-nistp256";
        let new = foreign("ecdsa", scheme, foreign::ECDSA.public);
        let old = foreign(scheme, scheme, foreign::ECDSA.public);
        assert!(verifies(&new, foreign::ECDSA.signature));
        assert!(verifies(&old, foreign::ECDSA.signature));
        // Two objects, two ids, one key.
        assert_ne!(new.id(), old.id());
        assert_eq!(new.material(), old.material());
        let point = hex::encode(spki::p256(foreign::ECDSA.public).unwrap());
        assert_eq!(foreign(scheme, scheme, &point).material(), new.material());
    }

    #[test]
    fn rsa_keys_verify_with_pss_alone() {
        let key = foreign("rsa", "rsassa-pss-sha256", foreign::RSA.public);
        assert!(verifies(&key, foreign::RSA.signature));
        assert!(!verifies(&key, foreign::RSA_PKCS1_SIGNATURE));
        let older = foreign("rsa", "rsassa-pss-sha256", foreign::RSA_PKCS1);
        assert_eq!(older.material(), key.material());
    }

    #[test]
    fn rsa_keys_below_2048_bits_verify_nothing() {
        // TUF 4.2: all RSA keys have at least 2048 bits.
        let key = foreign("rsa", "rsassa-pss-sha256", foreign::RSA_1024.public);
        assert!(!verifies(&key, foreign::RSA_1024.signature));
    }

    #[test]
    fn no_two_keys_share_an_identity() {
        let ed25519 = Key::ed25519(&SigningKey::from_seed(&[1; 32]).public());
        let ecdsa = foreign("ecdsa", "ecdsa-sha2-nistp256", foreign::ECDSA.public);
        let rsa = foreign("rsa", "rsassa-pss-sha256", foreign::RSA.public);
        let identities: std::collections::BTreeSet<_> =
            [ed25519, ecdsa, rsa].iter().map(|key| key.material().unwrap().identity()).collect();
        assert_eq!(identities.len(), 3);
    }

    #[test]
    fn keys_of_unknown_type_or_broken_ones_verify_nothing() {
        let good = Key::ed25519(&SigningKey::from_seed(&[1; 32]).public());
        assert!(good.material().is_some());
        let broken = [
            Key { keytype: "ecdsa".to_owned(), ..good.clone() },
            foreign("ecdsa", "ecdsa-sha2-nistp384", foreign::P384),
            foreign("ecdsa", "ecdsa-sha2-nistp256", foreign::P384),
            foreign("ecdsa", "ecdsa-sha2-nistp256", foreign::RSA.public),
            foreign("rsa", "ecdsa-sha2-nistp256", foreign::ECDSA.public),
            foreign("rsa", "rsa-pkcs1v15-sha256", foreign::RSA.public),
            foreign("rsa", "rsassa-pss-sha256", foreign::ECDSA.public),
            Key { scheme: "ed25519ph".to_owned(), ..good.clone() },
            Key { keyval: Map::from_iter([("public".to_owned(), "00".into())]), ..good.clone() },
            Key { keyval: Map::new(), ..good.clone() },
        ];
        for key in broken {
            assert_eq!(key.material(), None, "{key:?}");
        }
    }
}
