//! Signs what changed and makes it public, so that nobody ever sees half.
//!
//! What was signed is noted in the home before any of it is public. Whoever
//! opens the home after an interruption first finishes what is noted there:
//! so no version of a file is ever signed twice with different bytes, and a
//! repository never stays between two states.

use manifest::content::ContentId;
use manifest::time::UnixTime;
use manifest::trust::author::keyring::{Keyring, SignError};
use manifest::trust::author::lifetimes::Lifetimes;
use manifest::trust::author::open::OpenError;
use manifest::trust::author::repository::{FileFacts, NewFile, Repository as Metadata};
use manifest::trust::root::Root;
use manifest::trust::signed::Verified;
use serde::{Deserialize, Serialize};
use store::disk::{self, DiskError};
use store::repository::{NewTarget, Repository, RepositoryError};
use store::steps::Steps;

use crate::history::{History, Record};
use crate::home::{Home, HomeError, Lock, read_note, write_note};
use crate::keys::{KeyName, Keys, KeysError};

/// The steps of [`Session::publish`]; between them come those of the store.
pub const STEPS: [&str; 3] =
    ["publisher: note what was signed", "publisher: add to history", "publisher: drop the note"];

const TIMESTAMP: &str = "timestamp.json";

/// The one who may write to a home's repository, while it lives.
#[derive(Debug)]
pub struct Session {
    _lock: Lock,
    home: Home,
    keys: Keys,
    steps: Steps,
    repository: Repository,
    metadata: Metadata,
    history: History,
    finished: Option<Record>,
}

/// A target whose bytes are in the repository as an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTarget {
    /// Its path among the targets.
    pub path: String,
    /// Its sha256 in hex.
    pub sha256: String,
    /// The object that is its bytes.
    pub object: ContentId,
}

/// What has been signed and must become public, all of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    targets: Vec<SignedTarget>,
    /// Names and texts of metadata files, the timestamp last.
    metadata: Vec<(String, String)>,
    release: Option<Record>,
}

/// A repository that could not be taken up, signed or made public.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The repository's own metadata does not hold.
    #[error("the repository's metadata is not what was signed")]
    Open(#[from] OpenError),
    /// Keys that must sign are missing.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The repository does not take what was signed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Session {
    /// Takes up the repository of `home`, once nobody else writes to it, and
    /// finishes what was interrupted there.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn open(home: &Home, keys: &Keys, steps: &Steps) -> Result<Self, PublishError> {
        Self::with_lock(home.lock()?, home, keys, steps)
    }

    /// As [`Session::open`], or `None` at once if somebody else writes.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn try_open(home: &Home, keys: &Keys, steps: &Steps) -> Result<Option<Self>, PublishError> {
        match home.try_lock()? {
            Some(lock) => Self::with_lock(lock, home, keys, steps).map(Some),
            None => Ok(None),
        }
    }

    fn with_lock(
        lock: Lock,
        home: &Home,
        keys: &Keys,
        steps: &Steps,
    ) -> Result<Self, PublishError> {
        let repository = home.repository(steps.clone())?;
        let finished = finish(home, &repository, steps)?;
        Ok(Self {
            _lock: lock,
            metadata: read_metadata(&repository)?,
            history: read_note(&home.history_path())?.unwrap_or_default(),
            home: home.clone(),
            keys: keys.clone(),
            steps: steps.clone(),
            repository,
            finished,
        })
    }

    /// Makes the first metadata of a new home public.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn begin(
        home: &Home,
        keys: &Keys,
        steps: &Steps,
        mut metadata: Metadata,
        now: UnixTime,
    ) -> Result<(), PublishError> {
        let repository = Repository::create(&home.repository_dir(), steps.clone())?;
        let keyring = all_keys(home, keys)?;
        let files = metadata.publish(now, &keyring, &Lifetimes::default())?;
        let note = Note { targets: Vec::new(), metadata: texts(files), release: None };
        Ok(note.carry_out(&repository)?)
    }

    /// The home that it writes to.
    #[must_use]
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// The repository's objects and files.
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The repository's metadata.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The repository's metadata, to be changed and then published.
    pub const fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// What was released.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The release that an interruption had left unfinished, if there was
    /// one: it is public now.
    #[must_use]
    pub const fn finished(&self) -> Option<&Record> {
        self.finished.as_ref()
    }

    /// The home's private keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether the home has the key called `name`.
    #[must_use]
    pub fn has_key(&self, name: &KeyName) -> bool {
        self.keys.has(name)
    }

    /// Signs what changed with those of the keys `names` that are here, and
    /// makes it public together with `targets`; gives the metadata files that
    /// an installation will fetch, root among them if it changed.
    ///
    /// # Errors
    /// [`PublishError`]; what was signed by then becomes public when the
    /// home is next opened.
    pub fn publish(
        &mut self,
        names: &[KeyName],
        targets: Vec<SignedTarget>,
        release: Option<Record>,
        now: UnixTime,
    ) -> Result<Vec<NewFile>, PublishError> {
        self.publish_after(Vec::new(), names, targets, release, now)
    }

    /// Makes a root public that was signed elsewhere, and what its keys are
    /// to sign now, with those of the keys `names` that are here.
    ///
    /// # Errors
    /// [`PublishError`]; the repository is then as it was.
    pub fn publish_root(
        &mut self,
        root: Verified<Root>,
        names: &[KeyName],
        now: UnixTime,
    ) -> Result<Vec<NewFile>, PublishError> {
        let before = self.metadata.clone();
        let root = self.metadata.adopt_root(root);
        let published = self.publish_after(vec![root], names, Vec::new(), None, now);
        if published.is_err() {
            self.metadata = before;
        }
        published
    }

    fn publish_after(
        &mut self,
        mut files: Vec<NewFile>,
        names: &[KeyName],
        targets: Vec<SignedTarget>,
        release: Option<Record>,
        now: UnixTime,
    ) -> Result<Vec<NewFile>, PublishError> {
        let mut keys = Vec::new();
        for name in names {
            keys.extend(self.keys.read_all(name)?);
        }
        let signed = self.metadata.publish(now, &Keyring::new(keys), &Lifetimes::default())?;
        files.extend(signed);
        let note = Note { targets, metadata: texts(files.clone()), release };
        self.steps.reach(STEPS[0])?;
        write_note(&self.home.pending_path(), &note, &self.steps)?;
        finish(&self.home, &self.repository, &self.steps)?;
        if let Some(record) = note.release {
            self.history.add(record);
        }
        Ok(files)
    }
}

