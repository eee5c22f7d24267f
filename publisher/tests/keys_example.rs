//! `keys-example/` holds the keys that everyone has, and nothing else.

use std::fs;
use std::path::Path;

use manifest::example_keys;

#[test]
fn the_example_keys_are_reproducible() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keys-example");
    let mut expected: Vec<String> =
        example_keys::all().map(|(name, _)| format!("{name}.pem")).collect();
    for (name, key) in example_keys::all() {
        let file = fs::read_to_string(dir.join(format!("{name}.pem"))).unwrap();
        assert_eq!(file, store::keyfile::to_pem(&key), "{name}");
    }
    expected.push("README.md".to_owned());
    let mut found: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}
