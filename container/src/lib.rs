//! Compressed files, opened for deltas and closed again to the very same bytes.
//!
//! A deflate stream hides what changed: one new word moves every bit behind
//! it. The **view** of a gzip or zip file has the plain text in place of each
//! stream, so a delta between two views is small. [`open()`] makes a view
//! together with the [`Recipe`] that turns it back, [`close()`] follows the
//! recipe, and [`view()`] opens a file that only is to be read. [`list`] does the
//! same for files that list the hashes of others. Streams are taken apart and
//! made by a [`Codec`], here or, by [`errand`], elsewhere. The formats are
//! docs/container.md.
//!
//! This crate knows nothing of releases, disks or peers.

pub mod close;
pub mod codec;
pub mod errand;
pub mod find;
mod inflate;
pub mod limits;
pub mod list;
pub mod open;
mod quiet;
pub mod recipe;
mod varint;
pub mod view;

pub use crate::close::{CloseError, close, close_to};
pub use crate::codec::{Codec, Here};
pub use crate::find::{Stream, streams};
pub use crate::open::{Opened, open, reopen};
pub use crate::recipe::{CODEC, Recipe, RecipeError, Run};
pub use crate::view::{view, view_to};
