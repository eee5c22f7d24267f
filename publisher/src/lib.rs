//! The vendor's program: keys, releases, seeding.

pub mod build;
pub mod clock;
pub mod home;
pub mod keys;
pub mod limits;
pub mod meter;
pub mod progress;
pub mod rebuild;
pub mod report;
