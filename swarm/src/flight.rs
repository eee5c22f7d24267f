//! What has been asked of one peer and has not come yet.
//!
//! Decides how much may be under way at a time, from how long blocks take to
//! come, and when a peer that sends nothing counts as stalled. Knows nothing of
//! which blocks are worth asking for; see `picker`.

use std::time::{Duration, Instant};

use crate::limits::MAX_REQUESTED_BLOCKS;
use crate::wire::WantIndex;

/// Blocks under way to a peer of which nothing is known yet.
const FIRST_WINDOW: f64 = 8.0;
/// Blocks under way to a peer that is slow.
const LEAST_WINDOW: f64 = 2.0;
/// Queueing this much beyond the fastest answer means the window is full.
const QUEUEING: Duration = Duration::from_millis(400);
/// A peer that sends nothing for so long, at least, is stalled.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// A peer that sends nothing for so long is stalled whatever it did before.
const MOST_PATIENCE: Duration = Duration::from_secs(15);
/// What a new peer is assumed to need for a block.
const UNKNOWN_LATENCY: Duration = Duration::from_secs(1);
/// The first pause after a stall or a `Busy`, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Stalls in a row after which a peer counts as one that holds its blocks
/// back: half a minute at least.
const MOST_STALLS: u32 = 6;

/// A block that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The object.
    pub index: WantIndex,
    /// Which block.
    pub block: u32,
    /// When it was asked for.
    pub at: Instant,
}

/// The blocks asked of one peer.
#[derive(Debug)]
pub struct Flight {
    asked: Vec<Asked>,
    window: f64,
    /// Average time from asking to landing.
    latency: Option<Duration>,
    fastest: Option<Duration>,
    /// When the peer last sent a block, or was asked for the first of a row.
    heard: Instant,
    paused_until: Option<Instant>,
    pause: Duration,
    /// How often in a row everything was taken back.
    stalls: u32,
}

