//! What the patch between two directories would cost on the wire.
//!
//! Runs the real thing in a temporary home: two releases, signed, and then
//! the rebuilding that an installation would do. Nothing of it is kept.

use std::fs;
use std::path::{Path, PathBuf};

use container::Codec;
use manifest::name::BadName;
use manifest::release::manifest::{ManifestError, ReleaseManifest};
use manifest::release::patch::{PatchError, PatchManifest};
use manifest::time::UnixTime;
use manifest::trust::custom::ReleaseKind;
use serde::Serialize;
use store::apart::Apart;
use store::disk::DiskError;
use store::limits::PATIENCE_MAKING;
use store::relaunch::Relaunch;
use store::repository::{Repository, RepositoryError};
use store::steps::Steps;

use crate::home::{Home, HomeError};
use crate::init::{self, InitError, init};
use crate::keys::Keys;
use crate::measured::{Job, JobCost, JobError};
use crate::progress::Progress;
use crate::publish::{PublishError, Session};
use crate::rebuild::{RebuildError, compare, rebuild};
use crate::release::{self, Made, MadePatch, ReleaseError};

/// What the update from one directory to another costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Signed metadata that a machine fetches.
    pub metadata_bytes: u64,
    /// The delta of the release's manifest, and the patch's manifest.
    pub manifest_bytes: u64,
    /// The deltas.
    pub delta_bytes: u64,
    /// All of these.
    pub update_bytes: u64,
    /// What a machine without the old release fetches: packed pieces and
    /// manifest.
    pub full_bytes: u64,
    /// The files of the new directory as they are.
    pub tree_bytes: u64,
    /// Files of the new directory.
    pub files: u64,
    /// Files with other bytes at the same path.
    pub changed: usize,
    /// Files that only moved.
    pub moved: usize,
    /// Files that were not there before.
    pub new: usize,
    /// Files that are no longer there.
    pub deleted: usize,
    /// Distinct delta objects.
    pub deltas: usize,
    /// Processor time of all threads that made the patch.
    pub encode_cpu_seconds: f64,
    /// Time that passed meanwhile.
    pub encode_seconds: f64,
    /// How far memory rose meanwhile.
    pub encode_peak_bytes: Option<u64>,
    /// Processor time of the one thread that applied the patch.
    pub apply_cpu_seconds: f64,
    /// Time that passed meanwhile.
    pub apply_seconds: f64,
    /// How far memory rose meanwhile.
    pub apply_peak_bytes: Option<u64>,
    /// Whether what was rebuilt was compared, and equal in every byte and mode.
    pub verified: bool,
}

/// Two directories that cannot be compared, or an update that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The temporary home cannot be made.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The temporary home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// One of the directories cannot be released.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The temporary repository cannot be used.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The release cannot be rebuilt, or is another then.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// An object cannot be read back.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A manifest cannot be read back.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The patch cannot be read back.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The process that applies the patch failed.
    #[error(transparent)]
    Job(#[from] JobError),
    /// One of our own names is none.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// How an update is measured.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How hard zstd works, 1 to 19.
    pub level: i32,
    /// Whether the result is compared with the new directory.
    pub verify: bool,
    /// How to apply it, and to open archives, in processes of their own; else
    /// it is applied in this one, its memory is not told from what came before,
    /// and archives stay closed.
    pub relaunch: Option<Relaunch>,
}

