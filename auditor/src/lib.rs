//! The admin's program: collects and verifies installations' logs.
//!
//! `collect` decides what to read when, `judge` what to think of it, `fleet`
//! how all of it looks; `vault` keeps it.

pub mod cli;
pub mod clock;
pub mod collect;
pub mod daemon;
mod ending;
pub mod fleet;
pub mod home;
pub mod intake;
pub mod judge;
pub mod limits;
mod offline;
pub mod record;
pub mod roots;
mod show;
pub mod table;
pub mod vault;
