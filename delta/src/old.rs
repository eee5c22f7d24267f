//! All sources of a delta, one behind the other.

use std::io;

use crate::format::Header;
use crate::read_at::ReadAt;

/// Old bytes that are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum OldError {
    /// The delta reads another number of sources than are given.
    #[error("the delta reads {expected} sources, given are {found}")]
    SourceCount {
        /// How many it reads.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The sources together are longer than any number can tell.
    #[error("the sources are too long")]
    TooLong,
    /// A source could not be read.
    #[error("source {index} of the delta cannot be read at {offset}")]
    Read {
        /// Which of the sources.
        index: usize,
        /// Where in it.
        offset: u64,
        /// What reading met.
        source: io::Error,
    },
}

/// Sources, as many as a delta's header says.
pub(crate) struct Old<'a> {
    sources: &'a [&'a dyn ReadAt],
    /// Where each begins in the delta's addresses.
    starts: Vec<u64>,
    pub(crate) len: u64,
}

impl<'a> Old<'a> {
    pub(crate) fn new(header: &Header, sources: &'a [&'a dyn ReadAt]) -> Result<Self, OldError> {
        let (expected, found) = (header.source_count, sources.len());
        if expected != found {
            return Err(OldError::SourceCount { expected, found });
        }
        let mut starts = Vec::with_capacity(found);
        let mut len = 0u64;
        for source in sources {
            starts.push(len);
            // Room is left for whatever is counted from the end of the sources.
            let end = len.checked_add(source.len()).filter(|end| *end < 1 << 62);
            len = end.ok_or(OldError::TooLong)?;
        }
        Ok(Self { sources, starts, len })
    }

    /// Fills `out` with the old bytes from `address` on, of several sources if need be.
    pub(crate) fn read(&self, mut address: u64, mut out: &mut [u8]) -> Result<(), OldError> {
        while !out.is_empty() {
            // Of several that begin here, all but the last are empty.
            let index = self.starts.partition_point(|start| *start <= address) - 1;
            let offset = address - self.starts[index];
            let there = self.sources[index].len().saturating_sub(offset);
            let len = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
            let (here, rest) = out.split_at_mut(len);
            let read = if len == 0 {
                // It was longer when it was counted.
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                self.sources[index].read_at(offset, here)
            };
            read.map_err(|source| OldError::Read { index, offset, source })?;
            address += len as u64;
            out = rest;
        }
        Ok(())
    }
}