impl Flight {
    /// Nothing asked yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            asked: Vec::new(),
            window: FIRST_WINDOW,
            latency: None,
            fastest: None,
            heard: now,
            paused_until: None,
            pause: FIRST_PAUSE,
            stalls: 0,
        }
    }

    /// How many more blocks may be asked for now; one in all on parole.
    #[must_use]
    pub fn room(&self, now: Instant, on_parole: bool) -> usize {
        if self.paused_until.is_some_and(|at| now < at) {
            return 0;
        }
        let window = if on_parole { 1 } else { self.window as usize };
        window.min(MAX_REQUESTED_BLOCKS).saturating_sub(self.asked.len())
    }

    /// How many blocks are worth waiting for before asking again: asking for
    /// each block alone would look for the rarest far more often.
    #[must_use]
    pub fn worthwhile(&self) -> usize {
        (self.window as usize / 4).max(1)
    }

    /// Takes note of a block asked for.
    pub fn ask(&mut self, now: Instant, index: WantIndex, block: u32) {
        if self.asked.is_empty() {
            self.heard = now;
        }
        self.asked.push(Asked { index, block, at: now });
    }

    /// Whether this block has been asked for.
    #[must_use]
    pub fn has(&self, index: WantIndex, block: u32) -> bool {
        self.asked.iter().any(|asked| asked.index == index && asked.block == block)
    }

    /// Takes note of a block that came; whether it had been asked for.
    pub fn land(&mut self, now: Instant, index: WantIndex, block: u32) -> bool {
        // Late is not never.
        self.stalls = 0;
        let Some(asked) = self.take(index, block) else { return false };
        self.heard = now;
        self.paused_until = None;
        self.pause = FIRST_PAUSE;
        let took = now.saturating_duration_since(asked.at);
        let average = self.latency.map_or(took, |average| (average * 7 + took) / 8);
        self.latency = Some(average);
        let fastest = self.fastest.map_or(took, |fastest| fastest.min(took));
        self.fastest = Some(fastest);
        // Like a sender that watches delay: wider while nothing queues up.
        if took < fastest * 2 + QUEUEING {
            self.window = (self.window + 1.0).min(MAX_REQUESTED_BLOCKS as f64);
        } else {
            self.window = (self.window - 0.5).max(LEAST_WINDOW);
        }
        true
    }

    /// Takes a block back, because it came from elsewhere or is not wanted any
    /// more; whether it had been asked for.
    pub fn take_back(&mut self, index: WantIndex, block: u32) -> bool {
        self.take(index, block).is_some()
    }

    /// The peer will not send this block now. Narrows the window; a peer that
    /// sends nothing at all is left alone for a while.
    pub fn refused(&mut self, now: Instant, index: WantIndex, block: u32) -> bool {
        let known = self.take(index, block).is_some();
        if known {
            // It says so, which costs us nothing.
            self.stalls = 0;
            self.window = (self.window * 0.75).max(LEAST_WINDOW);
            if self.asked.is_empty() {
                self.start_pause(now);
            }
        }
        known
    }

    /// Whether the peer owes blocks and has been silent for too long.
    #[must_use]
    pub fn is_stalled(&self, now: Instant) -> bool {
        self.stalls_at().is_some_and(|at| now >= at)
    }

    /// Whether the peer has stalled so often in a row, with not one block in
    /// between, that it will not send any.
    #[must_use]
    pub const fn is_hopeless(&self) -> bool {
        self.stalls >= MOST_STALLS
    }

    /// Takes everything back from a peer that has stalled.
    pub fn give_up(&mut self, now: Instant) -> Vec<Asked> {
        self.stalls += 1;
        self.window = LEAST_WINDOW;
        self.start_pause(now);
        std::mem::take(&mut self.asked)
    }

    /// When this flight next needs attention by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match (self.stalls_at(), self.paused_until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether a pause has just ended; asked once, answered once.
    pub fn pause_ended(&mut self, now: Instant) -> bool {
        self.paused_until.take_if(|at| now >= *at).is_some()
    }

    /// What is under way.
    #[must_use]
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// How long a block asked for now will take.
    #[must_use]
    pub fn expected(&self) -> Duration {
        self.latency.unwrap_or(UNKNOWN_LATENCY)
    }

    /// How much longer a block asked for at `at` will take. For one that is
    /// overdue: as long again as it has taken already.
    #[must_use]
    pub fn remaining(&self, now: Instant, at: Instant) -> Duration {
        let age = now.saturating_duration_since(at);
        self.expected().checked_sub(age).unwrap_or(age)
    }

    fn take(&mut self, index: WantIndex, block: u32) -> Option<Asked> {
        let at = self.asked.iter().position(|a| a.index == index && a.block == block)?;
        Some(self.asked.remove(at))
    }

    fn start_pause(&mut self, now: Instant) {
        self.paused_until = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn stalls_at(&self) -> Option<Instant> {
        let patience = (self.expected() * 4).clamp(LEAST_PATIENCE, MOST_PATIENCE);
        (!self.asked.is_empty()).then(|| self.heard + patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_window_widens_while_answers_are_prompt() {
        let mut now = epoch();
        let mut flight = Flight::new(now);
        assert_eq!(flight.room(now, false), 8);
        for block in 0..1_000 {
            flight.ask(now, 0, block);
            now += 2 * MS;
            assert!(flight.land(now, 0, block));
        }
        assert_eq!(flight.room(now, false), MAX_REQUESTED_BLOCKS);
        assert_eq!(flight.room(now, true), 1);
    }

    #[test]
    fn the_window_narrows_when_blocks_queue_up() {
        let mut now = epoch();
        let mut flight = Flight::new(now);
        flight.ask(now, 0, 0);
        now += 10 * MS;
        flight.land(now, 0, 0);
        for block in 1..50 {
            flight.ask(now, 0, block);
            now += 1_500 * MS;
            flight.land(now, 0, block);
        }
        assert_eq!(flight.room(now, false), LEAST_WINDOW as usize);
    }

    #[test]
    fn silence_is_a_stall_and_each_stall_a_longer_pause() {
        let mut now = epoch();
        let mut flight = Flight::new(now);
        let mut pauses = Vec::new();
        for _ in 0..4 {
            flight.ask(now, 0, 1);
            assert!(!flight.is_stalled(now + LEAST_PATIENCE));
            now += MOST_PATIENCE;
            assert!(flight.is_stalled(now));
            assert_eq!(flight.give_up(now).len(), 1);
            assert_eq!(flight.room(now, false), 0);
            let until = flight.next_deadline().unwrap();
            pauses.push(until - now);
            now = until;
            assert!(flight.pause_ended(now) && !flight.pause_ended(now));
            assert_eq!(flight.room(now, false), 2);
        }
        assert_eq!(pauses, [250 * MS, 500 * MS, 1_000 * MS, 2_000 * MS]);
    }

    #[test]
    fn a_peer_that_only_stalls_is_hopeless_and_one_that_is_late_is_not() {
        let mut now = epoch();
        let (mut silent, mut late) = (Flight::new(now), Flight::new(now));
        for round in 0..MOST_STALLS {
            assert!(!silent.is_hopeless(), "{round}");
            for flight in [&mut silent, &mut late] {
                flight.ask(now, 0, round);
                flight.give_up(now);
            }
            now += LONGEST_PAUSE;
            // What was taken back comes after all.
            assert!(!late.land(now, 0, round));
        }
        assert!(silent.is_hopeless() && !late.is_hopeless());
    }

    #[test]
    fn what_was_not_asked_for_does_not_land() {
        let now = epoch();
        let mut flight = Flight::new(now);
        flight.ask(now, 3, 7);
        assert!(!flight.land(now, 3, 8) && !flight.land(now, 4, 7));
        assert!(flight.land(now, 3, 7) && !flight.land(now, 3, 7));
        assert_eq!(flight.next_deadline(), None);
    }

    #[test]
    fn busy_pauses_only_once_nothing_is_under_way() {
        let now = epoch();
        let mut flight = Flight::new(now);
        flight.ask(now, 0, 0);
        flight.ask(now, 0, 1);
        assert!(flight.refused(now, 0, 0));
        assert!(flight.room(now, false) > 0);
        assert!(flight.refused(now, 0, 1) && !flight.refused(now, 0, 1));
        assert_eq!(flight.room(now, false), 0);
    }
}
