//! Whatever is read has one canonical form, and its file means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::canonical;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = canonical::parse(bytes, 1 << 20) else { return };
    let file = canonical::to_file(&value).expect("what was read can be written");
    let again = canonical::parse(&file, 8 << 20).expect("what was written can be read");
    assert_eq!(again, value);
    assert_eq!(canonical::to_vec(&again), canonical::to_vec(&value));
});
