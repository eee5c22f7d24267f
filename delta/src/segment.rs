//! A run of a piece that resembles a run of old bytes.

/// A run of a piece and the old bytes it resembles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it starts in the piece.
    pub(crate) new: usize,
    /// Where its old bytes start, in the text of the index or of a delta's sources.
    pub(crate) old: usize,
    /// How many bytes both have.
    pub(crate) len: usize,
}

impl Segment {
    /// What is added to a place in the piece to find its old bytes.
    pub(crate) fn shift(&self) -> isize {
        self.old as isize - self.new as isize
    }

    /// Where it ends in the piece.
    pub(crate) fn new_end(&self) -> usize {
        self.new + self.len
    }

    /// Where its old bytes end.
    pub(crate) fn old_end(&self) -> usize {
        self.old + self.len
    }

    /// How many of its bytes equal the old ones.
    pub(crate) fn equal_bytes(&self, old: &[u8], new: &[u8]) -> usize {
        let old = &old[self.old..self.old_end()];
        let new = &new[self.new..self.new_end()];
        old.iter().zip(new).filter(|(old, new)| old == new).count()
    }
}
