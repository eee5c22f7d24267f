//! Lines, whole logs and the messages of `log/1`: whatever is read has one
//! encoding, and no log that nobody signed is intact.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use manifest::audit::entry::Entry;
use manifest::audit::exchange::{LogAnswer, LogRequest};
use manifest::audit::testing::SampleLog;
use manifest::audit::verify::verify;
use manifest::canonical;
use manifest::testing::key;

/// Signed once: it seals no entry at all.
static EMPTY: LazyLock<Vec<u8>> = LazyLock::new(|| SampleLog::new(key(1)).checkpoint());

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::parse(bytes) {
        let value = serde_json::from_slice(bytes).expect("an entry is JSON");
        assert_eq!(canonical::to_vec(&value).expect("and canonical"), bytes);
        let _ = entry.event.to_string();
    }
    if let Ok(request) = LogRequest::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Ok(answer) = LogAnswer::decode(bytes) {
        assert_eq!(answer.encode().expect("what was read fits"), bytes);
    }
    if let Ok(verified) = verify(bytes, &EMPTY, &key(1).public()) {
        assert!(verified.sealed().is_empty());
    }
});
