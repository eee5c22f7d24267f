//! Updates: what decides ([`machine`]), what acts ([`driver`]) and what is
//! remembered ([`state`]).

pub mod decision;
pub mod driver;
pub mod machine;
#[cfg(test)]
mod machine_tests;
pub mod messages;
pub mod schedule;
pub mod state;
