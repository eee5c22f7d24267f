//! How much of the line is left to others who use this machine.
//!
//! Told from time to time what passed over the machine's line and what of it
//! was ours. The rest is somebody else's: as soon as it is more than noise, we
//! fall to a trickle, before whoever it is notices us. While it lasts we try
//! now and then whether more of ours takes anything from it; once it is over
//! we come back step by step. Knows nothing of peers and blocks, and nothing of
//! other machines behind the same router.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::allowance::Rates;

/// Somebody else's bytes a second that are nobody's download: questions of
/// programs, names looked up, keepalives.
const NOISE: f64 = 24_000.0;
/// The share of the line that somebody else may seem to have by mistake:
/// headers are a guess.
const MISTAKE: f64 = 0.12;
/// Bytes of ours that may be on the line and not be counted as ours, or the
/// other way round: what waits for a lost one before it, or to be read or sent.
const UNDER_WAY: f64 = 64_000.0;
/// For how many seconds what we send may be on the line before it is
/// acknowledged, and counted.
const ACKNOWLEDGED_AFTER: f64 = 0.25;
/// Over what time they may have become so many.
const RECENTLY: Duration = Duration::from_secs(3);
/// Whoever moves less is in nobody's way.
const IDLE: f64 = 1_000.0;
/// Whoever has moved less for a while has nothing to move.
const DONE: f64 = 100.0;
/// What moves while somebody else uses the line: enough to stay in touch.
const TRICKLE: f64 = 24_000.0;
/// The part of what once moved that still moves, if that is more.
const TRICKLE_SHARE: f64 = 0.02;
/// The part of what was sent that is still sent while somebody else receives.
const COMPANION_SHARE: f64 = 0.1;
/// Over what time somebody else's bytes are looked at, received and sent: what
/// we send is counted some time before it is on the line.
const GLANCE: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1_000)];
/// How long nobody else must have used the line before we come back.
const CALM: Duration = Duration::from_millis(800);
/// How often we take a step back towards what we had.
const STEP: Duration = Duration::from_millis(200);
/// How much further each step goes.
const GROWTH: f64 = 1.5;
/// How long somebody is left alone before we try to move more beside them.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest such wait; it doubles when a try took something from them.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// How long a try lasts.
const TRY: Duration = Duration::from_millis(1_500);
/// The most that is remembered is of this and the time before: lines change.
const MEMORY: Duration = Duration::from_secs(300);
/// Readings that are kept.
const MOST_READINGS: usize = 128;

/// Bytes that passed since some time in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
}

/// What counters said at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// What has passed over the machine's line.
    pub line: Passed,
    /// What of it was ours, headers included.
    pub own: Passed,
}

/// Decides how much we may move.
#[derive(Debug)]
pub struct Courtesy {
    down: Lane,
    up: Lane,
    last: Option<Reading>,
}

impl Default for Courtesy {
    fn default() -> Self {
        Self {
            down: Lane::new(GLANCE[0], 0.0),
            up: Lane::new(GLANCE[1], ACKNOWLEDGED_AFTER),
            last: None,
        }
    }
}

impl Courtesy {
    /// Takes note of what the counters say.
    pub fn observe(&mut self, reading: Reading) {
        let Some(last) = self.last.replace(reading) else { return };
        let time = (last.at, reading.at);
        if time.1 <= time.0 {
            return;
        }
        // A counter that went back belongs to another interface.
        let since = |new: u64, old: u64| new.saturating_sub(old) as f64;
        let of = |counter: fn(&Passed) -> u64| {
            let line = since(counter(&reading.line), counter(&last.line));
            (line, since(counter(&reading.own), counter(&last.own)))
        };
        let (line, ours) = of(|passed| passed.received);
        self.down.observe(time, line, ours);
        let (line, ours) = of(|passed| passed.sent);
        self.up.observe(time, line, ours);
    }