impl Note {
    /// Makes everything public; doing it again changes nothing.
    fn carry_out(&self, repository: &Repository) -> Result<(), RepositoryError> {
        let mut bytes = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            let missing = || RepositoryError::BadName {
                what: "a target without its object",
                name: target.path.clone(),
            };
            bytes.push(repository.object(target.object)?.ok_or_else(missing)?);
        }
        let targets: Vec<NewTarget<'_>> = self
            .targets
            .iter()
            .zip(&bytes)
            .map(|(target, bytes)| NewTarget { path: &target.path, sha256: &target.sha256, bytes })
            .collect();
        let mut metadata: Vec<(String, Vec<u8>)> = self
            .metadata
            .iter()
            .map(|(name, text)| (name.clone(), text.clone().into_bytes()))
            .collect();
        let (_, timestamp) = metadata.pop().expect("a publication ends with a timestamp");
        repository.publish(&targets, &metadata, &timestamp)
    }

    /// Whether everything that it makes public is in the repository.
    fn is_whole(&self, repository: &Repository) -> bool {
        self.metadata.last().is_some_and(|(name, _)| name == TIMESTAMP)
            && self
                .targets
                .iter()
                .all(|target| matches!(repository.object(target.object), Ok(Some(_))))
    }
}

/// Carries out what is noted in the home, if anything is.
fn finish(
    home: &Home,
    repository: &Repository,
    steps: &Steps,
) -> Result<Option<Record>, PublishError> {
    let path = home.pending_path();
    let Some(note) = read_note::<Note>(&path)? else { return Ok(None) };
    // The store syncs objects before it writes metadata. If a power cut took
    // one of them, nothing of this note is public, and nothing has to be.
    let whole = note.is_whole(repository);
    if whole {
        note.carry_out(repository)?;
        if let Some(record) = note.release.clone() {
            steps.reach(STEPS[1])?;
            let mut history: History = read_note(&home.history_path())?.unwrap_or_default();
            history.add(record);
            write_note(&home.history_path(), &history, steps)?;
        }
    }
    steps.reach(STEPS[2])?;
    disk::remove_file(&path)?;
    disk::sync_dir(home.dir())?;
    Ok(note.release.filter(|_| whole))
}

/// Reads and verifies the metadata that is public.
///
/// # Errors
/// [`PublishError::Open`], [`PublishError::Repository`].
pub fn read_metadata(repository: &Repository) -> Result<Metadata, PublishError> {
    let mut failed = None;
    let opened = Metadata::open(|name| match repository.metadata(name) {
        Ok(file) => file,
        Err(error) => {
            failed = failed.take().or(Some(error));
            None
        }
    });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(opened?),
    }
}

/// The target that `bytes`, put as `object`, become at `path`.
#[must_use]
pub fn signed_target(path: String, bytes: &[u8], object: ContentId) -> (SignedTarget, FileFacts) {
    let facts = FileFacts::of(bytes);
    let sha256 = facts.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    (SignedTarget { path, sha256, object }, facts)
}

/// Every key of the metadata that a new home has.
fn all_keys(home: &Home, keys: &Keys) -> Result<Keyring, KeysError> {
    let names = home.signing_keys();
    let keys: Vec<_> = names.iter().map(|name| keys.read(name)).collect::<Result<_, _>>()?;
    Ok(Keyring::new(keys))
}

fn texts(files: Vec<NewFile>) -> Vec<(String, String)> {
    let text = |file: NewFile| {
        let text = String::from_utf8(file.bytes).expect("our own metadata is JSON, which is text");
        (file.name, text)
    };
    files.into_iter().map(text).collect()
}