/// Makes the update from the directory `old` to `new`, applies it, and
/// compares the result if that is asked for.
///
/// # Errors
/// [`DiffError`], [`RebuildError::Differs`] among it.
pub fn diff(
    old: &Path,
    new: &Path,
    options: &Options,
    progress: &Progress,
    now: UnixTime,
) -> Result<Difference, DiffError> {
    let work = tempfile::Builder::new()
        .prefix("updraft-diff-")
        .tempdir()
        .map_err(|error| DiskError::new("create a directory in", std::env::temp_dir(), error))?;
    let dir = work.path().join("home");
    init(
        &init::Options {
            dir: dir.clone(),
            name: "diff".to_owned(),
            product: "diff".parse()?,
            channels: vec!["stable".parse()?],
            keys_from: None,
            allow_example_keys: false,
        },
        now,
    )?;
    let home = Home::open(&dir)?;
    let keys = Keys::new(home.keys_dir(), false);
    let mut session = Session::open(&home, &keys, &Steps::free())?;
    let level = options.level;
    let side = |dir: &Path, version: &str| -> Result<release::Options, BadName> {
        Ok(release::Options {
            dir: dir.to_owned(),
            version: version.parse()?,
            channel: "stable".parse()?,
            platform: "any".parse()?,
            probe: None,
            kind: ReleaseKind::Feature,
            bases: 1,
            level,
        })
    };
    let codec = Apart::new(options.relaunch.clone(), PATIENCE_MAKING);
    let mut released = |dir: &Path, version: &str| -> Result<_, DiffError> {
        Ok(release::release(&mut session, &side(dir, version)?, &codec, progress, now)?)
    };
    released(old, "old")?;
    let released = released(new, "new")?;
    let made = released.made.expect("a new home has no interrupted release");
    let patch = made.patches.first().expect("the old directory is its base");

    let out = work.path().join("out");
    fs::create_dir(&out).map_err(|error| DiskError::new("create", &out, error))?;
    let job = Job {
        repository: home.repository_dir(),
        base: patch.base,
        release: released.record.manifest,
        patch: patch.patch,
        old: absolute(old)?,
        out: out.clone(),
    };
    let applied = {
        let _stage = progress.spinner("applying the patch");
        match &options.relaunch {
            Some(relaunch) => job.run(relaunch)?,
            None => job.run_here(&codec)?,
        }
    };
    if options.verify {
        let _stage = progress.spinner("comparing");
        compare(new, &out)?;
    }
    Ok(difference(&made, patch, &released.record, applied, options.verify))
}

/// What a [`Job`] does: reads the three manifests and rebuilds the release;
/// `codec` makes the streams of what is closed.
///
/// # Errors
/// [`DiffError`].
pub fn apply(job: &Job, codec: &dyn Codec) -> Result<(), DiffError> {
    let repository = Repository::open(&job.repository, Steps::free())?;
    let object =
        |id| repository.object(id)?.ok_or(DiffError::Rebuild(RebuildError::Missing { id }));
    let base = ReleaseManifest::decode(&object(job.base)?)?;
    let release = ReleaseManifest::decode(&object(job.release)?)?;
    let patch = PatchManifest::decode(&object(job.patch)?)?;
    let ends = ((job.base, &base), (job.release, &release));
    Ok(rebuild(&job.old, ends, &patch, (&repository, codec), &job.out)?)
}

fn absolute(path: &Path) -> Result<PathBuf, DiskError> {
    std::path::absolute(path).map_err(|error| DiskError::new("find", path, error))
}

fn difference(
    made: &Made,
    patch: &MadePatch,
    record: &crate::history::Record,
    applied: JobCost,
    verified: bool,
) -> Difference {
    Difference {
        metadata_bytes: made.metadata_bytes,
        manifest_bytes: patch.manifest_bytes,
        delta_bytes: patch.delta_bytes,
        update_bytes: made.metadata_bytes + patch.manifest_bytes + patch.delta_bytes,
        full_bytes: made.full_bytes,
        tree_bytes: record.bytes,
        files: record.files,
        changed: patch.tally.changed,
        moved: patch.tally.moved,
        new: patch.tally.new,
        deleted: patch.tally.deleted,
        deltas: patch.delta_count,
        encode_cpu_seconds: patch.cost.cpu.as_secs_f64(),
        encode_seconds: patch.cost.wall.as_secs_f64(),
        encode_peak_bytes: patch.cost.peak_bytes,
        apply_cpu_seconds: applied.cpu_seconds,
        apply_seconds: applied.seconds,
        apply_peak_bytes: applied.peak_bytes,
        verified,
    }
}
