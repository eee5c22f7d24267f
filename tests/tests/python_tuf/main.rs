//! Agreement with python-tuf: it reads what our pen writes, our client reads
//! what it writes, both give the same answer to generated questions, and both
//! clients one verdict on generated repositories.
//!
//! Needs python3 and, once, the package index. Without them the tests say
//! SKIPPED, or fail where `CI=true`.

mod files;
mod oracle;
mod questions;
mod reading;
mod verdicts;
mod writing;
mod years;
