//! A sample product: a little program with data, in as many releases as wanted.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Data files of the sample, 1 MiB each before anything is inserted.
const ENGINES: u64 = 8;

/// Bytes that each later release inserts into each data file.
const INSERTED: usize = 256 * 1024;

/// Small texts of the sample.
const PAGES: u64 = 120;

/// What a release of the sample is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Its probe succeeds.
    Good,
    /// Its probe fails.
    Bad,
}

/// The probe of every release of the sample.
pub const PROBE: &str = "bin/hello --check";

/// Writes release number `number` of the sample into `directory`, which it
/// makes: about 11 MB, of which a fifth changes from release to release.
///
/// # Errors
/// If the disk refuses.
pub fn write(directory: &Path, number: u64, health: Health) -> io::Result<()> {
    for folder in ["bin", "lib", "share/doc", "share/empty"] {
        fs::create_dir_all(directory.join(folder))?;
    }
    let check = match health {
        Health::Good => "test -s \"$here/../lib/engine-0.bin\" && echo healthy",
        Health::Bad => "echo \"hello: engine 3 does not start\" >&2; exit 1",
    };
    let program = format!(
        "#!/bin/sh\nhere=$(dirname \"$0\")\nif [ \"$1\" = --check ]; then {check}; exit; fi\n\
         echo \"hello from release {number}\"\n"
    );
    fs::write(directory.join("bin/hello"), program)?;
    fs::set_permissions(directory.join("bin/hello"), Permissions::from_mode(0o755))?;
    symlink("hello", directory.join("bin/hi"))?;
    for engine in 0..ENGINES {
        let bytes = engine_bytes(engine, number);
        fs::write(directory.join(format!("lib/engine-{engine}.bin")), bytes)?;
    }
    for page in 0..PAGES {
        let told = if page % 10 == number % 10 { number } else { 0 };
        let line = format!("page {page} of the manual, revised for release {told}\n");
        fs::write(directory.join(format!("share/doc/page-{page:03}.txt")), line.repeat(40))?;
    }
    Ok(())
}

/// The data of one engine: the same body in every release, with what each
/// later release inserted at a place of its own.
fn engine_bytes(engine: u64, number: u64) -> Vec<u8> {
    let mut bytes = Noise(engine).words(1 << 20);
    for release in 2..=number {
        let mut noise = Noise(engine << 32 | release);
        let at = noise.next() as usize % bytes.len();
        let inserted = noise.bytes(INSERTED);
        bytes.splice(at..at, inserted);
        // Small edits all over, as addresses shift in a real executable.
        for _ in 0..200 {
            let at = noise.next() as usize % bytes.len();
            bytes[at] = bytes[at].wrapping_add(1);
        }
    }
    bytes
}

/// Numbers that a seed decides (SplitMix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Bytes that no compressor makes smaller.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.take(len.div_ceil(8)).flatten().take(len).collect()
    }

    /// Bytes with some structure: every third word is one of sixteen.
    fn words(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            let word = self.next();
            let word = if word.is_multiple_of(3) { word >> 60 } else { word };
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
