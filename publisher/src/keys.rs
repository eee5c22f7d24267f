//! The vendor's private keys, each read only when it has to sign.
//!
//! Whoever lacks a file lacks that power and no other: a machine that makes
//! beta releases needs neither root nor the key of stable. A role may have
//! several keys here: `root.pem`, `root@alice.pem`.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manifest::example_keys::{self, ExampleKey};
use manifest::key::{PublicKey, SigningKey};
use manifest::name::{ChannelName, ProductName};
use manifest::trust::key::id_of;
use store::disk::{self, DiskError};
use store::keyfile::{self, KeyFileError};
use zeroize::Zeroizing;

/// What a key is for; its file bears the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyName {
    /// Signs root: who may sign everything else.
    Root,
    /// Signs targets: which channels there are and who signs them.
    Targets,
    /// Signs snapshot.
    Snapshot,
    /// Signs timestamp.
    Timestamp,
    /// Signs the releases of one channel.
    Channel(ProductName, ChannelName),
    /// Signs issuers.
    Workgroup,
    /// Signs who is revoked.
    Revocation,
    /// Signs credentials, as the issuer of this name.
    Issuer(String),
    /// The network identity of the vendor's own seeder.
    OriginPeer,
    /// Signs the checkpoints of the vendor's own seeder.
    OriginLog,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Targets => f.write_str("targets"),
            Self::Snapshot => f.write_str("snapshot"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Channel(product, channel) => write!(f, "{product}.{channel}"),
            Self::Workgroup => f.write_str("workgroup"),
            Self::Revocation => f.write_str("revocation"),
            Self::Issuer(name) => write!(f, "issuer-{name}"),
            Self::OriginPeer => f.write_str("origin-peer"),
            Self::OriginLog => f.write_str("origin-log"),
        }
    }
}

/// Asks for the passphrase of the key at a path.
pub type AskPassphrase = dyn Fn(&Path) -> io::Result<Option<Zeroizing<String>>> + Send + Sync;

/// Between a role's name and whose key it is, in file names; no role's name
/// contains it.
const LABEL: char = '@';

/// The directory of private keys, and how strictly it is read.
#[derive(Clone)]
pub struct Keys {
    dir: PathBuf,
    allow_example_keys: bool,
    ask: Arc<AskPassphrase>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Its file cannot be read or written.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Everyone has it.
    #[error("the {name} key cannot be used")]
    Example {
        /// What it was to be used for.
        name: KeyName,
        /// Which of the example keys it is.
        source: ExampleKey,
    },
    /// Its private half is elsewhere.
    #[error("the {name} key {public} is not in {}", dir.display())]
    NotHere {
        /// What it is for.
        name: KeyName,
        /// Its public half.
        public: PublicKey,
        /// Where it should be.
        dir: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl Keys {
    /// The keys in `dir`; the ones that everyone has are refused unless
    /// `allow_example_keys`.
    #[must_use]
    pub fn new(dir: PathBuf, allow_example_keys: bool) -> Self {
        Self { dir, allow_example_keys, ask: Arc::new(|_| Ok(None)) }
    }

    /// Whether keys that everyone has are welcome.
    #[must_use]
    pub const fn allows_example_keys(&self) -> bool {
        self.allow_example_keys
    }

    /// The same, with somebody to ask for passphrases.
    #[must_use]
    pub fn asking(self, ask: Arc<AskPassphrase>) -> Self {
        Self { ask, ..self }
    }

    /// The key called `name`; of several the one without a label.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn read(&self, name: &KeyName) -> Result<SigningKey, KeysError> {
        let plain = self.path(name);
        if !plain.exists()
            && let Ok(files) = self.files(name)
            && let Some(labelled) = files.first()
        {
            // One that was rotated bears a label.
            return self.read_file(name, labelled);
        }
        self.read_file(name, &plain)
    }

    /// The key called `name` whose public half is `public`.
    ///
    /// # Errors
    /// [`KeysError`], [`KeysError::NotHere`] if there is none.
    pub fn read_public(&self, name: &KeyName, public: &PublicKey) -> Result<SigningKey, KeysError> {
        for file in self.files(name)? {
            let key = self.read_file(name, &file)?;
            if key.public() == *public {
                return Ok(key);
            }
        }
        let (name, dir) = (name.clone(), self.dir.clone());
        Err(KeysError::NotHere { name, public: *public, dir })
    }

    /// Every key of the role called `name` that is here.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn read_all(&self, name: &KeyName) -> Result<Vec<SigningKey>, KeysError> {
        self.files(name)?.iter().map(|path| self.read_file(name, path)).collect()
    }

