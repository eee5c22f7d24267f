//! What is to be done about what the channel offers.
//!
//! Values in, a decision out. Withdrawn and bad releases are never chosen by
//! themselves, and nothing below the floor is.

use manifest::audit::event::{MetadataVersions, ReleaseRef};
use manifest::audit::text::Text;

use crate::update::state::{Errand, Purpose};

/// What follows from trusted metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A release is to be installed.
    Install(Offer),
    /// What is installed is the newest.
    UpToDate,
    /// The channel offers no release for this platform.
    NothingOffered,
    /// A newer release is known and not installed.
    Withheld {
        /// Which.
        release: ReleaseRef,
        /// Why not.
        reason: String,
    },
}

/// A release that the channel offers, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub release: ReleaseRef,
    /// The metadata it stands in.
    pub metadata: MetadataVersions,
    /// The keys that signed the channel's role.
    pub key_ids: Vec<Text>,
}

impl Offer {
    /// What is done with it.
    #[must_use]
    pub fn errand(self, purpose: Purpose) -> Errand {
        let Self { release, metadata, key_ids } = self;
        Errand { release, purpose, metadata, key_ids }
    }
}
