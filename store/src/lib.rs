//! Updraft on disk: repositories, slots, objects and logs.
//!
//! Touches no network. Everything durable is written in an order that is
//! stated at the place, and every step of it bears a name at which a test may
//! cut it short ([`steps`]).
//!
//! - [`atomic`], [`disk`], [`frame`], [`keyfile`]: single files.
//! - [`repository`]: the vendor's side, served to the world as it lies there.
//! - [`tree`]: a directory as the entries of a release.
//! - [`objects`], [`trusted`]: what an agent holds and what it believes.

pub mod atomic;
pub mod disk;
pub mod frame;
pub mod keyfile;
pub mod limits;
pub mod objects;
pub mod repository;
pub mod steps;
pub mod tree;
pub mod trusted;
