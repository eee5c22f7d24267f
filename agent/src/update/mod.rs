//! Updates: what decides ([`machine`]) and what it remembers ([`state`]).

pub mod decision;
pub mod machine;
#[cfg(test)]
mod machine_tests;
pub mod schedule;
pub mod state;
