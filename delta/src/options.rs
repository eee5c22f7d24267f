//! How hard an encoder works.

/// What an encoder may spend on a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The level of zstd, 1 to 22. The smallest deltas come from 19 and above.
    pub level: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: 19 }
    }
}
