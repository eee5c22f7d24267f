//! The network side: brings metadata and objects, serves what is held.
//!
//! Has no authority: it hands bytes to the applier, which verifies them by
//! its own trust. What it knows of peers is [`peers`], which the swarm
//! implements; mirrors are its second way.

pub mod account;
pub mod ahead;
#[cfg(test)]
mod ahead_tests;
pub mod assemble;
pub mod draft;
mod errand;
#[cfg(test)]
mod fake;
pub mod fallback;
pub mod fetch;
#[cfg(test)]
mod fetch_tests;
pub mod meter;
pub mod peers;
pub mod permit;
pub mod prepare;
pub mod progress;
pub mod refresh;
pub mod roster;
pub mod shelf;
mod way;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use container::Codec;
use manifest::content::ContentId;
use manifest::trust::role::RoleName;

use crate::applier::authority::Authority;
use crate::mirror::Mirror;
use crate::network::meter::Meter;
use crate::network::peers::Peers;
use crate::network::permit::Permit;
use crate::network::progress::Progress;
use crate::network::roster::Standings;
use crate::network::shelf::Shelf;

/// The network side of one installation, shared by its tasks.
pub struct Network {
    /// What decides what is believed.
    pub authority: Authority,
    /// What can be served.
    pub shelf: Arc<Shelf>,
    /// What is remembered of mirrors, in the order of `mirrors`.
    standings: Mutex<Standings>,
    /// The members that are met.
    pub peers: Arc<dyn Peers>,
    /// The mirrors that are known.
    pub mirrors: Vec<Mirror>,
    /// Where bytes came from.
    pub meter: Meter,
    /// How far the transfer under way is.
    pub progress: Progress,
    /// Whether anything may be fetched now.
    pub permit: Permit,
    /// The role that signs the channel.
    pub role: RoleName,
    /// The directory of the installation, for its disk's room.
    pub into: PathBuf,
    /// The agent's home, for its disk's room.
    pub home: PathBuf,
    /// Since when members are looked for.
    pub began: Instant,
    /// What makes the streams of files that a patch opened.
    pub codec: Arc<dyn Codec>,
    /// Patches that made something else than they should, and files whose
    /// views did.
    distrusted: Mutex<HashSet<ContentId>>,
}

impl Network {
    /// The network side that hands what it brings to `authority`.
    #[must_use]
    pub fn new(
        authority: Authority,
        shelf: Arc<Shelf>,
        peers: Arc<dyn Peers>,
        mirrors: Vec<Mirror>,
        role: RoleName,
        (into, home): (PathBuf, PathBuf),
        codec: Arc<dyn Codec>,
    ) -> Self {
        let (meter, progress, permit, distrusted, standings) = Default::default();
        let began = Instant::now();
        Self {
            authority,
            shelf,
            standings,
            peers,
            mirrors,
            meter,
            progress,
            permit,
            role,
            into,
            home,
            began,
            codec,
            distrusted,
        }
    }

    /// Never uses the patch `id`, or the view of the file `id`, again while
    /// this process lives: without it the release can be made from plain pieces.
    pub fn distrust(&self, id: ContentId) {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Everything that is not to be used again.
    #[must_use]
    pub fn distrusted(&self) -> HashSet<ContentId> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the patch `id`, or the view of the file `id`, is not to be used.
    #[must_use]
    pub fn is_distrusted(&self, id: ContentId) -> bool {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}
