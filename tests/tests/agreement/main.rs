//! Agreement with other people's clients: python-tuf reads what our pen
//! writes, our client reads what it writes, both give the same answer to
//! generated questions, and one verdict on generated repositories. sigstore-tuf
//! is asked for a third opinion.
//!
//! Needs python3 and, once, the package indexes. Without them the tests say
//! SKIPPED, or fail where `CI=true`.

mod files;
mod oracle;
mod questions;
mod reading;
mod third;
mod verdicts;
mod writing;
mod years;
