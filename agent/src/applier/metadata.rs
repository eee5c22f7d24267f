//! How the applier comes to believe new metadata.
//!
//! It runs its own refresh over whatever files it is handed. Each file is
//! durable before the next is looked at, and before anything rests on it.

use manifest::admission::guide::Guide;
use manifest::audit::entry::Actor;
use manifest::audit::event::Event;
use manifest::example_keys::{self, ExampleKey};
use manifest::time::UnixTime;
use manifest::trust::bundle::Bundle;
use manifest::trust::refresh::{Input, Output, Refresh, RefreshError};
use manifest::trust::role::{MetadataVersion, RoleName};
use manifest::trust::rules::TrustError;

use crate::applier::{Applier, ApplyError};
use crate::update::decision::release_of;

/// What came of handing over metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Something in it is newer, and is believed and durable now.
    Newer,
    /// All of it is known.
    Nothing,
}

/// Metadata that did not lead to the end.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// A file does not verify, or is missing.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// It lets a key sign that everyone has.
    #[error("the metadata cannot be trusted: {0}")]
    Example(#[from] ExampleKey),
    /// What was verified cannot be kept or told.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl MetadataError {
    /// Whether the sender is to blame: what it sent was signed by nobody we
    /// know, or is no metadata at all.
    #[must_use]
    pub fn is_forged(&self) -> bool {
        let Self::Refresh(RefreshError::Trust(error)) = self else { return false };
        matches!(
            error,
            TrustError::Signatures { .. } | TrustError::Format { .. } | TrustError::Mismatch { .. }
        )
    }
}

impl Applier {
    /// Believes what can be believed of `files`, in the order of a refresh at `now`.
    ///
    /// # Errors
    /// [`MetadataError`] where the refresh stopped; what was verified before
    /// is believed and durable.
    pub fn take_metadata(&mut self, files: &Bundle, now: UnixTime) -> Result<Taken, MetadataError> {
        let role = self.subject.role();
        let before = self.subject.versions(&self.trusted);
        let mut refresh = Refresh::new(self.trusted.clone(), now, vec![role])
            .and_if_delegated(vec![RoleName::WORKGROUP]);
        let mut outcome = Ok(());
        let kept = loop {
            match refresh.poll() {
                Some(Output::Want { name, max_len }) => {
                    if outcome.is_err() {
                        break Ok(());
                    }
                    let file = files.get(&name).filter(|file| file.len() as u64 <= max_len);
                    let input = file.map_or(Input::NotFound, |file| Input::File(file.to_vec()));
                    outcome = refresh.handle(input);
                }
                Some(Output::Persist { name, bytes }) => {
                    if !self.allow_example_keys {
                        // Neither believed nor kept: what was before stays.
                        refresh
                            .trusted()
                            .public_keys()
                            .iter()
                            .try_for_each(example_keys::refuse)?;
                    }
                    let root = refresh.trusted().root().version;
                    if let Err(error) = self.persist(&name, root, &bytes) {
                        break Err(error);
                    }
                }
                Some(Output::Forget { name }) => {
                    if let Err(error) = self.files.forget(&name) {
                        break Err(error.into());
                    }
                }
                Some(Output::Done) | None => break Ok(()),
            }
        };
        // What could not be made durable is not believed either.
        kept?;
        self.trusted = refresh.finish();
        let after = self.subject.versions(&self.trusted);
        if after != before {
            let offered = self.candidates(now).ok();
            let offered = offered.and_then(|offered| offered.releases.first().map(release_of));
            let key_ids = self.subject.signers(&self.trusted);
            let event = Event::Refreshed { metadata: after, key_ids, offered };
            self.record(Actor::Agent, event)?;
        }
        outcome?;
        Ok(if after == before { Taken::Nothing } else { Taken::Newer })
    }

    fn persist(&self, name: &str, root: MetadataVersion, bytes: &[u8]) -> Result<(), ApplyError> {
        if name == RoleName::ROOT.file_name() {
            // The chain first: without a link, others could not be led here.
            self.files.persist(&RoleName::ROOT.versioned_file_name(root), bytes)?;
        }
        Ok(self.files.persist(name, bytes)?)
    }

    /// What leads those to the present root who know an older one.
    #[must_use]
    pub fn guide(&self) -> Guide {
        Guide::to(self.trusted.root().version, |version| self.root(version))
    }

    /// The bytes of an older root, to lead others along the chain.
    #[must_use]
    pub fn root(&self, version: MetadataVersion) -> Option<Vec<u8>> {
        self.files.get(&RoleName::ROOT.versioned_file_name(version)).ok().flatten()
    }
}
