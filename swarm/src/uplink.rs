//! How much may be on its way to all peers together.
//!
//! What is handed to several connections at once shares the line, and all of
//! it arrives late; nobody can pass on what is half there. Who begins to spread
//! something lets blocks go out nearly one after another: no more is on its way
//! than the line carries in a moment, which shows in what peers have taken.
//! Later on peers' own lines are full, and what they take says nothing of ours.

use std::time::{Duration, Instant};

/// What is on its way to peers should wait for so long at most.
const WAIT: Duration = Duration::from_millis(60);
/// Frames on their way, however slow the line is.
const LEAST: usize = 2;
/// And however fast.
const MOST: usize = 256;
/// The rate is looked at over so long, and so many frames.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_FRAMES: usize = 2;

/// The frames that were sent and not taken, and how fast they go.
#[derive(Debug, Default)]
pub struct Uplink {
    ahead: usize,
    /// Since when frames are counted, and how many were taken.
    since: Option<Instant>,
    taken: usize,
    /// Frames a second.
    rate: f64,
    /// What a frame needs where nothing waits.
    trip: Duration,
}

impl Uplink {
    /// Frames on their way.
    #[must_use]
    pub const fn ahead(&self) -> usize {
        self.ahead
    }

    /// Whether one more may be sent, where `waiting` frames are on their way to
    /// peers that go on taking what they are sent.
    #[must_use]
    pub fn has_room(&self, waiting: usize) -> bool {
        let carried = self.rate * (WAIT + self.trip).as_secs_f64();
        waiting < (carried as usize + 1).clamp(LEAST, MOST)
    }

    /// Whether somebody who last took something at `took` goes on taking: who
    /// takes nothing keeps nobody else waiting.
    #[must_use]
    pub fn goes_on(&self, now: Instant, took: Instant) -> bool {
        now.saturating_duration_since(took) < (WAIT + self.trip) * 4
    }

    /// A frame is sent.
    pub const fn send(&mut self, now: Instant) {
        if self.ahead == 0 {
            (self.since, self.taken) = (Some(now), 0);
        }
        self.ahead += 1;
    }

    /// So many frames were taken by one whose `fastest` was that.
    pub fn take(&mut self, now: Instant, frames: usize, fastest: Option<Duration>) {
        self.leave(frames);
        self.taken += frames;
        if let Some(fastest) = fastest {
            self.trip = (self.trip * 7 + fastest) / 8;
        }
        let Some(took) = self.since.map(|since| now.saturating_duration_since(since)) else {
            return;
        };
        if took >= LOOK && self.taken >= LOOK_FRAMES {
            let rate = self.taken as f64 / took.as_secs_f64();
            self.rate = if rate > self.rate { rate } else { (self.rate * 3.0 + rate) / 4.0 };
            (self.since, self.taken) = (Some(now), 0);
        }
    }

    /// So many frames will not be taken any more.
    pub const fn leave(&mut self, frames: usize) {
        self.ahead = self.ahead.saturating_sub(frames);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::testing::epoch;

    const MS: Duration = Duration::from_millis(1);

    /// Sends whenever there is room on a line that takes a frame each `every`,
    /// and says so after `trip`; frames on their way in the end.
    fn run(every: Duration, trip: Duration) -> usize {
        let (mut now, mut uplink) = (epoch(), Uplink::default());
        let (mut leaves, mut coming) = (now, VecDeque::new());
        for _ in 0..2_000 {
            while uplink.has_room(uplink.ahead()) {
                uplink.send(now);
                leaves = leaves.max(now) + every;
                coming.push_back(leaves + trip);
            }
            now = coming.pop_front().unwrap();
            uplink.take(now, 1, Some(every + trip));
        }
        uplink.ahead()
    }

    #[test]
    fn as_much_is_on_its_way_as_the_line_carries_in_a_moment() {
        for (every, trip, least, most) in [
            (300 * MS, MS, LEAST - 1, LEAST),
            (28 * MS, MS, 2, 4),
            (28 * MS, 200 * MS, 8, 11),
            (6 * MS, MS, 7, 13),
            (MS / 4, MS / 4, 100, MOST),
        ] {
            let ahead = run(every, trip);
            assert!((least..=most).contains(&ahead), "{every:?} {trip:?}: {ahead}");
        }
    }

    #[test]
    fn who_takes_nothing_is_not_waited_for() {
        let (now, mut uplink) = (epoch(), Uplink::default());
        (0..8).for_each(|_| uplink.send(now));
        assert!(!uplink.has_room(uplink.ahead()));
        assert!(uplink.goes_on(now + 100 * MS, now) && !uplink.goes_on(now + 300 * MS, now));
        assert!(uplink.has_room(0));
        uplink.leave(9);
        assert_eq!(uplink.ahead(), 0);
    }
}
