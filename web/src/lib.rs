//! Plain files over HTTP and HTTPS, from any static server.
//!
//! Touches the network and no disk, and knows nothing of what the files mean.
//! [`source`] asks for a file, or for the rest of one; [`range`] judges what
//! was answered, and [`body`] takes it in, bounded in length and time.

pub mod body;
pub mod error;
pub mod range;
pub mod source;
