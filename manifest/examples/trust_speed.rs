//! How long verification takes, without disk and network.
//!
//! usage: `trust_speed [DIR]`; writes the files it reads into DIR, for
//! tests/python/speed.py to read the same.

use std::time::{Duration, Instant};

use updraft_manifest::canonical;
use updraft_manifest::trust::refresh::{Input, Output, Refresh};
use updraft_manifest::trust::search::Search;
use updraft_manifest::trust::testing::simulator::Simulator;
use updraft_manifest::trust::testing::{Files, day};
use updraft_manifest::trust::trusted::TrustedSet;

const TARGETS: usize = 1000;
const LAST: &str = "releases/product-999.tar.gz";

fn main() {
    // Far enough for python-tuf, which has no clock but the system's.
    let mut repo = Simulator::until(day(36_500));
    repo.hashes = true;
    repo.delegate("targets", "releases", 9, &["releases/*"]);
    for i in 0..TARGETS {
        let path = format!("releases/product-{i}.tar.gz");
        repo.add_target("releases", &path, path.as_bytes());
    }
    repo.publish(&["releases", "targets", "snapshot", "timestamp"]);
    if let Some(dir) = std::env::args().nth(1) {
        for (name, bytes) in &repo.files {
            std::fs::write(format!("{dir}/{name}"), bytes).expect("the directory can be written");
        }
    }

    let signed = &repo.files["1.releases.json"];
    let bytes = signed.len();
    let chain = median(51, || {
        let trusted = TrustedSet::from_root(&repo.files["1.root.json"]).expect("it is signed");
        find(refresh(trusted, &repo.files), &repo.files);
    });
    println!("chain with {TARGETS} delegated targets ({bytes} bytes): {chain:?}");
    let value = median(501, || drop(canonical::parse(signed, 1 << 20).expect("it is a document")));
    println!("of it the file of these targets, as JSON alone: {value:?}");

    let root = &repo.files["1.root.json"];
    let first = median(501, || drop(TrustedSet::from_root(root).expect("it is signed")));
    println!("one root verified: {first:?}");

    let mut trusted = TrustedSet::from_root(root).expect("it is signed");
    trusted = find(refresh(trusted, &repo.files), &repo.files);
    let mut kept = Some(trusted);
    let nothing = median(501, || {
        kept = Some(refresh(kept.take().expect("it is put back"), &repo.files));
    });
    println!("refresh with nothing new: {nothing:?}");

    let kept = kept.expect("it was put back");
    let again = median(501, || drop(find(kept.clone(), &repo.files)));
    println!("search for a target that is trusted already: {again:?}");
}

/// The median time of `runs` runs.
fn median(runs: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[runs / 2]
}

fn answer(files: &Files, name: &str) -> Input {
    files.get(name).cloned().map_or(Input::NotFound, Input::File)
}

fn refresh(trusted: TrustedSet, files: &Files) -> TrustedSet {
    let mut refresh = Refresh::new(trusted, day(1), Vec::new());
    while let Some(output) = refresh.poll() {
        if let Output::Want { name, .. } = output {
            refresh.handle(answer(files, &name)).expect("the repository is whole");
        }
    }
    refresh.finish()
}

fn find(trusted: TrustedSet, files: &Files) -> TrustedSet {
    let mut search = Search::new(trusted, day(1), LAST.to_owned()).expect("it is refreshed");
    while let Some(output) = search.poll() {
        if let Output::Want { name, .. } = output {
            search.handle(answer(files, &name)).expect("the repository is whole");
        }
    }
    let (trusted, found) = search.finish();
    found.expect("the target is there");
    trusted
}
