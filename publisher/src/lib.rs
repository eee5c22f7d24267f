//! The vendor's program: keys, releases, seeding.

pub mod build;
pub mod clock;
pub mod history;
pub mod home;
pub mod init;
pub mod issuers;
pub mod keys;
pub mod limits;
pub mod meter;
pub mod progress;
pub mod publish;
pub mod rebuild;
pub mod release;
pub mod renew;
pub mod report;
