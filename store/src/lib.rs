//! Updraft on disk: repositories, slots, objects and logs.
//!
//! Touches no network. Everything durable is written in an order that is
//! stated at the place, and every step of it bears a name at which a test may
//! cut it short ([`steps`]).
//!
//! - [`atomic`], [`disk`], [`frame`], [`keyfile`], [`lock`], [`space`]: what
//!   every program needs of a disk.
//! - [`tree`], [`repository`]: the vendor's side, a directory as the files of
//!   a release and what mirrors serve.
//! - [`slots`], [`stage`], [`installed`]: where releases live, how one comes
//!   there, and whether it still is what it was.
//! - [`links`], [`scratch`], [`sums`]: what patches make of what is installed;
//!   [`apart`], [`relaunch`]: in processes of their own where it could take long.
//! - [`objects`], [`partials`], [`heads`], [`trusted`], [`journal`], [`log`]: what an
//!   agent holds, believes, remembers and tells.

pub mod apart;
pub mod atomic;
mod beneath;
mod closing;
pub mod disk;
pub mod frame;
mod hashing;
pub mod heads;
pub mod installed;
pub mod journal;
pub mod keyfile;
pub mod limits;
pub mod links;
pub mod lock;
pub mod log;
pub mod objects;
pub mod partials;
pub mod relaunch;
pub mod repository;
pub mod scratch;
pub mod slots;
#[cfg(test)]
mod slots_tests;
pub mod space;
pub mod stage;
pub mod steps;
pub mod sums;
pub mod testing;
pub mod tree;
pub mod trusted;
