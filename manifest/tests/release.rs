//! Manifests, patches and plans over trees held in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use updraft_manifest::content::ContentId;
use updraft_manifest::release::changes::Changes;
use updraft_manifest::release::layout::{Layout, Shape};
use updraft_manifest::release::manifest::{About, ManifestError, Probe, ReleaseManifest};
use updraft_manifest::release::patch::{
    DeltaRow, PatchError, PatchManifest, PatchSource, patch_layout,
};
use updraft_manifest::release::plan::{Base, Plan, rows_with_bytes};
use updraft_manifest::release::tree::{Entry, Kind, Tree};

type Files = BTreeMap<String, Vec<u8>>;

/// A stream of numbers that a seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 29)) % end as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

fn release(files: &Files, number: u64) -> ReleaseManifest {
    let mut rows: BTreeMap<String, Entry> = BTreeMap::new();
    for (path, bytes) in files {
        for (cut, _) in path.match_indices('/') {
            let parent = &path[..cut];
            let entry = Entry { path: parent.parse().unwrap(), mode: 0o755, kind: Kind::Directory };
            rows.insert(parent.to_owned(), entry);
        }
        let kind = Kind::File { size: bytes.len() as u64, content: ContentId::of(bytes) };
        rows.insert(path.clone(), Entry { path: path.parse().unwrap(), mode: 0o644, kind });
    }
    let link = Kind::Symlink { target: "somewhere/else".to_owned() };
    rows.insert(
        "zz-link".to_owned(),
        Entry { path: "zz-link".parse().unwrap(), mode: 0o777, kind: link },
    );
    let tree = Tree::new(rows.into_values().collect()).unwrap();
    let ids = Layout::of(&tree)
        .shapes
        .iter()
        .map(|shape| ContentId::of(&read(&tree, files, shape)))
        .collect();
    let about = About {
        product: "hello".parse().unwrap(),
        platform: "linux-x86_64".parse().unwrap(),
        version: format!("{number}.0").parse().unwrap(),
        number: updraft_manifest::name::ReleaseNumber(number),
        probe: Some(Probe { command: "./hello --check".to_owned(), deadline_seconds: 10 }),
    };
    ReleaseManifest::new(about, tree, ids).unwrap()
}

fn read(tree: &Tree, files: &Files, shape: &Shape) -> Vec<u8> {
    let run = |part: &updraft_manifest::release::layout::Part| {
        let path = tree.entries()[part.row as usize].path.as_str();
        let from = part.offset as usize;
        files[path][from..from + part.len as usize].to_vec()
    };
    shape.parts.iter().flat_map(run).collect()
}

fn some_files(random: &mut Random) -> Files {
    let mut files = Files::new();
    for _ in 0..random.below(60) + 2 {
        let path = format!("d{}/e{}/f{:03}", random.below(3), random.below(3), random.below(500));
        let len = match random.below(10) {
            0 => 0,
            1 => 256 * 1024 + random.below(3 << 20),
            _ => random.below(40_000),
        };
        files.insert(path, random.bytes(len));
    }
    files
}

fn edited(files: &Files, random: &mut Random) -> Files {
    let mut new = Files::new();
    for (path, bytes) in files {
        let mut bytes = bytes.clone();
        let mut path = path.clone();
        match random.below(6) {
            0 => continue,
            1 => path.push_str("-moved"),
            2 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1;
            }
            3 => bytes.extend(random.bytes(1000)),
            _ => {}
        }
        new.insert(path, bytes);
    }
    new.insert("new/file".to_owned(), random.bytes(500_000));
    new
}

/// A patch whose "deltas" are the pieces themselves.
fn patch(
    base: &ReleaseManifest,
    new: &ReleaseManifest,
    files: &Files,
) -> (PatchManifest, HashMap<ContentId, Vec<u8>>) {
    let changes = Changes::between(base.tree(), new.tree());
    let mut objects = HashMap::new();
    let sources: Vec<PatchSource> =
        changes.gone.iter().map(|row| PatchSource { rows: vec![*row] }).collect();
    let deltas = patch_layout(new, &changes)
        .shapes
        .iter()
        .enumerate()
        .map(|(index, shape)| {
            let bytes = read(new.tree(), files, shape);
            let object = ContentId::of(&bytes);
            let len = bytes.len() as u32;
            objects.insert(object, bytes);
            let reads =
                if sources.is_empty() { vec![] } else { vec![(index % sources.len()) as u32] };
            DeltaRow { object, len, sources: reads }
        })
        .collect();
    (PatchManifest { base: base.id(), release: new.id(), sources, deltas }, objects)
}

