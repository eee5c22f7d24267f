//! Files that every version opens and closes alike: the view, the recipe and
//! the file again, byte for byte.

#![expect(clippy::disallowed_methods, reason = "golden files are read from the disk")]

use std::fs;
use std::path::PathBuf;

use updraft_container::list::{Facts, filled, masked};
use updraft_container::recipe::{decode, encode};
use updraft_container::{CODEC, Here, Recipe, close, open, reopen, streams, view, view_to};

const CASES: [(&str, usize); 3] = [("one.gz", 1), ("two.gz", 2), ("some.zip", 3)];

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect()
}

fn read(name: &str) -> Vec<u8> {
    fs::read(data(name)).unwrap()
}

#[test]
fn golden_recipes_make_golden_files() {
    assert_eq!(CODEC, 2, "another codec needs golden files of its own");
    for (name, _) in CASES {
        let (file, view) = (read(name), read(&format!("{name}.view")));
        let recipes = read(&format!("{name}.recipes"));
        let recipes = decode(&recipes, &[view.len() as u64]).unwrap();
        assert_eq!(close(&view, &recipes[0], file.len() as u64, &Here).unwrap(), file, "{name}");
    }
}

#[test]
fn golden_files_open_as_they_did() {
    for (name, count) in CASES {
        let file = read(name);
        let found = streams(&file);
        assert_eq!(found.len(), count, "{name}");
        let opened = open(&file, &found, &|_| true, &Here).unwrap();
        assert_eq!(opened.view, read(&format!("{name}.view")), "{name}");
        assert_eq!(reopen(&file, &opened.recipe), Some(opened.view), "{name}");
        assert_eq!(encode(&[opened.recipe]), read(&format!("{name}.recipes")), "{name}");
    }
}

/// What the golden list says of `one.gz` and `two.gz`, which stand beside it.
fn facts(path: &str) -> Option<Facts> {
    let hex = match path {
        "one.gz" => "12825e22c64364e744f870c2206d326803e118e30d57c20d006669e2ef0fe22c",
        "two.gz" => "4660ef60b218844885349364fd58ef7443d8188ebf0289fe32a2b0eafe0d0610",
        _ => return None,
    };
    let digit = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    let sha256: [u8; 32] = std::array::from_fn(digit);
    Some(Facts { sha256, len: read(path).len() as u64 })
}

#[test]
fn a_golden_list_opens_and_closes_as_it_did() {
    let (file, made) = (read("RECORD"), read("RECORD.view"));
    let known = |path: &str| facts(path).is_some();
    assert_eq!(masked(&file, &|listed| known(listed.path)).as_ref(), Some(&made));
    assert_eq!(view(&file), Some(read("RECORD.read")), "an old one has no hash at all");
    assert_eq!(filled(&made, file.len() as u64, &mut |path| facts(path)), Ok(file));
    let recipes = decode(&read("RECORD.recipes"), &[made.len() as u64]).unwrap();
    assert_eq!(recipes, [Recipe { runs: Vec::new(), above: Some(0) }]);
}

/// For a new codec; `cargo test -p updraft-container --test golden -- --ignored`.
#[test]
#[ignore = "writes golden files"]
fn write_golden_files() {
    for (name, _) in CASES {
        let file = read(name);
        let opened = open(&file, &streams(&file), &|_| true, &Here).unwrap();
        fs::write(data(&format!("{name}.view")), &opened.view).unwrap();
        fs::write(data(&format!("{name}.recipes")), encode(&[opened.recipe])).unwrap();
    }
    let list = read("RECORD");
    let made = masked(&list, &|listed| facts(listed.path).is_some()).unwrap();
    fs::write(data("RECORD.view"), made).unwrap();
    fs::write(data("RECORD.read"), view(&list).unwrap()).unwrap();
    let recipe = Recipe { runs: Vec::new(), above: Some(0) };
    fs::write(data("RECORD.recipes"), encode(&[recipe])).unwrap();
}

#[test]
fn the_view_of_an_old_file_has_every_stream_open() {
    for name in ["one.gz", "two.gz"] {
        assert_eq!(view(&read(name)), Some(read(&format!("{name}.view"))));
    }
    for name in ["one.gz", "two.gz", "some.zip", "RECORD", "one.gz.view"] {
        let mut parts = Vec::new();
        let take = &mut |part: &[u8]| {
            parts.extend_from_slice(part);
            Ok::<(), ()>(())
        };
        let has_view = view_to(&read(name), take).unwrap();
        assert_eq!(has_view.then_some(parts), view(&read(name)), "{name}, part by part");
    }
    // What is too short to be worth closing again is open all the same.
    let zip = view(&read("some.zip")).unwrap();
    assert_eq!(zip.len() + 2, read("some.zip.view").len());
    assert_eq!(view(b"no container"), None);
}
