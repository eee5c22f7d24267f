//! Manifests, patches and plans over trees held in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use updraft_manifest::content::ContentId;
use updraft_manifest::release::changes::Changes;
use updraft_manifest::release::layout::{Layout, Shape};
use updraft_manifest::release::limits::PIECE_BYTES;
use updraft_manifest::release::link::{DeltaStep, Link, StepSource};
use updraft_manifest::release::manifest::{About, ManifestError, Probe, ReleaseManifest};
use updraft_manifest::release::patch::{
    DeltaRow, DeltaSource, OpenedFile, OpenedFiles, PatchError, PatchManifest, PatchSource,
    patch_layout,
};
use updraft_manifest::release::plan::{Base, Hop, Plan, rows_with_bytes};
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

/// A view: these bytes with a mark before them, twice as long.
fn view(bytes: &[u8]) -> Vec<u8> {
    [b"view of ", bytes, bytes].concat()
}

/// A patch whose "deltas" are the pieces themselves; about every third file
/// is made as a view.
fn patch(
    base: &ReleaseManifest,
    new: &ReleaseManifest,
    files: &Files,
) -> (PatchManifest, HashMap<ContentId, Vec<u8>>) {
    let changes = Changes::between(base.tree(), new.tree());
    let bytes_of = |row: u32| &files[new.tree().entries()[row as usize].path.as_str()];
    let opened = changes.missing.iter().filter(|row| **row % 3 == 0 && !bytes_of(**row).is_empty());
    let opened: Vec<OpenedFile> = opened
        .map(|row| OpenedFile { row: *row, view_len: view(bytes_of(*row)).len() as u64 })
        .collect();
    let mut objects = HashMap::new();
    let sources: Vec<PatchSource> = changes
        .gone
        .iter()
        .map(|row| {
            let views = (row % 2 == 0).then(|| vec![7]);
            PatchSource { rows: vec![*row], views }
        })
        .collect();
    let shapes = patch_layout(new, &changes, &opened).shapes;
    let mut made: Vec<Vec<u8>> = Vec::new();
    for shape in &shapes {
        let run = |part: &updraft_manifest::release::layout::Part| {
            let is_opened = opened.iter().any(|file| file.row == part.row);
            let bytes = bytes_of(part.row);
            let bytes = if is_opened { view(bytes) } else { bytes.clone() };
            bytes[part.offset as usize..][..part.len as usize].to_vec()
        };
        made.push(shape.parts.iter().flat_map(run).collect());
    }
    let recipes = vec![9; PIECE_BYTES as usize + 3];
    if !opened.is_empty() {
        made.extend(recipes.chunks(PIECE_BYTES as usize).map(<[u8]>::to_vec));
    }
    let (recipes_from, count) = (shapes.len(), made.len());
    let deltas = made.into_iter().enumerate().map(|(index, bytes)| {
        let object = ContentId::of(&bytes);
        let len = bytes.len() as u32;
        objects.insert(object, bytes);
        // Every fifth is made from the one behind it, and that from the next.
        let behind = (index + 1) as u32;
        let reads = match index % 5 {
            1 | 2 if behind as usize != recipes_from && (behind as usize) < count => {
                vec![DeltaSource::Made(behind)]
            }
            _ if sources.is_empty() => vec![],
            _ => vec![DeltaSource::Old((index % sources.len()) as u32)],
        };
        DeltaRow { object, len, sources: reads }
    });
    let deltas = deltas.collect();
    let opened = (!opened.is_empty()).then(|| OpenedFiles {
        codec: 1,
        files: opened,
        recipes: ContentId::of(&recipes),
        recipes_len: recipes.len() as u64,
    });
    (PatchManifest { base: base.id(), release: new.id(), sources, opened, deltas }, objects)
}

fn path(manifest: &ReleaseManifest, row: u32) -> String {
    manifest.tree().entries()[row as usize].path.to_string()
}

