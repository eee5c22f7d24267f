//! From a directory to the objects and manifests of a release.
//!
//! Library code for `release` and `diff` alike: it reads a tree, puts objects
//! into a repository, and gives back manifests that nobody has signed yet.
//! Until they are, a repository is none the worse for what was put into it.

pub mod deltas;
mod held;
pub mod lists;
pub mod manifests;
pub mod old;
pub mod pieces;
pub mod tree;
pub mod views;
mod whereabouts;
pub mod windows;
