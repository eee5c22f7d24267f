//! The log: what an installation writes so that nobody can change it later
//! unnoticed.
//!
//! Entries are canonical JSON lines, each naming the hash of the one before,
//! under an RFC 6962 Merkle tree; a checkpoint signs the tree's size and root
//! with the installation's log key. docs/audit.md shows every byte.
//!
//! A log proves what was written, and that it has not changed since somebody
//! else saw a checkpoint. It does not prove that a machine told the truth.

pub mod chain;
pub mod checkpoint;
pub mod entry;
pub mod event;
pub mod exchange;
pub mod hash;
pub mod limits;
pub mod merkle;
pub mod moment;
pub mod note;
pub mod testing;
pub mod text;
pub mod verify;