    /// What we may move, in bytes a second.
    #[must_use]
    pub fn rates(&self) -> Rates {
        let whole = |rate: f64| rate as u64;
        let down = self.down.allowed();
        let mut up = self.up.allowed();
        if self.down.yields() {
            // Their acknowledgements wait behind what we send.
            let beside = (self.up.most() * COMPANION_SHARE).max(TRICKLE);
            up = Some(up.map_or(beside, |up| up.min(beside)));
        }
        Rates { up: up.map(whole), down: down.map(whole) }
    }

    /// Whether somebody else uses the line.
    #[must_use]
    pub fn yields(&self) -> bool {
        self.down.yields() || self.up.yields()
    }

    /// What somebody else moves, in bytes a second, as far as it is known.
    #[must_use]
    pub const fn others(&self) -> Passed {
        Passed { received: self.down.foreign as u64, sent: self.up.foreign as u64 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    /// What was somebody else's since the beginning; now and then less than
    /// before, when ours is counted late.
    foreign: f64,
    ours: f64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nobody else is there.
    Free,
    /// Somebody is.
    Yielding {
        allowed: f64,
        /// What they moved when we last moved a trickle beside them.
        level: f64,
        /// Since when nothing was seen of them.
        calm: Option<Instant>,
        /// How long they are left alone.
        wait: Duration,
        /// When to try to move more.
        next_try: Instant,
        /// Before a try: when it began, and what they moved and we might.
        trying: Option<(Instant, f64, f64)>,
    },
    /// They have gone.
    Returning { allowed: f64, next: Instant },
}

/// The sample at which least was somebody else's.
fn least<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<Sample> {
    samples.copied().min_by(|a, b| a.foreign.total_cmp(&b.foreign))
}

/// One direction.
#[derive(Debug)]
struct Lane {
    glance: Duration,
    /// By how many seconds ours is counted late.
    delay: f64,
    samples: VecDeque<Sample>,
    state: State,
    /// What somebody else moves, in bytes a second.
    foreign: f64,
    /// What we moved over the last second or so.
    pace: f64,
    /// The most that we moved, in this time and the time before.
    most: [f64; 2],
    aged: Option<Instant>,
}

impl Lane {
    const fn new(glance: Duration, delay: f64) -> Self {
        Self {
            glance,
            delay,
            samples: VecDeque::new(),
            state: State::Free,
            foreign: 0.0,
            pace: 0.0,
            most: [0.0; 2],
            aged: None,
        }
    }

    fn most(&self) -> f64 {
        self.most[0].max(self.most[1])
    }

    fn trickle(&self) -> f64 {
        (self.most() * TRICKLE_SHARE).max(TRICKLE)
    }

    const fn yields(&self) -> bool {
        matches!(self.state, State::Yielding { .. })
    }

    const fn allowed(&self) -> Option<f64> {
        match self.state {
            State::Free => None,
            State::Yielding { allowed, .. } | State::Returning { allowed, .. } => Some(allowed),
        }
    }

    fn observe(&mut self, (then, now): (Instant, Instant), line: f64, ours: f64) {
        let first = Sample { at: then, foreign: 0.0, ours: 0.0 };
        if self.samples.is_empty() {
            self.samples.push_back(first);
        }
        let last = *self.samples.back().unwrap_or(&first);
        let foreign = last.foreign + line - ours;
        self.samples.push_back(Sample { at: now, foreign, ours: last.ours + ours });
        // One sample beyond stays, to compare with.
        while self.samples.len() > MOST_READINGS
            || self.samples.get(1).is_some_and(|second| second.at + RECENTLY < now)
        {
            self.samples.pop_front();
        }
        self.keep_pace(then, now, ours);
        let busy = self.look(now);
        self.decide(now, busy);
    }

    /// What we moved of late, and the most of it.
    fn keep_pace(&mut self, then: Instant, now: Instant, ours: f64) {
        let seconds = now.saturating_duration_since(then).as_secs_f64();
        let weight = seconds.min(1.0);
        self.pace += (ours / seconds - self.pace) * weight;
        if self.aged.is_none_or(|aged| now >= aged + MEMORY) {
            self.aged = Some(now);
            self.most = [0.0, self.most[0]];
        }
        self.most[0] = self.most[0].max(self.pace);
    }

    /// Whether somebody else moves more than noise. Compares the least of two
    /// stretches of time: what is only counted late falls back by itself, what
    /// is somebody else's stays.
    fn look(&mut self, now: Instant) -> bool {
        let ago = |time: Duration| now.checked_sub(time).unwrap_or(now);
        let (border, horizon) = (ago(self.glance), ago(self.glance * 2));
        let late = least(self.samples.iter().filter(|sample| sample.at > border));
        // The last before both, too, to compare with.
        let first = self.samples.partition_point(|sample| sample.at < horizon).saturating_sub(1);
        let glance = || self.samples.range(first..);
        let early = least(glance().filter(|sample| sample.at <= border));
        let recent = least(self.samples.iter());
        let (Some(late), Some(early), Some(recent)) = (late, early, recent) else { return false };
        // The two may stand close together; what grows grew in all the time.
        let apart = late.at.saturating_duration_since(early.at).max(self.glance);
        let seconds = apart.as_secs_f64();
        self.foreign = ((late.foreign - early.foreign) / seconds).max(0.0);
        // Over all of it, since what is counted late comes in lumps.
        let ours = match (glance().next(), glance().next_back()) {
            (Some(first), Some(last)) => {
                let time = last.at.saturating_duration_since(first.at).max(self.glance);
                (last.ours - first.ours) / time.as_secs_f64()
            }
            _ => 0.0,
        };
        self.foreign > NOISE.max((ours + self.foreign) * MISTAKE)
            && late.foreign - recent.foreign > UNDER_WAY + self.pace * self.delay
    }

    fn decide(&mut self, now: Instant, busy: bool) {
        let trickle = self.trickle();
        match &mut self.state {
            State::Free if busy && self.pace > IDLE => self.give_way(now),
            State::Free => {}
            State::Returning { .. } if busy => self.give_way(now),
            State::Returning { allowed, next } => {
                // Whoever has nothing to move looks rarely.
                while now >= *next && allowed.is_finite() {
                    *allowed *= GROWTH;
                    *next += STEP;
                }
                if *allowed > self.most[0].max(self.most[1]) * GROWTH {
                    self.state = State::Free;
                }
            }
            State::Yielding { allowed, level, calm, wait, next_try, trying } => {
                if !busy {
                    *trying = None;
                    if now >= *calm.get_or_insert(now) + CALM {
                        let allowed = allowed.max(self.most[0].max(self.most[1]) / 4.0);
                        self.state = State::Returning { allowed, next: now + STEP };
                    }
                    return;
                }
                if self.pace < DONE {
                    self.state = State::Free;
                    return;
                }
                *calm = None;
                if *allowed <= trickle {
                    *level = level.max(self.foreign);
                } else if self.foreign > *level * 1.5 + NOISE {
                    // They, or others, want more than they did.
                    self.give_way(now);
                    return;
                }
                match *trying {
                    None if now >= *next_try => {
                        *trying = Some((now, self.foreign, *allowed));
                        *allowed += allowed.max(trickle);
                    }
                    None => {}
                    Some((begun, _, _)) if now < begun + TRY => {}
                    Some((_, before, had)) => {
                        *trying = None;
                        let taken = before - self.foreign;
                        if taken > (*allowed - had) / 2.0 {
                            // It was theirs.
                            *allowed = had.min(trickle);
                            *wait = (*wait * 2).min(LONGEST_WAIT);
                            *next_try = now + *wait;
                        } else {
                            *wait = FIRST_WAIT;
                            *next_try = now;
                        }
                    }
                }
            }
        }
    }

    fn give_way(&mut self, now: Instant) {
        self.state = State::Yielding {
            allowed: self.trickle(),
            level: self.foreign,
            calm: None,
            wait: FIRST_WAIT,
            next_try: now + FIRST_WAIT,
            trying: None,
        };
    }
}

#[cfg(test)]
#[path = "courtesy_tests.rs"]
mod tests;
