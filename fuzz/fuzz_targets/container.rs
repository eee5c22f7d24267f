//! Any file opens to what closes again exactly; any recipe closes to the
//! length that was declared, or not at all.

#![no_main]

use container::list::{Facts, filled, masked};
use container::recipe::decode;
use container::{Here, close, open, streams};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, rest)) = bytes.split_first() else { return };
    let found = streams(rest);
    if let Some(opened) = open(rest, &found, &|_| true, &Here) {
        let closed = close(&opened.view, &opened.recipe, rest.len() as u64, &Here);
        assert_eq!(closed.as_deref(), Ok(rest));
    }
    // A list comes back whichever of its hashes are left out.
    let hides = |path: &str| path.len() % 2 == usize::from(cut & 1);
    let mut known = std::collections::HashMap::new();
    for listed in container::list::entries(rest) {
        let facts = Facts { sha256: listed.sha256, len: listed.len.unwrap_or(0) };
        known.entry(listed.path.to_owned()).or_insert(facts);
    }
    let view = masked(rest, &|listed| {
        let same = known[listed.path].sha256 == listed.sha256;
        let same = same && listed.len.is_none_or(|len| len == known[listed.path].len);
        hides(listed.path) && same
    });
    if let Some(view) = view {
        // A line that looks as if its hash was left out is nobody's.
        if let Ok(file) = filled(&view, rest.len() as u64, &mut |path| known.get(path).copied()) {
            assert_eq!(file.len(), rest.len());
        }
    }
    let file_len = rest.len() as u64 * 3;
    let zero = Facts { sha256: [0; 32], len: 0 };
    if let Ok(file) = filled(rest, file_len, &mut |_| Some(zero)) {
        assert_eq!(file.len() as u64, file_len);
    }
    let (recipes, view) = rest.split_at(usize::from(cut).min(rest.len()));
    if let Ok(recipes) = decode(recipes, &[view.len() as u64]) {
        let file_len = view.len() as u64 / 2;
        if let Ok(file) = close(view, &recipes[0], file_len, &Here) {
            assert_eq!(file.len() as u64, file_len);
        }
    }
});
