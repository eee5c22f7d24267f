//! Any file opens to what closes again exactly; any recipe closes to the
//! length that was declared, or not at all.

#![no_main]

use container::recipe::decode;
use container::{close, open, streams};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, rest)) = bytes.split_first() else { return };
    let found = streams(rest);
    if let Some(opened) = open(rest, &found, &|_| true) {
        let closed = close(&opened.view, &opened.recipe, rest.len() as u64);
        assert_eq!(closed.as_deref(), Ok(rest));
    }
    let (recipes, view) = rest.split_at(usize::from(cut).min(rest.len()));
    if let Ok(recipes) = decode(recipes, &[view.len() as u64]) {
        let file_len = view.len() as u64 / 2;
        if let Ok(file) = close(view, &recipes[0], file_len) {
            assert_eq!(file.len() as u64, file_len);
        }
    }
});
