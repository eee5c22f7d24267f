//! Going back: from a release that turned out ill, or because the owner asks.

use std::time::Instant;

use manifest::audit::entry::Actor;
use manifest::audit::event::{Event, Verdict};
use manifest::time::UnixTime;
use store::slots::SlotName;

use super::{Machine, State};
use crate::update::messages::Output;
use crate::update::state::{Errand, InSlot, LastUpdate, Outcome, Purpose};

/// A release on its way out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaving {
    pub(super) slot: SlotName,
    pub(super) to: Option<InSlot>,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) by: Actor,
}

/// Why the owner's rollback is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollBackError {
    /// There is no release to go back to.
    #[error("there is no release to go back to")]
    NoPrevious,
    /// An update is under way.
    #[error("an update is under way ({state})")]
    Busy {
        /// How far it is.
        state: &'static str,
    },
}

impl Machine {
    /// Begins to go back to the release before, because the owner says so.
    ///
    /// # Errors
    /// [`RollBackError`]; nothing has changed then.
    pub fn roll_back_for_owner(&mut self, wall: UnixTime, uid: u32) -> Result<(), RollBackError> {
        if !matches!(self.state, State::Idle { .. } | State::Refreshing) {
            return Err(RollBackError::Busy { state: self.state_name() });
        }
        let (Some(from), Some(to)) = (self.kept.installed.clone(), self.kept.previous.clone())
        else {
            return Err(RollBackError::NoPrevious);
        };
        let (reason, by) = ("the owner asked for it".to_owned(), Actor::Owner { uid });
        self.kept.condemn(from.release(), reason.clone(), wall);
        let errand = Errand {
            release: from.release(),
            purpose: Purpose::OwnerRollback,
            metadata: Default::default(),
            key_ids: Vec::new(),
            expires: None,
            urgent: false,
        };
        let (slot, to, verdict) = (from.slot, Some(to), Verdict::NotDeclared);
        self.resumes = 0;
        self.roll_back(errand, Leaving { slot, to, verdict, reason, by });
        Ok(())
    }

    /// Leaves a release whose probe failed, for what ran before.
    pub(super) fn leave_ill(
        &mut self,
        errand: Errand,
        slot: SlotName,
        verdict: Verdict,
        reason: String,
        wall: UnixTime,
    ) {
        self.kept.condemn(errand.release.clone(), reason.clone(), wall);
        let (to, by) = (self.kept.installed.clone(), Actor::Agent);
        // Counted from here: until now it was the probing that was resumed.
        self.resumes = 0;
        self.roll_back(errand, Leaving { slot, to, verdict, reason, by });
    }

    pub(super) fn roll_back(&mut self, errand: Errand, leaving: Leaving) {
        // Without a release before it there is nothing to name as the target
        // of a switch; the entry then names the release that is left.
        let to = leaving.to.as_ref().map_or_else(|| errand.release.clone(), InSlot::release);
        let entry = Event::Switching {
            from: Some(errand.release.clone()),
            to,
            metadata: errand.metadata,
            key_ids: errand.key_ids.clone(),
            reason: format!("rollback: {}", leaving.reason).into(),
        };
        let by = leaving.by;
        let to = leaving.to.as_ref().map(|to| to.slot.clone());
        self.state = State::RollingBack { errand, leaving, again: None };
        self.keep();
        self.outputs.push_back(Output::Switch { entry, by, to });
    }

    pub(super) fn rolled_back(
        &mut self,
        errand: Errand,
        leaving: Leaving,
        now: Instant,
        wall: UnixTime,
    ) {
        let by = leaving.by;
        let event = Event::RolledBack {
            from: errand.release.clone(),
            to: leaving.to.as_ref().map(InSlot::release),
            verdict: leaving.verdict,
            reason: leaving.reason.as_str().into(),
        };
        self.outputs.push_back(Output::Record { by, event });
        self.kept.installed = leaving.to;
        if errand.purpose == Purpose::OwnerRollback {
            self.kept.previous = None;
        }
        let (release, reason) = (errand.release, Some(leaving.reason));
        let outcome = Outcome::RolledBack;
        self.kept.last_update = Some(LastUpdate { at: wall, release, outcome, reason });
        self.rest(now);
        self.tidy();
    }
}
