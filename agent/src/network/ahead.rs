//! A release that takes shape while its objects arrive.
//!
//! A whole piece is written where it belongs as soon as it is here, out of the
//! bytes in hand; with the first one copying begins of what the installed
//! release has already, so that a transfer which never gets anything wears out
//! no disk. Nothing here is the last word: what could not be done ahead is left
//! to [`assemble`], which tells why it cannot be done, and all bytes are
//! compared at the end.
//!
//! [`assemble`]: crate::network::assemble::assemble

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use manifest::content::ContentId;
use store::slots::SlotName;
use store::stage::{StageError, Staging};
use tokio::sync::Notify;

use crate::applier::ApplyError;
use crate::network::Network;
use crate::network::assemble::{AssembleError, Step, take, write};
use crate::network::fetch::{FetchError, cause};
use crate::network::prepare::Prepared;

/// A release on its way into its slot, and how far it is.
pub struct Ahead {
    prepared: Arc<Prepared>,
    slot: SlotName,
    staging: Staging,
    /// By the step's place in the plan: copies, then plain pieces.
    done: Vec<AtomicBool>,
    /// The steps that an object which arrives is for.
    arriving: HashMap<ContentId, Vec<usize>>,
    /// Something has arrived, or nothing is waited for any more.
    begun: Notify,
    stopped: AtomicBool,
}

/// Ends the copying, also where whoever waits for it is dropped.
struct Stop(Arc<Ahead>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
        self.0.begun.notify_one();
    }
}

impl Ahead {
    /// Begins the release of `prepared` in a slot that is free, with empty
    /// files.
    ///
    /// # Errors
    /// [`ApplyError::Stage`].
    pub async fn begin(network: &Network, prepared: Arc<Prepared>) -> Result<Self, ApplyError> {
        let manifest = Arc::clone(&prepared.manifest);
        let (slot, staging) = network.authority.ask(move |applier| applier.stage(manifest)).await?;
        let plan = &prepared.plan;
        let mut arriving: HashMap<ContentId, Vec<usize>> = HashMap::new();
        for (index, step) in (plan.copies.len()..).zip(&plan.plains) {
            if step.local.is_none() {
                arriving.entry(step.object.id).or_default().push(index);
            }
        }
        let steps = plan.copies.len() + plan.plains.len();
        let done = std::iter::repeat_with(AtomicBool::default).take(steps).collect();
        let (begun, stopped) = Default::default();
        Ok(Self { prepared, slot, staging, done, arriving, begun, stopped })
    }

    /// Fetches whatever is not here, and writes meanwhile what can be written.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(self, network: &Network) -> Result<Self, FetchError> {
        let ahead = Arc::new(self);
        let stop = Stop(Arc::clone(&ahead));
        let copying = tokio::spawn(Arc::clone(&ahead).take_local());
        network.fetch(&ahead.prepared.plan.wanted(), Some(&ahead)).await?;
        drop(stop);
        copying.await.expect("copying files does not panic");
        Ok(Arc::into_inner(ahead).expect("nobody else has it once all is fetched"))
    }

    /// Writes what `bytes`, the object `id`, is for; waits for the disk.
    pub fn arrived(&self, id: ContentId, bytes: &[u8]) {
        for &index in self.arriving.get(&id).into_iter().flatten() {
            if let Step::Plain(step) = self.step(index) {
                self.note(index, write(step, bytes, &self.staging).map_err(AssembleError::from));
            }
        }
        self.begun.notify_one();
    }

    /// Copies what the installed release has, once anything has arrived.
    pub(super) async fn take_local(self: Arc<Self>) {
        self.begun.notified().await;
        let copying = tokio::task::spawn_blocking(move || {
            let local = |index: &usize| self.step(*index).is_local();
            for index in (0..self.done.len()).filter(local) {
                if self.stopped.load(Ordering::Relaxed) {
                    break;
                }
                let base = self.prepared.base.as_ref();
                self.note(index, take(self.step(index), base, None, &self.staging));
            }
        });
        copying.await.expect("copying files does not panic");
    }

    fn note(&self, index: usize, taken: Result<(), AssembleError>) {
        match taken {
            Ok(()) => self.done[index].store(true, Ordering::Relaxed),
            Err(error) => {
                tracing::debug!(error = %cause(&error), "bytes are not written ahead");
            }
        }
    }

    fn step(&self, index: usize) -> Step<'_> {
        let plan = &self.prepared.plan;
        match index.checked_sub(plan.copies.len()) {
            None => Step::Copy(&plan.copies[index]),
            Some(plain) => Step::Plain(&plan.plains[plain]),
        }
    }

    /// What is not written yet, beside what patches make.
    #[must_use]
    pub fn left(&self) -> Vec<Step<'_>> {
        let left = |index: &usize| !self.done[*index].load(Ordering::Relaxed);
        (0..self.done.len()).filter(left).map(|index| self.step(index)).collect()
    }

    /// What it is made from.
    #[must_use]
    pub const fn prepared(&self) -> &Arc<Prepared> {
        &self.prepared
    }

    /// Where it is written.
    #[must_use]
    pub const fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Compares all with the manifest and makes it a slot, which it names.
    ///
    /// # Errors
    /// As [`Staging::finish`].
    pub fn finish(self) -> Result<SlotName, StageError> {
        self.staging.finish()?;
        Ok(self.slot)
    }
}
