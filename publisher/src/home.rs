//! The vendor's home: where keys, the repository and a few notes live.
//!
//! `vendor.json` says whose it is; `keys/` is secret, `repository/` is served
//! to the world, and nothing secret lies in it. docs/publisher.md draws it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use manifest::name::{ChannelName, ProductName};
use manifest::time::UnixTime;
use manifest::trust::role::RoleName;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use store::atomic;
use store::disk::{DiskError, read_bounded};
use store::repository::{Repository, RepositoryError};
use store::steps::Steps;

use crate::keys::KeyName;
use crate::limits::NOTE_BYTES;

/// The name of a home that nobody named.
pub const DIRECTORY: &str = ".updraft";

/// A vendor's home that exists.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
    vendor: Vendor,
}

/// Whose home it is, as `vendor.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// The vendor's name to people.
    pub name: String,
    /// What it sells.
    pub product: ProductName,
    /// The lines of releases, at least one.
    pub channels: Vec<ChannelName>,
    /// When the home was made.
    pub created: UnixTime,
}

/// A home that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is none.
    #[error("there is no publisher's home at {}", dir.display())]
    Missing {
        /// Where it should be.
        dir: PathBuf,
    },
    /// None was named and none is near.
    #[error("no {DIRECTORY} in {} or above it", from.display())]
    NotFound {
        /// Where the search began.
        from: PathBuf,
    },
    /// There is something already.
    #[error("{} exists and is not empty; nothing in it was touched", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// One of its files is not what the publisher writes.
    #[error("{} cannot be read: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: String,
    },
    /// The channel was not there when the home was made.
    #[error("{product} has no channel {found}, only {}", known.iter().map(ChannelName::as_str).collect::<Vec<_>>().join(", "))]
    NoSuchChannel {
        /// The product.
        product: ProductName,
        /// The channel asked for.
        found: ChannelName,
        /// The ones there are.
        known: Vec<ChannelName>,
    },
    /// The repository in it cannot be opened.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// While it lives, no other publisher writes to the repository.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Home {
    /// The nearest `.updraft` in `from` or above it.
    ///
    /// # Errors
    /// [`HomeError::NotFound`].
    pub fn nearest(from: &Path) -> Result<PathBuf, HomeError> {
        let found = from.ancestors().map(|dir| dir.join(DIRECTORY)).find(|dir| dir.is_dir());
        found.ok_or_else(|| HomeError::NotFound { from: from.to_owned() })
    }

    /// Opens the home in `dir`.
    ///
    /// # Errors
    /// [`HomeError::Missing`], [`HomeError::Malformed`], [`HomeError::Disk`].
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let path = dir.join("vendor.json");
        let vendor = read_note(&path)?.ok_or_else(|| HomeError::Missing { dir: dir.to_owned() })?;
        Ok(Self { dir: dir.to_owned(), vendor })
    }

    /// Begins a home in the directory `dir`, which must be new or empty.
    ///
    /// # Errors
    /// [`HomeError::Exists`], [`HomeError::Disk`].
    pub fn create(dir: &Path, vendor: Vendor) -> Result<Self, HomeError> {
        use std::os::unix::fs::DirBuilderExt;
        refuse_occupied(dir)?;
        let create = |path: &Path, mode| {
            let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
            made.map_err(|error| DiskError::new("create", path, error))
        };
        create(dir, 0o700)?;
        create(&dir.join("keys"), 0o700)?;
        create(&dir.join("issuers"), 0o700)?;
        let home = Self { dir: dir.to_owned(), vendor };
        write_note(&dir.join("vendor.json"), &home.vendor, &Steps::free())?;
        Ok(home)
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whose it is.
    #[must_use]
    pub const fn vendor(&self) -> &Vendor {
        &self.vendor
    }

    /// Where the private keys are.
    #[must_use]
    pub fn keys_dir(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// The statements of issuer `name`.
    #[must_use]
    pub fn issuer_path(&self, name: &str) -> PathBuf {
        self.dir.join("issuers").join(format!("{name}.json"))
    }

    /// The names of the issuers there are.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    pub fn issuers(&self) -> Result<Vec<String>, HomeError> {
        let dir = self.dir.join("issuers");
        let list = |error| DiskError::new("list", &dir, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).map_err(list)? {
            let file = entry.map_err(list)?.file_name();
            names.extend(
                file.to_str().and_then(|file| file.strip_suffix(".json")).map(str::to_owned),
            );
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What was released, oldest first.
    #[must_use]
    pub fn history_path(&self) -> PathBuf {
        self.dir.join("releases.json")
    }

    /// What has been signed and is not yet public.
    #[must_use]
    pub fn pending_path(&self) -> PathBuf {
        self.dir.join("pending.json")
    }

    /// The keys that sign metadata: one for each role.
    #[must_use]
    pub fn signing_keys(&self) -> Vec<KeyName> {
        let channel =
            |channel: &ChannelName| KeyName::Channel(self.vendor.product.clone(), channel.clone());
        [KeyName::Root, KeyName::Targets, KeyName::Snapshot, KeyName::Timestamp]
            .into_iter()
            .chain(self.vendor.channels.iter().map(channel))
            .collect()
    }

    /// The roles that sign the channels.
    #[must_use]
    pub fn channel_roles(&self) -> Vec<RoleName> {
        let product = &self.vendor.product;
        self.vendor.channels.iter().map(|channel| RoleName::of_channel(product, channel)).collect()
    }

    /// The addresses at which `seed` can be met.
    #[must_use]
    pub fn addresses_path(&self) -> PathBuf {
        self.dir.join("seed.addresses")
    }

    /// Where the repository is.
    #[must_use]
    pub fn repository_dir(&self) -> PathBuf {
        self.dir.join("repository")
    }

    /// The repository; `steps` are for tests that cut what it writes.
    ///
    /// # Errors
    /// [`HomeError::Repository`].
    pub fn repository(&self, steps: Steps) -> Result<Repository, HomeError> {
        Ok(Repository::open(&self.repository_dir(), steps)?)
    }

    /// Refuses a channel that the product does not have.
    ///
    /// # Errors
    /// [`HomeError::NoSuchChannel`].
    pub fn check_channel(&self, channel: &ChannelName) -> Result<(), HomeError> {
        if self.vendor.channels.contains(channel) {
            return Ok(());
        }
        Err(HomeError::NoSuchChannel {
            product: self.vendor.product.clone(),
            found: channel.clone(),
            known: self.vendor.channels.clone(),
        })
    }

    /// Waits until no other publisher writes to this home.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    pub fn lock(&self) -> Result<Lock, HomeError> {
        let lock = self.locked(FlockOperation::LockExclusive)?;
        Ok(lock.expect("a lock that is waited for is had"))
    }

    /// As [`Home::lock`], or `None` at once if there is another publisher.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    pub fn try_lock(&self) -> Result<Option<Lock>, HomeError> {
        self.locked(FlockOperation::NonBlockingLockExclusive)
    }

    fn locked(&self, how: FlockOperation) -> Result<Option<Lock>, HomeError> {
        let path = self.dir.join("lock");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| DiskError::new("open", &path, error))?;
        match rustix::fs::flock(&file, how) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(DiskError::new("lock", &path, error).into()),
        }
    }
}

