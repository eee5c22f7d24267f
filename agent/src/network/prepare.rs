//! From the name of a release to a plan: its manifest, the patch that leads
//! there, what is intact on disk, and whether there is room.
//!
//! A manifest or a patch that is not what it should be costs bytes, never
//! correctness: the way without it is taken then.

use std::sync::Arc;

use manifest::audit::event::ReleaseRef;
use manifest::content::ContentId;
use manifest::release::link::Link;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::plan::{Base, Plan, Wanted};
use manifest::trust::candidates::{Candidate, Candidates};
use manifest::trust::custom::ReleaseTarget;
use store::installed::Installed;
use store::space::{self, SpaceError};

use crate::applier::ApplyError;
use crate::clock;
use crate::home::Home;
use crate::network::Network;
use crate::network::account::{Account, Books};
use crate::network::fetch::FetchError;
use crate::network::way::Way;
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
    /// What it comes to.
    pub account: Account,
}

impl Prepared {
    /// The room that views and files of releases between take for a while, at
    /// most.
    fn scratch_bytes(&self) -> u64 {
        let views = self.plan.links.iter().map(Link::scratch_bytes);
        let between = self.between.iter().map(|manifest| manifest.tree().total_bytes());
        views.chain(between).fold(0, u64::saturating_add)
    }
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
        let manifest = async {
            match known {
                Some(manifest) => Ok(manifest),
                None => self.manifest(candidates.as_ref(), id, base).await,
            }
        };
        let way = async {
            let base = self.base(base).await;
            let way = match (&base, &candidates) {
                (Some(base), Ok(candidates)) => {
                    self.way(candidates, base.manifest().id(), id).await
                }
                _ => Way::default(),
            };
            (base, way)
        };
        // Neither waits for the other's round trip.
        let (manifest, (base, way)) = tokio::join!(manifest, way);
        let prepared = self.plan(id, manifest?, base, way).await?;
        self.tell(&prepared.account);
        let wanted = prepared.plan.wanted();
        let missing = wanted.iter().filter(|wanted| !self.shelf.has_object(wanted.id));
        let wire_bytes: u64 = missing.map(|wanted| wanted.len).sum();
        let tree_bytes = prepared.manifest.tree().total_bytes();
        // Both before the first byte is fetched: half an update on a full
        // disk helps nobody.
        let scratch_bytes = prepared.scratch_bytes();
        let room = tree_bytes.saturating_add(wire_bytes).saturating_add(scratch_bytes);
        space::require(&self.into, room)?;
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
        self.made_by_delta(old, wanted, offered.length).await
    }

    /// Keeps what a plan comes to, for whoever asks later.
    fn tell(&self, account: &Account) {
        let text = serde_json::to_vec(account).expect("plain values always serialise");
        let kept = store::atomic::write_unsynced(&Home::at(&self.home).plan(), &text, 0o600);
        if let Err(error) = kept {
            tracing::warn!(%error, "what the plan comes to cannot be kept");
        }
    }

    /// What is installed, if it can be used as a base.
    async fn base(&self, base: Option<&InSlot>) -> Option<Installed> {
        let base = base?.clone();
        let opened = self.authority.ask(move |applier| applier.installed(&base)).await;
        opened.inspect_err(|error| tracing::warn!(%error, "what is installed is no base")).ok()
    }

    /// The cheaper of two plans: along `way`, and without it.
    async fn plan(
        &self,
        id: ContentId,
        manifest: Arc<ReleaseManifest>,
        base: Option<Installed>,
        way: Way,
    ) -> Result<Prepared, PrepareError> {
        let distrusted = self.distrusted();
        let shelf = Arc::clone(&self.shelf);
        let made = tokio::task::spawn_blocking(move || {
            let damaged = base.as_ref().map(|base| base.inspect().unusable_rows());
            let damaged = damaged.unwrap_or_default();
            let intact = |row: u32| !damaged.contains(&row);
            let closes = |codec: u32, content: &ContentId| {
                codec == container::CODEC && !distrusted.contains(content)
            };
            let start = base.as_ref().map(|base| Base {
                id: base.manifest().id(),
                manifest: base.manifest(),
                intact: &intact,
                closes: &closes,
            });
            let release = (&id, &*manifest);
            let missing = |plan: &Plan| -> u64 {
                let wanted = plan.wanted();
                wanted.iter().filter(|w| !shelf.has_object(w.id)).map(|wanted| wanted.len).sum()
            };
            let plain = Plan::new(start.as_ref(), release, &[])?;
            let without_patches = plain.wanted_bytes();
            let along = match way.patches.is_empty() {
                true => None,
                false => Plan::new(start.as_ref(), release, &way.hops(release))
                    .inspect_err(|error| tracing::warn!(%error, "the patch does not fit"))
                    .ok()
                    .filter(|along| missing(along) < missing(&plain)),
            };
            let (plan, way) = match along {
                Some(along) => (along, way),
                // What was fetched of the way counts all the same.
                None => (plain, Way { manifest_bytes: way.manifest_bytes, ..Way::default() }),
            };
            let between: Vec<&ReleaseManifest> = way.between.iter().map(|m| &**m).collect();
            let books = Books {
                at: clock::wall(),
                plan: &plan,
                release: &manifest,
                base: base.as_ref().map(Installed::manifest),
                between: &between,
                damaged: &damaged,
                manifest_bytes: way.manifest_bytes,
                without_patches,
            };
            let account = books.account();
            Ok(Prepared { base, plan, patches: way.ids, between: way.between, account, manifest })
        });
        made.await.expect("planning does not panic")
    }
}
