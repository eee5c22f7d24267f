//! Deltas between files: bytes in, bytes out.