/// Carries out a plan and compares every file.
fn carry_out(
    plan: &Plan,
    old: (&Files, &ReleaseManifest),
    new: (&Files, &ReleaseManifest),
    objects: &HashMap<ContentId, Vec<u8>>,
) {
    let path = |m: &ReleaseManifest, row: u32| m.tree().entries()[row as usize].path.to_string();
    let mut made: Files = new
        .1
        .tree()
        .entries()
        .iter()
        .filter_map(|entry| Some((entry.path.to_string(), vec![0; entry.file()?.0 as usize])))
        .collect();
    let mut write = |row: u32, offset: u64, bytes: &[u8]| {
        let file = made.get_mut(&path(new.1, row)).unwrap();
        file[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    };
    for copy in &plan.copies {
        write(copy.to, 0, &old.0[&path(old.1, copy.from)]);
    }
    for step in &plan.deltas {
        let bytes = &objects[&step.object.id];
        let mut at = 0;
        for part in &step.shape.parts {
            write(part.row, part.offset, &bytes[at..at + part.len as usize]);
            at += part.len as usize;
        }
    }
    for step in &plan.plains {
        let bytes = match &step.local {
            Some(shape) => read(old.1.tree(), old.0, shape),
            None => {
                let index = new.1.pieces().iter().position(|p| p.id == step.object.id).unwrap();
                read(new.1.tree(), new.0, &new.1.pieces()[index].shape)
            }
        };
        assert_eq!(ContentId::of(&bytes), step.object.id);
        for (at, part) in &step.writes {
            write(part.row, part.offset, &bytes[*at as usize..][..part.len as usize]);
        }
    }
    assert_eq!(&made, new.0);
}

#[test]
fn every_plan_rebuilds_the_release() {
    for seed in 0..20 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let old_files = some_files(&mut random);
        let new_files = edited(&old_files, &mut random);
        let (old, new) = (release(&old_files, 1), release(&new_files, 2));
        let (patch, objects) = patch(&old, &new, &new_files);
        let patch = PatchManifest::decode(&patch.encode()).unwrap();
        let (old_id, new_id) = (old.id(), new.id());
        let damaged: HashSet<u32> =
            (0..old.tree().entries().len() as u32).filter(|_| random.below(5) == 0).collect();
        let ends = ((&old_files, &old), (&new_files, &new));

        let whole = |_| true;
        let base = Base { id: old_id, manifest: &old, intact: &whole };
        let plan = Plan::new(Some(&base), (&new_id, &new), Some(&patch)).unwrap();
        carry_out(&plan, ends.0, ends.1, &objects);
        assert!(plan.plains.is_empty(), "a patch makes all that the base lacks");

        let plan = Plan::new(Some(&base), (&new_id, &new), None).unwrap();
        carry_out(&plan, ends.0, ends.1, &objects);
        assert!(plan.deltas.is_empty());

        let intact = |row| !damaged.contains(&row);
        let base = Base { id: old_id, manifest: &old, intact: &intact };
        let plan = Plan::new(Some(&base), (&new_id, &new), Some(&patch)).unwrap();
        carry_out(&plan, ends.0, ends.1, &objects);
        let reads = plan.copies.iter().map(|copy| copy.from);
        let reads = reads.chain(plan.deltas.iter().flat_map(|step| step.sources.concat()));
        let local = plan.plains.iter().filter_map(|step| step.local.as_ref());
        let local = local.flat_map(|shape| &shape.parts).map(|part| part.row);
        assert!(reads.chain(local).all(intact), "what is damaged is never read");

        let plan = Plan::new(None, (&new_id, &new), None).unwrap();
        carry_out(&plan, ends.0, ends.1, &objects);
        let covered: HashSet<u32> = plan.covered().into_iter().collect();
        assert!(rows_with_bytes(&new).iter().all(|row| covered.contains(row)));
    }
}

