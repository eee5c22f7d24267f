//! Agreement with python-tuf: it reads what our pen writes, our client reads
//! what it writes, and both give the same answer to generated questions.
//!
//! Needs python3 and, once, the package index. Without them the tests say
//! SKIPPED, or fail where `CI=true`.

#[path = "python_tuf/oracle.rs"]
mod oracle;
#[path = "python_tuf/questions.rs"]
mod questions;
#[path = "python_tuf/reading.rs"]
mod reading;
#[path = "python_tuf/writing.rs"]
mod writing;
