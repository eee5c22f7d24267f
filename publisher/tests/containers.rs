//! Releases with gzip and zip files in them: patches open what changed, and
//! whoever follows them has the same files again.

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use container::{CloseError, Codec, Here};
use delta::{Encoder, Options, Target};
use manifest::content::ContentId;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::PatchManifest;
use manifest::release::tree::Entry;
use miniz_oxide::deflate::compress_to_vec;
use store::apart::Apart;
use store::limits::{PATIENCE_FOLLOWING, PATIENCE_MAKING};
use store::links::LinkError;
use store::relaunch::Relaunch;
use store::repository::Repository;
use store::steps::Steps;
use store::sums::Summing;
use support::Vendor;
use updraft_publisher::rebuild::{RebuildError, compare, rebuild};

/// Text that packs to about a third, and differs in one place for each edition.
fn text(seed: u32, len: usize, edition: u32) -> Vec<u8> {
    let words = ["piece", "delta", "swarm", "patch", "verify", "stage", "switch", "probe"];
    let mut state = seed;
    let mut text = Vec::new();
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = words[(state >> 29) as usize];
        text.extend(format!("{word}-{:02x} ", state >> 8 & 0x3F).bytes());
    }
    let middle = text.len() / 2;
    text.splice(middle..middle, format!("[edition {edition}]").bytes());
    text
}

fn gzip(plain: &[u8], time: u32) -> Vec<u8> {
    let mut file = b"\x1F\x8B\x08\x00".to_vec();
    file.extend(time.to_le_bytes());
    file.extend([0, 3]);
    file.extend(compress_to_vec(plain, 6));
    // Nobody here asks for the check sum.
    file.extend([1, 2, 3, 4]);
    file.extend(u32::try_from(plain.len()).unwrap().to_le_bytes());
    file
}

fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut central = Vec::new();
    for (name, plain) in files {
        let packed = compress_to_vec(plain, 6);
        let local = u32::try_from(file.len()).unwrap();
        let mut fields = [20u16, 0, 8, 0, 0].map(u16::to_le_bytes).concat();
        fields.extend([9; 4]);
        fields.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
        fields.extend(u32::try_from(plain.len()).unwrap().to_le_bytes());
        fields.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        fields.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&fields);
        file.extend(name.bytes());
        file.extend(packed);
        central.extend(b"PK\x01\x02\x14\x00");
        central.extend(&fields);
        central.extend([0; 10]);
        central.extend(local.to_le_bytes());
        central.extend(name.bytes());
    }
    let begin = u32::try_from(file.len()).unwrap();
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    file.extend(&central);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend([count, count].concat());
    file.extend(u32::try_from(central.len()).unwrap().to_le_bytes());
    file.extend(begin.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// A tree of the given edition.
fn tree(vendor: &Vendor, edition: u32) -> PathBuf {
    let entries: Vec<(String, Vec<u8>)> = (0..30)
        .map(|entry| {
            let changes = if entry == 7 { edition } else { 0 };
            (format!("pack/e{entry:02}.txt"), text(entry + 100, 20_000, changes))
        })
        .collect();
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("doc/large.gz", gzip(&text(1, 2_300_000, edition), edition)),
        ("doc/small.gz", gzip(&text(2, 60_000, edition), edition)),
        ("doc/touched.gz", gzip(&text(3, 200_000, 0), edition)),
        ("app.jar", zip(&entries)),
        ("note.txt", text(4, 5_000, edition)),
        ("same.gz", gzip(&text(5, 90_000, 0), 0)),
    ];
    // Every file but the list itself, and one hash that is not of this tree.
    let mut list = String::new();
    for (path, bytes) in &files {
        let mut summing = Summing::default();
        summing.update(bytes);
        let hex = |hash: [u8; 32]| hash.map(|byte| format!("{byte:02x}")).concat();
        list += &format!("{}  {path}\n", hex(summing.finish().sha256));
    }
    list += &format!("{}  elsewhere\n", list[..64].chars().rev().collect::<String>());
    files.push(("meta/sums/SHA256SUMS", list.into_bytes()));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (*path, &bytes[..])).collect();
    vendor.tree(&format!("tree-{edition}"), &files)
}

/// Two releases, and the patch between them.
struct World {
    vendor: Vendor,
    old: (PathBuf, ReleaseManifest),
    new: (PathBuf, ReleaseManifest),
    repository: Repository,
    patch: PatchManifest,
    delta_bytes: u64,
}

fn world() -> World {
    world_by(&tree, &Here)
}

