//! The vendor's program: keys, releases, seeding.
//!
//! A release goes one way: [`build`] makes objects and manifests from a
//! directory, [`release`] gathers what has to be signed, [`publish`] signs it
//! and makes it public in one step. [`diff`] runs the same in a temporary home
//! and [`rebuild`]s the result. [`home`], [`keys`] and [`issuers`] are what a
//! vendor has; docs/publisher.md draws them.

pub mod build;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod diff;
pub mod history;
pub mod home;
pub mod init;
pub mod issuers;
pub mod keys;
pub mod limits;
pub mod measured;
pub mod meter;
pub mod progress;
pub mod publish;
pub mod rebuild;
pub mod release;
pub mod renew;
pub mod report;
pub mod revoke;
pub mod rotation;
pub mod seed;
pub mod signers;
pub mod status;
pub mod ticket;
pub mod workgroup_file;
