//! What the agent remembers of its one installation over a restart.
//!
//! This is `state.json` in the home; docs/agent.md shows it.

use manifest::audit::entry::Actor;
use manifest::audit::event::{MetadataVersions, ReleaseRef, Traffic, Verdict};
use manifest::audit::text::Text;
use manifest::content::ContentId;
use manifest::name::{ReleaseNumber, ReleaseVersion};
use manifest::time::UnixTime;
use manifest::trust::floor::Floors;
use serde::{Deserialize, Serialize};
use store::slots::SlotName;

use crate::limits::{BAD_RELEASES, VERIFIED_PLAN};

/// The first field of every state file.
pub const FORMAT: &str = "updraft-agent-state/1";

/// Everything that is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// [`FORMAT`].
    pub format: String,
    /// The release that runs, if any does.
    pub installed: Option<InSlot>,
    /// The release before it, kept to go back to.
    pub previous: Option<InSlot>,
    /// An update that is not finished.
    pub attempt: Option<Attempt>,
    /// Releases that are never installed by themselves, oldest first.
    pub bad: Vec<Bad>,
    /// The lowest release numbers that may be offered.
    pub floors: Floors,
    /// What came of looking for releases last.
    pub last_check: Option<LastCheck>,
    /// What came of the last update.
    pub last_update: Option<LastUpdate>,
    /// Bytes by source of the update under way or, without one, of the last.
    pub traffic: Traffic,
    /// The release and the reason of the last entry that told why a release
    /// is not installed: the same is not written twice.
    pub told: Option<(ContentId, String)>,
}

/// A release that stands in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InSlot {
    /// Its name to people.
    pub version: ReleaseVersion,
    /// Its place in the product's line of releases.
    pub number: ReleaseNumber,
    /// Its manifest.
    pub manifest: ContentId,
    /// Where it stands.
    pub slot: SlotName,
}

/// An update that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// What it is for.
    pub errand: Errand,
    /// How far it has come.
    pub phase: Phase,
    /// How often it was taken up again after a restart.
    pub resumes: u32,
}

/// What an update is for, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errand {
    /// The release: what shall run, or what is to be left.
    pub release: ReleaseRef,
    /// Why.
    pub purpose: Purpose,
    /// The metadata that vouched for it when it was decided.
    pub metadata: MetadataVersions,
    /// The keys that signed the channel's role.
    pub key_ids: Vec<Text>,
    /// When the first of that metadata ends, if metadata offers the release.
    #[serde(default)]
    pub expires: Option<UnixTime>,
    /// Whether the release closes a hole, and so may be fetched when little
    /// else may.
    #[serde(default)]
    pub urgent: bool,
}

impl Errand {
    /// Whether it may not be switched to any more: a release whose metadata
    /// ended while it was fetched and staged may still be, for a while.
    #[must_use]
    pub fn is_stale(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|end| now > end.after(VERIFIED_PLAN))
    }
}

/// Why something is done with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The channel offers it: it is installed.
    Offered,
    /// Its installed files were damaged: it is installed afresh.
    Repair,
    /// The owner asked for the one before it: it is left.
    OwnerRollback,
}

/// How far an attempt has come, as far as a restart needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase", deny_unknown_fields)]
pub enum Phase {
    /// Nothing but the object store has changed.
    Preparing,
    /// The release is staged; `current` leads to it, or still elsewhere.
    Switching {
        /// Where it stands.
        slot: SlotName,
    },
    /// `current` leads to it; whether it is well is not known.
    Probing {
        /// Where it stands.
        slot: SlotName,
    },
    /// It is being left for what ran before.
    RollingBack {
        /// Where it stands.
        slot: SlotName,
        /// What shall run instead; nothing if it was the first.
        to: Option<InSlot>,
        /// What the probe said.
        verdict: Verdict,
        /// Why.
        reason: String,
        /// Who makes it so.
        by: Actor,
    },
}

/// A release that failed, and is never retried by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bad {
    /// Which.
    pub release: ReleaseRef,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: UnixTime,
}

/// What came of looking for releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastCheck {
    /// When.
    pub at: UnixTime,
    /// Whether anyone could be asked and told the truth.
    pub ok: bool,
    /// What came of it, for people.
    pub outcome: String,
}

