//! Bytes that are needed only while a release is made: one file without a
//! name, gone with the process whatever happens.
//!
//! Views of opened files and the files of releases between lie here and not
//! in memory, and take one descriptor together.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use delta::read_at::ReadAt;

use crate::disk::{DiskError, at};

/// A file without a name, in which regions are taken one behind the other.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    end: AtomicU64,
}

/// Some of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    start: u64,
    len: u64,
}

impl Region {
    /// How many bytes it has.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl Scratch {
    /// A file on the disk of `dir`.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn new(dir: &Path) -> Result<Self, DiskError> {
        let file = tempfile::tempfile_in(dir).map_err(at("create a file in", dir))?;
        Ok(Self { file, end: AtomicU64::new(0) })
    }

    /// A region of `len` bytes, zeros until they are written.
    pub fn reserve(&self, len: u64) -> Region {
        // Overflow would need more bytes than any disk has.
        Region { start: self.end.fetch_add(len, Ordering::Relaxed), len }
    }

    /// A region that holds `bytes`.
    ///
    /// # Errors
    /// What the system says.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Region> {
        let region = self.reserve(bytes.len() as u64);
        self.write(region, 0, bytes)?;
        Ok(region)
    }

    /// Writes into `region`, from `offset` on.
    ///
    /// # Errors
    /// `InvalidInput` beyond its end; what the system says.
    pub fn write(&self, region: Region, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > region.len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.file.write_all_at(bytes, region.start + offset)
    }

    /// All bytes of `region`.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, region: Region) -> io::Result<Vec<u8>> {
        let len = usize::try_from(region.len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut bytes = vec![0; len];
        self.reader(region).read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// `region` to be read piecemeal.
    #[must_use]
    pub const fn reader(&self, region: Region) -> Reader<'_> {
        Reader { file: &self.file, region }
    }
}

/// A region that is read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    file: &'a File,
    region: Region,
}

impl ReadAt for Reader<'_> {
    fn len(&self) -> u64 {
        self.region.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.region.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = self.file.read_at(out, self.region.start + offset)?;
        // Beyond what was written there are zeros; the file may be shorter.
        match out.get_mut(read..) {
            Some(rest) if !rest.is_empty() && read > 0 => self.read_at(offset + read as u64, rest),
            rest => {
                rest.into_iter().for_each(|rest| rest.fill(0));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_keep_to_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(dir.path()).unwrap();
        let (one, two) = (scratch.reserve(5), scratch.put(b"second").unwrap());
        scratch.write(one, 2, b"abc").unwrap();
        assert_eq!(scratch.read(one).unwrap(), b"\0\0abc");
        assert_eq!(scratch.read(two).unwrap(), b"second");
        assert!(scratch.write(one, 3, b"abc").is_err());
        assert!(scratch.reader(one).read_at(3, &mut [0; 3]).is_err());
        let untouched = scratch.reserve(3);
        assert_eq!(scratch.read(untouched).unwrap(), [0; 3]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it has no name");
    }
}
