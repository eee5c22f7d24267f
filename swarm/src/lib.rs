//! Updraft on the network: an authenticated swarm that moves objects.
//!
//! The machines decide and touch nothing: `exchange` joins `transfer` (what to
//! ask of whom), `serving` (what to send to whom) and `shelf` (what we hold),
//! and speaks in the frames of `wire`; `courtesy` knows how much of the line
//! others on this machine need, `address_book` where to look for members,
//! `acquaintance` whom to ask about others, and `crowd` who may stay. The
//! driver acts: libp2p over TCP and QUIC (`transport`), admission before
//! anything else (`gate`), gossip for announcements, questions (`ask`), members
//! on the local network (`dns_sd`) and from each other (`peer_exchange`), and
//! circuits through each other (`circuit`, `reach`) where networks let nobody
//! in. A program starts it with [`start`] and its `options`, commands it with a
//! `handle` and takes its `event`s.

pub mod accounts;
pub mod acquaintance;
pub mod address;
pub mod address_book;
pub mod allowance;
pub mod ask;
pub mod assembly;
pub mod block;
pub mod blocklist;
pub mod blockmap;
pub mod blotter;
pub mod budget;
pub mod circuit;
pub mod courtesy;
pub mod crowd;
pub mod dice;
pub mod dns_sd;
mod driver;
pub mod event;
pub mod exchange;
pub mod fetches;
pub mod flight;
pub mod gate;
pub mod handle;
mod hesitant;
pub mod keeping;
pub mod limits;
pub mod link;
mod muxer;
pub mod objects;
pub mod odometer;
pub mod options;
pub mod outbox;
pub mod pace;
pub mod parts;
pub mod peer_exchange;
pub mod picker;
pub mod purse;
pub mod reach;
mod rebinding;
pub mod remembered;
pub mod serving;
pub mod shelf;
pub mod site;
pub mod speed;
pub mod spread;
pub mod squeeze;
pub mod standing;
pub mod tally;
pub mod testing;
pub mod transfer;
pub mod transport;
pub mod uplink;
pub mod wire;

pub use driver::start;

#[cfg(test)]
mod simnet;
