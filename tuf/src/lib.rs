//! A plain TUF client for any repository in the world, on Updraft's core.
//!
//! Knows nothing of releases, peers or installations: it keeps a directory of
//! trusted metadata, asks one repository over HTTP for what TUF 1.0.34 says,
//! and writes the target files that the metadata vouches for.
//!
//! - [`cli`] is how it is asked.
//! - [`client`] drives the machines of `manifest::trust`, which decide.
//! - [`metadata`] is what is trusted, on disk; [`target`] what was downloaded.
//! - `web` fetches, [`address`] says where from.

pub mod address;
pub mod cli;
pub mod client;
pub mod limits;
pub mod metadata;
pub mod target;
