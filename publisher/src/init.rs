//! A new home: keys, root, and an empty repository.
//!
//! Everything is made beside the place where it shall be and moved there in
//! one step, so that a home is either whole or not there.

use std::path::{Path, PathBuf};

use manifest::admission::issuer::IssuerError;
use manifest::admission::workgroup::WorkgroupId;
use manifest::name::{ChannelName, ProductName};
use manifest::time::UnixTime;
use manifest::trust::author::repository::{EditError, Repository as Metadata, TopLevelKeys};
use manifest::trust::author::role_keys::RoleKeys;
use store::disk::{self, DiskError};
use store::steps::Steps;

use crate::home::{Home, HomeError, Vendor, refuse_occupied};
use crate::issuers::{Issuer, IssuersError};
use crate::keys::{KeyName, Keys, KeysError};
use crate::publish::{PublishError, Session};

/// What a new home shall be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where.
    pub dir: PathBuf,
    /// The vendor's name to people; at most 64 characters.
    pub name: String,
    /// What it sells.
    pub product: ProductName,
    /// Its lines of releases, at least one, each once.
    pub channels: Vec<ChannelName>,
    /// A directory of keys to take instead of making new ones.
    pub keys_from: Option<PathBuf>,
    /// Whether the keys that everyone has are welcome.
    pub allow_example_keys: bool,
}

/// A home that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The place cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An issuer cannot be made.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// The vendor's name is no organisation's name.
    #[error(transparent)]
    Name(#[from] IssuerError),
    /// A channel cannot be delegated.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The repository cannot be begun.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Makes a home; gives its workgroup, which is root's fingerprint.
///
/// # Errors
/// [`InitError`]; then nothing is left behind.
pub fn init(options: &Options, now: UnixTime) -> Result<WorkgroupId, InitError> {
    refuse_occupied(&options.dir)?;
    let dir = std::path::absolute(&options.dir)
        .map_err(|error| DiskError::new("find", &options.dir, error))?;
    let parent = dir.parent().unwrap_or(Path::new("/"));
    disk::create_dirs(parent, 0o755)?;
    let beside = tempfile::Builder::new()
        .prefix(".updraft-new-")
        .tempdir_in(parent)
        .map_err(|error| DiskError::new("create a directory in", parent, error))?;

    let vendor = Vendor {
        name: options.name.clone(),
        product: options.product.clone(),
        channels: options.channels.clone(),
        created: now,
    };
    let home = Home::create(&beside.path().join("home"), vendor)?;
    let workgroup = fill(&home, options, now)?;

    // An empty directory may stand there already; it is replaced.
    std::fs::rename(home.dir(), &dir).map_err(|error| DiskError::new("create", &dir, error))?;
    disk::sync_dir(parent)?;
    Ok(workgroup)
}

fn fill(home: &Home, options: &Options, now: UnixTime) -> Result<WorkgroupId, InitError> {
    let keys = Keys::new(home.keys_dir(), options.allow_example_keys);
    let from = options.keys_from.as_deref();
    let public = |name: &KeyName| keys.import_or_generate(name, from).map(|key| key.public());
    let mut metadata = Metadata::create(&TopLevelKeys {
        root: RoleKeys::one(public(&KeyName::Root)?),
        targets: RoleKeys::one(public(&KeyName::Targets)?),
        snapshot: RoleKeys::one(public(&KeyName::Snapshot)?),
        timestamp: RoleKeys::one(public(&KeyName::Timestamp)?),
        workgroup: vec![public(&KeyName::Workgroup)?],
    });
    for channel in &options.channels {
        let name = KeyName::Channel(options.product.clone(), channel.clone());
        metadata.delegate(&options.product, channel, &RoleKeys::one(public(&name)?))?;
    }
    for name in [KeyName::OriginPeer, KeyName::OriginLog] {
        keys.import_or_generate(&name, from)?;
    }
    Session::begin(home, &keys, &Steps::free(), metadata, now)?;
    for issuer in [Issuer::members(home, None), Issuer::seeders(home), Issuer::auditors(home, None)]
    {
        issuer.open_or_create(home, &keys, from, now)?;
    }
    Ok(crate::issuers::workgroup(home)?.id())
}

#[cfg(test)]
mod tests {
    use manifest::example_keys;

    use super::*;

    fn options(dir: &Path) -> Options {
        Options {
            dir: dir.to_owned(),
            name: "Example Ltd".to_owned(),
            product: "hello".parse().unwrap(),
            channels: vec!["stable".parse().unwrap(), "beta".parse().unwrap()],
            keys_from: None,
            allow_example_keys: false,
        }
    }

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    #[test]
    fn a_home_is_made_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("deep/.updraft");
        let workgroup = init(&options(&place), NOW).unwrap();
        let home = Home::open(&place).unwrap();
        let keys = Keys::new(home.keys_dir(), false);
        for name in home.signing_keys() {
            assert!(keys.read(&name).is_ok(), "{name}");
        }
        assert_eq!(crate::issuers::workgroup(&home).unwrap().id(), workgroup);
        let session = Session::open(&home, &keys, &Steps::free()).unwrap();
        let channels: Vec<_> = session.metadata().channels().map(|r| r.to_string()).collect();
        assert_eq!(channels, ["hello.beta", "hello.stable"]);

        let again = init(&options(&place), NOW);
        assert!(matches!(again, Err(InitError::Home(HomeError::Exists { .. }))));
        assert_eq!(std::fs::read_dir(dir.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn an_example_key_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let from = tempfile::tempdir().unwrap();
        let (_, key) = example_keys::all().find(|(name, _)| *name == "workgroup").unwrap();
        store::keyfile::create(&from.path().join("workgroup.pem"), &key).unwrap();
        let mut options = options(&dir.path().join("home"));
        options.keys_from = Some(from.path().to_owned());
        let refused = init(&options, NOW);
        assert!(matches!(refused, Err(InitError::Keys(KeysError::Example { .. }))));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        options.allow_example_keys = true;
        init(&options, NOW).unwrap();
    }
}
