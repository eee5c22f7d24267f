//! Updraft's values: metadata, releases, credentials, plans and the audit
//! format. Values in, values out.
//!
//! Touches no clock, disk, network, environment or randomness: all of these
//! come in as arguments.

pub mod admission;
pub mod audit;
pub mod canonical;
pub mod content;
pub mod example_keys;
pub mod key;
pub mod name;
pub mod release;
pub mod testing;
pub mod time;
pub mod trust;
