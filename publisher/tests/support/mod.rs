//! A vendor in a temporary directory, and a client that believes nothing.

#![allow(dead_code, reason = "each test file uses its part")]

use container::{Codec, Here};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use manifest::content::ContentId;
use manifest::name::ReleaseNumber;
use manifest::release::manifest::{Probe, ReleaseManifest};
use manifest::release::patch::PatchManifest;
use manifest::time::UnixTime;
use manifest::trust::candidates::{Candidate, Candidates};
use manifest::trust::custom::ReleaseKind;
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::role::RoleName;
use manifest::trust::trusted::TrustedSet;
use store::repository::Repository;
use store::steps::Steps;
use updraft_publisher::home::Home;
use updraft_publisher::init::{self, init};
use updraft_publisher::keys::Keys;
use updraft_publisher::progress::Progress;
use updraft_publisher::publish::Session;
use updraft_publisher::release::{Options, ReleaseError, Released, release};

/// When tests begin: 2026-01-01.
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);

/// A vendor's home and trees.
pub(crate) struct Vendor {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) home: PathBuf,
}

impl Vendor {
    /// A fresh home for the product `hello` with the channel `stable`.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let options = init::Options {
            dir: home.clone(),
            name: "Example Ltd".to_owned(),
            product: "hello".parse().unwrap(),
            channels: vec!["stable".parse().unwrap(), "beta".parse().unwrap()],
            keys_from: None,
            allow_example_keys: false,
        };
        init(&options, NOW).unwrap();
        Self { dir, home }
    }

    pub(crate) fn home(&self) -> Home {
        Home::open(&self.home).unwrap()
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::new(self.home().keys_dir(), false)
    }

    pub(crate) fn session(&self, steps: &Steps) -> Session {
        Session::open(&self.home(), &self.keys(), steps).unwrap()
    }

    /// Writes a tree with these files and gives its directory.
    pub(crate) fn tree(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let dir = self.dir.path().join(name);
        for (path, bytes) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    /// Releases a directory on `stable`, at a cheap level.
    pub(crate) fn release(&self, dir: &Path, version: &str) -> Result<Released, ReleaseError> {
        self.release_with(dir, version, |_| ())
    }

    /// The same, with streams taken apart by `codec`.
    pub(crate) fn release_by(
        &self,
        dir: &Path,
        version: &str,
        codec: &dyn Codec,
    ) -> Result<Released, ReleaseError> {
        let mut session = self.session(&Steps::free());
        release(&mut session, &options(dir, version), codec, &Progress::hidden(), NOW)
    }

    pub(crate) fn release_with(
        &self,
        dir: &Path,
        version: &str,
        edit: impl FnOnce(&mut Options),
    ) -> Result<Released, ReleaseError> {
        let mut options = options(dir, version);
        edit(&mut options);
        let mut session = self.session(&Steps::free());
        release(&mut session, &options, &Here, &Progress::hidden(), NOW)
    }
}

pub(crate) fn options(dir: &Path, version: &str) -> Options {
    Options {
        dir: dir.to_owned(),
        version: version.parse().unwrap(),
        channel: "stable".parse().unwrap(),
        platform: "linux-x86_64".parse().unwrap(),
        probe: Some(Probe { command: "./bin/hello --check".to_owned(), deadline_seconds: 10 }),
        kind: ReleaseKind::Feature,
        bases: 3,
        level: 3,
    }
}

/// What a client that starts from root alone finds in a repository.
pub(crate) struct Offer {
    pub(crate) candidates: Candidates,
    pub(crate) newest: Option<(Candidate<manifest::trust::custom::ReleaseTarget>, ReleaseManifest)>,
}

/// Reads a repository as an installation would: verifies everything from root
/// on, and checks that every object that it may need is there.
pub(crate) fn read(repository: &Path) -> Offer {
    let repository = Repository::open(repository, Steps::free()).unwrap();
    let metadata = |name: &str| repository.metadata(name).unwrap();
    let product = "hello".parse().unwrap();
    let channel = "stable".parse().unwrap();
    let role = RoleName::of_channel(&product, &channel);
    let trusted = TrustedSet::from_root(&metadata("1.root.json").unwrap()).unwrap();
    let mut refresh = Refresh::new(trusted, NOW, vec![role]);
    while let Some(output) = refresh.poll() {
        match output {
            Output::Want { name, .. } => {
                let input = metadata(&name).map_or(Input::NotFound, Input::File);
                refresh.handle(input).unwrap();
            }
            Output::Done => break,
            Output::Persist { .. } | Output::Forget { .. } => {}
        }
    }
    let trusted = refresh.finish();
    let platform = "linux-x86_64".parse().unwrap();
    let candidates = Candidates::of(&trusted, &product, &channel, &platform, NOW).unwrap();
    assert_eq!(candidates.left_out, []);
    let target = |file: &str| fs::read(repository.dir().join("targets").join(file)).unwrap();
    let has = |id: ContentId| repository.object(id).unwrap().is_some();
    for patch in &candidates.patches {
        let bytes = target(&patch.file);
        assert!(patch.is(&bytes) && has(patch.custom.blake3), "{}", patch.path);
        let deltas = PatchManifest::decode(&bytes).unwrap().deltas;
        assert!(deltas.iter().all(|delta| has(delta.object)), "{}", patch.path);
    }
    let newest = candidates.newest(ReleaseNumber(0)).cloned().map(|candidate| {
        let bytes = target(&candidate.file);
        assert!(candidate.is(&bytes) && has(candidate.custom.blake3));
        assert!(candidate.custom.manifest_deltas.iter().all(|delta| has(delta.object)));
        let manifest = ReleaseManifest::decode(&bytes).unwrap();
        assert_eq!(manifest.about().version, candidate.custom.version);
        assert_eq!(manifest.about().number, candidate.custom.number);
        assert!(manifest.pieces().iter().all(|piece| has(piece.id)));
        (candidate, manifest)
    });
    Offer { candidates, newest }
}

impl Offer {
    /// The newest release's version, if there is one.
    pub(crate) fn version(&self) -> Option<String> {
        self.newest.as_ref().map(|(candidate, _)| candidate.custom.version.to_string())
    }
}

/// Copies a home, keys and all.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The names of all files beneath a directory, with their bytes' ids.
pub(crate) fn listing(dir: &Path) -> BTreeSet<(PathBuf, ContentId)> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(listing(&path));
        } else {
            all.insert((path.clone(), ContentId::of(&fs::read(&path).unwrap())));
        }
    }
    all
}
