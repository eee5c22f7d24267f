//! From the name of a release to a plan: its manifest, the patch that leads
//! there, what is intact on disk, and whether there is room.
//!
//! A manifest or a patch that is not what it should be costs bytes, never
//! correctness: the way without it is taken then.

use std::sync::Arc;

use delta::apply::ApplyError as DeltaError;
use delta::read_at::ReadAt;
use manifest::audit::event::ReleaseRef;
use manifest::content::ContentId;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::PatchManifest;
use manifest::release::plan::{Base, Hop, Plan, Wanted};
use manifest::trust::candidates::{Candidate, Candidates};
use manifest::trust::custom::ReleaseTarget;
use store::installed::Installed;
use store::space::{self, SpaceError};

use crate::applier::ApplyError;
use crate::clock;
use crate::network::Network;
use crate::network::fetch::FetchError;
use crate::update::state::InSlot;

/// All that is needed to fetch and stage a release.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Its manifest.
    pub manifest: Arc<ReleaseManifest>,
    /// What is installed, if anything is.
    pub base: Option<Installed>,
    /// Where every byte comes from.
    pub plan: Plan,
    /// The patches that the plan follows.
    pub patches: Vec<ContentId>,
    /// The releases between, where it follows several.
    pub between: Vec<Arc<ReleaseManifest>>,
}

/// What keeps a release from being planned.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The applier refused.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Something could not be had.
    #[error("{what} could not be fetched: {source}")]
    Fetch {
        /// What.
        what: &'static str,
        /// Why not.
        source: FetchError,
    },
    /// There is no room.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The plan does not fit.
    #[error("no plan could be made: {0}")]
    Plan(#[from] manifest::release::patch::PatchError),
}

impl Network {
    /// Plans how to come by `release` on the base of what is installed.
    ///
    /// # Errors
    /// [`PrepareError`]; nothing has changed but the objects that are kept.
    pub async fn prepare(
        &self,
        release: &ReleaseRef,
        base: Option<&InSlot>,
    ) -> Result<Prepared, PrepareError> {
        let id = release.manifest;
        let known = self.authority.ask(move |applier| applier.manifest(id).ok()).await;
        let candidates = self.authority.ask(|applier| applier.candidates(clock::wall())).await;
        let manifest = match known {
            Some(manifest) => manifest,
            None => self.manifest(candidates.as_ref(), id, base).await?,
        };
        let base = self.base(base).await;
        let patch = match (&base, candidates) {
            (Some(base), Ok(candidates)) => self.patch(&candidates, base.manifest().id(), id).await,
            _ => None,
        };
        let prepared = self.plan(id, manifest, base, patch).await?;
        let wanted = prepared.plan.wanted();
        let missing = wanted.iter().filter(|wanted| !self.shelf.has_object(wanted.id));
        let wire_bytes: u64 = missing.map(|wanted| wanted.len).sum();
        let tree_bytes = prepared.manifest.tree().total_bytes();
        // Both before the first byte is fetched: half an update on a full
        // disk helps nobody.
        space::require(&self.into, tree_bytes.saturating_add(wire_bytes))?;
        space::require(&self.home, wire_bytes)?;
        let needed = wanted.iter().map(|wanted| wanted.id).chain(prepared.patches.iter().copied());
        self.shelf.need(needed).map_err(ApplyError::from)?;
        self.meter.set_disk(prepared.plan.local_bytes(&prepared.manifest));
        Ok(prepared)
    }

    /// Fetches a manifest that the channel offers, as a delta if it can.
    async fn manifest(
        &self,
        candidates: Result<&Candidates, &ApplyError>,
        id: ContentId,
        base: Option<&InSlot>,
    ) -> Result<Arc<ReleaseManifest>, PrepareError> {
        let not_offered = || ApplyError::NotOffered { manifest: id };
        let offered = candidates.ok().into_iter().flat_map(|candidates| &candidates.releases);
        let Some(offered) = offered.into_iter().find(|release| release.custom.blake3 == id) else {
            // Asked again for its own words: the error of trust, if it is one.
            self.authority.ask(|applier| applier.candidates(clock::wall())).await?;
            return Err(not_offered().into());
        };
        if let Some(base) = base
            && let Some(bytes) = self.manifest_by_delta(offered, base.manifest).await
        {
            let taken = self
                .authority
                .ask(move |applier| applier.take_manifest(&bytes, clock::wall()))
                .await;
            match taken {
                Ok(manifest) => return Ok(manifest),
                Err(error) => tracing::warn!(%error, "the manifest's delta made something else"),
            }
        }
        let wanted = Wanted { id, len: offered.length };
        let bytes = self.object(wanted).await;
        let bytes = bytes.map_err(|source| PrepareError::Fetch { what: "the manifest", source })?;
        Ok(self.authority.ask(move |applier| applier.take_manifest(&bytes, clock::wall())).await?)
    }

