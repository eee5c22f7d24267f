//! Any bytes make what they promise, at most as much as is wanted, or nothing.

#![no_main]

use std::io;

use delta::{ReadAt, apply, header};
use libfuzzer_sys::fuzz_target;

/// Old bytes of any length.
struct Pattern(u64);

impl ReadAt for Pattern {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        assert!(offset + out.len() as u64 <= self.0, "reads stay inside the source");
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = (offset as usize).wrapping_add(at).wrapping_mul(167) as u8;
        }
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(named) = header(bytes) else { return };
    // As long as the last bytes say, so that some are too short for the delta.
    let len = bytes.last_chunk().map_or(0, |last| u32::from_le_bytes(*last) >> (last[0] & 31));
    let pattern = Pattern(u64::from(len));
    let sources: Vec<&dyn ReadAt> = vec![&pattern; named.source_count];
    let mut out = Vec::new();
    let max_len = 1 << 20;
    match apply(bytes, &sources, max_len, &mut out) {
        Ok(()) => assert_eq!(out.len() as u64, named.target_len),
        Err(_) => assert!(out.is_empty()),
    }
    assert!(out.len() as u64 <= max_len);
});