/// Carries out one link, from the files that are `there`; checks that it reads
/// nothing else.
fn follow(
    link: &Link,
    there: &Files,
    from: &ReleaseManifest,
    to: &ReleaseManifest,
    objects: &HashMap<ContentId, Vec<u8>>,
) -> Files {
    let mut made = Files::new();
    for copy in &link.copies {
        made.insert(path(to, copy.to), there[&path(from, copy.from)].clone());
    }
    let steps: Vec<&DeltaStep> = link.all_deltas().collect();
    for step in &steps {
        assert_eq!(objects[&step.object.id].len(), step.len as usize);
        for row in step.old().flat_map(|source| &source.rows) {
            assert!(there.contains_key(&path(from, *row)), "it reads what is not there");
        }
        for source in &step.sources {
            if let StepSource::Made(other) = source {
                assert!(steps[*other].is_read && steps[*other].level < step.level);
            }
        }
        for (at, part) in &step.writes {
            let size = to.tree().entries()[part.row as usize].file().unwrap().0;
            let len = link.view_len(part.row).unwrap_or(size);
            let file = made.entry(path(to, part.row)).or_insert_with(|| vec![0; len as usize]);
            let bytes = &objects[&step.object.id][*at as usize..][..part.len as usize];
            file[part.offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    for (index, row) in link.views.iter().flat_map(|views| &views.files) {
        let views = link.views.as_ref().unwrap();
        let file = made.get_mut(&path(to, *row)).unwrap();
        assert_eq!(file.len() as u64, views.view_lens[*index]);
        assert!(file.starts_with(b"view of "));
        file.drain(..8 + (file.len() - 8) / 2);
    }
    made
}

/// Carries out a plan over the releases `way`, whose first is installed, and
/// compares every file.
fn carry_out(
    plan: &Plan,
    way: &[(&Files, &ReleaseManifest)],
    intact: &dyn Fn(u32) -> bool,
    objects: &HashMap<ContentId, Vec<u8>>,
) {
    let (old, new) = (way[0], way[way.len() - 1]);
    let entries = new.1.tree().entries().iter();
    let mut made: Files = entries
        .filter_map(|entry| Some((entry.path.to_string(), vec![0; entry.file()?.0 as usize])))
        .collect();
    let rows = 0..u32::try_from(old.1.tree().entries().len()).unwrap();
    let mut there: Files = rows
        .filter(|row| intact(*row))
        .filter_map(|row| Some((path(old.1, row), old.0.get(&path(old.1, row))?.clone())))
        .collect();
    for copy in &plan.copies {
        made.insert(path(new.1, copy.to), there[&path(old.1, copy.from)].clone());
    }
    assert!(plan.links.is_empty() || plan.links.len() + 1 == way.len());
    for (link, ends) in plan.links.iter().zip(way.windows(2)) {
        there = follow(link, &there, ends[0].1, ends[1].1, objects);
    }
    if !plan.links.is_empty() {
        made.extend(there);
    }
    for step in &plan.plains {
        let bytes = match &step.local {
            Some(shape) => {
                assert!(shape.parts.iter().all(|part| intact(part.row)), "damaged is never read");
                read(old.1.tree(), old.0, shape)
            }
            None => {
                let index = new.1.pieces().iter().position(|p| p.id == step.object.id).unwrap();
                read(new.1.tree(), new.0, &new.1.pieces()[index].shape)
            }
        };
        assert_eq!(ContentId::of(&bytes), step.object.id);
        for (at, part) in &step.writes {
            let bytes = &bytes[*at as usize..][..part.len as usize];
            let file = made.get_mut(&path(new.1, part.row)).unwrap();
            file[part.offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    assert_eq!(&made, new.0);
}

/// A base with all rows for which `intact`; every codec is known.
fn base<'a>(manifest: &'a ReleaseManifest, intact: &'a dyn Fn(u32) -> bool) -> Base<'a> {
    Base { id: manifest.id(), manifest, intact, closes: &|_, _| true }
}

#[test]
fn every_plan_rebuilds_the_release() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let old_files = some_files(&mut random);
        let new_files = edited(&old_files, &mut random);
        let (old, new) = (release(&old_files, 1), release(&new_files, 2));
        let (patch, objects) = patch(&old, &new, &new_files);
        let patch = PatchManifest::decode(&patch.encode()).unwrap();
        let new_id = new.id();
        let damaged: HashSet<u32> =
            (0..old.tree().entries().len() as u32).filter(|_| random.below(5) == 0).collect();
        let way = [(&old_files, &old), (&new_files, &new)];
        let hops = [Hop { patch: &patch, to: (&new_id, &new) }];

        let whole = |_| true;
        let start = base(&old, &whole);
        let plan = Plan::new(Some(&start), (&new_id, &new), &hops).unwrap();
        carry_out(&plan, &way, &whole, &objects);
        assert!(plan.plains.is_empty(), "a patch makes all that the base lacks");

        let plan = Plan::new(Some(&start), (&new_id, &new), &[]).unwrap();
        carry_out(&plan, &way, &whole, &objects);
        assert!(plan.links.is_empty());

        let start = Base { closes: &|codec, _| codec != 1, ..start };
        let plan = Plan::new(Some(&start), (&new_id, &new), &hops).unwrap();
        carry_out(&plan, &way, &whole, &objects);
        assert!(plan.links[0].views.is_none(), "a codec that is not known closes nothing");

        let intact = |row| !damaged.contains(&row);
        let start = base(&old, &intact);
        let plan = Plan::new(Some(&start), (&new_id, &new), &hops).unwrap();
        carry_out(&plan, &way, &intact, &objects);

        let plan = Plan::new(None, (&new_id, &new), &[]).unwrap();
        carry_out(&plan, &way, &whole, &objects);
        let covered: HashSet<u32> = plan.covered().into_iter().collect();
        assert!(rows_with_bytes(&new).iter().all(|row| covered.contains(row)));
    }
}

#[test]
fn a_file_that_cannot_be_closed_is_taken_whole_from_plain_pieces() {
    let mut random = Random(11);
    let old_files = some_files(&mut random);
    let new_files = edited(&old_files, &mut random);
    let (old, new) = (release(&old_files, 1), release(&new_files, 2));
    let (patch, objects) = patch(&old, &new, &new_files);
    let opened = &patch.opened.as_ref().unwrap().files;
    let (spoilt, others) = opened.split_first().unwrap();
    let content = |file: &OpenedFile| new.tree().entries()[file.row as usize].file().unwrap().1;
    let spoilt_content = content(spoilt);
    let whole = |_| true;
    let start = Base { closes: &|_, content| *content != spoilt_content, ..base(&old, &whole) };
    let new_id = new.id();
    let hops = [Hop { patch: &patch, to: (&new_id, &new) }];
    let plan = Plan::new(Some(&start), (&new_id, &new), &hops).unwrap();
    carry_out(&plan, &[(&old_files, &old), (&new_files, &new)], &whole, &objects);
    let plain: HashSet<u32> =
        plan.plains.iter().flat_map(|step| &step.writes).map(|(_, part)| part.row).collect();
    assert_eq!(plain, HashSet::from([spoilt.row]));
    let closed: Vec<u32> =
        plan.links[0].views.iter().flat_map(|views| &views.files).map(|file| file.1).collect();
    assert_eq!(closed, others.iter().map(|file| file.row).collect::<Vec<_>>());
}

#[test]
fn a_chain_of_patches_makes_no_more_than_is_needed() {
    for seed in 100..106 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut files = vec![some_files(&mut random)];
        for at in 0..3 {
            let next = edited(&files[at], &mut random);
            files.push(next);
        }
        let releases: Vec<ReleaseManifest> =
            files.iter().enumerate().map(|(at, files)| release(files, at as u64 + 1)).collect();
        let ids: Vec<ContentId> = releases.iter().map(ReleaseManifest::id).collect();
        let mut objects = HashMap::new();
        let mut patches = Vec::new();
        for at in 0..3 {
            let (patch, made) = patch(&releases[at], &releases[at + 1], &files[at + 1]);
            objects.extend(made);
            patches.push(patch);
        }
        let way: Vec<_> = files.iter().zip(&releases).collect();
        let hops: Vec<Hop<'_>> = patches
            .iter()
            .enumerate()
            .map(|(at, patch)| Hop { patch, to: (&ids[at + 1], &releases[at + 1]) })
            .collect();
        let whole = |_| true;
        let start = base(&releases[0], &whole);
        let plan = Plan::new(Some(&start), (&ids[3], &releases[3]), &hops).unwrap();
        carry_out(&plan, &way, &whole, &objects);
        assert!(plan.plains.is_empty(), "a chain makes all that the base lacks");
        let all: u64 = patches.iter().flat_map(|p| &p.deltas).map(|d| u64::from(d.len)).sum();
        assert!(plan.wanted_bytes() < all, "what a later patch makes anew is not made before");

        let damaged: HashSet<u32> = (0..releases[0].tree().entries().len() as u32)
            .filter(|_| random.below(4) == 0)
            .collect();
        let intact = |row| !damaged.contains(&row);
        let start = base(&releases[0], &intact);
        let plan = Plan::new(Some(&start), (&ids[3], &releases[3]), &hops).unwrap();
        carry_out(&plan, &way, &intact, &objects);

        let broken = [hops[0], hops[2]];
        let refused = Plan::new(Some(&start), (&ids[3], &releases[3]), &broken).unwrap_err();
        assert!(matches!(refused, PatchError::OtherEnd { end: "base", .. }), "{refused}");
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
    let new_id = new.id();
    let whole = |_| true;
    let refused = |manifest: &ReleaseManifest, patch: &PatchManifest| {
        let hops = [Hop { patch, to: (&new_id, &new) }];
        Plan::new(Some(&base(manifest, &whole)), (&new_id, &new), &hops).unwrap_err()
    };
    let other = release(&files, 7);
    assert!(matches!(refused(&other, &patch), PatchError::OtherEnd { end: "base", .. }));

    let mut short = patch.clone();
    short.deltas.pop();
    assert!(matches!(refused(&old, &short), PatchError::DeltaCount { .. }));

    let mut stray = patch.clone();
    stray.sources[0].rows = vec![0];
    assert_eq!(old.tree().entries()[0].kind, Kind::Directory);
    assert!(matches!(refused(&old, &stray), PatchError::BadRow { row: 0, .. }));

    let mut stray = patch;
    let recipes = ContentId::of(b"recipes");
    let files = vec![OpenedFile { row: 0, view_len: 7 }];
    stray.opened = Some(OpenedFiles { codec: 1, files, recipes, recipes_len: 3 });
    assert!(matches!(refused(&old, &stray), PatchError::BadView { row: 0 }));
}

#[test]
fn deltas_that_are_made_from_each_other_are_refused() {
    let made = |reads: &[&[u32]]| {
        let deltas = reads.iter().map(|reads| DeltaRow {
            object: ContentId::of(b"delta"),
            len: 5,
            sources: reads.iter().map(|delta| DeltaSource::Made(*delta)).collect(),
        });
        let [base, release] = [b"base", b"next"].map(|name| ContentId::of(name));
        let (sources, deltas) = (Vec::new(), deltas.collect());
        let patch = PatchManifest { base, release, sources, opened: None, deltas };
        PatchManifest::decode(&patch.encode()).map(|read| assert_eq!(read, patch))
    };
    assert_eq!(made(&[&[], &[0], &[0, 1], &[1]]), Ok(()));
    assert_eq!(made(&[&[1, 2], &[2], &[]]), Ok(()));
    assert_eq!(made(&[&[0]]), Err(PatchError::Level { delta: 0 }));
    assert_eq!(made(&[&[1], &[0]]), Err(PatchError::Level { delta: 0 }));
    assert_eq!(made(&[&[], &[0], &[1], &[2]]), Err(PatchError::Level { delta: 3 }));
    let missing = made(&[&[], &[2]]).unwrap_err().to_string();
    assert!(missing.contains("has 0 sources and 2 deltas"), "{missing}");
}

#[test]
fn recipes_and_files_are_not_made_from_each_other() {
    let files = some_files(&mut Random(1));
    let old = release(&files, 1);
    let edits = (2..100).find_map(|seed| {
        let newer = edited(&files, &mut Random(seed));
        let new = release(&newer, 2);
        let (patch, _) = patch(&old, &new, &newer);
        (patch.opened.is_some() && patch.deltas.len() > 4).then_some((new, patch))
    });
    let (new, patch) = edits.unwrap();
    let last = patch.deltas.len() - 1;
    let refused = |delta: usize, reads: usize| {
        let mut patch = patch.clone();
        patch.deltas.iter_mut().for_each(|delta| delta.sources.clear());
        patch.deltas[delta].sources = vec![DeltaSource::Made(reads as u32)];
        let changes = Changes::between(old.tree(), new.tree());
        patch.fit((&old.id(), &old), (&new.id(), &new), &changes).map(|_| ())
    };
    assert_eq!(refused(0, last), Err(PatchError::Apart { delta: 0 }));
    assert_eq!(refused(last, 0), Err(PatchError::Apart { delta: last }));
    assert_eq!(refused(1, 0), Ok(()));
    assert_eq!(refused(last, last - 1), Ok(()));
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
