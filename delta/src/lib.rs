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
pub mod body;
mod chains;
mod coder;
pub mod control;
pub mod corrections;
mod costs;
mod elf;
pub mod encode;
pub mod extra;
mod field;
pub mod format;
mod gathered;
mod go;
mod hints;
mod image;
mod index;
mod kinship;
mod labels;
pub mod limits;
mod literals;
mod macho;
mod matcher;
mod mixture;
#[cfg(test)]
mod noise;
mod numbers;
pub mod old;
pub mod options;
mod parser;
mod pe;
mod randomness;
pub mod read_at;
mod references;
pub mod samples;
mod segment;
mod selection;
mod sites;
pub mod testing;
pub mod varint;
pub mod zones;

pub use crate::apply::{ApplyError, apply};
pub use crate::encode::{Delta, EncodeError, Encoder, Part, Source, Target};
pub use crate::format::{FormatError, Header, Mark, header};
pub use crate::image::may_be_executable;
pub use crate::options::Options;
pub use crate::read_at::ReadAt;
