//! The update: what to do next, and what to do when it fails.
//!
//! ```text
//!  start ─▶ idle ──────── time, check ───────▶ refreshing
//!            ▲  ▲ ▲ ▲                           │  │
//!            │  │ │ └──── nothing to do, failed ┘  │ a release to install
//!            │  │ │                                ▼
//!            │  │ └───── failed ◀─────────────── planning ◀── damage found, restart,
//!            │  │         ▲  ▲                     │ planned    another is wanted
//!            │  │         │  └──────────────── transferring
//!            │  │         │                        │ every object is here
//!            │  │         └─────────────────────  staging
//!            │  │                                  │ whole on disk, verified
//!            │  │                               switching ⟲ failed: again
//!            │  │                                  │ `current` leads to it
//!            │  └── committed ◀── well ─────────  probing ⟲ not run: again
//!            │                                     │ ill, or no answer in time
//!            └──── rolled back ◀───────────── rolling back ⟲ failed: again
//!                                                  ▲
//!                                   the owner ─────┘
//! ```
//!
//! Promises that a release which failed is not retried by itself, that what
//! must survive a restart is kept before it is acted upon, and that the entry
//! of a switch is handed out with the switch. Knows no clock, disk or network:
//! a driver does what the outputs say and hands in what came of it.

mod leaving;
mod turning;

use std::collections::VecDeque;
use std::time::Instant;

use manifest::audit::entry::Actor;
use manifest::audit::event::{Event, ReleaseRef, Traffic, Verdict};
use manifest::time::UnixTime;
use store::slots::SlotName;

use self::leaving::Leaving;
pub use self::leaving::RollBackError;
use crate::limits::{PROBE_RESUMES, RESUMES, SWITCH_TRIES};
use crate::update::decision::Decision;
use crate::update::messages::{Input, Output};
use crate::update::schedule::Schedule;
use crate::update::state::{
    Attempt, Errand, InSlot, LastCheck, LastUpdate, Outcome, Phase, Purpose, Remembered,
};

/// The update machine of one installation.
///
/// Feed it with [`Machine::handle`], then call [`Machine::poll`] until it
/// returns `None`, doing each output before the next.
#[derive(Debug)]
pub struct Machine {
    state: State,
    kept: Remembered,
    schedule: Schedule,
    outputs: VecDeque<Output>,
    /// Something new was heard of while an update was under way.
    look_again: bool,
    /// When something newer is looked for beside a release that is planned or
    /// fetched, and whether that is being done.
    look_at: Option<Instant>,
    looking: bool,
    /// How often the phase under way was taken up again after a restart.
    resumes: u32,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Idle { until: Instant },
    Refreshing,
    Planning(Errand),
    Transferring(Errand),
    Staging(Errand),
    Switching { errand: Errand, slot: SlotName, failures: u32, again: Option<Instant> },
    Probing { errand: Errand, slot: SlotName, again: Option<Instant> },
    RollingBack { errand: Errand, leaving: Leaving, again: Option<Instant> },
}

impl Machine {
    /// Goes on from what is remembered; `current` is the slot that `current`
    /// leads to.
    #[must_use]
    pub fn start(
        mut kept: Remembered,
        current: Option<&SlotName>,
        schedule: Schedule,
        now: Instant,
        wall: UnixTime,
    ) -> Self {
        let attempt = kept.attempt.take();
        let state = State::Idle { until: now };
        let (outputs, look_again, looking) = Default::default();
        let (look_at, resumes) = (None, 0);
        let mut machine =
            Self { state, kept, schedule, outputs, look_again, look_at, looking, resumes };
        if let Some(attempt) = attempt {
            machine.resume(attempt, current, now, wall);
        }
        machine
    }

