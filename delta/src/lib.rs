//! Deltas between files: bytes in, bytes out.
//!
//! An [`encode::Encoder`] reads old files and makes a delta object for each
//! piece of new ones; [`apply::apply`] makes the piece again from the delta and
//! the old files it names. Pieces are independent: each is fetched, checked
//! and applied by itself, from whoever has it. The format is docs/delta.md.
//!
//! This crate knows nothing of releases, disks or peers.

pub mod apply;
mod attempt;
pub mod encode;
pub mod format;
mod index;
pub mod limits;
mod matcher;
pub mod options;
pub mod packed;
pub mod ranges;
pub mod read_at;
mod segment;
mod selection;
pub mod streams;
pub mod varint;
pub mod words;

pub use crate::apply::{ApplyError, apply};
pub use crate::encode::{EncodeError, Encoder, Source, Target};
pub use crate::format::{FormatError, Header, SourceRef, header};
pub use crate::options::Options;
pub use crate::read_at::ReadAt;
