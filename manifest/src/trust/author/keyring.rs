//! The private keys at hand, and what they sign.

use serde_json::{Value, json};

use crate::canonical::{self, WriteError};
use crate::key::SigningKey;
use crate::trust::authority::Authority;
use crate::trust::key::KeyMaterial;
use crate::trust::role::RoleName;
use crate::trust::signed::{Document, FormatError, Signed, Verified};

/// Some private keys.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Vec<SigningKey>);

/// A file that could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Too few of the role's private keys are at hand.
    #[error("{role} takes {threshold} signatures, and {found} of its keys are at hand")]
    NotEnoughKeys {
        /// The role.
        role: RoleName,
        /// How many of its keys are at hand.
        found: usize,
        /// How many must sign.
        threshold: u64,
    },
    /// The content has no canonical form.
    #[error("the file of {role} cannot be written")]
    Unwritable {
        /// The role.
        role: RoleName,
        /// Why.
        source: WriteError,
    },
    /// No reader would accept the file.
    #[error("the file of {role} would not be read")]
    Unreadable {
        /// The role.
        role: RoleName,
        /// Why.
        source: FormatError,
    },
}

impl Keyring {
    /// These keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = SigningKey>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// How many of the role's distinct keys are here.
    #[must_use]
    pub fn count(&self, authority: &Authority) -> usize {
        let materials = authority.materials();
        materials.into_iter().filter(|material| self.signer(material).is_some()).count()
    }

    fn signer(&self, material: &KeyMaterial) -> Option<&SigningKey> {
        let public = material.ed25519()?;
        self.0.iter().find(|key| key.public() == public)
    }

    /// The file of `content`, signed with every key of `authorities` at hand.
    ///
    /// A root is signed for its predecessor's keys and for its own; every
    /// other file for one authority. The result is read back and verified
    /// with the last of them.
    ///
    /// # Errors
    /// [`SignError`] if a threshold cannot be met, or the content makes no
    /// file that a reader would accept.
    pub fn sign<T: Document>(
        &self,
        role: &RoleName,
        content: &T,
        authorities: &[&Authority],
    ) -> Result<Verified<T>, SignError> {
        let unwritable = |source| SignError::Unwritable { role: role.clone(), source };
        let mut signed = serde_json::to_value(content).expect("metadata has only string keys");
        signed["_type"] = T::TYPE.into();
        let message = canonical::to_vec(&signed).map_err(unwritable)?;

        let mut signatures = std::collections::BTreeMap::new();
        for authority in authorities {
            let found = self.count(authority);
            if (found as u64) < authority.threshold() {
                let (role, threshold) = (role.clone(), authority.threshold());
                return Err(SignError::NotEnoughKeys { role, found, threshold });
            }
            for (id, material) in authority.keys() {
                if let Some(key) = self.signer(material) {
                    signatures.insert(id.clone(), key.sign_raw(&message).to_string());
                }
            }
        }
        let signatures: Vec<Value> = signatures
            .into_iter()
            .map(|(id, sig)| json!({ "keyid": id.as_str(), "sig": sig }))
            .collect();
        let bytes = canonical::to_file(&json!({ "signatures": signatures, "signed": signed }))
            .map_err(unwritable)?;

        // What is published is what a client will make of these bytes.
        let unreadable = |source| SignError::Unreadable { role: role.clone(), source };
        let file = Signed::<T>::parse(&bytes).map_err(unreadable)?;
        let authority = authorities.last().expect("a file is signed for someone");
        Ok(file.verify(authority).expect("enough keys have just signed these bytes"))
    }
}
