//! The vendor's own seeder: origin, bootstrap and mirror in one.

pub mod addresses;
pub mod credential;
pub mod driver;
pub mod mirror;
pub mod offer;
pub mod shelf;
