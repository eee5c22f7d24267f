//! What a list of hashes says of a file: its SHA-256 and its length.

use std::fs::File;
use std::io::{self, Read};

use container::list::Facts;
use sha2::{Digest, Sha256};

/// Takes a file's bytes, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Summing {
    hasher: Sha256,
    len: u64,
}

impl Summing {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// What they come to.
    #[must_use]
    pub fn finish(self) -> Facts {
        Facts { sha256: self.hasher.finalize().into(), len: self.len }
    }
}

/// What is to be said of `file`, which is read to its end.
///
/// # Errors
/// What the system says.
pub fn facts(mut file: File) -> io::Result<Facts> {
    let mut summing = Summing::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(summing.finish()),
            len => summing.update(&buffer[..len]),
        }
    }
}
