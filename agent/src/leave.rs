//! What may move now: quiet hours, metered connections and batteries.
//!
//! Each has a rule of the owner's; the strictest of those that apply holds.
//! Values in, a decision out; the reason is for people.

use jiff::Zoned;
use serde::{Deserialize, Serialize};
use swarm::allowance::{Allowance, Rates};

use crate::hours::Hours;

/// What may still move. In this order each lets less through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Moves {
    /// Everything.
    #[default]
    All,
    /// What this machine needs; it gives nothing.
    Download,
    /// Releases that close a hole, slowly; it gives nothing.
    Security,
    /// Nothing but the question whether there is a release.
    Nothing,
}

/// Bytes a second of what closes a hole, where little should move: a small
/// patch in some seconds.
const QUIET_LIMIT: u64 = 50_000;

/// The owner's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// When others need the line.
    pub quiet_hours: Hours,
    /// What moves in those hours.
    pub in_quiet_hours: Moves,
    /// What moves on a connection that is paid by the byte.
    pub on_metered: Moves,
    /// What moves while the machine runs on its battery.
    pub on_battery: Moves,
    /// Bytes a second of what moves though little should.
    pub quiet_limit: u64,
}

/// The rules as they are written; what is not is decided by us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WrittenRules {
    /// `quiet-hours`.
    pub quiet_hours: Option<Hours>,
    /// `in-quiet-hours`.
    pub in_quiet_hours: Option<Moves>,
    /// `on-metered`.
    pub on_metered: Option<Moves>,
    /// `on-battery`.
    pub on_battery: Option<Moves>,
    /// `quiet-limit`, in bytes a second.
    pub quiet_limit: Option<u64>,
}

impl WrittenRules {
    /// What is written here, and where it is silent what `below` says.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        Self {
            quiet_hours: self.quiet_hours.or(below.quiet_hours),
            in_quiet_hours: self.in_quiet_hours.or(below.in_quiet_hours),
            on_metered: self.on_metered.or(below.on_metered),
            on_battery: self.on_battery.or(below.on_battery),
            quiet_limit: self.quiet_limit.or(below.quiet_limit),
        }
    }

    /// The rules, with our own where nothing is written.
    #[must_use]
    pub fn decide(self) -> Rules {
        Rules {
            quiet_hours: self.quiet_hours.unwrap_or_default(),
            in_quiet_hours: self.in_quiet_hours.unwrap_or(Moves::Nothing),
            on_metered: self.on_metered.unwrap_or(Moves::Security),
            on_battery: self.on_battery.unwrap_or(Moves::Download),
            quiet_limit: self.quiet_limit.unwrap_or(QUIET_LIMIT),
        }
    }
}

/// What the machine tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Whether the connection is paid by the byte.
    pub metered: bool,
    /// Whether it runs on its battery.
    pub battery: bool,
}

/// What may move now, and why no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leave {
    /// What may.
    pub moves: Moves,
    /// Bytes a second of it, if there is a limit.
    pub limit: Option<u64>,
    /// Why no more may.
    pub why: Option<String>,
}

impl Rules {
    /// What may move at `now`.
    #[must_use]
    pub fn leave(&self, now: &Zoned, surroundings: Surroundings) -> Leave {
        let quiet = self.quiet_hours.end(now);
        let until = quiet.map(|end| {
            let form = if end.date() == now.date() { "%H:%M" } else { "%A %H:%M" };
            format!("quiet hours until {}", end.strftime(form))
        });
        let apply = [
            until.map(|why| (self.in_quiet_hours, why)),
            surroundings
                .metered
                .then(|| (self.on_metered, "the connection is paid by the byte".to_owned())),
            surroundings
                .battery
                .then(|| (self.on_battery, "the machine runs on its battery".to_owned())),
        ];
        let apply = apply.into_iter().flatten().filter(|(moves, _)| *moves > Moves::All);
        // Of equal rules the first is told.
        match apply.rev().max_by_key(|(moves, _)| *moves) {
            None => Leave::default(),
            Some((moves, why)) => {
                let limit = (moves == Moves::Security).then_some(self.quiet_limit);
                Leave { moves, limit, why: Some(why) }
            }
        }
    }
}

