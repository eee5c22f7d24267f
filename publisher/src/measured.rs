//! Applying a patch in a process of its own, so that what it costs is not
//! mixed with what making it had cost.
//!
//! Memory that a process has freed stays its own for a while: only a fresh one
//! shows how little applying needs.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use container::Codec;
use manifest::content::ContentId;
use serde::{Deserialize, Serialize};
use store::relaunch::Relaunch;

use crate::diff::{DiffError, apply};
use crate::meter::Meter;

/// The hidden subcommand that carries out a [`Job`].
pub const SUBCOMMAND: &str = "apply-measured";

/// A release to rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The repository that has all objects.
    pub repository: PathBuf,
    /// The manifest of the older release.
    pub base: ContentId,
    /// The manifest of the release.
    pub release: ContentId,
    /// The manifest of the patch between them.
    pub patch: ContentId,
    /// The tree of the older release.
    pub old: PathBuf,
    /// An empty directory for the release.
    pub out: PathBuf,
}

/// What a job cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JobCost {
    /// Processor time.
    pub cpu_seconds: f64,
    /// Time that passed.
    pub seconds: f64,
    /// How far memory rose.
    pub peak_bytes: Option<u64>,
}

/// A job that could not be given to another process.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The process cannot be started.
    #[error("cannot start {program:?} again")]
    Start {
        /// This very program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// The process failed.
    #[error("the process that applies the patch failed: {said}")]
    Failed {
        /// What it said.
        said: String,
    },
}

impl Job {
    /// Carries the job out in a fresh process, started by `relaunch`.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn run(&self, relaunch: &Relaunch) -> Result<JobCost, JobError> {
        let job = serde_json::to_string(self).expect("plain fields always serialise");
        let output = relaunch
            .command(SUBCOMMAND)
            .arg(&job)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| JobError::Start { program: relaunch.name().clone(), source })?;
        let failed = |said: &[u8]| JobError::Failed {
            said: String::from_utf8_lossy(said).trim().chars().take(400).collect(),
        };
        if !output.status.success() {
            return Err(failed(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).map_err(|_| failed(&output.stdout))
    }

    /// Carries the job out in this process, but for the streams that `codec`
    /// makes.
    ///
    /// # Errors
    /// [`DiffError`].
    pub fn run_here(&self, codec: &dyn Codec) -> Result<JobCost, DiffError> {
        let meter = Meter::start();
        apply(self, codec)?;
        let cost = meter.stop();
        Ok(JobCost {
            cpu_seconds: cost.cpu.as_secs_f64(),
            seconds: cost.wall.as_secs_f64(),
            peak_bytes: cost.peak_bytes,
        })
    }
}
