//! The writing side: a vendor's repository metadata, made and signed.
//!
//! Values in, files out; whoever calls it brings the keys and the time, and
//! writes the files in the order they come.

pub mod key_edit;
pub mod keyring;
pub mod lifetimes;
pub mod open;
pub mod proposal;
pub mod repository;
pub mod role_keys;
