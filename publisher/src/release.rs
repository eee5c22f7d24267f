//! A release, from a directory to a repository that offers it.
//!
//! Objects first, then manifests, then what is signed: whoever looks at any
//! instant sees the release before or this one, each whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use container::Codec;
use delta::Options as DeltaOptions;
use manifest::content::ContentId;
use manifest::name::{ChannelName, Platform, ReleaseNumber, ReleaseVersion};
use manifest::release::changes::Tally;
use manifest::release::manifest::{About, ManifestError, Probe, ReleaseManifest};
use manifest::time::UnixTime;
use manifest::trust::author::repository::EditError;
use manifest::trust::bundle::{Bundle, BundleError};
use manifest::trust::custom::{
    ManifestDelta, PatchTarget, ReleaseKind, ReleaseTarget, patch_path, release_path,
};
use manifest::trust::role::RoleName;
use store::repository::{Repository, RepositoryError};

use crate::build::deltas::{DeltaError, put_patch};
use crate::build::manifests::{ManifestPutError, put_manifest, put_manifest_delta};
use crate::build::pieces::{PieceError, put_pieces};
use crate::build::tree::{SourceError, SourceTree};
use crate::chain::chained;
use crate::history::{Record, Refused};
use crate::home::HomeError;
use crate::keys::KeyName;
use crate::meter::{Cost, Meter};
use crate::progress::Progress;
use crate::publish::{PublishError, Session, SignedTarget, signed_target};
use crate::renew;

/// What is to be released.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory.
    pub dir: PathBuf,
    /// Its name to people.
    pub version: ReleaseVersion,
    /// In which channel.
    pub channel: ChannelName,
    /// For which platform.
    pub platform: Platform,
    /// How it shows that it is well.
    pub probe: Option<Probe>,
    /// Why it exists.
    pub kind: ReleaseKind,
    /// From how many earlier releases there shall be a patch.
    pub bases: usize,
    /// How hard pieces and deltas are packed, 1 to 19.
    pub level: i32,
}

/// What a release became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Its entry in the history.
    pub record: Record,
    /// What was made for it; `None` if an interrupted run had made it all.
    pub made: Option<Made>,
}

/// What was made for a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its pieces.
    pub pieces: usize,
    /// Those that the repository did not have.
    pub new_pieces: usize,
    /// What whoever has nothing downloads: packed pieces and manifest.
    pub full_bytes: u64,
    /// Signed metadata that changed, as a bundle.
    pub metadata_bytes: u64,
    /// The patches, the newest base first.
    pub patches: Vec<MadePatch>,
    /// How long it took.
    pub wall: Duration,
}

/// A patch that was made for a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadePatch {
    /// The base's name to people.
    pub from: ReleaseVersion,
    /// The base's manifest.
    pub base: ContentId,
    /// The patch's own manifest.
    pub patch: ContentId,
    /// Its deltas on the wire.
    pub delta_bytes: u64,
    /// How many of them are distinct.
    pub delta_count: usize,
    /// The delta of the release's manifest and the patch's manifest.
    pub manifest_bytes: u64,
    /// What became of the files.
    pub tally: Tally,
    /// What making the deltas cost.
    pub cost: Cost,
}

