//! The vendor's private keys, each read only when it has to sign.
//!
//! Whoever lacks a file lacks that power and no other: a machine that makes
//! beta releases needs neither root nor the key of stable.

use std::fmt;
use std::path::{Path, PathBuf};

use manifest::example_keys::{self, ExampleKey};
use manifest::key::SigningKey;
use manifest::name::{ChannelName, ProductName};
use store::keyfile::{self, KeyFileError};

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
            Self::Issuer(name) => write!(f, "issuer-{name}"),
            Self::OriginPeer => f.write_str("origin-peer"),
            Self::OriginLog => f.write_str("origin-log"),
        }
    }
}

/// The directory of private keys, and how strictly it is read.
#[derive(Debug, Clone)]
pub struct Keys {
    dir: PathBuf,
    allow_example_keys: bool,
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
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl Keys {
    /// The keys in `dir`; the ones that everyone has are refused unless
    /// `allow_example_keys`.
    #[must_use]
    pub fn new(dir: PathBuf, allow_example_keys: bool) -> Self {
        Self { dir, allow_example_keys }
    }

    /// The key called `name`.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn read(&self, name: &KeyName) -> Result<SigningKey, KeysError> {
        let key = keyfile::read(&self.path(name))?;
        self.refuse_example(name, key)
    }

    /// Whether the key called `name` is here at all.
    #[must_use]
    pub fn has(&self, name: &KeyName) -> bool {
        self.path(name).exists()
    }

    /// Makes a new key called `name`.
    ///
    /// # Errors
    /// [`KeysError`], also if there is one already.
    pub fn generate(&self, name: &KeyName) -> Result<SigningKey, KeysError> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(KeysError::Random)?;
        self.keep(name, SigningKey::from_seed(&seed))
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