#[test]
fn a_release_manifest_survives_its_encoding() {
    let files = some_files(&mut Random(3));
    let manifest = release(&files, 9);
    let bytes = manifest.encode();
    assert_eq!(ReleaseManifest::decode(&bytes).unwrap(), manifest);
    assert_eq!(ReleaseManifest::decode(&bytes).unwrap().encode(), bytes);
}

#[test]
fn no_mutated_manifest_panics_or_reads_as_the_same() {
    let files = some_files(&mut Random(5));
    let (old, new) = (release(&files, 1), release(&edited(&files, &mut Random(6)), 2));
    let release_bytes = new.encode();
    let patch_bytes = patch(&old, &new, &edited(&files, &mut Random(6))).0.encode();
    for seed in 0..3000 {
        let mut random = Random(seed);
        for original in [&release_bytes, &patch_bytes] {
            let mut bytes = original.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes.insert(at, random.below(256) as u8),
                    _ => bytes[at] ^= 1 << random.below(8),
                }
            }
            if let Ok(read) = ReleaseManifest::decode(&bytes) {
                assert_eq!(read.encode(), bytes, "seed {seed}: one value, one encoding");
            }
            if let Ok(read) = PatchManifest::decode(&bytes) {
                assert_eq!(read.encode(), bytes, "seed {seed}: one value, one encoding");
            }
        }
    }
}

#[test]
fn a_patch_of_other_releases_is_refused() {
    let files = some_files(&mut Random(1));
    let newer = edited(&files, &mut Random(2));
    let (old, new) = (release(&files, 1), release(&newer, 2));
    let (patch, _) = patch(&old, &new, &newer);
    let whole = |_| true;
    let other = release(&files, 7);
    let base = Base { id: other.id(), manifest: &other, intact: &whole };
    let refused = Plan::new(Some(&base), (&new.id(), &new), Some(&patch)).unwrap_err();
    assert!(matches!(refused, PatchError::OtherEnd { end: "base", .. }));

    let base = Base { id: old.id(), manifest: &old, intact: &whole };
    let mut short = patch.clone();
    short.deltas.pop();
    let refused = Plan::new(Some(&base), (&new.id(), &new), Some(&short)).unwrap_err();
    assert!(matches!(refused, PatchError::DeltaCount { .. }));

    let mut stray = patch;
    stray.sources[0].rows = vec![0];
    assert_eq!(old.tree().entries()[0].kind, Kind::Directory);
    let refused = Plan::new(Some(&base), (&new.id(), &new), Some(&stray)).unwrap_err();
    assert!(matches!(refused, PatchError::BadRow { row: 0, .. }));
}

#[test]
fn a_manifest_that_declares_two_to_the_sixtieth_bytes_is_refused() {
    let mut bytes = b"UDrelea\x01".to_vec();
    for text in ["hello", "linux-x86_64", "1.0"] {
        bytes.push(text.len() as u8);
        bytes.extend_from_slice(text.as_bytes());
    }
    // Number 1, no probe, one entry: no shared prefix, the path `a`, a file
    // of mode 644, of 2^60 bytes.
    bytes.extend_from_slice(&[1, 0, 1, 0, 1, b'a']);
    bytes.extend_from_slice(&[0x92, 0x0D]);
    bytes.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    bytes.extend_from_slice(&[7; 32]);
    let refused = ReleaseManifest::decode(&bytes).unwrap_err();
    let ManifestError::Codec(refused) = refused else { panic!("{refused}") };
    assert_eq!(
        refused.to_string(),
        "a file's size is 1152921504606846976, at most 1099511627776 is allowed"
    );
}

#[test]
fn the_golden_manifests_stay_as_they_are() {
    let mut files = Files::new();
    files.insert("bin/hello".to_owned(), (0..300_000u32).map(|i| (i % 251) as u8).collect());
    files.insert("share/a.txt".to_owned(), b"first\n".to_vec());
    files.insert("share/b.txt".to_owned(), Vec::new());
    let old = release(&files, 1);
    files.insert("share/a.txt".to_owned(), b"second\n".to_vec());
    let new = release(&files, 2);
    let (patch, _) = patch(&old, &new, &files);
    for (name, bytes) in [("2.0.release", new.encode()), ("1..2.patch", patch.encode())] {
        let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDRAFT_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
    }
}
