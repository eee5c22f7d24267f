//! TUF 1.0.34: which files the vendor's keys vouch for.
//!
//! Reading: [`trusted`] holds what was verified, [`refresh`] says which file it
//! wants next, [`candidates`] what a channel offers. Writing: [`author`] makes
//! and signs the four roles and the channels. Neither touches a clock, a disk
//! or a network; docs/trust.md has the formats and each choice.

pub mod author;
pub mod authority;
pub mod bundle;
pub mod candidates;
pub mod custom;
pub mod delegation;
pub mod exchange;
pub mod floor;
pub mod hashes;
pub mod key;
pub mod limits;
pub mod meta;
pub mod pattern;
pub mod persisted;
pub mod quote;
pub mod refresh;
pub mod role;
pub mod root;
pub mod rules;
pub mod search;
pub mod signed;
pub mod snapshot;
mod spki;
pub mod targets;
pub mod testing;
pub mod timestamp;
pub mod trusted;
