//! What the repository says at this moment, verified as any member would.
//!
//! Answers requests for metadata and words announcements. A repository that
//! stops verifying changes nothing here: what was verified last is served on.

use manifest::admission::guide::Guide;
use manifest::admission::workgroup::{NoWorkgroup, WorkgroupId, WorkgroupTrust};
use manifest::time::UnixTime;
use manifest::trust::exchange::{Announcement, ExchangeError, MetadataRequest};
use manifest::trust::refresh::{Input, Output, Refresh, RefreshError};
use manifest::trust::role::{MetadataVersion, RoleName};
use manifest::trust::rules::TrustError;
use manifest::trust::trusted::TrustedSet;
use store::repository::{Repository, RepositoryError};

/// The repository's metadata as it was last verified.
#[derive(Debug)]
pub struct Offer {
    repository: Repository,
    roles: Vec<RoleName>,
    workgroup: WorkgroupId,
    trusted: TrustedSet,
    allow_example_keys: bool,
}

/// Metadata that cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// There is no root to begin with.
    #[error("the repository has no 1.root.json")]
    NoRoot,
    /// Root does not hold.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Something below root does not hold, or has expired.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// Root does not say who speaks for the workgroup.
    #[error(transparent)]
    NoWorkgroup(#[from] NoWorkgroup),
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl Offer {
    /// Begins with the first root of `repository`; `roles` are its channels'.
    /// Members with keys that everyone has are let in if `allow_example_keys`.
    ///
    /// # Errors
    /// [`OfferError`] if there is no root that holds.
    pub fn new(
        repository: Repository,
        roles: Vec<RoleName>,
        allow_example_keys: bool,
    ) -> Result<Self, OfferError> {
        let root = repository.metadata("1.root.json")?.ok_or(OfferError::NoRoot)?;
        let workgroup = WorkgroupId::of_first_root(&root);
        let trusted = TrustedSet::from_root(&root)?;
        Ok(Self { repository, roles, workgroup, trusted, allow_example_keys })
    }

    /// Takes what is new in the repository; says whether the timestamp is
    /// another one than before.
    ///
    /// # Errors
    /// [`OfferError`]; what was verified until then is kept.
    pub fn refresh(&mut self, now: UnixTime) -> Result<bool, OfferError> {
        let before = self.timestamp_version();
        let mut refresh = Refresh::new(self.trusted.clone(), now, self.roles.clone())
            .and_if_delegated(vec![RoleName::WORKGROUP]);
        let mut result = Ok(());
        while let Some(output) = refresh.poll() {
            let Output::Want { name, .. } = output else { continue };
            let input = self.repository.metadata(&name)?.map_or(Input::NotFound, Input::File);
            // The one source there is will not answer better when asked again.
            if let Err(error) = refresh.handle(input) {
                result = Err(error.into());
                break;
            }
        }
        self.trusted = refresh.finish();
        result.map(|()| self.timestamp_version() != before)
    }

    /// The version of the timestamp that is offered.
    #[must_use]
    pub fn timestamp_version(&self) -> Option<MetadataVersion> {
        self.trusted.timestamp().map(|timestamp| timestamp.version)
    }

    /// What was verified last.
    #[must_use]
    pub const fn trusted(&self) -> &TrustedSet {
        &self.trusted
    }

    /// Who may speak for the workgroup, by the root that is offered, and who
    /// is shut out.
    ///
    /// # Errors
    /// [`OfferError::NoWorkgroup`].
    pub fn workgroup(&self) -> Result<WorkgroupTrust, OfferError> {
        let trust = WorkgroupTrust::of(self.workgroup, &self.trusted)?;
        Ok(trust.with_example_keys(self.allow_example_keys))
    }

    /// What leads those to the root that is offered who know an older one.
    #[must_use]
    pub fn guide(&self) -> Guide {
        Guide::to(self.trusted.root().version, |version| self.root(version))
    }

    fn root(&self, version: MetadataVersion) -> Option<Vec<u8>> {
        self.repository.metadata(&RoleName::ROOT.versioned_file_name(version)).ok().flatten()
    }

    /// Word of what is offered; `None` before anything is.
    #[must_use]
    pub fn announcement(&self) -> Option<Vec<u8>> {
        Announcement::of(&self.trusted).map(|announcement| announcement.encode())
    }

    /// The answer to a peer's request for metadata.
    ///
    /// # Errors
    /// [`ExchangeError`] if it is no request.
    pub fn answer(&self, request: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        let request = MetadataRequest::decode(request)?;
        Ok(request.answer(&self.trusted, |version| self.root(version)).encode())
    }
}
