//! Who may sign a role: its keys and how many of them it takes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::trust::key::{Key, KeyId, KeyMaterial};
use crate::trust::limits::KEYS;

/// A role as root writes it: key ids and a threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The keys that may sign, each at most once.
    #[serde(deserialize_with = "distinct")]
    pub keyids: Vec<KeyId>,
    /// How many of them must; at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub threshold: u64,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// TUF 4.3: a threshold is at least 1; with 0 anyone could sign.
pub(crate) fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("a threshold is at least 1, found 0")),
        threshold => Ok(threshold),
    }
}

/// Key ids, of which none may stand twice.
pub(crate) fn distinct<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyId>, D::Error> {
    let ids = Vec::<KeyId>::deserialize(deserializer)?;
    if ids.len() > KEYS {
        return Err(serde::de::Error::custom(format_args!("a role has at most {KEYS} keys")));
    }
    let mut seen = BTreeSet::new();
    for id in &ids {
        if !seen.insert(id) {
            return Err(serde::de::Error::custom(format_args!(
                "the key {:.80} stands twice in one role",
                id.as_str()
            )));
        }
    }
    Ok(ids)
}

/// The keys of one role, ready to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    keys: BTreeMap<KeyId, KeyMaterial>,
    threshold: u64,
}

/// Fewer keys have signed than must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signed by {found} of the {threshold} keys it takes")]
pub struct BelowThreshold {
    /// How many distinct keys of the role have signed.
    pub found: usize,
    /// How many must.
    pub threshold: u64,
}

impl Authority {
    /// The keys that `keyids` name among `keys`.
    ///
    /// Ids without a key and keys that cannot verify count for nothing.
    #[must_use]
    pub fn new(keyids: &[KeyId], threshold: u64, keys: &BTreeMap<KeyId, Key>) -> Self {
        let keys =
            keyids.iter().filter_map(|id| Some((id.clone(), keys.get(id)?.material()?))).collect();
        Self { keys, threshold }
    }

    /// The distinct keys of the role.
    #[must_use]
    pub fn materials(&self) -> BTreeSet<&KeyMaterial> {
        self.keys.values().collect()
    }

    /// How many distinct keys must sign.
    #[must_use]
    pub const fn threshold(&self) -> u64 {
        self.threshold
    }

    /// The role's usable keys by id; one key may stand under two ids.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyId, &KeyMaterial)> {
        self.keys.iter()
    }

    /// Checks that enough distinct keys signed `message`; gives the ids of
    /// those that did.
    ///
    /// # Errors
    /// [`BelowThreshold`] otherwise. Wrong signatures and those of other keys
    /// count for nothing and do no harm.
    pub fn verify(
        &self,
        message: &[u8],
        signatures: &BTreeMap<KeyId, Vec<u8>>,
    ) -> Result<Vec<KeyId>, BelowThreshold> {
        // TUF 5.3.4: each key counts once. Two ids may name the same key, so
        // what is counted is the key itself.
        let mut counted = BTreeSet::new();
        let mut ids = Vec::new();
        for (id, material) in &self.keys {
            if counted.contains(material) {
                continue;
            }
            let Some(signature) = signatures.get(id) else { continue };
            if material.verifies(message, signature) {
                counted.insert(material);
                ids.push(id.clone());
            }
        }
        let found = counted.len();
        // Authority has no public way to a threshold of 0, yet nothing signed
        // by nobody shall ever pass.
        if found == 0 || (found as u64) < self.threshold {
            return Err(BelowThreshold { found, threshold: self.threshold });
        }
        Ok(ids)
    }
}