    fn resume(
        &mut self,
        attempt: Attempt,
        current: Option<&SlotName>,
        now: Instant,
        wall: UnixTime,
    ) {
        let Attempt { errand, phase, resumes } = attempt;
        let resumes = resumes + 1;
        self.resumes = resumes;
        let found = match &phase {
            Phase::Preparing => "preparing",
            Phase::Switching { .. } => "switching",
            Phase::Probing { .. } => "probing",
            Phase::RollingBack { .. } => "rolling back",
        };
        let release = self.kept.installed.as_ref().map(InSlot::release);
        self.record(Event::Recovered { found: found.into(), release });
        match phase {
            Phase::Preparing if resumes > RESUMES => {
                // The release may not be to blame, and nothing has changed:
                // it is tried again after a while.
                let reason = format!("the agent was stopped {resumes} times while preparing it");
                self.state = State::Planning(errand);
                self.give_up(reason, now, wall);
            }
            Phase::Preparing => self.plan(errand, now),
            Phase::Switching { slot } if current == Some(&slot) => self.probe(errand, slot),
            Phase::Switching { slot } => self.switch(errand, slot, 0),
            Phase::Probing { slot } if resumes > PROBE_RESUMES => {
                let reason = format!("the agent was stopped {resumes} times while it was probed");
                let verdict = Verdict::NotStarted { reason: reason.as_str().into() };
                self.leave_ill(errand, slot, verdict, reason, wall);
            }
            Phase::Probing { slot } => self.probe(errand, slot),
            Phase::RollingBack { slot, to, verdict, reason, by } => {
                self.roll_back(errand, Leaving { slot, to, verdict, reason, by });
            }
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, wall: UnixTime, input: Input) {
        let state = std::mem::replace(&mut self.state, State::Refreshing);
        match (state, input) {
            (State::Idle { until }, Input::Tick) if now < until => {
                self.state = State::Idle { until };
            }
            (State::Idle { .. }, Input::Tick | Input::Check) => self.refresh(),
            (State::Idle { .. } | State::Refreshing, Input::Decided(decision)) => {
                self.decided(decision, now, wall);
            }
            (State::Refreshing, Input::Failed { reason }) => {
                let check = LastCheck { at: wall, ok: false, outcome: reason };
                self.kept.last_check = Some(check);
                self.state = State::Idle { until: now + self.schedule.after_failure() };
                self.keep();
            }
            (State::Idle { until }, Input::Damaged) => self.repair(until, now),

            (State::Planning(errand), Input::Planned { wire_bytes }) => {
                self.record(Event::Began {
                    from: self.installed(),
                    to: errand.release.clone(),
                    metadata: errand.metadata,
                    wire_bytes,
                });
                self.outputs.push_back(Output::Fetch);
                self.state = State::Transferring(errand);
            }
            (State::Transferring(errand), Input::Fetched) => {
                self.outputs.push_back(Output::Stage);
                self.state = State::Staging(errand);
            }
            (State::Staging(errand), Input::Staged { .. }) if errand.is_stale(wall) => {
                let reason = "what vouched for it ended over a day ago".to_owned();
                self.state = State::Staging(errand);
                self.give_up(reason, now, wall);
            }
            (State::Staging(errand), Input::Staged { slot, traffic }) => {
                self.kept.traffic = traffic.clone();
                let (from, to) = (self.installed(), errand.release.clone());
                self.record(Event::Staged { from, to, traffic });
                self.resumes = 0;
                self.switch(errand, slot, 0);
            }
            (
                state @ (State::Planning(_) | State::Transferring(_) | State::Staging(_)),
                Input::Failed { reason },
            ) => {
                self.state = state;
                self.give_up(reason, now, wall);
            }

            (State::Switching { errand, slot, .. }, Input::Switched) => {
                self.resumes = 0;
                self.probe(errand, slot);
            }
            (State::Switching { errand, slot, failures, .. }, Input::Failed { reason }) => {
                let failures = failures + 1;
                if failures >= SWITCH_TRIES {
                    // The switch may have happened and its sync not: only a
                    // switch back makes sure of what runs.
                    let verdict = Verdict::NotStarted { reason: "it was not switched to".into() };
                    let reason = format!("cannot switch to it: {reason}");
                    let to = self.kept.installed.clone();
                    let by = Actor::Agent;
                    self.roll_back(errand, Leaving { slot, to, verdict, reason, by });
                } else {
                    let again = Some(now + self.schedule.after_failure());
                    self.state = State::Switching { errand, slot, failures, again };
                }
            }
            (State::Switching { errand, slot, failures, again: Some(at) }, Input::Tick)
                if now >= at =>
            {
                self.switch(errand, slot, failures);
            }

            (State::Probing { errand, slot, .. }, Input::Failed { .. }) => {
                // The probe was not run: that says nothing of the release.
                let again = Some(now + self.schedule.after_failure());
                self.state = State::Probing { errand, slot, again };
            }
            (State::Probing { errand, slot, again: Some(at) }, Input::Tick) if now >= at => {
                self.probe(errand, slot);
            }
            (State::Probing { errand, slot, .. }, Input::Probed { verdict, detail }) => {
                let well = matches!(verdict, Verdict::Passed { .. } | Verdict::NotDeclared);
                // A repaired release is the one that ran, byte for byte: what
                // stood there before it was damaged.
                if well || errand.purpose == Purpose::Repair {
                    self.commit(errand, slot, verdict, now, wall);
                } else {
                    let reason = match detail.is_empty() {
                        true => verdict.to_string(),
                        false => format!("{verdict}: {detail}"),
                    };
                    self.leave_ill(errand, slot, verdict, reason, wall);
                }
            }

            (State::RollingBack { errand, leaving, .. }, Input::RolledBack) => {
                self.rolled_back(errand, leaving, now, wall);
            }
            (State::RollingBack { errand, leaving, .. }, Input::Failed { .. }) => {
                // There is nothing better to do than to try for ever.
                let again = Some(now + self.schedule.after_failure());
                self.state = State::RollingBack { errand, leaving, again };
            }
            (State::RollingBack { errand, leaving, again: Some(at) }, Input::Tick) if now >= at => {
                self.roll_back(errand, leaving);
            }

            (state @ (State::Planning(_) | State::Transferring(_)), Input::Decided(decision)) => {
                self.decided_meanwhile(state, decision, now, wall)
            }
            (state @ (State::Planning(_) | State::Transferring(_)), Input::Check) => {
                self.state = state;
                self.look_beside(now);
            }
            (state @ (State::Planning(_) | State::Transferring(_)), Input::Tick) => {
                self.state = state;
                if self.look_at.is_some_and(|at| now >= at) {
                    self.look_beside(now);
                }
            }
            (state, Input::Unchanged) => {
                self.looking = false;
                self.state = state;
            }

            (state, Input::Check | Input::Decided(_)) => {
                // What is on the disk already is finished first.
                self.look_again |= !matches!(state, State::Refreshing);
                self.state = state;
            }
            // An answer to what is no longer asked.
            (state, _) => self.state = state,
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due, if it is.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle { until } => Some(*until),
            State::Planning(_) | State::Transferring(_) => self.look_at,
            State::Switching { again, .. }
            | State::Probing { again, .. }
            | State::RollingBack { again, .. } => *again,
            State::Refreshing | State::Staging(_) => None,
        }
    }

    /// What is remembered, as it would be kept now.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        let mut kept = self.kept.clone();
        kept.attempt = self.attempt();
        kept
    }

