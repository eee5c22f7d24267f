//! The vendor's program: keys, releases, seeding.

pub mod clock;
pub mod meter;
pub mod progress;
pub mod report;
