//! Which log to read next, from where, and when again.
//!
//! One installation's reading:
//!
//! ```text
//!   resting ──due──▶ reading ──all there──▶ judging ──kept──▶ resting
//!      ▲                │  ▲ more to come ┘    │
//!      │◀───failed──────┘  └──suspect: whole───┘
//! ```
//!
//! A reading brings what is new. When that does not fit what is kept, the
//! whole log is read, and only a whole reading can accuse. Whole readings also
//! come first after a start, and daily. Knows neither disk nor network.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use manifest::admission::installation::InstallationId;
use manifest::audit::checkpoint::Checkpoint;
use manifest::audit::exchange::{LogAnswer, LogRequest};
use manifest::audit::limits::LOG_BYTES;
use manifest::key::PublicKey;

use crate::limits::{LONGEST_PAUSE, READINGS, WHOLE_EVERY};

/// Reads logs, again and again.
///
/// Feed it with `handle`, then call `poll` until it returns `None`.
#[derive(Debug)]
pub struct Collector {
    pause: Duration,
    known: BTreeMap<InstallationId, Known>,
    read: BTreeSet<InstallationId>,
    ready: VecDeque<Output>,
}

#[derive(Debug)]
struct Known {
    /// The peer through which it can be reached now.
    peer: Option<PublicKey>,
    log_key: PublicKey,
    /// Entries kept, all of them judged.
    kept: u64,
    /// When the whole log was last found good.
    whole: Option<Instant>,
    /// Readings that failed since one succeeded.
    failures: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Resting { until: Instant },
    Reading { reading: Reading, next: u64 },
    Judging { whole: bool },
}

/// What one reading brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The first entry in `lines`; 0 if the whole log was read.
    pub from: u64,
    /// Lines with their newlines.
    pub lines: Vec<u8>,
    /// The checkpoint of the last answer.
    pub checkpoint: Vec<u8>,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A member came, whose log ends at `kept` as far as we have it.
    Came {
        /// Its peer key.
        peer: PublicKey,
        /// Its installation.
        installation: InstallationId,
        /// Signs its checkpoints.
        log_key: PublicKey,
        /// Entries kept from before.
        kept: u64,
    },
    /// A peer went.
    Went {
        /// Its peer key.
        peer: PublicKey,
    },
    /// It answered.
    Answered {
        /// Whose log it is.
        installation: InstallationId,
        /// The answer.
        answer: LogAnswer,
    },
    /// It did not answer, or refused to.
    Failed {
        /// Whose log was asked for.
        installation: InstallationId,
    },
    /// A reading was judged.
    Judged {
        /// Whose log it is.
        installation: InstallationId,
        /// What it was.
        outcome: Outcome,
    },
}

/// What judging a reading led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is good, and this many entries are kept now.
    Kept {
        /// Number of entries.
        size: u64,
    },
    /// What is new does not fit what is kept: the whole log must be seen.
    Suspect,
    /// The whole log was seen, and accused.
    Accused,
    /// It could not be judged.
    Unjudged,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask this peer for its log.
    Ask {
        /// Its peer key.
        peer: PublicKey,
        /// Its installation.
        installation: InstallationId,
        /// What to ask for.
        request: LogRequest,
    },
    /// Judge what was read, then tell the outcome.
    Judge {
        /// Whose log it is.
        installation: InstallationId,
        /// What was read.
        reading: Reading,
    },
}

impl Collector {
    /// A collector that lets `pause` pass between two readings of one log.
    #[must_use]
    pub fn new(pause: Duration) -> Self {
        Self { pause, known: BTreeMap::new(), read: BTreeSet::new(), ready: VecDeque::new() }
    }

