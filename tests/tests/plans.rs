//! Where the bytes of an update come from, as the agent plans it and tells of
//! it, when it is several releases behind and its files were edited.

use std::fs;
use std::path::Path;

use serde_json::Value;
use store::sums::Summing;
use updraft_tests::compare::differences;
use updraft_tests::scene::{Scene, text};

/// Bytes that do not repeat (SplitMix64), the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).to_le_bytes()
    });
    words.take(len.div_ceil(8)).flatten().take(len).collect()
}

/// Release `number`: two files that change a little each time, one that moves,
/// some that stay, and a list of the hashes of all of them.
fn write(dir: &Path, number: u8) {
    for name in ["bin", "lib", "data"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    for (seed, name) in [(1, "bin/tool"), (2, "lib/engine")] {
        let mut bytes = noise(seed, 700_000);
        for release in 1..=number {
            let at = usize::from(release) * 100_000;
            bytes[at..at + 300].copy_from_slice(&noise(u64::from(release) * 10 + seed, 300));
        }
        fs::write(dir.join(name), bytes).unwrap();
    }
    fs::write(dir.join("data/same"), noise(3, 1_500_000)).unwrap();
    fs::write(dir.join(format!("data/moved-{number}")), noise(4, 50_000)).unwrap();
    fs::write(dir.join("notes.txt"), format!("what is new in {number}\n")).unwrap();
    let moved = format!("data/moved-{number}");
    let sums = ["bin/tool", "lib/engine", "data/same", &moved, "notes.txt"].map(|path| {
        let mut summing = Summing::default();
        summing.update(&fs::read(dir.join(path)).unwrap());
        let hash = summing.finish().sha256.map(|byte| format!("{byte:02x}"));
        format!("{}  {path}\n", hash.concat())
    });
    fs::write(dir.join("SHA256SUMS"), sums.concat()).unwrap();
}

fn release(scene: &Scene, number: u8) {
    let tree = scene.tree(u64::from(number));
    fs::create_dir(&tree).unwrap();
    write(&tree, number);
    let version = format!("{number}.0");
    let _ =
        scene.publisher(&["release", &text(&tree), "--version", &version, "--bases", "1"]).well();
}

fn plan(scene: &Scene) -> Value {
    let told = scene.agent(&["explain", "--json"]).well().text;
    let told: Value = serde_json::from_str(&told).expect("--json prints JSON");
    told["plan"].clone()
}

#[test]
fn three_releases_behind_and_edited_by_hand_the_cheapest_sources_are_taken() {
    let mut scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    release(&scene, 1);
    let seeder = scene.cast.seed(None).unwrap();
    let ticket = scene.ticket();
    scene.cast.join_all(&ticket).unwrap();
    scene.wait_for_version("1.0");
    scene.assert_runs(1);
    let first = plan(&scene);
    assert_eq!((&first["from"], &first["whole"]["files"]), (&Value::Null, &6.into()), "{first}");

    // While the machine is off, three releases come, each with one patch. The
    // seeder comes back with the last, so that no step between is offered.
    scene.cast.stop(0);
    seeder.kill();
    for number in 2..=4 {
        release(&scene, number);
    }
    let seeder = scene.cast.seed(None).unwrap();
    scene.cast.start(0).unwrap();
    scene.wait_for_version("4.0");
    scene.assert_runs(4);
    let chained = plan(&scene);
    let ways: Vec<(&Value, &Value)> = chained["patches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (&step["from"]["version"], &step["to"]["version"]))
        .collect();
    let names = ["1.0", "2.0", "3.0", "4.0"].map(Value::from);
    let expected: Vec<(&Value, &Value)> = names.windows(2).map(|w| (&w[0], &w[1])).collect();
    assert_eq!(ways, expected, "{chained}");
    assert_eq!(chained["kept"]["files"], 1, "{chained}");
    assert_eq!(chained["moved"]["files"], 1, "{chained}");
    assert_eq!(chained["patched"]["files"], 4, "{chained}");
    assert_eq!(chained["whole"]["files"], 0, "{chained}");
    let fetched = chained["fetched"].as_u64().unwrap();
    let without = chained["without_patches"].as_u64().unwrap();
    assert!(fetched < 20_000 && without > 1_400_000, "{chained}");

    // Edited files are neither kept nor read: what they would have brought is
    // fetched, everything else comes as ever.
    scene.cast.stop(0);
    fs::write(scene.current().join("lib/engine"), "edited").unwrap();
    fs::write(scene.current().join("data/moved-4"), "edited").unwrap();
    release(&scene, 5);
    scene.cast.start(0).unwrap();
    scene.wait_for_version("5.0");
    scene.assert_runs(5);
    let mended = plan(&scene);
    let damaged: Vec<&str> =
        mended["damaged_paths"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(damaged, ["data/moved-4", "lib/engine"], "{mended}");
    assert_eq!(mended["patches"].as_array().unwrap().len(), 1, "{mended}");
    assert!(mended["patched"]["files"].as_u64().unwrap() >= 1, "{mended}");
    // The two themselves, and at most the note, if its delta reads one of them.
    let whole = mended["whole"]["files"].as_u64().unwrap();
    assert!((2..=3).contains(&whole), "{mended}");
    let told = scene.agent(&["explain"]).well().text;
    for part in ["5.0 (#5) from 4.0 (#4)", "2 files changed by somebody", "lib/engine", "to fetch"]
    {
        assert!(told.contains(part), "{part:?} is missing in: {told}");
    }
    let found = differences(&scene.tree(5), &scene.current()).unwrap();
    assert_eq!(found, Vec::<String>::new());
    seeder.kill();
}
