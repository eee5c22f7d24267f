//! The machine owner's program: keeps one installation up to date.

pub mod limits;
pub mod mirror;
pub mod probe;
pub mod update;
