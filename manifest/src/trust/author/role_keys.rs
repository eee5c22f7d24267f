//! The keys that shall sign a role, and how many of them it takes.

use std::collections::BTreeMap;

use serde_json::Map;

use crate::key::PublicKey;
use crate::trust::authority::Role;
use crate::trust::key::{Key, KeyId, id_of};

/// Distinct keys and a threshold that they can meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    keys: Vec<PublicKey>,
    threshold: u64,
}

/// Keys and a threshold that make no sense together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRoleKeys {
    /// Nobody, or more than all, would have to sign.
    #[error("{threshold} of {keys} keys can never sign")]
    Threshold {
        /// How many would have to.
        threshold: u64,
        /// How many distinct keys there are.
        keys: usize,
    },
    /// One key cannot stand for two people.
    #[error("the key {key} stands there twice")]
    Repeated {
        /// The key.
        key: PublicKey,
    },
}

impl RoleKeys {
    /// `threshold` of `keys` must sign.
    ///
    /// # Errors
    /// [`BadRoleKeys`] if a key is repeated, or the threshold is 0 or more
    /// than there are keys.
    pub fn new(keys: Vec<PublicKey>, threshold: u64) -> Result<Self, BadRoleKeys> {
        for (i, key) in keys.iter().enumerate() {
            if keys[..i].contains(key) {
                return Err(BadRoleKeys::Repeated { key: *key });
            }
        }
        if threshold == 0 || threshold > keys.len() as u64 {
            return Err(BadRoleKeys::Threshold { threshold, keys: keys.len() });
        }
        Ok(Self { keys, threshold })
    }

    /// This one key.
    #[must_use]
    pub fn one(key: PublicKey) -> Self {
        Self { keys: vec![key], threshold: 1 }
    }

    /// How many must sign.
    #[must_use]
    pub const fn threshold(&self) -> u64 {
        self.threshold
    }

    /// The ids of the keys, in the order they were given.
    pub(super) fn key_ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(id_of).collect()
    }

    /// The role as root writes it, its keys put among `keys`.
    pub(super) fn put(&self, keys: &mut BTreeMap<KeyId, Key>) -> Role {
        keys.extend(self.keys.iter().map(|key| (id_of(key), Key::ed25519(key))));
        Role { keyids: self.key_ids(), threshold: self.threshold, extra: Map::new() }
    }
}