    /// The key called `name` in the file `path`, wherever that is.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn read_file(&self, name: &KeyName, path: &Path) -> Result<SigningKey, KeysError> {
        let key = keyfile::read_with(path, &*self.ask)?;
        self.refuse_example(name, key)
    }

    /// Whether a key called `name` is here at all.
    #[must_use]
    pub fn has(&self, name: &KeyName) -> bool {
        self.path(name).exists() || self.files(name).is_ok_and(|files| !files.is_empty())
    }

    /// The files of the keys called `name`, with and without a label.
    ///
    /// # Errors
    /// [`KeysError`] if the directory cannot be listed.
    pub fn files(&self, name: &KeyName) -> Result<Vec<PathBuf>, KeysError> {
        let list = |error| KeyFileError::from(DiskError::new("list", &self.dir, error));
        let (plain, labelled) = (format!("{name}.pem"), format!("{name}{LABEL}"));
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(list)? {
            let file = entry.map_err(list)?.file_name();
            let Some(file) = file.to_str() else { continue };
            if file == plain || (file.starts_with(&labelled) && file.ends_with(".pem")) {
                files.push(self.dir.join(file));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Makes a new key of the role `name` beside those that are here; gives
    /// its file too.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn generate_beside(&self, name: &KeyName) -> Result<(SigningKey, PathBuf), KeysError> {
        let key = random_key()?;
        let label = &id_of(&key.public()).to_string()[..8];
        let path = self.dir.join(format!("{name}{LABEL}{label}.pem"));
        keyfile::create(&path, &key)?;
        Ok((key, path))
    }

    /// Puts a key's file away, into `retired/`: it signs nothing any more.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn retire(&self, path: &Path) -> Result<PathBuf, KeysError> {
        let disk = |doing, path: &Path| {
            let path = path.to_owned();
            move |error| KeyFileError::from(DiskError::new(doing, path, error))
        };
        let retired = self.dir.join("retired");
        if !retired.exists() {
            DirBuilder::new().mode(0o700).create(&retired).map_err(disk("create", &retired))?;
        }
        let name = path.file_name().unwrap_or_default();
        // One that was retired before is never overwritten.
        let mut to = retired.join(name);
        for copy in 2.. {
            if !to.exists() {
                break;
            }
            to = retired.join(format!("{}.{copy}", name.to_string_lossy()));
        }
        std::fs::rename(path, &to).map_err(disk("move", path))?;
        disk::sync_dir(&retired)
            .and_then(|()| disk::sync_dir(&self.dir))
            .map_err(KeyFileError::from)?;
        Ok(to)
    }

    /// Makes a new key called `name`.
    ///
    /// # Errors
    /// [`KeysError`], also if there is one already.
    pub fn generate(&self, name: &KeyName) -> Result<SigningKey, KeysError> {
        self.keep(name, random_key()?)
    }

    /// Takes the key called `name` from directory `from`, if it has one, or
    /// makes it.
    ///
    /// # Errors
    /// [`KeysError`], also if there is one here already.
    pub fn import_or_generate(
        &self,
        name: &KeyName,
        from: Option<&Path>,
    ) -> Result<SigningKey, KeysError> {
        match from.map(|from| from.join(format!("{name}.pem"))) {
            Some(path) if path.exists() => {
                let key = self.refuse_example(name, keyfile::read(&path)?)?;
                self.keep(name, key)
            }
            _ => self.generate(name),
        }
    }

    fn keep(&self, name: &KeyName, key: SigningKey) -> Result<SigningKey, KeysError> {
        keyfile::create(&self.path(name), &key)?;
        Ok(key)
    }

    /// Where the key called `name` is, or would be.
    #[must_use]
    pub fn file(&self, name: &KeyName) -> PathBuf {
        self.path(name)
    }

    fn path(&self, name: &KeyName) -> PathBuf {
        self.dir.join(format!("{name}.pem"))
    }

    fn refuse_example(&self, name: &KeyName, key: SigningKey) -> Result<SigningKey, KeysError> {
        match example_keys::refuse(&key.public()) {
            Err(source) if !self.allow_example_keys => {
                Err(KeysError::Example { name: name.clone(), source })
            }
            _ => Ok(key),
        }
    }
}

/// A key that nobody has had before.
///
/// # Errors
/// [`KeysError::Random`].
pub fn random_key() -> Result<SigningKey, KeysError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(KeysError::Random)?;
    Ok(SigningKey::from_seed(&seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_key_is_refused_wherever_it_stands() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_, example) = example_keys::all().find(|(name, _)| *name == "root").unwrap();
        keyfile::create(&from.path().join("timestamp.pem"), &example).unwrap();
        let strict = Keys::new(to.path().to_owned(), false);
        let refused = strict.import_or_generate(&KeyName::Timestamp, Some(from.path()));
        assert!(matches!(refused, Err(KeysError::Example { .. })));
        assert!(!strict.has(&KeyName::Timestamp));

        let lenient = Keys::new(to.path().to_owned(), true);
        lenient.import_or_generate(&KeyName::Timestamp, Some(from.path())).unwrap();
        assert!(lenient.read(&KeyName::Timestamp).is_ok());
        assert!(matches!(strict.read(&KeyName::Timestamp), Err(KeysError::Example { .. })));
    }

    #[test]
    fn a_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::new(dir.path().to_owned(), false);
        let made = keys.generate(&KeyName::Root).unwrap();
        assert_eq!(keys.read(&KeyName::Root).unwrap().public(), made.public());
        assert!(keys.generate(&KeyName::Root).is_err());
    }
}
