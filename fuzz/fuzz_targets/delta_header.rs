//! Any bytes are a delta's header within its limits, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = delta::header(bytes) {
        assert!(header.target_len <= delta::limits::MAX_TARGET_BYTES);
        assert!(header.source_count <= delta::limits::MAX_SOURCES);
    }
});