    /// The state's name, for people and for `status --json`.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match &self.state {
            State::Idle { .. } => "idle",
            State::Refreshing => "refreshing",
            State::Planning(_) => "planning",
            State::Transferring(_) => "transferring",
            State::Staging(_) => "staging",
            State::Switching { .. } => "switching",
            State::Probing { .. } => "probing",
            State::RollingBack { .. } => "rolling-back",
        }
    }

    /// The release that an update under way is for.
    #[must_use]
    pub const fn under_way(&self) -> Option<&ReleaseRef> {
        match &self.state {
            State::Idle { .. } | State::Refreshing => None,
            State::Planning(errand) | State::Transferring(errand) | State::Staging(errand) => {
                Some(&errand.release)
            }
            State::Switching { errand, .. }
            | State::Probing { errand, .. }
            | State::RollingBack { errand, .. } => Some(&errand.release),
        }
    }

    /// Whether the release that is fetched closes a hole.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        match &self.state {
            State::Planning(errand) | State::Transferring(errand) => errand.urgent,
            _ => false,
        }
    }

    /// Changes the floors, which are kept with the rest.
    pub fn set_floors(&mut self, floors: manifest::trust::floor::Floors) {
        self.kept.floors = floors;
        self.keep();
    }

    /// Forgets which releases are bad, because the owner says so.
    pub fn pardon_all(&mut self) {
        self.kept.bad.clear();
        self.kept.told = None;
        self.keep();
    }

    fn refresh(&mut self) {
        self.outputs.push_back(Output::Refresh);
        self.state = State::Refreshing;
    }

    fn decided(&mut self, decision: Decision, now: Instant, wall: UnixTime) {
        let outcome = match &decision {
            Decision::Install(offer) => format!("{} is to be installed", offer.release),
            Decision::UpToDate => "up to date".to_owned(),
            Decision::NothingOffered => "the channel offers no release".to_owned(),
            Decision::Withheld { release, reason } => {
                format!("{release} is not installed: {reason}")
            }
        };
        self.kept.last_check = Some(LastCheck { at: wall, ok: true, outcome });
        match decision {
            Decision::Install(offer) => {
                self.kept.traffic = Traffic::default();
                self.resumes = 0;
                self.plan(offer.errand(Purpose::Offered), now);
            }
            Decision::Withheld { release, reason } => {
                let told = Some((release.manifest, reason.clone()));
                if self.kept.told != told {
                    self.kept.told = told;
                    let (from, reason) = (self.installed(), reason.into());
                    self.record(Event::Deferred { from, to: release, reason });
                }
                self.rest(now);
            }
            Decision::UpToDate | Decision::NothingOffered => self.rest(now),
        }
    }

    /// Rests until the next look, or looks at once if something new was heard.
    fn rest(&mut self, now: Instant) {
        let wait = self.schedule.after_success();
        let until = if std::mem::take(&mut self.look_again) { now } else { now + wait };
        self.state = State::Idle { until };
        self.keep();
    }

    fn plan(&mut self, errand: Errand, now: Instant) {
        self.look_at = Some(now + self.schedule.meanwhile());
        self.looking = false;
        let (release, base) = (errand.release.clone(), self.kept.installed.clone());
        self.state = State::Planning(errand);
        self.keep();
        self.outputs.push_back(Output::Plan { release, base });
    }

    fn repair(&mut self, until: Instant, now: Instant) {
        let Some(installed) = &self.kept.installed else {
            self.state = State::Idle { until };
            return;
        };
        let errand = Errand {
            release: installed.release(),
            purpose: Purpose::Repair,
            metadata: Default::default(),
            key_ids: Vec::new(),
            expires: None,
            urgent: false,
        };
        self.kept.traffic = Traffic::default();
        self.resumes = 0;
        self.plan(errand, now);
    }

    fn give_up(&mut self, reason: String, now: Instant, wall: UnixTime) {
        self.leave_off(reason, wall);
        self.state = State::Idle { until: now + self.schedule.after_failure() };
        self.look_again = false;
        self.keep();
        self.outputs.push_back(Output::Discard);
    }

    /// Tells of an update that is not finished.
    fn leave_off(&mut self, reason: String, wall: UnixTime) {
        let during = self.state_name();
        let release = self.under_way().expect("only an update is given up").clone();
        let event = Event::Failed {
            to: release.clone(),
            during: during.into(),
            reason: reason.as_str().into(),
        };
        self.record(event);
        let reason = Some(format!("{during}: {reason}"));
        let outcome = Outcome::Failed;
        self.kept.last_update = Some(LastUpdate { at: wall, release, outcome, reason });
    }

    fn switch(&mut self, errand: Errand, slot: SlotName, failures: u32) {
        let entry = Event::Switching {
            from: self.installed(),
            to: errand.release.clone(),
            metadata: errand.metadata,
            key_ids: errand.key_ids.clone(),
            reason: match errand.purpose {
                Purpose::Repair => "installed files were damaged",
                Purpose::Offered | Purpose::OwnerRollback => "offered by the channel",
            }
            .into(),
        };
        let to = Some(slot.clone());
        self.state = State::Switching { errand, slot, failures, again: None };
        self.keep();
        self.outputs.push_back(Output::Switch { entry, by: Actor::Agent, to });
    }

    fn probe(&mut self, errand: Errand, slot: SlotName) {
        let probed = InSlot::new(&errand.release, slot.clone());
        self.state = State::Probing { errand, slot, again: None };
        self.keep();
        self.outputs.push_back(Output::Probe(probed));
    }

    fn commit(
        &mut self,
        errand: Errand,
        slot: SlotName,
        verdict: Verdict,
        now: Instant,
        wall: UnixTime,
    ) {
        let from = self.installed();
        // The entry first: the log may tell twice of what happened once, but
        // must not leave it out.
        self.record(Event::Committed { from, to: errand.release.clone(), verdict });
        let new = InSlot::new(&errand.release, slot);
        let old = self.kept.installed.replace(new);
        if errand.purpose != Purpose::Repair {
            self.kept.previous = old;
            if let Some(check) = &mut self.kept.last_check {
                check.outcome = format!("{} was installed", errand.release);
            }
        }
        let (release, outcome) = (errand.release, Outcome::Committed);
        self.kept.last_update = Some(LastUpdate { at: wall, release, outcome, reason: None });
        self.rest(now);
        self.tidy();
    }

    fn tidy(&mut self) {
        let stay = [&self.kept.installed, &self.kept.previous];
        let keep = stay.into_iter().flatten().map(|stay| stay.slot.clone()).collect();
        self.outputs.push_back(Output::Discard);
        self.outputs.push_back(Output::Prune { keep });
    }

    fn installed(&self) -> Option<ReleaseRef> {
        self.kept.installed.as_ref().map(InSlot::release)
    }

    fn record(&mut self, event: Event) {
        self.outputs.push_back(Output::Record { by: Actor::Agent, event });
    }

    fn attempt(&self) -> Option<Attempt> {
        let (errand, phase) = match &self.state {
            State::Idle { .. } | State::Refreshing => return None,
            State::Planning(errand) | State::Transferring(errand) | State::Staging(errand) => {
                (errand, Phase::Preparing)
            }
            State::Switching { errand, slot, .. } => {
                (errand, Phase::Switching { slot: slot.clone() })
            }
            State::Probing { errand, slot, .. } => (errand, Phase::Probing { slot: slot.clone() }),
            State::RollingBack { errand, leaving, .. } => {
                let Leaving { slot, to, verdict, reason, by } = leaving.clone();
                (errand, Phase::RollingBack { slot, to, verdict, reason, by })
            }
        };
        Some(Attempt { errand: errand.clone(), phase, resumes: self.resumes })
    }

    fn keep(&mut self) {
        self.outputs.push_back(Output::Keep(Box::new(self.remembered())));
    }
}
