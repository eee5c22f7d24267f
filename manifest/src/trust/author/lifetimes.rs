//! How long what is signed stays in force.

use std::time::Duration;

use crate::trust::role::RoleName;

/// The lifetime of each role's files, counted from signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of root, which people sign.
    pub root: Duration,
    /// Of the top-level targets, which change with the channels.
    pub targets: Duration,
    /// Of a channel's role.
    pub channel: Duration,
    /// Of the snapshot.
    pub snapshot: Duration,
    /// Of the timestamp: how long a mirror may hide what is new.
    pub timestamp: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            root: 365 * DAY,
            targets: 365 * DAY,
            channel: 90 * DAY,
            snapshot: 30 * DAY,
            timestamp: 7 * DAY,
        }
    }
}

impl Lifetimes {
    /// The lifetime of this role's files.
    #[must_use]
    pub fn of(&self, role: &RoleName) -> Duration {
        match role.as_str() {
            "root" => self.root,
            "targets" => self.targets,
            "snapshot" => self.snapshot,
            "timestamp" => self.timestamp,
            _ => self.channel,
        }
    }
}
