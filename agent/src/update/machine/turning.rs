//! What is heard while a release is planned or fetched: it may not be the one
//! that is wanted any more.
//!
//! A release can wait for hours until it may be fetched, and be fetched for
//! hours over a thin line. A newer one, one that closes a hole, or the vendor's
//! word that nothing is offered must not wait behind it. Objects that are whole
//! stay for the other release, if it needs them too.

use std::time::Instant;

use manifest::time::UnixTime;

use super::{Machine, State};
use crate::update::decision::Decision;
use crate::update::messages::Output;
use crate::update::state::Purpose;

impl Machine {
    /// Looks for something newer beside what is under way, unless that is being
    /// done.
    pub(super) fn look_beside(&mut self, now: Instant) {
        self.look_at = Some(now + self.schedule.meanwhile());
        if !std::mem::replace(&mut self.looking, true) {
            self.outputs.push_back(Output::Look);
        }
    }

    /// Takes what metadata says now, with a release in `state` that is planned
    /// or fetched: goes on, or turns to what is wanted instead.
    pub(super) fn decided_meanwhile(
        &mut self,
        state: State,
        decision: Decision,
        now: Instant,
        wall: UnixTime,
    ) {
        self.looking = false;
        self.state = state;
        let (State::Planning(errand) | State::Transferring(errand)) = &mut self.state else {
            unreachable!("the caller has looked");
        };
        match &decision {
            _ if errand.purpose != Purpose::Offered => {
                // The installed files are made whole first.
                self.look_again = true;
                return;
            }
            Decision::Install(offer) if offer.release == errand.release => {
                errand.urgent = offer.urgent;
                return;
            }
            _ => {}
        }
        let instead = match &decision {
            Decision::Install(offer) => format!("{} is offered instead", offer.release),
            Decision::UpToDate | Decision::NothingOffered | Decision::Withheld { .. } => {
                "it is not offered any more".to_owned()
            }
        };
        // Nothing has failed: the next failure waits no longer for it.
        self.leave_off(instead, wall);
        self.outputs.push_back(Output::Discard);
        self.decided(decision, now, wall);
    }
}
