//! Any bytes are a delta's header within its limits, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = delta::header(bytes) {
        assert!(header.target_len <= delta::limits::MAX_TARGET_BYTES);
        assert!(header.sources.len() <= delta::limits::MAX_SOURCES);
        assert!(
            header
                .sources
                .iter()
                .try_fold(0u64, |sum, source| sum.checked_add(source.len))
                .is_some()
        );
    }
});