/// Refuses a directory that holds anything.
///
/// # Errors
/// [`HomeError::Exists`], [`HomeError::Disk`].
pub fn refuse_occupied(dir: &Path) -> Result<(), HomeError> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DiskError::new("list", dir, error).into()),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(HomeError::Exists { dir: dir.to_owned() }),
        },
    }
}

/// Reads one of the home's JSON files; `None` if there is none.
///
/// # Errors
/// [`HomeError::Malformed`], [`HomeError::Disk`].
pub fn read_note<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, HomeError> {
    let Some(bytes) = read_bounded(path, NOTE_BYTES)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| HomeError::Malformed { path: path.to_owned(), why: error.to_string() })
}

/// Replaces one of the home's JSON files, durably.
///
/// # Errors
/// [`HomeError::Disk`].
pub fn write_note<T: Serialize>(path: &Path, note: &T, steps: &Steps) -> Result<(), HomeError> {
    let mut bytes = serde_json::to_vec_pretty(note).expect("plain fields always serialise");
    bytes.push(b'\n');
    Ok(atomic::write(path, &bytes, 0o600, steps)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vendor() -> Vendor {
        Vendor {
            name: "Example Ltd".to_owned(),
            product: "hello".parse().unwrap(),
            channels: vec!["stable".parse().unwrap()],
            created: UnixTime::from_seconds(1_800_000_000),
        }
    }

    #[test]
    fn a_home_is_found_from_below() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(DIRECTORY);
        let below = dir.path().join("src/deep");
        fs::create_dir_all(&below).unwrap();
        assert!(matches!(Home::nearest(&below), Err(HomeError::NotFound { .. })));
        Home::create(&home, vendor()).unwrap();
        assert_eq!(Home::nearest(&below).unwrap(), home);
        assert_eq!(Home::open(&home).unwrap().vendor(), &vendor());
    }

    #[test]
    fn what_exists_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        Home::create(dir.path(), vendor()).unwrap();
        assert!(matches!(Home::create(dir.path(), vendor()), Err(HomeError::Exists { .. })));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Home::open(empty.path()), Err(HomeError::Missing { .. })));
    }

    #[test]
    fn a_damaged_note_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("vendor.json"), "{").unwrap();
        let error = Home::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("vendor.json"), "{error}");
    }

    #[test]
    fn an_unknown_channel_is_refused_with_the_known_ones() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path(), vendor()).unwrap();
        let error = home.check_channel(&"beta".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "hello has no channel beta, only stable");
    }
}
