//! What a plan comes to, for people: what is kept, moved, patched and fetched
//! whole, and what each costs.
//!
//! Kept in the home while a plan is carried out and after, so that `explain`
//! can tell of the last one whether the agent runs or not.

use std::collections::{BTreeSet, HashSet};

use manifest::content::ContentId;
use manifest::name::{ReleaseNumber, ReleaseVersion};
use manifest::release::manifest::ReleaseManifest;
use manifest::release::plan::{Plan, Wanted};
use manifest::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::limits::NAMED_DAMAGE;

/// A release as people call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub version: ReleaseVersion,
    /// Its number.
    pub number: ReleaseNumber,
}

/// Some files of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// How many; one that comes from two places counts in both.
    pub files: u64,
    /// Their bytes that come this way.
    pub bytes: u64,
    /// What is fetched for them.
    pub fetched: u64,
}

/// What is fetched of one patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Where it starts from.
    pub from: Named,
    /// Where it leads to.
    pub to: Named,
    /// Delta objects that are used.
    pub deltas: u64,
    /// Their bytes.
    pub fetched: u64,
}

/// What a plan comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// When it was made.
    pub at: UnixTime,
    /// The release that is made.
    pub release: Named,
    /// What it is made from, if anything is installed.
    pub from: Option<Named>,
    /// Files that stay as they are.
    pub kept: Share,
    /// Files that stand elsewhere in the installation.
    pub moved: Share,
    /// Files that are made by patches.
    pub patched: Share,
    /// Of these, archives that are opened and closed again.
    pub opened: u64,
    /// The patches, one behind the other.
    pub patches: Vec<Step>,
    /// Files, or runs of them, that come as plain pieces.
    pub whole: Share,
    /// Bytes of plain pieces that the installation has.
    pub found: u64,
    /// How many installed files were changed by somebody; nothing is made
    /// from them.
    pub damaged: u64,
    /// The first of them.
    pub damaged_paths: Vec<String>,
    /// Bytes of manifests that were fetched to make this plan.
    pub manifests: u64,
    /// All that is fetched.
    pub fetched: u64,
    /// What would be fetched without any patch.
    pub without_patches: u64,
}

/// What an account is made of.
pub(crate) struct Books<'a> {
    pub(crate) at: UnixTime,
    pub(crate) plan: &'a Plan,
    pub(crate) release: &'a ReleaseManifest,
    pub(crate) base: Option<&'a ReleaseManifest>,
    pub(crate) between: &'a [&'a ReleaseManifest],
    pub(crate) damaged: &'a HashSet<u32>,
    pub(crate) manifest_bytes: u64,
    pub(crate) without_patches: u64,
}

fn named(manifest: &ReleaseManifest) -> Named {
    let about = manifest.about();
    Named { version: about.version.clone(), number: about.number }
}

fn distinct(objects: impl Iterator<Item = Wanted>) -> (u64, u64) {
    let mut seen: HashSet<ContentId> = HashSet::new();
    let mut bytes = 0;
    for object in objects {
        if seen.insert(object.id) {
            bytes += object.len;
        }
    }
    (seen.len() as u64, bytes)
}

impl Books<'_> {
    /// Adds up.
    pub(crate) fn account(&self) -> Account {
        let tree = self.release.tree();
        let path = |row: u32| tree.entries()[row as usize].path.as_str();
        let size = |row: u32| tree.entries()[row as usize].file().map_or(0, |(size, _)| size);
        let (mut kept, mut moved) = (Share::default(), Share::default());
        for copy in &self.plan.copies {
            let from =
                self.base.map(|base| base.tree().entries()[copy.from as usize].path.as_str());
            let share = if from == Some(path(copy.to)) { &mut kept } else { &mut moved };
            share.files += 1;
            share.bytes += size(copy.to);
        }
        let mut patched = Share::default();
        let mut opened = 0;
        if let Some(link) = self.plan.links.last() {
            let views = link.views.iter().flat_map(|views| &views.files).map(|(_, row)| *row);
            let views: BTreeSet<u32> = views.collect();
            let mut rows: BTreeSet<u32> = views.clone();
            opened = views.len() as u64;
            patched.bytes += views.iter().map(|row| size(*row)).sum::<u64>();
            for copy in &link.copies {
                rows.insert(copy.to);
                patched.bytes += size(copy.to);
            }
            for (_, part) in link.deltas.iter().flat_map(|step| &step.writes) {
                rows.insert(part.row);
                patched.bytes += if views.contains(&part.row) { 0 } else { u64::from(part.len) };
            }
            patched.files = rows.len() as u64;
        }
        let ends = self.base.into_iter().chain(self.between.iter().copied()).chain([self.release]);
        let ends: Vec<Named> = ends.map(named).collect();
        let patches: Vec<Step> = self
            .plan
            .links
            .iter()
            .zip(ends.windows(2))
            .map(|(link, ends)| {
                let (deltas, fetched) = distinct(link.all_deltas().map(|step| step.object));
                Step { from: ends[0].clone(), to: ends[1].clone(), deltas, fetched }
            })
            .collect();
        patched.fetched = patches.iter().map(|step| step.fetched).sum();
        let mut whole = Share::default();
        let mut rows = BTreeSet::new();
        let mut found = 0;
        for step in &self.plan.plains {
            let bytes: u64 = step.writes.iter().map(|(_, part)| u64::from(part.len)).sum();
            match step.local {
                Some(_) => found += bytes,
                None => {
                    whole.bytes += bytes;
                    rows.extend(step.writes.iter().map(|(_, part)| part.row));
                }
            }
        }
        whole.files = rows.len() as u64;
        let fetched_plains = self.plan.plains.iter().filter(|step| step.local.is_none());
        whole.fetched = distinct(fetched_plains.map(|step| step.object)).1;
        let mut damaged: Vec<&str> = self
            .damaged
            .iter()
            .filter_map(|row| Some(self.base?.tree().entries()[*row as usize].path.as_str()))
            .collect();
        damaged.sort_unstable();
        Account {
            at: self.at,
            release: named(self.release),
            from: self.base.map(named),
            kept,
            moved,
            patched,
            opened,
            patches,
            whole,
            found,
            damaged: damaged.len() as u64,
            damaged_paths: damaged
                .iter()
                .take(NAMED_DAMAGE)
                .map(|path| (*path).to_owned())
                .collect(),
            manifests: self.manifest_bytes,
            fetched: self.plan.wanted_bytes() + self.manifest_bytes,
            without_patches: self.without_patches,
        }
    }
}
