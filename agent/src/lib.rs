//! The machine owner's program: keeps one installation up to date.
//!
//! - [`update`] decides, [`applier`] is the authority over what is believed,
//!   installed and told, the network side brings the bytes.
//! - [`join`] makes an installation out of a ticket, [`home`], [`config`] and
//!   [`identity`] are what it keeps.

pub mod applier;
pub mod audit;
pub mod clock;
pub mod config;
pub mod home;
pub mod identity;
pub mod join;
pub mod limits;
pub mod mirror;
pub mod probe;
#[cfg(test)]
mod testing;
pub mod update;
