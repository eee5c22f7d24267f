//! A whole workgroup in one process: what a release does among thousands.
//!
//! Each member is made of the machines that the swarm's driver runs: address
//! book, acquaintance, crowd and exchange, with their own frames and bytes.
//! What is simulated is around them: uplinks, downlinks, distances, networks
//! that let nobody in, and machines that are switched off. Announcements
//! travel as gossipsub's do, without its code. No circuits: who cannot be
//! dialled can only dial. The same seed gives the same run.

mod goods;
mod meeting;
mod member;
mod outcome;
mod people;
mod wires;
mod world;

pub use outcome::Outcome;

use std::time::Duration;

/// What is played.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Members beside the vendor's seeder.
    pub members: usize,
    /// Bytes of the update.
    pub bytes: usize,
    /// Objects that it consists of.
    pub objects: usize,
    /// Within which time the members come, knowing the seeder's address only.
    pub gather: Duration,
    /// How many in a hundred are off when the update is published, and come
    /// back within `absence`.
    pub off_percent: u64,
    /// How many in a hundred are switched off within the first minute of the
    /// update, and come back within `absence`.
    pub leave_percent: u64,
    /// See `off_percent`.
    pub absence: Duration,
    /// How long after the publication the run is given up.
    pub patience: Duration,
    /// Where chance comes from.
    pub seed: u64,
}

impl Plan {
    /// `members` on an ordinary day.
    #[must_use]
    pub const fn of(members: usize, seed: u64) -> Self {
        Self {
            members,
            bytes: 512 * 1024,
            objects: 4,
            gather: Duration::from_secs(600),
            off_percent: 20,
            leave_percent: 5,
            absence: Duration::from_secs(120),
            patience: Duration::from_secs(1_800),
            seed,
        }
    }

    /// Plays it.
    #[must_use]
    pub fn play(&self) -> Outcome {
        world::World::new(self).play()
    }
}