/// What came of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastUpdate {
    /// When it ended.
    pub at: UnixTime,
    /// Which release it was for.
    pub release: ReleaseRef,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, if it did not end well.
    pub reason: Option<String>,
}

/// How an update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The release runs.
    Committed,
    /// The release was left again.
    RolledBack,
    /// It never came to a switch.
    Failed,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            format: FORMAT.to_owned(),
            installed: None,
            previous: None,
            attempt: None,
            bad: Vec::new(),
            floors: Floors::default(),
            last_check: None,
            last_update: None,
            traffic: Traffic::default(),
            told: None,
        }
    }
}

impl Remembered {
    /// Why the release is not to be retried, if it is not.
    #[must_use]
    pub fn bad(&self, manifest: ContentId) -> Option<&Bad> {
        self.bad.iter().find(|bad| bad.release.manifest == manifest)
    }

    /// Remembers a release as bad; the oldest is forgotten beyond
    /// [`BAD_RELEASES`].
    pub fn condemn(&mut self, release: ReleaseRef, reason: String, since: UnixTime) {
        self.bad.retain(|bad| bad.release.manifest != release.manifest);
        self.bad.push(Bad { release, reason, since });
        let surplus = self.bad.len().saturating_sub(BAD_RELEASES);
        self.bad.drain(..surplus);
    }

    /// Forgets that a release is bad.
    pub fn pardon(&mut self, manifest: ContentId) {
        self.bad.retain(|bad| bad.release.manifest != manifest);
    }

    /// The number of the release that runs, 0 if none does.
    #[must_use]
    pub fn installed_number(&self) -> ReleaseNumber {
        self.installed.as_ref().map_or(ReleaseNumber(0), |installed| installed.number)
    }
}

impl InSlot {
    /// The release `target` in `slot`.
    #[must_use]
    pub fn new(target: &ReleaseRef, slot: SlotName) -> Self {
        let ReleaseRef { version, number, manifest } = target.clone();
        Self { version, number, manifest, slot }
    }

    /// The release, wherever it stands.
    #[must_use]
    pub fn release(&self) -> ReleaseRef {
        ReleaseRef { version: self.version.clone(), number: self.number, manifest: self.manifest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(number: u64) -> ReleaseRef {
        ReleaseRef {
            version: format!("{number}.0").parse().unwrap(),
            number: ReleaseNumber(number),
            manifest: ContentId::of(&number.to_le_bytes()),
        }
    }

    #[test]
    fn every_phase_comes_back_from_json() {
        let slot: SlotName = "2.0".parse().unwrap();
        let verdict = Verdict::Failed { exit_code: Some(3) };
        for phase in [
            Phase::Preparing,
            Phase::Switching { slot: slot.clone() },
            Phase::Probing { slot: slot.clone() },
            Phase::RollingBack {
                slot: slot.clone(),
                to: Some(InSlot::new(&release(1), slot.clone())),
                verdict,
                reason: "ill".to_owned(),
                by: Actor::Owner { uid: 1000 },
            },
        ] {
            let errand = Errand {
                expires: None,
                release: release(2),
                purpose: Purpose::Offered,
                metadata: MetadataVersions::default(),
                key_ids: vec!["key".into()],
                urgent: true,
            };
            let attempt = Attempt { errand, phase, resumes: 0 };
            let kept = Remembered {
                installed: Some(InSlot::new(&release(1), slot.clone())),
                attempt: Some(attempt),
                ..Remembered::default()
            };
            let text = serde_json::to_string(&kept).unwrap();
            assert_eq!(serde_json::from_str::<Remembered>(&text).unwrap(), kept, "{text}");
        }
    }

    #[test]
    fn bad_releases_are_bounded_and_may_be_pardoned() {
        let mut kept = Remembered::default();
        for number in 0..BAD_RELEASES as u64 + 5 {
            kept.condemn(release(number), "ill".to_owned(), UnixTime::from_seconds(number));
        }
        assert_eq!(kept.bad.len(), BAD_RELEASES);
        assert!(kept.bad(release(0).manifest).is_none());
        let last = release(BAD_RELEASES as u64 + 4).manifest;
        assert!(kept.bad(last).is_some());
        kept.pardon(last);
        assert!(kept.bad(last).is_none());
    }
}
