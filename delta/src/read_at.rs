//! Where a delta's old bytes come from: anything that can be read at an offset.

use std::io;

/// Old bytes, in memory or on a disk that the caller has opened.
pub trait ReadAt: Send + Sync {
    /// The number of bytes there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Whatever reading met; `UnexpectedEof` if the bytes end before `out` is full.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(out.len())?))
            .and_then(|range| self.get(range));
        let Some(found) = found else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        out.copy_from_slice(found);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        ReadAt::len(self.as_slice())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, out)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_beyond_the_end_is_an_error() {
        let bytes = vec![1, 2, 3];
        let mut out = [0; 2];
        bytes.read_at(1, &mut out).unwrap();
        assert_eq!(out, [2, 3]);
        for offset in [2, 3, 4, u64::MAX] {
            assert!(bytes.read_at(offset, &mut out).is_err(), "{offset}");
        }
    }
}
