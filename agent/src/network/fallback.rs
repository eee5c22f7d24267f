//! When mirrors are asked for what peers should bring.
//!
//! Peers have a head start, and keep it for as long as they bring something:
//! a mirror is the vendor's cost. Where they stop, mirrors help out. Where
//! nothing comes from anyone for long, the transfer is given up for now.

use std::time::{Duration, Instant};

use crate::limits::{HEAD_START, LONELY, PATIENCE, PEER_PAUSE};

/// The rule, fed with what comes.
#[derive(Debug, Clone)]
pub struct Fallback {
    begun: Instant,
    /// When peers last brought something, if they ever did.
    peers_moved: Option<Instant>,
    moved: Instant,
    peers_stalled: bool,
    peers_over: bool,
}

impl Fallback {
    /// A transfer begins.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        let (peers_stalled, peers_over) = (false, false);
        Self { begun: now, peers_moved: None, moved: now, peers_stalled, peers_over }
    }

    /// A transfer of somebody who meets no peer, though looking for some
    /// since `looking`: the head start runs from then.
    #[must_use]
    pub fn alone(now: Instant, looking: Instant) -> Self {
        Self { begun: looking.min(now), ..Self::new(now) }
    }

    /// Peers brought something.
    pub const fn peers_brought(&mut self, now: Instant) {
        self.peers_moved = Some(now);
        self.peers_stalled = false;
        self.moved = now;
    }

    /// Peers say themselves that they bring nothing now.
    pub const fn peers_stalled(&mut self) {
        self.peers_stalled = true;
    }

    /// A mirror brought something.
    pub const fn mirror_brought(&mut self, now: Instant) {
        self.moved = now;
    }

    /// Peers cannot help any more.
    pub const fn peers_are_over(&mut self) {
        self.peers_over = true;
    }

    /// Whether peers cannot help any more.
    #[must_use]
    pub const fn are_peers_over(&self) -> bool {
        self.peers_over
    }

    /// Whether mirrors may be asked.
    #[must_use]
    pub fn lets_mirrors(&self, now: Instant) -> bool {
        self.peers_over || self.peers_stalled || now >= self.mirrors_from()
    }

    /// Whether it is time to give up, where mirrors have nothing left to
    /// bring; `alone` if no peer is connected.
    #[must_use]
    pub fn is_hopeless(&self, now: Instant, alone: bool) -> bool {
        self.peers_over || now >= self.moved + if alone { LONELY } else { PATIENCE }
    }

    /// When one of the answers may change by itself.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Instant {
        let times = [self.mirrors_from(), self.moved + LONELY, self.moved + PATIENCE];
        let next = times.into_iter().filter(|time| *time > now).min();
        next.unwrap_or(now + LONELY)
    }

    fn mirrors_from(&self) -> Instant {
        let pause: Duration = PEER_PAUSE;
        self.peers_moved.map_or(self.begun + HEAD_START, |moved| moved + pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_wait_while_peers_bring_something() {
        let begun = Instant::now();
        let mut rule = Fallback::new(begun);
        assert!(!rule.lets_mirrors(begun));
        assert!(rule.lets_mirrors(begun + HEAD_START));
        let mut now = begun;
        for _ in 0..100 {
            now += PEER_PAUSE / 2;
            rule.peers_brought(now);
            assert!(!rule.lets_mirrors(now));
        }
        assert_eq!(rule.next_deadline(now), now + PEER_PAUSE);
        assert!(rule.lets_mirrors(now + PEER_PAUSE));
    }

    #[test]
    fn whoever_has_looked_for_peers_in_vain_asks_mirrors_at_once() {
        let looking = Instant::now();
        assert!(!Fallback::alone(looking, looking).lets_mirrors(looking));
        let now = looking + HEAD_START;
        let rule = Fallback::alone(now, looking);
        assert!(rule.lets_mirrors(now));
        assert!(!rule.is_hopeless(now, true));
    }

    #[test]
    fn peers_that_stall_lose_their_head_start_until_they_move() {
        let begun = Instant::now();
        let mut rule = Fallback::new(begun);
        rule.peers_stalled();
        assert!(rule.lets_mirrors(begun));
        rule.peers_brought(begun);
        assert!(!rule.lets_mirrors(begun));
    }

    #[test]
    fn without_peers_mirrors_are_asked_at_once() {
        let begun = Instant::now();
        let mut rule = Fallback::new(begun);
        rule.peers_are_over();
        assert!(rule.lets_mirrors(begun));
    }

    #[test]
    fn it_is_hopeless_only_when_nothing_comes_from_anyone() {
        let begun = Instant::now();
        let mut rule = Fallback::new(begun);
        assert!(!rule.is_hopeless(begun + PATIENCE / 2, false));
        rule.mirror_brought(begun + PATIENCE / 2);
        assert!(!rule.is_hopeless(begun + PATIENCE, false));
        assert!(rule.is_hopeless(begun + PATIENCE + PATIENCE / 2, false));
    }

    #[test]
    fn who_is_alone_gives_up_sooner() {
        let begun = Instant::now();
        let mut rule = Fallback::new(begun);
        assert!(rule.is_hopeless(begun + LONELY, true));
        assert!(!rule.is_hopeless(begun + LONELY, false));
        assert!(rule.next_deadline(begun) < begun + PATIENCE);
        rule.peers_are_over();
        assert!(rule.is_hopeless(begun, false));
    }
}
