//! Drives the machines of `manifest::trust` against one repository.
//!
//! One source and no retries: the first answer that does not verify ends the
//! run (TUF 5, "abort the update cycle"). What was verified before it stays.

use manifest::time::UnixTime;
use manifest::trust::refresh::{Input, Output, Refresh, RefreshError};
use manifest::trust::role::RoleName;
use manifest::trust::rules::TrustError;
use manifest::trust::search::{Found, Search};
use manifest::trust::trusted::TrustedSet;
use store::disk::DiskError;
use web::error::WebError;
use web::source::Source;

use crate::metadata::MetadataDir;

/// A client whose metadata has been refreshed.
#[derive(Debug)]
pub struct Client {
    dir: MetadataDir,
    metadata: Source,
    /// TUF 5.1: one time for the whole run.
    now: UnixTime,
    trusted: TrustedSet,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The directory is in use already.
    #[error("there is a trusted root of version {version} already")]
    HasRoot {
        /// Which.
        version: u64,
    },
    /// The first root is none.
    #[error("the root cannot be trusted")]
    Root(#[source] TrustError),
    /// What the repository has does not verify.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// The repository did not answer.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What asks for files: a refresh or a search.
trait Machine {
    fn poll(&mut self) -> Option<Output>;
    fn handle(&mut self, input: Input) -> Result<(), RefreshError>;
    /// The delegated role whose file it wants now.
    fn awaited(&self) -> Option<&RoleName>;
}

impl Machine for Refresh {
    fn poll(&mut self) -> Option<Output> {
        Self::poll(self)
    }

    fn handle(&mut self, input: Input) -> Result<(), RefreshError> {
        Self::handle(self, input)
    }

    fn awaited(&self) -> Option<&RoleName> {
        None
    }
}

impl Machine for Search {
    fn poll(&mut self) -> Option<Output> {
        Self::poll(self)
    }

    fn handle(&mut self, input: Input) -> Result<(), RefreshError> {
        Self::handle(self, input)
    }

    fn awaited(&self) -> Option<&RoleName> {
        Self::awaited(self)
    }
}

/// Makes `root` the beginning of all trust in `dir` (TUF 5.2).
///
/// # Errors
/// [`ClientError`] if it is no root signed by its own keys, or `dir` has one:
/// only a root's own chain replaces it.
pub fn init(dir: &MetadataDir, root: &[u8]) -> Result<(), ClientError> {
    let files = dir.top_level()?;
    if files.contains_key(&RoleName::ROOT.file_name()) {
        let trusted = TrustedSet::load(&files).map_err(ClientError::Root)?;
        return Err(ClientError::HasRoot { version: trusted.root().version.get() });
    }
    TrustedSet::from_root(root).map_err(ClientError::Root)?;
    Ok(dir.persist(&RoleName::ROOT.file_name(), root)?)
}

impl Client {
    /// Brings what `dir` trusts up to date (TUF 5.3 to 5.6.6).
    ///
    /// # Errors
    /// [`ClientError`]; whatever verified before is kept in `dir`.
    pub async fn refresh(
        dir: MetadataDir,
        metadata: Source,
        now: UnixTime,
    ) -> Result<Self, ClientError> {
        let trusted = TrustedSet::load(&dir.top_level()?).map_err(ClientError::Root)?;
        let mut refresh = Refresh::new(trusted, now, Vec::new());
        drive(&dir, &metadata, &mut refresh).await?;
        Ok(Self { dir, metadata, now, trusted: refresh.finish() })
    }

    /// What is said of the target at `path`, if any role speaks of it
    /// (TUF 5.6.7).
    ///
    /// # Errors
    /// [`ClientError`] if a delegated role's file on the way cannot be had or
    /// does not verify.
    pub async fn find(&mut self, path: &str) -> Result<Option<Found>, ClientError> {
        let mut search = Search::new(self.trusted.clone(), self.now, path.to_owned())?;
        drive(&self.dir, &self.metadata, &mut search).await?;
        let (trusted, found) = search.finish();
        self.trusted = trusted;
        Ok(found)
    }

    /// Whether the repository's files bear versions and hashes in their names.
    #[must_use]
    pub fn consistent_snapshot(&self) -> bool {
        self.trusted.root().consistent_snapshot()
    }
}

/// Does what the machine asks until it is done.
async fn drive(
    dir: &MetadataDir,
    source: &Source,
    machine: &mut impl Machine,
) -> Result<(), ClientError> {
    // The role whose kept file was offered and found wanting.
    let mut offered: Option<RoleName> = None;
    while let Some(output) = machine.poll() {
        let Output::Want { name, max_len } = output else {
            act(dir, output)?;
            continue;
        };
        if let Some(role) =
            machine.awaited().filter(|role| offered.as_ref() != Some(*role)).cloned()
            && let Some(kept) = dir.get(&role.file_name())?
        {
            // Another delegator's, an older or a broken one is no failure: the
            // repository is asked as if it were not there.
            let _ = machine.handle(Input::File(kept));
            offered = Some(role);
            continue;
        }
        let input = match source.get(&name, max_len).await? {
            Some(bytes) => Input::File(bytes),
            None => Input::NotFound,
        };
        if let Err(error) = machine.handle(input) {
            // What verified before the failure is trusted all the same.
            while let Some(output) = machine.poll() {
                if matches!(output, Output::Want { .. }) {
                    break;
                }
                act(dir, output)?;
            }
            return Err(error.into());
        }
    }
    Ok(())
}

fn act(dir: &MetadataDir, output: Output) -> Result<(), DiskError> {
    match output {
        Output::Persist { name, bytes } => dir.persist(&name, &bytes),
        Output::Forget { name } => dir.forget(&name),
        Output::Done | Output::Want { .. } => Ok(()),
    }
}
