//! Whatever is read has one canonical form, which is that of a plain writer,
//! and its file means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::canonical;
use manifest::trust::testing::naive;

fuzz_target!(|bytes: &[u8]| {
    let plainly = serde_json::from_slice::<serde_json::Value>(bytes);
    let Ok(value) = canonical::parse(bytes, 1 << 20) else { return };
    let plainly = plainly.expect("what is a document to the stricter reader is one");
    assert_eq!(plainly, value);
    let message = canonical::to_vec(&value).expect("what was read has a canonical form");
    assert_eq!(String::from_utf8(message).ok(), naive::canonical(&value));
    let file = canonical::to_file(&value).expect("what was read can be written");
    let again = canonical::parse(&file, 8 << 20).expect("what was written can be read");
    assert_eq!(again, value);
});
