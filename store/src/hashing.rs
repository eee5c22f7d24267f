//! The blake3 of a file, a long one's by two threads: one reads on while the
//! other hashes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;

use manifest::content::ContentId;

use crate::disk::{DiskError, at};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that are read and not hashed yet.
const CHUNKS_AHEAD: usize = 4;
/// From so many bytes on a second thread is worth its start.
const LONG_BYTES: u64 = 4 << 20;

/// The length and blake3 of the file at `path`.
///
/// # Errors
/// [`DiskError`].
pub(crate) fn hash_file(path: &Path) -> Result<(u64, ContentId), DiskError> {
    let file = File::open(path).map_err(at("open", path))?;
    let len = file.metadata().map_err(at("look at", path))?.len();
    hash(file, len).map_err(at("read", path))
}

/// The length and blake3 of everything in `reader`, of which about
/// `expected_len` bytes are expected.
///
/// # Errors
/// What the system says.
pub(crate) fn hash(reader: impl Read + Send, expected_len: u64) -> io::Result<(u64, ContentId)> {
    if expected_len < LONG_BYTES { hash_short(reader) } else { hash_long(reader) }
}

fn hash_short(reader: impl Read) -> io::Result<(u64, ContentId)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(reader)?;
    Ok(finished(&hasher))
}

fn hash_long(mut reader: impl Read + Send) -> io::Result<(u64, ContentId)> {
    let (full, filled) = mpsc::channel();
    let (spent, empty) = mpsc::channel();
    for _ in 0..CHUNKS_AHEAD {
        spent.send(vec![0; CHUNK_BYTES]).expect("its other end is in the next lines");
    }
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            while let Ok(mut chunk) = empty.recv() {
                match read_some(&mut reader, &mut chunk)? {
                    0 => break,
                    len if full.send((chunk, len)).is_err() => break,
                    _ => {}
                }
            }
            Ok(())
        });
        let mut hasher = blake3::Hasher::new();
        for (chunk, len) in filled {
            hasher.update(&chunk[..len]);
            // At the end nobody needs it.
            let _ = spent.send(chunk);
        }
        reading.join().expect("reading does not panic").map(|()| finished(&hasher))
    })
}

fn finished(hasher: &blake3::Hasher) -> (u64, ContentId) {
    (hasher.count(), hasher.finalize().into())
}

fn read_some(reader: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a little at a time, and fails at the end if it is to.
    struct Trickle<'a>(&'a [u8], bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() && self.1 {
                return Err(io::Error::other("broken"));
            }
            let len = out.len().min(100_003).min(self.0.len());
            out[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    #[test]
    fn one_thread_and_two_say_the_same() {
        for len in [0, 1, CHUNK_BYTES, 3_000_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * i / 7) as u8).collect();
            let expected = (len as u64, ContentId::of(&bytes));
            for expected_len in [0, LONG_BYTES] {
                assert_eq!(hash(Trickle(&bytes, false), expected_len).unwrap(), expected);
                assert!(hash(Trickle(&bytes, true), expected_len).is_err(), "{len} bytes");
            }
        }
    }
}
