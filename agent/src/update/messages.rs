//! What the update machine is told, and what it has done.

use manifest::audit::entry::Actor;
use manifest::audit::event::{Event, ReleaseRef, Traffic, Verdict};
use store::slots::SlotName;

use crate::update::decision::Decision;
use crate::update::state::{InSlot, Remembered};

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The deadline has passed.
    Tick,
    /// Somebody asks to look for releases now.
    Check,
    /// What trusted metadata says is to be done; the answer to
    /// [`Output::Refresh`] and [`Output::Look`], or unasked when an announcement
    /// was verified.
    Decided(Decision),
    /// [`Output::Look`] brought no answer.
    Unchanged,
    /// The plan stands; so many bytes are to be fetched.
    Planned {
        /// How many.
        wire_bytes: u64,
    },
    /// Every object of the plan is here.
    Fetched,
    /// The release is whole in a slot.
    Staged {
        /// Which slot.
        slot: SlotName,
        /// Where its bytes came from.
        traffic: Traffic,
    },
    /// `current` leads to the new release.
    Switched,
    /// The probe ended.
    Probed {
        /// How.
        verdict: Verdict,
        /// What it wrote at the end, if that explains a failure.
        detail: String,
    },
    /// `current` leads to what ran before, or is gone.
    RolledBack,
    /// What was being done failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// Installed files differ from the manifest.
    Damaged,
}

/// What the driver is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Make this durable before going on.
    Keep(Box<Remembered>),
    /// Write this entry, durably.
    Record {
        /// Who made it happen.
        by: Actor,
        /// What happened.
        event: Event,
    },
    /// Bring trusted metadata up to date, and say what follows.
    Refresh,
    /// The same beside the job under way, which goes on meanwhile.
    Look,
    /// Plan how to come by this release, on the base of what is installed.
    Plan {
        /// The release.
        release: ReleaseRef,
        /// What is installed, if anything is.
        base: Option<InSlot>,
    },
    /// Fetch the objects of the plan.
    Fetch,
    /// Stage the release.
    Stage,
    /// Write the entry durably, then make `slot` the one that runs.
    Switch {
        /// The entry.
        entry: Event,
        /// Who made it happen.
        by: Actor,
        /// The slot; none removes `current`.
        to: Option<SlotName>,
    },
    /// Probe the release that was switched to.
    Probe(InSlot),
    /// Nothing of the update under way is needed any more, nor what any job for
    /// it would bring; what was staged for it is removed.
    Discard,
    /// Remove every slot but these.
    Prune {
        /// The slots that stay.
        keep: Vec<SlotName>,
    },
}
