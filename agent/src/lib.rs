//! The machine owner's program: keeps one installation up to date.
//!
//! - [`update`] decides, [`applier`] is the authority over what is believed,
//!   installed and told, [`network`] brings the bytes.
//! - [`join`] makes an installation out of a ticket; [`home`], [`config`] and
//!   [`identity`] are what it keeps.
//! - [`daemon`] puts all of it to work, [`control`] lets the owner ask, and
//!   [`cli`] is how.

pub mod applier;
pub mod audit;
pub mod cli;
#[cfg(test)]
mod cli_tests;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
#[cfg(test)]
mod daemon_tests;
mod failure;
pub mod home;
pub mod hours;
pub mod identity;
pub mod join;
pub mod leave;
pub mod limits;
pub mod line;
pub mod mirror;
pub mod network;
pub mod offline;
pub mod probe;
mod render;
pub mod rest;
pub mod sockets;
pub mod swarming;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod update;
