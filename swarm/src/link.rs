//! What a connection is called.

/// One connection to a peer. A peer may have several for a moment, when both
/// sides dialled; everything agreed on a connection ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);
