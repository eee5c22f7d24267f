//! Releases: the tree of files, how it is cut into pieces, the patch that
//! leads there from another release, and the plan that uses both.
//!
//! docs/manifest.md has the two formats byte by byte.

pub mod changes;
pub mod codec;
pub mod layout;
pub mod limits;
pub mod link;
pub mod manifest;
pub mod patch;
pub mod plan;
pub mod tree;
