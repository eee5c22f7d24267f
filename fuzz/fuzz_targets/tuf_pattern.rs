//! Path patterns against the plainest matcher; the pattern is the first line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::trust::pattern;
use manifest::trust::testing::naive;

fuzz_target!(|text: &str| {
    let Some((pattern, path)) = text.split_once('\n') else { return };
    let ours = pattern::matches(pattern, path);
    // The plain matcher tries all ways.
    if pattern.len() <= 12 && path.len() <= 12 {
        assert_eq!(ours, naive::matches(pattern, path), "{pattern:?} {path:?}");
    }
});
