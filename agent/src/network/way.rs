//! The patches that lead from what is installed to a release, and the
//! manifests of the releases between.
//!
//! One patch if the channel has it, else the fewest there are. A way that
//! cannot be had or used costs bytes, never correctness: there is none then.

use std::sync::Arc;

use delta::apply::ApplyError as DeltaError;
use delta::read_at::ReadAt;
use manifest::content::ContentId;
use manifest::release::limits::{LINKS, MANIFEST_BYTES};
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::PatchManifest;
use manifest::release::plan::{Hop, Wanted};
use manifest::trust::candidates::{Candidate, Candidates};
use manifest::trust::custom::{PatchTarget, Waypoint};

use crate::network::Network;

/// Patches one behind the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    /// The patches.
    pub(crate) patches: Vec<PatchManifest>,
    /// The ids of the patches.
    pub(crate) ids: Vec<ContentId>,
    /// The releases between: one less than there are patches.
    pub(crate) between: Vec<Arc<ReleaseManifest>>,
    /// What the manifests of all these weigh.
    pub(crate) manifest_bytes: u64,
}

impl Way {
    /// The way as a plan takes it, with the release at its end.
    pub(crate) fn hops<'a>(
        &'a self,
        release: (&'a ContentId, &'a ReleaseManifest),
    ) -> Vec<Hop<'a>> {
        let between = self.patches.iter().zip(&self.between);
        let mut hops: Vec<Hop<'_>> =
            between.map(|(patch, to)| Hop { patch, to: (&patch.release, &**to) }).collect();
        hops.extend(self.patches.last().map(|patch| Hop { patch, to: release }));
        hops
    }
}

impl Network {
    /// The way from the release with the manifest `base` to `release`, if the
    /// channel has one that can be had; none if there is no other.
    pub(crate) async fn way(
        &self,
        candidates: &Candidates,
        base: ContentId,
        release: ContentId,
    ) -> Way {
        let found = candidates.way(base, release, LINKS).unwrap_or_default();
        if found.iter().any(|patch| self.is_distrusted(patch.custom.blake3)) {
            return Way::default();
        }
        let mut way = Way::default();
        let mut manifest: Option<Vec<u8>> = None;
        for (index, offered) in found.iter().enumerate() {
            let Some(patch) = self.patch(offered).await else { return Way::default() };
            way.manifest_bytes += offered.length;
            way.ids.push(offered.custom.blake3);
            way.patches.push(patch);
            if index + 1 < found.len() {
                let Some(waypoint) = offered.custom.waypoint else { return Way::default() };
                let old = match manifest.take() {
                    Some(old) => Some(old),
                    None => {
                        self.authority.ask(move |a| a.manifest_bytes(base)).await.ok().flatten()
                    }
                };
                let Some(old) = old else { return Way::default() };
                let to = offered.custom.release;
                let Some(bytes) = self.passed(old, waypoint, to).await else {
                    return Way::default();
                };
                let Ok(between) = ReleaseManifest::decode(&bytes) else { return Way::default() };
                way.between.push(Arc::new(between));
                way.manifest_bytes += waypoint.delta_length;
                manifest = Some(bytes);
            }
        }
        way
    }

    async fn patch(&self, offered: &Candidate<PatchTarget>) -> Option<PatchManifest> {
        let wanted = Wanted { id: offered.custom.blake3, len: offered.length };
        let bytes = self
            .object(wanted)
            .await
            .inspect_err(|error| tracing::info!(%error, "the patch cannot be had"))
            .ok()
            .filter(|bytes| offered.is(bytes))?;
        PatchManifest::decode(&bytes)
            .inspect_err(|error| tracing::warn!(%error, "the patch cannot be used"))
            .ok()
    }

    /// The manifest `to`, made from `old`.
    async fn passed(&self, old: Vec<u8>, waypoint: Waypoint, to: ContentId) -> Option<Vec<u8>> {
        if waypoint.length > MANIFEST_BYTES as u64 {
            return None;
        }
        let wanted = Wanted { id: waypoint.delta, len: waypoint.delta_length };
        self.made_by_delta(old, wanted, waypoint.length)
            .await
            .filter(|bytes| ContentId::of(bytes) == to)
    }

    /// What the delta `wanted` makes of the manifest `old`, at most `max_len`
    /// bytes.
    pub(crate) async fn made_by_delta(
        &self,
        old: Vec<u8>,
        wanted: Wanted,
        max_len: u64,
    ) -> Option<Vec<u8>> {
        let delta = self
            .object(wanted)
            .await
            .inspect_err(|error| tracing::info!(%error, "a manifest's delta cannot be had"))
            .ok()?;
        let made = tokio::task::spawn_blocking(move || -> Result<Vec<u8>, DeltaError> {
            let mut out = Vec::new();
            // A delta that copies nothing names no source at all.
            let sources: &[&dyn ReadAt] =
                if delta::header(&delta)?.source_count == 0 { &[] } else { &[&old] };
            delta::apply(&delta, sources, max_len, &mut out)?;
            Ok(out)
        });
        let made = made.await.expect("applying a delta does not panic");
        made.inspect_err(|error| tracing::warn!(%error, "a manifest's delta does not apply")).ok()
    }
}
