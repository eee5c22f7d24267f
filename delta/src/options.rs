//! How hard an encoder works.

/// What an encoder may spend on a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// 1 to 22. The smallest deltas come from 19 and above.
    pub level: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: 19 }
    }
}

impl Options {
    /// How many places are looked at for one that repeats itself.
    pub(crate) fn depth(&self) -> usize {
        match self.level {
            ..=6 => 4,
            7..=15 => 12,
            _ => 40,
        }
    }
}
