//! From two directories to a patch, and from the patch to the newer one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use container::Here;
use manifest::content::ContentId;
use manifest::name::ReleaseNumber;
use manifest::release::manifest::{About, ReleaseManifest};
use manifest::release::patch::{DeltaRow, DeltaSource};
use store::repository::Repository;
use store::steps::Steps;
use updraft_publisher::build::deltas::{PutPatch, put_patch};
use updraft_publisher::build::pieces::put_pieces;
use updraft_publisher::build::tree::{SourceError, SourceTree};
use updraft_publisher::progress::Progress;
use updraft_publisher::rebuild::{compare, rebuild};

type Files = BTreeMap<String, Vec<u8>>;

/// A stream of numbers that a seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        usize::try_from((mixed ^ (mixed >> 29)) % end as u64).unwrap()
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        let words = ["piece ", "delta ", "swarm ", "patch ", "\n", "0x", "f9", "( )"];
        let mut text = Vec::new();
        while text.len() < len {
            text.extend_from_slice(words[self.below(words.len())].as_bytes());
        }
        text.truncate(len);
        text
    }
}

fn files(random: &mut Random) -> Files {
    let mut files = Files::new();
    for i in 0..30 {
        let len = match i % 6 {
            0 => 300 * 1024 + random.below(2 << 20),
            1 => 0,
            _ => random.below(30_000),
        };
        files.insert(format!("d{}/f{i:03}", i % 4), random.text(len));
    }
    files
}

fn edited(files: &Files, random: &mut Random) -> Files {
    let mut new = Files::new();
    for (path, bytes) in files {
        let (mut path, mut bytes) = (path.clone(), bytes.clone());
        match random.below(5) {
            0 => continue,
            1 => path.push_str(".moved"),
            2 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes.splice(at..at, *b"edited here");
            }
            _ => {}
        }
        new.insert(path, bytes);
    }
    let added = random.text(700_000);
    let mut resembling = added.clone();
    resembling.splice(300_000..300_000, random.text(9_000));
    new.insert("d9/new".to_owned(), added);
    new.insert("d8/resembling".to_owned(), resembling);
    new
}

fn write(dir: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let mode = if bytes.len() % 2 == 0 { 0o644 } else { 0o755 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("d0/f000", dir.join("link")).unwrap();
}

fn release(dir: &Path, number: u64, repository: &Repository) -> (SourceTree, ReleaseManifest) {
    let source = SourceTree::read(dir, &Progress::hidden()).unwrap();
    let put = put_pieces(&source, repository, 3, &Progress::hidden()).unwrap();
    let about = About {
        product: "hello".parse().unwrap(),
        platform: "linux-x86_64".parse().unwrap(),
        version: format!("{number}.0").parse().unwrap(),
        number: ReleaseNumber(number),
        probe: None,
    };
    let manifest = ReleaseManifest::new(about, source.tree().clone(), put.ids).unwrap();
    (source, manifest)
}

fn repository(dir: &Path) -> Repository {
    Repository::create(dir, Steps::free()).unwrap()
}

fn patch(
    old: &ReleaseManifest,
    new: (&SourceTree, &ReleaseManifest),
    repository: &Repository,
) -> PutPatch {
    let options = delta::Options { level: 3 };
    put_patch(
        (old.id(), old),
        (new.1.id(), new.1),
        new.0,
        (repository, &Here),
        &options,
        &Progress::hidden(),
    )
    .unwrap()
}

#[test]
fn a_tree_is_rebuilt_from_the_older_one_and_the_patch() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let before = files(&mut random);
        let after = edited(&before, &mut random);
        for (name, files) in [("old", &before), ("new", &after)] {
            fs::create_dir(at(name)).unwrap();
            write(&at(name), files);
        }
        let repository = repository(&at("repository"));
        let (_, old) = release(&at("old"), 1, &repository);
        let (source, new) = release(&at("new"), 2, &repository);
        let put = patch(&old, (&source, &new), &repository);
        let full: u64 = after.values().map(|bytes| bytes.len() as u64).sum();
        assert!(put.delta_bytes < full, "{put:?}");

        fs::create_dir(at("made")).unwrap();
        let (base, next) = ((old.id(), &old), (new.id(), &new));
        rebuild(&at("old"), (base, next), &put.manifest, (&repository, &Here), &at("made"))
            .unwrap();
        compare(&at("new"), &at("made")).unwrap();
    }
}

