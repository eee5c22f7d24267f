//! Updraft on the network: an authenticated swarm that moves objects.
//!
//! The machines decide and touch nothing: `exchange` joins `transfer` (what to
//! ask of whom), `serving` (what to send to whom) and `shelf` (what we hold),
//! and speaks in the frames of `wire`.

pub mod ask;
pub mod assembly;
pub mod block;
pub mod blocklist;
pub mod blockmap;
pub mod budget;
pub mod dice;
pub mod dns_sd;
pub mod exchange;
pub mod fetches;
pub mod flight;
pub mod gate;
pub mod limits;
pub mod link;
pub mod objects;
pub mod outbox;
pub mod picker;
pub mod serving;
pub mod shelf;
pub mod spread;
pub mod squeeze;
pub mod standing;
pub mod transfer;
pub mod transport;
pub mod wire;

#[cfg(test)]
mod simnet;
#[cfg(test)]
mod testing;