/// A release that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// It would publish the home, private keys and all.
    #[error("{} holds the publisher's home {} with its private keys", dir.display(), home.display())]
    HoldsHome {
        /// What was to be released.
        dir: PathBuf,
        /// The home in it.
        home: PathBuf,
    },
    /// The directory cannot be released.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its pieces cannot be kept.
    #[error(transparent)]
    Pieces(#[from] PieceError),
    /// A patch cannot be made.
    #[error("cannot make the patch from {from}")]
    Patch {
        /// The base.
        from: ReleaseVersion,
        /// Why not.
        source: Box<DeltaError>,
    },
    /// A manifest cannot be kept.
    #[error(transparent)]
    Put(#[from] ManifestPutError),
    /// It makes no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An earlier release is no longer what it was.
    #[error("the manifest of {version} is not in the repository; use fewer --bases")]
    BaseMissing {
        /// The base.
        version: ReleaseVersion,
    },
    /// The channel does not take it.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The metadata has no room for it.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It cannot be signed or made public.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// An earlier release to start from.
struct Base {
    record: Record,
    bytes: Vec<u8>,
    manifest: ReleaseManifest,
}

/// A patch with what has to be signed of it.
struct Ready {
    made: MadePatch,
    number: ReleaseNumber,
    bytes: Vec<u8>,
    delta: ManifestDelta,
}

/// Makes and publishes a release.
///
/// # Errors
/// [`ReleaseError`]; nothing of the release is offered then, or all of it is
/// once the home is next opened.
pub fn release(
    session: &mut Session,
    options: &Options,
    codec: &dyn Codec,
    progress: &Progress,
    now: UnixTime,
) -> Result<Released, ReleaseError> {
    session.home().check_channel(&options.channel)?;
    refuse_home(&options.dir, session.home().dir())?;
    let (channel, platform) = (&options.channel, &options.platform);
    let same = |record: &&Record| {
        record.version == options.version
            && record.channel == *channel
            && record.platform == *platform
    };
    if let Some(record) = session.finished().filter(same) {
        return Ok(Released { record: record.clone(), made: None });
    }
    let number = session.history().number_for(&options.version, channel, platform)?;
    let whole = Meter::start();

    let source = SourceTree::read(&options.dir, progress)?;
    let repository = session.repository();
    let pieces = put_pieces(&source, repository, options.level, progress)?;
    let about = About {
        product: session.home().vendor().product.clone(),
        platform: platform.clone(),
        version: options.version.clone(),
        number,
        probe: options.probe.clone(),
    };
    let piece_count = pieces.ids.len();
    let manifest = ReleaseManifest::new(about, source.tree().clone(), pieces.ids)?;
    let bytes = manifest.encode();
    let (id, manifest_bytes) = put_manifest(&bytes, repository, options.level)?;

    let records: Vec<Record> =
        session.history().line(channel, platform).take(options.bases).cloned().collect();
    let mut patches = Vec::new();
    for record in records {
        let base = open_base(record, repository)?;
        patches.push(patch(
            &base,
            (id, &manifest, &bytes),
            &source,
            options,
            (repository, codec),
            progress,
        )?);
    }

    let record = Record {
        channel: channel.clone(),
        platform: platform.clone(),
        version: options.version.clone(),
        number,
        manifest: id,
        released: now,
        files: source.tree().entries().iter().filter(|e| e.file().is_some()).count() as u64,
        bytes: source.tree().total_bytes(),
    };
    let targets = offer(session, options, &record, &bytes, &patches)?;
    let _signing = progress.spinner("signing");
    let metadata_bytes = publish(session, options, targets, &record, now)?;
    Ok(Released {
        record,
        made: Some(Made {
            pieces: piece_count,
            new_pieces: pieces.new,
            full_bytes: pieces.packed_bytes + manifest_bytes,
            metadata_bytes,
            patches: patches.into_iter().map(|ready| ready.made).collect(),
            wall: whole.stop().wall,
        }),
    })
}

/// Refuses a directory that holds the home: nothing secret was ever meant to
/// be released.
fn refuse_home(dir: &Path, home: &Path) -> Result<(), ReleaseError> {
    // What cannot be found is reported by whoever reads it.
    if let (Ok(found), Ok(inner)) = (dir.canonicalize(), home.canonicalize())
        && inner.starts_with(&found)
    {
        return Err(ReleaseError::HoldsHome { dir: dir.to_owned(), home: home.to_owned() });
    }
    Ok(())
}

fn open_base(record: Record, repository: &Repository) -> Result<Base, ReleaseError> {
    let missing = || ReleaseError::BaseMissing { version: record.version.clone() };
    let bytes = repository.object(record.manifest)?.ok_or_else(missing)?;
    let manifest = ReleaseManifest::decode(&bytes)?;
    Ok(Base { record, bytes, manifest })
}

fn patch(
    base: &Base,
    (id, manifest, bytes): (ContentId, &ReleaseManifest, &[u8]),
    source: &SourceTree,
    options: &Options,
    (repository, codec): (&Repository, &dyn Codec),
    progress: &Progress,
) -> Result<Ready, ReleaseError> {
    let deltas = DeltaOptions { level: options.level };
    let meter = Meter::start();
    let put = put_patch(
        (base.record.manifest, &base.manifest),
        (id, manifest),
        source,
        (repository, codec),
        &deltas,
        progress,
    )
    .map_err(|source| ReleaseError::Patch {
        from: base.record.version.clone(),
        source: Box::new(source),
    })?;
    let patch_bytes = put.manifest.encode();
    let (patch_id, _) = put_manifest(&patch_bytes, repository, options.level)?;
    let delta = put_manifest_delta(&base.bytes, bytes, repository, &deltas)?;
    Ok(Ready {
        made: MadePatch {
            from: base.record.version.clone(),
            base: base.record.manifest,
            patch: patch_id,
            delta_bytes: put.delta_bytes,
            delta_count: put.delta_count,
            manifest_bytes: delta.length + patch_bytes.len() as u64,
            tally: put.tally,
            cost: meter.stop(),
        },
        number: base.record.number,
        bytes: patch_bytes,
        delta,
    })
}

/// Writes the release and its patches into the channel, in place of what it
/// offered for this platform, and gives the target files.
fn offer(
    session: &mut Session,
    options: &Options,
    record: &Record,
    bytes: &[u8],
    patches: &[Ready],
) -> Result<Vec<SignedTarget>, ReleaseError> {
    let product = session.home().vendor().product.clone();
    let (channel, platform) = (&options.channel, &options.platform);
    let role = RoleName::of_channel(&product, channel);
    let metadata = session.metadata_mut();
    let place = format!("{product}/{channel}/{platform}/");
    let direct = patches.iter().map(|ready| ready.made.base).collect();
    let before = metadata.targets(&role).map(|targets| targets.targets.clone());
    let kept = chained(&before.unwrap_or_default(), &place, &direct);
    metadata.retain_targets(&role, |path, _| !path.starts_with(&place));
    for (path, target) in kept {
        metadata.set_target(&role, path, target)?;
    }

    let path = release_path(&product, channel, platform, &record.version);
    let (target, facts) = signed_target(path, bytes, record.manifest);
    let mut targets = vec![target];
    let release = ReleaseTarget {
        blake3: record.manifest,
        version: record.version.clone(),
        number: record.number,
        kind: options.kind,
        withdrawn: false,
        manifest_deltas: patches.iter().map(|ready| ready.delta.clone()).collect(),
    };
    metadata.set_release(&product, channel, platform, &release, facts)?;
    for ready in patches {
        let numbers = (ready.number, record.number);
        let path = patch_path(&product, channel, platform, numbers.0, numbers.1);
        let (target, facts) = signed_target(path, &ready.bytes, ready.made.patch);
        targets.push(target);
        let custom = PatchTarget {
            blake3: ready.made.patch,
            base: ready.made.base,
            release: record.manifest,
            waypoint: None,
        };
        metadata.set_patch(&product, channel, platform, numbers, &custom, facts)?;
    }
    Ok(targets)
}

/// Signs and publishes; gives the bytes of the metadata that changed.
fn publish(
    session: &mut Session,
    options: &Options,
    targets: Vec<SignedTarget>,
    record: &Record,
    now: UnixTime,
) -> Result<u64, ReleaseError> {
    let product = session.home().vendor().product.clone();
    let mut names = vec![
        KeyName::Timestamp,
        KeyName::Snapshot,
        KeyName::Channel(product, options.channel.clone()),
    ];
    // What would expire before long is signed in the same breath.
    names.extend(renew::mark_due(session, now));
    let files = session.publish(&names, targets, Some(record.clone()), now)?;
    let mut bundle = Bundle::new();
    for file in files {
        bundle.put(file.name, file.bytes)?;
    }
    Ok(bundle.encoded_len() as u64)
}
