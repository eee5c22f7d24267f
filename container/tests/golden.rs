//! Files that every version opens and closes alike: the view, the recipe and
//! the file again, byte for byte.

#![expect(clippy::disallowed_methods, reason = "golden files are read from the disk")]

use std::fs;
use std::path::PathBuf;

use updraft_container::recipe::{decode, encode};
use updraft_container::{CODEC, close, open, reopen, streams, view};

const CASES: [(&str, usize); 3] = [("one.gz", 1), ("two.gz", 2), ("some.zip", 3)];

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect()
}

fn read(name: &str) -> Vec<u8> {
    fs::read(data(name)).unwrap()
}

#[test]
fn golden_recipes_make_golden_files() {
    assert_eq!(CODEC, 1, "another codec needs golden files of its own");
    for (name, _) in CASES {
        let (file, view) = (read(name), read(&format!("{name}.view")));
        let recipes = read(&format!("{name}.recipes"));
        let recipes = decode(&recipes, &[view.len() as u64]).unwrap();
        assert_eq!(close(&view, &recipes[0], file.len() as u64).unwrap(), file, "{name}");
    }
}

#[test]
fn golden_files_open_as_they_did() {
    for (name, count) in CASES {
        let file = read(name);
        let found = streams(&file);
        assert_eq!(found.len(), count, "{name}");
        let opened = open(&file, &found, &|_| true).unwrap();
        assert_eq!(opened.view, read(&format!("{name}.view")), "{name}");
        assert_eq!(reopen(&file, &opened.recipe), Some(opened.view), "{name}");
        assert_eq!(encode(&[opened.recipe]), read(&format!("{name}.recipes")), "{name}");
    }
}

/// For a new codec; `cargo test -p updraft-container --test golden -- --ignored`.
#[test]
#[ignore = "writes golden files"]
fn write_golden_files() {
    for (name, _) in CASES {
        let file = read(name);
        let opened = open(&file, &streams(&file), &|_| true).unwrap();
        fs::write(data(&format!("{name}.view")), &opened.view).unwrap();
        fs::write(data(&format!("{name}.recipes")), encode(&[opened.recipe])).unwrap();
    }
}

#[test]
fn the_view_of_an_old_file_has_every_stream_open() {
    for name in ["one.gz", "two.gz"] {
        assert_eq!(view(&read(name)), Some(read(&format!("{name}.view"))));
    }
    // What is too short to be worth closing again is open all the same.
    let zip = view(&read("some.zip")).unwrap();
    assert_eq!(zip.len() + 2, read("some.zip.view").len());
    assert_eq!(view(b"no container"), None);
}
