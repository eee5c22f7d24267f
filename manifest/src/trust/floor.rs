//! The lowest release number that may still be offered.
//!
//! The highest number ever offered is a floor, so that whoever holds a channel
//! key or an old mirror cannot lead machines back. It belongs to a product, a
//! channel and the channel's keys: when targets replaces those keys, it starts
//! again at the installed release, lest a stolen key block a channel for ever.
//! It limits offers, not which slot runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::name::{ChannelName, ProductName, ReleaseNumber};
use crate::trust::authority::Authority;

/// Which keys may sign a role, whatever ids they go by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeySet(String);

impl KeySet {
    /// The keys of `authority`; its threshold plays no part.
    #[must_use]
    pub fn of(authority: &Authority) -> Self {
        let mut hash = Sha256::new();
        for material in authority.materials() {
            hash.update(material.identity());
        }
        Self(hex::encode(hash.finalize()))
    }
}

impl fmt::Display for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The floors of one installation, to be persisted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Floors(BTreeMap<String, Floor>);

/// The floor of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Floor {
    keys: KeySet,
    number: ReleaseNumber,
}

impl Floors {
    /// The floor of a channel under `keys`, given what is installed.
    #[must_use]
    pub fn floor(
        &self,
        product: &ProductName,
        channel: &ChannelName,
        keys: &KeySet,
        installed: ReleaseNumber,
    ) -> ReleaseNumber {
        match self.0.get(&name(product, channel)) {
            Some(floor) if floor.keys == *keys => floor.number,
            _ => installed,
        }
    }

    /// Raises the floor to what is offered now, never lowers it; gives the
    /// floor, and whether it must be persisted.
    pub fn raise(
        &mut self,
        product: &ProductName,
        channel: &ChannelName,
        keys: &KeySet,
        installed: ReleaseNumber,
        offered: impl IntoIterator<Item = ReleaseNumber>,
    ) -> (ReleaseNumber, bool) {
        let floor = self.floor(product, channel, keys, installed);
        let number = offered.into_iter().fold(floor, ReleaseNumber::max);
        let floor = Floor { keys: keys.clone(), number };
        let before = self.0.insert(name(product, channel), floor.clone());
        (number, before != Some(floor))
    }
}

/// Products and channels have no dot, so this is read in one way only.
fn name(product: &ProductName, channel: &ChannelName) -> String {
    format!("{product}.{channel}")
}
