//! Ed25519 keys and signatures that say what they are for.
//!
//! Every signature outside of TUF covers a domain and the message, so that
//! one made for a credential can never pass for a checkpoint.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A public ed25519 key, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A signature, written as 128 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// A private ed25519 key; its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A signature that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not one by key {key} over this message")]
pub struct BadSignature {
    /// The key that should have signed.
    pub key: PublicKey,
}

/// A text that is no key or signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} lower-case hex digits, found {found:?}")]
pub struct NotHex {
    /// How many digits there should be.
    pub digits: usize,
    /// What stood there, at most its first 140 characters.
    pub found: String,
}

impl PublicKey {
    /// The key whose 32 bytes these are; whether they are a point of the
    /// curve shows when a signature is verified.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key as its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a signature over `message` alone, strictly: small-order keys
    /// and non-canonical encodings are refused.
    ///
    /// # Errors
    /// [`BadSignature`] if it does not hold.
    pub fn verify_raw(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let refused = BadSignature { key: *self };
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.0).map_err(|_| refused)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(message, &signature).map_err(|_| refused)
    }

    /// Checks a signature made by [`SigningKey::sign`] in the same domain.
    ///
    /// # Errors
    /// [`BadSignature`] if it does not hold.
    pub fn verify(
        &self,
        domain: &str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        self.verify_raw(&in_domain(domain, message), signature)
    }
}

impl SigningKey {
    /// The key that grows from 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The 32 secret bytes, for the file that keeps them.
    #[must_use]
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` alone, as TUF and C2SP want it.
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }

    /// Signs `message` in `domain`, such as `updraft/credential/1`.
    #[must_use]
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        self.sign_raw(&in_domain(domain, message))
    }
}

/// The bytes that are signed: the domain, a zero byte, the message.
fn in_domain(domain: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(domain.len() + 1 + message.len());
    bytes.extend_from_slice(domain.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(message);
    bytes
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public())
    }
}

impl Signature {
    /// The signature whose 64 bytes these are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The signature as its 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

/// Decodes exactly `N` bytes of lower-case hex.
fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], NotHex> {
    let refused = || NotHex { digits: 2 * N, found: text.chars().take(140).collect() };
    if text.len() != 2 * N || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(refused());
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| refused())?;
    Ok(bytes)
}

macro_rules! as_hex {
    ($name:ident, $short:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", $short, &hex::encode(self.0)[..12])
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                from_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_hex!(PublicKey, "PublicKey");
as_hex!(Signature, "Signature");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_in_its_own_domain_only() {
        let key = SigningKey::from_seed(&[7; 32]);
        let signature = key.sign("updraft/credential/1", b"message");
        assert!(key.public().verify("updraft/credential/1", b"message", &signature).is_ok());
        assert!(key.public().verify("updraft/issuer/1", b"message", &signature).is_err());
        assert!(key.public().verify("updraft/credential/1", b"massage", &signature).is_err());
        assert!(key.public().verify_raw(b"message", &signature).is_err());
    }

    #[test]
    fn a_small_order_key_verifies_nothing() {
        // The neutral point signs anything under lax verification.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let refused = PublicKey::from_bytes(neutral)
            .verify_raw(b"anything", &Signature::from_bytes(signature));
        assert!(refused.is_err());
    }

    #[test]
    fn debug_does_not_print_the_secret() {
        let seed = [0xAB; 32];
        assert!(!format!("{:?}", SigningKey::from_seed(&seed)).contains("abab"));
    }
}
