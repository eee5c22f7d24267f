//! Takes up what an earlier run persisted.
//!
//! What is on disk is verified again as if it had just arrived, but for
//! expiry: expired files still are a floor for versions.

use std::collections::BTreeMap;

use crate::trust::limits::{DELEGATIONS, NAMED_BYTES, TIMESTAMP_BYTES};
use crate::trust::role::RoleName;
use crate::trust::rules::{TrustError, verify};
use crate::trust::trusted::{Delegated, TrustedSet};

/// A persisted file that is not trusted any more.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// Its name in the trusted directory.
    pub name: String,
    /// Why, as a sentence's end.
    pub why: String,
}

impl TrustedSet {
    /// Takes up what was persisted, by unversioned file name.
    ///
    /// Files that the persisted root or their superiors do not vouch for are
    /// left out, see [`TrustedSet::left_out`]; they will be fetched again.
    ///
    /// # Errors
    /// [`TrustError`] if `root.json` is missing or broken.
    pub fn load(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, TrustError> {
        let root = files.get(&RoleName::ROOT.file_name()).ok_or(TrustError::NoRoot)?;
        let mut set = Self::from_root(root)?;
        set.load_timestamp_and_snapshot(files);
        set.load_targets(files);
        Ok(set)
    }

    fn load_timestamp_and_snapshot(&mut self, files: &BTreeMap<String, Vec<u8>>) {
        let mut unsigned = false;
        let mut keep = |role: RoleName, error: TrustError| {
            unsigned |= matches!(error, TrustError::Signatures { .. });
            self.left_out.push(LeftOut::new(&role, &error));
        };
        let timestamp = files.get(&RoleName::TIMESTAMP.file_name()).and_then(|bytes| {
            verify(&RoleName::TIMESTAMP, bytes, TIMESTAMP_BYTES, &self.root.timestamp_authority())
                .map_err(|error| keep(RoleName::TIMESTAMP, error))
                .ok()
        });
        let snapshot = files.get(&RoleName::SNAPSHOT.file_name()).and_then(|bytes| {
            verify(&RoleName::SNAPSHOT, bytes, NAMED_BYTES, &self.root.snapshot_authority())
                .map_err(|error| keep(RoleName::SNAPSHOT, error))
                .ok()
        });
        // Each was signed as its root demanded when it was persisted. If one no
        // longer is, a newer root has taken keys away, and power was cut before
        // both were forgotten (TUF 5.3.11).
        if !unsigned {
            (self.timestamp, self.snapshot) = (timestamp, snapshot);
        }
    }

    fn load_targets(&mut self, files: &BTreeMap<String, Vec<u8>>) {
        if let Some(bytes) = files.get(&RoleName::TARGETS.file_name()) {
            match self.verify_named(&RoleName::TARGETS, &RoleName::ROOT, bytes) {
                Ok(file) => self.targets = Some(file),
                Err(error) => self.left_out.push(LeftOut::new(&RoleName::TARGETS, &error)),
            }
        }
        // A role's file is found by those who delegate to it, so each round
        // may make the next one's superiors known.
        let mut left: Vec<(RoleName, &Vec<u8>)> = files
            .iter()
            .filter_map(|(name, bytes)| Some((RoleName::from_file_name(name)?, bytes)))
            .filter(|(role, _)| !role.is_top_level())
            .collect();
        while self.delegated.len() < DELEGATIONS {
            let before = left.len();
            let mut superiors = vec![RoleName::TARGETS];
            superiors.extend(self.delegated.keys().cloned());
            left.retain(|(role, bytes)| {
                let found = superiors.iter().find_map(|by| {
                    let file = self.verify_named(role, by, bytes).ok()?;
                    Some(Delegated { by: by.clone(), file })
                });
                match found {
                    Some(delegated) => {
                        self.delegated.insert(role.clone(), delegated);
                        false
                    }
                    None => true,
                }
            });
            if left.len() == before {
                break;
            }
        }
    }
}

impl LeftOut {
    fn new(role: &RoleName, error: &TrustError) -> Self {
        Self { name: role.file_name(), why: error.to_string() }
    }
}