    /// Installations whose log was read and judged since the start.
    #[must_use]
    pub fn read_count(&self) -> usize {
        self.read.len()
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Came { peer, installation, log_key, kept } => {
                let known = self.known.entry(installation).or_insert_with(|| Known {
                    peer: None,
                    log_key,
                    kept,
                    whole: None,
                    failures: 0,
                    state: State::Resting { until: now },
                });
                known.peer = Some(peer);
                known.failures = 0;
                if let State::Resting { until } = &mut known.state {
                    // One that comes and goes is not read each time it comes.
                    *until = (*until).min(now + self.pause);
                }
            }
            Input::Went { peer } => {
                for known in self.known.values_mut().filter(|known| known.peer == Some(peer)) {
                    known.peer = None;
                    if matches!(known.state, State::Reading { .. }) {
                        known.state = State::Resting { until: now };
                    }
                }
            }
            Input::Answered { installation, answer } => self.answered(now, installation, answer),
            Input::Failed { installation } => {
                if let Some(known) = self.known.get_mut(&installation)
                    && matches!(known.state, State::Reading { .. })
                {
                    known.rest_after_failure(now, self.pause);
                }
            }
            Input::Judged { installation, outcome } => self.judged(now, installation, outcome),
        }
    }

    fn answered(&mut self, now: Instant, installation: InstallationId, answer: LogAnswer) {
        let Some(known) = self.known.get_mut(&installation) else { return };
        let State::Reading { reading, next } = &mut known.state else { return };
        if answer.from != *next {
            known.rest_after_failure(now, self.pause);
            return;
        }
        let brought = answer.entry_count();
        *next = next.saturating_add(brought);
        reading.lines.extend_from_slice(&answer.lines);
        reading.checkpoint = answer.checkpoint;
        // What cannot be believed is not worth asking on for: the judge says why.
        let promised = Checkpoint::verify(&reading.checkpoint, &known.log_key);
        let more = promised.is_ok_and(|checkpoint| checkpoint.size() > *next);
        if more && brought > 0 && reading.lines.len() <= LOG_BYTES {
            if let Some(peer) = known.peer {
                let request = LogRequest { from: *next };
                self.ready.push_back(Output::Ask { peer, installation, request });
            }
            return;
        }
        let whole = reading.from == 0;
        let reading = std::mem::replace(
            reading,
            Reading { from: 0, lines: Vec::new(), checkpoint: Vec::new() },
        );
        known.state = State::Judging { whole };
        self.ready.push_back(Output::Judge { installation, reading });
    }

    fn judged(&mut self, now: Instant, installation: InstallationId, outcome: Outcome) {
        let Some(known) = self.known.get_mut(&installation) else { return };
        let State::Judging { whole } = known.state else { return };
        match outcome {
            Outcome::Kept { size } => {
                known.kept = size;
                known.failures = 0;
                if whole {
                    known.whole = Some(now);
                }
                known.state = State::Resting { until: now + self.pause };
                self.read.insert(installation);
            }
            Outcome::Suspect => {
                known.whole = None;
                known.state = State::Resting { until: now };
            }
            Outcome::Accused => {
                // The next reading is a whole one too: it may accuse of more.
                known.whole = None;
                known.state = State::Resting { until: now + self.pause };
                self.read.insert(installation);
            }
            Outcome::Unjudged => known.rest_after_failure(now, self.pause),
        }
    }

    /// The next thing to do, if there is one now.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        if let Some(output) = self.ready.pop_front() {
            return Some(output);
        }
        let resting = |known: &Known| matches!(known.state, State::Resting { .. });
        if self.known.values().filter(|known| !resting(known)).count() >= READINGS {
            return None;
        }
        // Whoever has waited longest comes first.
        let due = self.known.iter_mut().filter_map(|(installation, known)| {
            let State::Resting { until } = known.state else { return None };
            (until <= now && known.peer.is_some()).then_some((until, *installation, known))
        });
        let (_, installation, known) =
            due.min_by_key(|(until, installation, _)| (*until, *installation))?;
        let fresh = known.whole.is_some_and(|whole| now.duration_since(whole) < WHOLE_EVERY);
        let from = if fresh { known.kept } else { 0 };
        let reading = Reading { from, lines: Vec::new(), checkpoint: Vec::new() };
        known.state = State::Reading { reading, next: from };
        let peer = known.peer?;
        Some(Output::Ask { peer, installation, request: LogRequest { from } })
    }

    /// When `poll` may have something to do although nothing happened.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let waits = self.known.values().filter(|known| known.peer.is_some());
        waits
            .filter_map(|known| match known.state {
                State::Resting { until } => Some(until),
                _ => None,
            })
            .min()
    }
}

impl Known {
    fn rest_after_failure(&mut self, now: Instant, pause: Duration) {
        self.failures = self.failures.saturating_add(1);
        let doubled = pause.saturating_mul(1 << self.failures.min(10));
        self.state = State::Resting { until: now + doubled.min(LONGEST_PAUSE.max(pause)) };
    }
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
