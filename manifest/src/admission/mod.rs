//! Who belongs to a workgroup: issuers, credentials and tickets.
//!
//! The chain is exact: a workgroup key, which root names, signs an issuer
//! statement; the issuer signs a credential, which may only narrow what the
//! statement allows. docs/credentials.md has every field.

pub mod chain;
pub mod credential;
pub mod guide;
pub mod installation;
pub mod issuer;
pub mod issuers;
pub mod limits;
mod list;
pub mod revocation;
pub mod ticket;
pub mod workgroup;
