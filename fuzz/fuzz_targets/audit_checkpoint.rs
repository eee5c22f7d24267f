//! Checkpoints: no bytes but those that the key signed say anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::audit::checkpoint::Checkpoint;
use manifest::audit::note::Note;
use manifest::audit::testing::SampleLog;
use manifest::testing::key;

fuzz_target!(|bytes: &[u8]| {
    let _ = Note::parse(bytes);
    if let Ok(checkpoint) = Checkpoint::verify(bytes, &key(1).public()) {
        // Only what the corpus holds was ever signed with this key.
        assert_eq!(checkpoint.head(), SampleLog::with_story(key(1)).chain.head());
    }
});
