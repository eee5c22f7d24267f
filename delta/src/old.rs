//! All sources of a delta, one behind the other.

use std::io;

use crate::format::Header;
use crate::read_at::ReadAt;

/// Old bytes that are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum OldError {
    /// The delta was made from other files than those given.
    #[error(
        "source {index} of the delta has {expected:?} bytes, the one given {found:?}",
        expected = .expected.map_or_else(|| "no".to_owned(), |len| len.to_string()),
        found = .found.map_or_else(|| "none".to_owned(), |len| len.to_string())
    )]
    WrongSource {
        /// Which of the sources.
        index: usize,
        /// The length the delta names, if it names so many sources.
        expected: Option<u64>,
        /// The length of the one given, if so many were given.
        found: Option<u64>,
    },
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

/// Sources as long as a delta's header says.
pub(crate) struct Old<'a> {
    sources: &'a [&'a dyn ReadAt],
    /// Where each begins in the delta's addresses.
    starts: Vec<u64>,
    pub(crate) len: u64,
}

impl<'a> Old<'a> {
    pub(crate) fn new(header: &Header, sources: &'a [&'a dyn ReadAt]) -> Result<Self, OldError> {
        let mut starts = Vec::with_capacity(header.sources.len());
        let mut len = 0;
        for index in 0..header.sources.len().max(sources.len()) {
            let expected = header.sources.get(index).map(|source| source.len);
            let found = sources.get(index).map(|source| source.len());
            if expected != found {
                return Err(OldError::WrongSource { index, expected, found });
            }
            starts.push(len);
            // The header was refused if its sources are longer than a number tells.
            len += expected.unwrap_or(0);
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