impl Leave {
    /// Whether a release may be fetched; `urgent` if it closes a hole.
    #[must_use]
    pub fn lets_fetch(&self, urgent: bool) -> bool {
        match self.moves {
            Moves::All | Moves::Download => true,
            Moves::Security => urgent,
            Moves::Nothing => false,
        }
    }

    /// What is left of the owner's limits.
    #[must_use]
    pub fn of(&self, limits: Allowance, urgent: bool) -> Allowance {
        let left = match self.moves {
            Moves::All => Rates::default(),
            Moves::Download => Rates { up: Some(0), down: None },
            Moves::Security if urgent => Rates { up: Some(0), down: self.limit },
            Moves::Security | Moves::Nothing => Rates::NOTHING,
        };
        Allowance { all: limits.all.and(left), far: limits.far }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::*;

    fn rules(in_quiet_hours: Moves) -> Rules {
        Rules {
            quiet_hours: vec!["Mo-Fr 08:00-18:00".to_owned()].try_into().unwrap(),
            in_quiet_hours,
            on_metered: Moves::Security,
            on_battery: Moves::Download,
            quiet_limit: 50_000,
        }
    }

    fn monday(hour: i8) -> Zoned {
        date(2026, 11, 2).at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap()
    }

    const PLUGGED: Surroundings = Surroundings { metered: false, battery: false };

    #[test]
    fn nothing_moves_in_quiet_hours_and_everything_afterwards() {
        let rules = rules(Moves::Nothing);
        let leave = rules.leave(&monday(9), PLUGGED);
        assert_eq!(leave.why.as_deref(), Some("quiet hours until 18:00"));
        assert!(!leave.lets_fetch(false) && !leave.lets_fetch(true));
        assert_eq!(leave.of(Allowance::default(), true).all, Rates::NOTHING);
        let leave = rules.leave(&monday(18), PLUGGED);
        assert_eq!(leave, Leave::default());
        assert_eq!(leave.of(Allowance::default(), false), Allowance::default());
    }

    #[test]
    fn what_closes_a_hole_may_come_slowly() {
        let leave = rules(Moves::Security).leave(&monday(9), PLUGGED);
        assert!(leave.lets_fetch(true) && !leave.lets_fetch(false));
        let slow = Rates { up: Some(0), down: Some(50_000) };
        assert_eq!(leave.of(Allowance::default(), true).all, slow);
        assert_eq!(leave.of(Allowance::default(), false).all, Rates::NOTHING);
    }

    #[test]
    fn the_strictest_rule_holds_and_is_told() {
        let rules = rules(Moves::Nothing);
        let both = Surroundings { metered: true, battery: true };
        let leave = rules.leave(&monday(20), both);
        assert_eq!(leave.moves, Moves::Security);
        assert!(leave.why.unwrap().contains("by the byte"));
        let leave = rules.leave(&monday(9), both);
        assert!(leave.why.unwrap().contains("quiet hours"));
        let battery = Surroundings { metered: false, battery: true };
        let leave = rules.leave(&monday(20), battery);
        assert!(leave.lets_fetch(false));
        let limits = Allowance {
            all: Rates { up: Some(9), down: Some(7) },
            far: Rates { up: Some(5), down: None },
        };
        let left = leave.of(limits, false);
        assert_eq!(left.all, Rates { up: Some(0), down: Some(7) });
        assert_eq!(left.far, limits.far);
    }

    #[test]
    fn an_end_on_another_day_names_the_day() {
        let mut rules = rules(Moves::Nothing);
        rules.quiet_hours = vec!["Mo 20:00-06:00".to_owned()].try_into().unwrap();
        let leave = rules.leave(&monday(21), PLUGGED);
        assert_eq!(leave.why.as_deref(), Some("quiet hours until Tuesday 06:00"));
    }
}
