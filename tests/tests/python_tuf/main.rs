//! Agreement with python-tuf: it reads what our pen writes, our client reads
//! what it writes, and both give the same answer to generated questions.
//!
//! Needs python3 and, once, the package index. Without them the tests say
//! SKIPPED, or fail where `CI=true`.

mod oracle;
mod questions;
mod reading;
mod writing;