    async fn manifest_by_delta(
        &self,
        offered: &Candidate<ReleaseTarget>,
        base: ContentId,
    ) -> Option<Vec<u8>> {
        let delta = offered.custom.manifest_deltas.iter().find(|delta| delta.base == base)?;
        let old = self.authority.ask(move |applier| applier.manifest_bytes(base)).await;
        let old = old.ok().flatten()?;
        let wanted = Wanted { id: delta.object, len: delta.length };
        let object = self.object(wanted).await;
        let delta = object
            .inspect_err(|error| tracing::info!(%error, "the manifest's delta cannot be had"))
            .ok()?;
        let max_len = offered.length;
        let made = tokio::task::spawn_blocking(move || -> Result<Vec<u8>, DeltaError> {
            let mut out = Vec::new();
            // A delta that copies nothing names no source at all.
            let sources: &[&dyn ReadAt] =
                if delta::header(&delta)?.source_count == 0 { &[] } else { &[&old] };
            delta::apply(&delta, sources, max_len, &mut out)?;
            Ok(out)
        });
        let made = made.await.expect("applying a delta does not panic");
        made.inspect_err(|error| tracing::warn!(%error, "the manifest's delta does not apply")).ok()
    }

    /// What is installed, if it can be used as a base.
    async fn base(&self, base: Option<&InSlot>) -> Option<Installed> {
        let base = base?.clone();
        let opened = self.authority.ask(move |applier| applier.installed(&base)).await;
        opened.inspect_err(|error| tracing::warn!(%error, "what is installed is no base")).ok()
    }

    /// The patch between two releases, if the channel has one that can be had.
    async fn patch(
        &self,
        candidates: &Candidates,
        base: ContentId,
        release: ContentId,
    ) -> Option<PatchManifest> {
        let offered = candidates.patch(base, release)?;
        let id = offered.custom.blake3;
        if self.is_distrusted(id) {
            return None;
        }
        let object = self.object(Wanted { id, len: offered.length }).await;
        let bytes = object
            .inspect_err(|error| tracing::info!(%error, "the patch cannot be had"))
            .ok()
            .filter(|bytes| offered.is(bytes))?;
        PatchManifest::decode(&bytes)
            .inspect_err(|error| tracing::warn!(%error, "the patch cannot be used"))
            .ok()
    }

    async fn plan(
        &self,
        id: ContentId,
        manifest: Arc<ReleaseManifest>,
        base: Option<Installed>,
        patch: Option<PatchManifest>,
    ) -> Result<Prepared, PrepareError> {
        let distrusted = self.distrusted();
        let made = tokio::task::spawn_blocking(move || {
            let damaged = base.as_ref().map(|base| base.inspect().unusable_rows());
            let intact = |row: u32| damaged.as_ref().is_some_and(|rows| !rows.contains(&row));
            let closes = |codec: u32, content: &ContentId| {
                codec == container::CODEC && !distrusted.contains(content)
            };
            let base_id = base.as_ref().map(|base| base.manifest().id());
            let base_of = base.as_ref().zip(base_id).map(|(base, id)| Base {
                id,
                manifest: base.manifest(),
                intact: &intact,
                closes: &closes,
            });
            let hops: Vec<Hop<'_>> =
                patch.iter().map(|patch| Hop { patch, to: (&id, &manifest) }).collect();
            let mut patches: Vec<ContentId> = patch.iter().map(PatchManifest::id).collect();
            let plan = match Plan::new(base_of.as_ref(), (&id, &manifest), &hops) {
                Err(error) if !patches.is_empty() => {
                    tracing::warn!(%error, "the patch does not fit");
                    patches.clear();
                    Plan::new(base_of.as_ref(), (&id, &manifest), &[])?
                }
                plan => plan?,
            };
            Ok(Prepared { manifest, base, plan, patches, between: Vec::new() })
        });
        made.await.expect("planning does not panic")
    }
}
