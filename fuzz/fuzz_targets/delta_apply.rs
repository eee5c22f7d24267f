//! Any bytes make what they promise, at most as much as is wanted, or nothing.

#![no_main]

use std::io;

use delta::{ReadAt, apply, header};
use libfuzzer_sys::fuzz_target;

/// Old bytes of whatever length a delta names.
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
    let sources: Vec<Pattern> = named.sources.iter().map(|source| Pattern(source.len)).collect();
    let sources: Vec<&dyn ReadAt> = sources.iter().map(|source| source as _).collect();
    let mut out = Vec::new();
    let max_len = 1 << 20;
    match apply(bytes, &sources, max_len, &mut out) {
        Ok(()) => assert_eq!(out.len() as u64, named.target_len),
        Err(_) => assert!(out.is_empty()),
    }
    assert!(out.len() as u64 <= max_len);
});
