//! What an installation is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::content::{ContentId, NotAContentId};
use crate::key::PublicKey;

/// An installation: the blake3 of its public log key, never chosen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(ContentId);

impl InstallationId {
    /// The installation that signs its log with `log_key`.
    #[must_use]
    pub fn of(log_key: &PublicKey) -> Self {
        Self(ContentId::of(log_key.as_bytes()))
    }

    /// The id as its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The first ten digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..10].to_owned()
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstallationId({})", self.short())
    }
}

impl FromStr for InstallationId {
    type Err = NotAContentId;

    fn from_str(text: &str) -> Result<Self, NotAContentId> {
        text.parse().map(Self)
    }
}
