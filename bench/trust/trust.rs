//! How long verification takes, without disk and network.
//!
//! `TRUST_FILES=DIR` writes the files it reads into DIR, for
//! tests/python/speed.py to read the same.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use manifest::canonical;
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::search::Search;
use manifest::trust::testing::simulator::Simulator;
use manifest::trust::testing::{Files, day};
use manifest::trust::trusted::TrustedSet;

const TARGETS: usize = 1000;
const LAST: &str = "releases/product-999.tar.gz";

/// A repository whose role `releases` has a thousand targets.
fn repository() -> Files {
    // Far enough for python-tuf, which has no clock but the system's.
    let mut repo = Simulator::until(day(36_500));
    repo.hashes = true;
    repo.delegate("targets", "releases", 9, &["releases/*"]);
    for i in 0..TARGETS {
        let path = format!("releases/product-{i}.tar.gz");
        repo.add_target("releases", &path, path.as_bytes());
    }
    repo.publish(&["releases", "targets", "snapshot", "timestamp"]);
    repo.files
}

fn answer(files: &Files, name: &str) -> Input {
    files.get(name).cloned().map_or(Input::NotFound, Input::File)
}

fn first(files: &Files) -> TrustedSet {
    TrustedSet::from_root(&files["1.root.json"]).expect("it is signed")
}

fn refreshed(trusted: TrustedSet, files: &Files) -> TrustedSet {
    let mut refresh = Refresh::new(trusted, day(1), Vec::new());
    while let Some(output) = refresh.poll() {
        if let Output::Want { name, .. } = output {
            refresh.handle(answer(files, &name)).expect("the repository is whole");
        }
    }
    refresh.finish()
}

fn found(trusted: TrustedSet, files: &Files) -> TrustedSet {
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

fn verification(criterion: &mut Criterion) {
    let files = repository();
    if let Ok(dir) = std::env::var("TRUST_FILES") {
        for (name, bytes) in &files {
            std::fs::write(format!("{dir}/{name}"), bytes).expect("the directory can be written");
        }
    }
    let releases = &files["1.releases.json"];
    criterion.bench_function("one root verified", |bencher| {
        bencher.iter(|| first(black_box(&files)));
    });
    let mut group = criterion.benchmark_group("1,000 delegated targets");
    group.throughput(Throughput::Bytes(releases.len() as u64));
    group.bench_function("chain verified, one found", |bencher| {
        bencher.iter(|| found(refreshed(first(&files), &files), &files));
    });
    group.bench_function("of it their file as JSON alone", |bencher| {
        bencher.iter(|| canonical::parse(black_box(releases), 1 << 20).expect("it is a document"));
    });
    group.finish();
    let kept = found(refreshed(first(&files), &files), &files);
    criterion.bench_function("refresh with nothing new", |bencher| {
        let again = |trusted| refreshed(trusted, &files);
        bencher.iter_batched(|| kept.clone(), again, BatchSize::SmallInput);
    });
    criterion.bench_function("search for what is trusted already", |bencher| {
        let again = |trusted| found(trusted, &files);
        bencher.iter_batched(|| kept.clone(), again, BatchSize::SmallInput);
    });
}

criterion_group!(benches, verification);
criterion_main!(benches);
