//! How much may be on its way to one peer that it has not taken yet.
//!
//! What a socket takes is not what a link carries: buffers on the way take
//! seconds of data, and whatever is said to that peer afterwards waits behind
//! it. So the peer says what it has taken, and no more is sent ahead than the
//! link needs. Like a sender that watches delay: wider while answers are
//! prompt, narrower when they queue up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{BLOCK_BYTES, MAX_REQUESTED_BLOCKS};

/// Frames ahead of a peer of which nothing is known yet.
const FIRST_WINDOW: f64 = 2.0;
/// Frames ahead of a peer however slow it is.
const LEAST_WINDOW: f64 = 1.0;
/// Queueing this much beyond the fastest answer means the window is full.
const QUEUEING: Duration = Duration::from_millis(100);
/// A shorter frame takes less time than others, however the link is.
const TELLING_BYTES: usize = BLOCK_BYTES as usize / 2;

/// The data frames that a peer was sent and has not taken.
#[derive(Debug)]
pub struct Pace {
    /// When each frame was sent, and whether it was long enough to tell
    /// something of the link.
    sent: VecDeque<(Instant, bool)>,
    window: f64,
    fastest: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { sent: VecDeque::new(), window: FIRST_WINDOW, fastest: None }
    }
}

impl Pace {
    /// Whether one more may be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.sent.len() < self.window as usize
    }

    /// How many frames the peer was sent and has not taken.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.sent.len()
    }

    /// The least that a frame needed to be taken.
    #[must_use]
    pub const fn fastest(&self) -> Option<Duration> {
        self.fastest
    }

    /// Takes note of a frame that is sent.
    pub fn send(&mut self, now: Instant, bytes: usize) {
        self.sent.push_back((now, bytes >= TELLING_BYTES));
    }

    /// The peer has taken so many; whether they had been sent.
    pub fn take(&mut self, now: Instant, frames: usize) -> bool {
        // Only a window that was used shows that it may be wider.
        let used = self.sent.len() * 2 > self.window as usize;
        for _ in 0..frames {
            let Some((sent, telling)) = self.sent.pop_front() else { return false };
            if !telling {
                continue;
            }
            let took = now.saturating_duration_since(sent);
            let fastest = self.fastest.map_or(took, |fastest| fastest.min(took));
            self.fastest = Some(fastest);
            if took >= fastest * 2 + QUEUEING {
                self.window = (self.window * 0.8).max(LEAST_WINDOW);
            } else if used {
                self.window = (self.window + 1.0).min(MAX_REQUESTED_BLOCKS as f64);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    const MS: Duration = Duration::from_millis(1);
    const LONG: usize = BLOCK_BYTES as usize;

    fn fill(pace: &mut Pace, now: Instant) -> usize {
        let mut sent = 0;
        while pace.has_room() {
            pace.send(now, LONG);
            sent += 1;
        }
        sent
    }

    #[test]
    fn more_is_sent_ahead_while_answers_are_prompt() {
        let (mut pace, mut now) = (Pace::default(), epoch());
        assert_eq!(fill(&mut pace, now), 2);
        let mut ahead = Vec::new();
        for _ in 0..8 {
            now += 80 * MS;
            let frames = pace.sent.len();
            assert!(pace.take(now, frames));
            ahead.push(fill(&mut pace, now));
        }
        assert_eq!(ahead, [4, 8, 16, 32, 64, 128, 256, MAX_REQUESTED_BLOCKS]);
    }

    #[test]
    fn a_link_that_fills_up_is_left_with_little_ahead() {
        // 26 ms a block, whatever waits before it.
        let (mut pace, mut now) = (Pace::default(), epoch());
        let (mut free, mut leaves) = (now, VecDeque::new());
        let mut most = 0;
        for _ in 0..200 {
            while pace.has_room() {
                pace.send(now, LONG);
                free = free.max(now) + 26 * MS;
                leaves.push_back(free);
            }
            most = most.max(pace.sent.len());
            now = leaves.pop_front().unwrap();
            assert!(pace.take(now, 1));
        }
        assert!((3..12).contains(&most), "{most}");
        assert!(free - now < 300 * MS);
    }

    #[test]
    fn a_short_frame_says_nothing_of_the_link() {
        let (mut pace, mut now) = (Pace::default(), epoch());
        pace.send(now, 100);
        assert!(pace.take(now + MS, 1));
        for _ in 0..5 {
            let frames = fill(&mut pace, now);
            now += 150 * MS;
            assert!(pace.take(now, frames));
        }
        assert!(fill(&mut pace, now) > 10);
    }

    #[test]
    fn what_was_not_sent_cannot_be_taken() {
        let mut pace = Pace::default();
        pace.send(epoch(), LONG);
        assert!(!pace.take(epoch(), 2));
    }
}
