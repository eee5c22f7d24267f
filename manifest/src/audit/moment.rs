//! When an entry was written, by three clocks.
//!
//! The wall clock can be set; the monotonic one cannot, within one boot. An
//! auditor who reads both sees a clock that was turned back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::audit::limits::BOOT_ID_BYTES;
use crate::time::UnixTime;

/// A moment on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: UnixTime,
    /// Whole seconds since the boot `boot`.
    pub monotonic: u64,
    /// Which boot the monotonic clock counts from.
    pub boot: BootId,
}

/// Names one boot of a machine, as in `/proc/sys/kernel/random/boot_id`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct BootId(String);

/// A text that is no boot id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a boot id is 1 to {BOOT_ID_BYTES} of 0-9, A-Z, a-z and -, found {found:?}")]
pub struct NotABootId {
    /// What stood there, at most its first 80 characters.
    pub found: String,
}

impl BootId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BootId {
    type Err = NotABootId;

    fn from_str(text: &str) -> Result<Self, NotABootId> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if text.is_empty() || text.len() > BOOT_ID_BYTES || !plain {
            return Err(NotABootId { found: text.chars().take(80).collect() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootId({})", self.0)
    }
}

impl<'de> Deserialize<'de> for BootId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_plain() {
        assert!("5f0c2d0e-7a49-4d0e-9f0e-0d8f4ad1f6a1".parse::<BootId>().is_ok());
        for bad in ["", "a b", "a\n", "é", &"a".repeat(BOOT_ID_BYTES + 1)] {
            assert!(bad.parse::<BootId>().is_err(), "{bad:?}");
        }
    }
}