/// The two editions of `tree`, opened by `codec`.
fn world_by(tree: &dyn Fn(&Vendor, u32) -> PathBuf, codec: &dyn Codec) -> World {
    let vendor = Vendor::new();
    let repository = Repository::open(&vendor.home().repository_dir(), Steps::free()).unwrap();
    let sides = [1, 2].map(|edition| {
        let dir = tree(&vendor, edition);
        let released = vendor.release_by(&dir, &format!("{edition}.0"), codec).unwrap();
        let bytes = repository.object(released.record.manifest).unwrap().unwrap();
        (dir, ReleaseManifest::decode(&bytes).unwrap(), released.made.unwrap())
    });
    let [old, new] = sides;
    let made = &new.2.patches[0];
    let patch = repository.object(made.patch).unwrap().unwrap();
    World {
        delta_bytes: made.delta_bytes,
        patch: PatchManifest::decode(&patch).unwrap(),
        old: (old.0, old.1),
        new: (new.0, new.1),
        vendor,
        repository,
    }
}

impl World {
    fn rebuild(&self, patch: &PatchManifest) -> Result<PathBuf, RebuildError> {
        self.rebuild_by(patch, &Here)
    }

    fn rebuild_by(
        &self,
        patch: &PatchManifest,
        codec: &dyn Codec,
    ) -> Result<PathBuf, RebuildError> {
        let out = self.vendor.dir.path().join("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).unwrap();
        let (base, release) = ((self.old.1.id(), &self.old.1), (self.new.1.id(), &self.new.1));
        rebuild(&self.old.0, (base, release), patch, (&self.repository, codec), &out)?;
        Ok(out)
    }

    fn entry(&self, row: u32) -> &Entry {
        &self.new.1.tree().entries()[row as usize]
    }

    /// The patch with other recipes, made by a delta of their own.
    fn with_recipes(&self, recipes: &[u8]) -> PatchManifest {
        let encoder = Encoder::new(Vec::new(), &Options { level: 3 }).unwrap();
        let target = Target { bytes: recipes, piece_ends: &[recipes.len()] };
        let delta = encoder.encode(&[target], &|_| ()).concat().remove(0).object;
        let mut patch = self.patch.clone();
        let opened = patch.opened.as_mut().unwrap();
        opened.recipes = ContentId::of(recipes);
        opened.recipes_len = recipes.len() as u64;
        let last = patch.deltas.last_mut().unwrap();
        last.object = ContentId::of(&delta);
        last.len = u32::try_from(delta.len()).unwrap();
        self.repository.put_object(last.object, &delta).unwrap();
        patch
    }

    fn recipes(&self) -> Vec<u8> {
        let delta = self.repository.object(self.patch.deltas.last().unwrap().object);
        let mut recipes = Vec::new();
        delta::apply(&delta.unwrap().unwrap(), &[], 1 << 20, &mut recipes).unwrap();
        recipes
    }
}

#[test]
fn changed_containers_are_opened_and_come_back_exactly() {
    let world = world();
    let opened = world.patch.opened.as_ref().unwrap();
    let paths: Vec<&str> =
        opened.files.iter().map(|file| world.entry(file.row).path.as_str()).collect();
    assert_eq!(
        paths,
        ["app.jar", "doc/large.gz", "doc/small.gz", "meta/sums/SHA256SUMS"],
        "what is only touched is not"
    );
    assert_eq!(opened.codec, container::CODEC);
    let packed: u64 = ["doc/large.gz", "doc/small.gz", "app.jar"]
        .iter()
        .map(|path| fs::metadata(world.new.0.join(path)).unwrap().len())
        .sum();
    assert!(world.delta_bytes * 10 < packed, "{} of {packed}", world.delta_bytes);
    // Of the archive's thirty streams only the one that changed is closed anew.
    let views: Vec<u64> = opened.files.iter().map(|file| file.view_len).collect();
    let recipes = container::recipe::decode(&world.recipes(), &views).unwrap();
    assert_eq!(recipes.iter().map(|recipe| recipe.runs.len()).collect::<Vec<_>>(), [1, 1, 1, 0]);
    assert_eq!(recipes[3].above, Some(2), "its paths begin at the tree's root");
    let list = fs::metadata(world.new.0.join("meta/sums/SHA256SUMS")).unwrap().len();
    assert_eq!(views[3], list - 6 * 63, "what the tree has is left out, and nothing else");
    let out = world.rebuild(&world.patch).unwrap();
    compare(&world.new.0, &out).unwrap();
}

#[test]
fn recipes_that_are_not_the_signed_ones_never_reach_the_codec() {
    let world = world();
    let mut recipes = world.recipes();
    *recipes.last_mut().unwrap() ^= 1;
    let mut patch = world.with_recipes(&recipes);
    patch.opened.as_mut().unwrap().recipes = world.patch.opened.as_ref().unwrap().recipes;
    let refused = world.rebuild(&patch);
    assert!(matches!(refused, Err(RebuildError::Link(LinkError::Recipes { .. }))), "{refused:?}");
}

#[test]
fn signed_recipes_that_are_wrong_end_one_file_and_no_program() {
    let world = world();
    let views: Vec<u64> =
        world.patch.opened.as_ref().unwrap().files.iter().map(|file| file.view_len).collect();
    let recipes = container::recipe::decode(&world.recipes(), &views).unwrap();
    let content = |index: usize| {
        let row = world.patch.opened.as_ref().unwrap().files[index].row;
        world.entry(row).file().unwrap().1
    };
    for index in 0..3 {
        for at in 0..recipes[index].runs[0].corrections.len().min(10) {
            let mut wrong = recipes.clone();
            wrong[index].runs[0].corrections[at] ^= 0x41;
            match world.rebuild(&world.with_recipes(&container::recipe::encode(&wrong))) {
                Err(RebuildError::Link(LinkError::Close { content: blamed, .. })) => {
                    assert_eq!(blamed, content(index));
                }
                // Some bits of corrections say nothing.
                Ok(out) => compare(&world.new.0, &out).unwrap(),
                Err(other) => panic!("{other}"),
            }
        }
    }
    for above in [0, 1, 3] {
        let mut wrong = recipes.clone();
        wrong[3].above = Some(above);
        let refused = world.rebuild(&world.with_recipes(&container::recipe::encode(&wrong)));
        assert!(
            matches!(
                &refused,
                Err(RebuildError::Link(LinkError::Close {
                    content: blamed,
                    source: Some(CloseError::Unlisted { .. }),
                })) if *blamed == content(3)
            ),
            "{refused:?}"
        );
    }
    let mut wrong = recipes;
    wrong[0].runs[0].literal_len += 1;
    let refused = world.rebuild(&world.with_recipes(&container::recipe::encode(&wrong)));
    assert!(matches!(refused, Err(RebuildError::Link(_))), "{refused:?}");
}

/// The real program, with so much time for each mebibyte.
fn apart(patience: Duration) -> Apart {
    Apart::new(Some(Relaunch::program(env!("CARGO_BIN_EXE_updraft-publisher"), &[])), patience)
}

#[test]
fn streams_are_taken_apart_and_made_by_another_process() {
    let (here, there) = (world(), world_by(&tree, &apart(PATIENCE_MAKING)));
    assert_eq!(there.patch, here.patch);
    let out = there.rebuild_by(&there.patch, &apart(PATIENCE_FOLLOWING)).unwrap();
    compare(&there.new.0, &out).unwrap();
}

/// Two megabytes that repeat all over, never quite: whoever looks for the best
/// repetition looks at thousands of places for each.
fn slow_tree(vendor: &Vendor, edition: u32) -> PathBuf {
    let mut state = edition;
    let plain: Vec<u8> = (0..2 << 20)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if (state >> 8).is_multiple_of(40) { b'b' } else { b'a' }
        })
        .collect();
    let mut file = gzip(&[], edition)[..10].to_vec();
    file.extend(compress_to_vec(&plain, 9));
    file.extend([0; 8]);
    let note = text(4, 5_000, edition);
    vendor.tree(&format!("slow-{edition}"), &[("slow.gz", &file), ("note.txt", &note)])
}

#[test]
fn a_stream_that_takes_too_long_stays_closed() {
    let begun = Instant::now();
    let patient = world_by(&slow_tree, &Here);
    let taken = begun.elapsed();
    assert_eq!(patient.patch.opened.as_ref().unwrap().files.len(), 1);
    // Far less than it takes, and no file is opened; the patch is whole.
    let hasty = Duration::from_millis(5);
    let closed = world_by(&slow_tree, &apart(hasty));
    assert_eq!(closed.patch.opened, None);
    let out = closed.rebuild(&closed.patch).unwrap();
    compare(&closed.new.0, &out).unwrap();
    // Whoever follows a patch that asks too much names the file.
    let begun = Instant::now();
    let refused = patient.rebuild_by(&patient.patch, &apart(hasty));
    let row = patient.patch.opened.as_ref().unwrap().files[0].row;
    let content = patient.entry(row).file().unwrap().1;
    assert!(
        matches!(
            &refused,
            Err(RebuildError::Link(LinkError::Close {
                content: blamed,
                source: Some(CloseError::Slow { plain_len }),
            })) if *blamed == content && *plain_len == 2 << 20
        ),
        "{refused:?}"
    );
    println!("made patiently in {taken:?}, given up after {:?}", begun.elapsed());
}
