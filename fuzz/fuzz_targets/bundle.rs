//! Bundles, the messages of `metadata/1` that carry them, and those of `log/1`:
//! whatever is read has one encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::audit::exchange::{LogAnswer, LogRequest};
use manifest::trust::bundle::Bundle;
use manifest::trust::exchange::{Announcement, MetadataRequest};
use manifest::trust::limits::BUNDLE_BYTES;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(bundle) = Bundle::decode(bytes, BUNDLE_BYTES) {
        assert_eq!(bundle.encode(), bytes);
    }
    if let Ok(request) = MetadataRequest::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Ok(request) = LogRequest::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Ok(answer) = LogAnswer::decode(bytes) {
        assert_eq!(answer.encode().as_deref().ok(), Some(bytes));
    }
    if let Ok(announcement) = Announcement::decode(bytes) {
        assert_eq!(announcement.encode(), bytes);
    }
});