#[test]
fn what_several_new_files_have_is_told_once() {
    let mut random = Random(5);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let before = Files::from([("text".to_owned(), random.text(400_000))]);
    let mut after = before.clone();
    let added = random.text(1_500_000);
    let mut resembling = added.clone();
    resembling.splice(300_000..300_000, random.text(20_000));
    let mut third = resembling.clone();
    third.splice(1_200_000..1_200_000, random.text(20_000));
    let all = [("a/added", added), ("b/resembling", resembling), ("c/third", third)];
    after.extend(all.map(|(path, bytes)| (path.to_owned(), bytes)));
    for (name, files) in [("old", &before), ("new", &after)] {
        fs::create_dir(at(name)).unwrap();
        fs::create_dir(at(name).join("d0")).unwrap();
        write(&at(name), files);
    }
    let repository = repository(&at("repository"));
    let (_, old) = release(&at("old"), 1, &repository);
    let (source, new) = release(&at("new"), 2, &repository);
    let put = patch(&old, (&source, &new), &repository);
    let reads_made =
        |row: &DeltaRow| row.sources.iter().any(|source| matches!(source, DeltaSource::Made(_)));
    let (told, made) = put.manifest.deltas.split_at(2);
    assert!(made.len() == 4 && made.iter().all(reads_made), "{put:?}");
    let bytes = |rows: &[DeltaRow]| rows.iter().map(|row| row.len).sum::<u32>();
    assert!(bytes(made) * 10 < bytes(told), "{} and {}", bytes(made), bytes(told));

    fs::create_dir(at("made")).unwrap();
    let (base, next) = ((old.id(), &old), (new.id(), &new));
    rebuild(&at("old"), (base, next), &put.manifest, (&repository, &Here), &at("made")).unwrap();
    compare(&at("new"), &at("made")).unwrap();
}

#[test]
fn the_same_trees_make_the_same_manifests_and_deltas() {
    let mut random = Random(7);
    let before = files(&mut random);
    let after = edited(&before, &mut random);
    let made: Vec<(ContentId, ContentId)> = (0..2)
        .map(|_| {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            for (name, files) in [("old", &before), ("new", &after)] {
                fs::create_dir(at(name)).unwrap();
                write(&at(name), files);
            }
            let repository = repository(&at("repository"));
            let (_, old) = release(&at("old"), 1, &repository);
            let (source, new) = release(&at("new"), 2, &repository);
            (new.id(), patch(&old, (&source, &new), &repository).manifest.id())
        })
        .collect();
    assert_eq!(made[0], made[1]);
}

#[test]
fn unchanged_and_moved_files_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut before = files(&mut Random(11));
    fs::create_dir(at("old")).unwrap();
    write(&at("old"), &before);
    let bytes = before.remove("d0/f000").unwrap();
    before.insert("elsewhere/f000".to_owned(), bytes);
    fs::create_dir(at("new")).unwrap();
    write(&at("new"), &before);
    let repository = repository(&at("repository"));
    let (_, old) = release(&at("old"), 1, &repository);
    let (source, new) = release(&at("new"), 2, &repository);
    let put = patch(&old, (&source, &new), &repository);
    assert_eq!((put.delta_bytes, put.tally.moved), (0, 1), "{put:?}");
}

#[test]
fn a_large_file_that_grows_while_it_is_packed_stops_the_release() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("tree")).unwrap();
    fs::write(at("tree/large"), vec![7; 3 << 20]).unwrap();
    let source = SourceTree::read(&at("tree"), &Progress::hidden()).unwrap();
    let mut changed = vec![7; 3 << 20];
    changed[(3 << 20) - 1] = 8;
    fs::write(at("tree/large"), changed).unwrap();
    let refused = put_pieces(&source, &repository(&at("repository")), 3, &Progress::hidden());
    let error = refused.unwrap_err();
    let expected = updraft_publisher::build::pieces::PieceError::Source(SourceError::Changed {
        path: at("tree/large"),
    });
    assert_eq!(error.to_string(), expected.to_string());
}
