//! Which peers are asked whom they know, when, and who is told of a member.
//!
//! Whoever just came is asked at once and a few times more, since others may
//! be on their way to it; later on each peer is asked now and then, which also
//! shows whether it is still there. Who comes and goes, as guests of a full node
//! do, is asked no more often for that; who stayed and comes back is asked at
//! once, since the question tells it where we are now.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::dice::Dice;
use crate::limits::MAX_KNOWN_PEERS;

/// When a new peer is asked whom it knows, after it came.
const ASK_AFTER: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(1_000), Duration::from_secs(4), Duration::from_secs(15)];
/// How often it is asked later on.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// Who was here for so long was no guest.
const STAYED: Duration = Duration::from_secs(20);
/// So long after it was due whoever has left counts as new when it comes.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Peers that are told when a member comes, or comes back elsewhere.
pub const TOLD: usize = 8;

#[derive(Debug)]
struct Known {
    auditor: bool,
    since: Instant,
    asked: usize,
    ask_at: Instant,
}

/// The machine.
#[derive(Debug)]
pub struct Acquaintance {
    peers: BTreeMap<PeerId, Known>,
    /// Those who left soon, a while ago at most, [`MAX_KNOWN_PEERS`] of them.
    gone: BTreeMap<PeerId, Known>,
    dice: Dice,
}

impl Acquaintance {
    /// Without peers; chance comes from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { peers: BTreeMap::new(), gone: BTreeMap::new(), dice: Dice::new(seed) }
    }

    /// A member came. Auditors listen nowhere and have to dial everybody.
    pub fn joined(&mut self, now: Instant, peer: PeerId, auditor: bool) {
        self.gone.retain(|_, known| now < known.ask_at + REMEMBERED);
        let known = match self.gone.remove(&peer) {
            Some(known) => Known { auditor, since: now, ..known },
            None => Known { auditor, since: now, asked: 0, ask_at: now },
        };
        self.peers.insert(peer, known);
    }

    /// A member is gone.
    pub fn left(&mut self, now: Instant, peer: &PeerId) {
        if let Some(known) = self.peers.remove(peer)
            && now < known.since + STAYED
            && self.gone.len() < MAX_KNOWN_PEERS
        {
            self.gone.insert(*peer, known);
        }
    }

    /// Whom to ask now; more often while we know too few members.
    pub fn due(&mut self, now: Instant, lonely: bool) -> Vec<PeerId> {
        let mut due = Vec::new();
        for (peer, known) in self.peers.iter_mut().filter(|(_, known)| now >= known.ask_at) {
            known.asked += 1;
            let soon = ASK_AFTER.get(known.asked).filter(|_| lonely);
            known.ask_at = now + soon.copied().unwrap_or(ASK_EVERY);
            due.push(*peer);
        }
        due
    }

    /// When somebody is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.peers.values().map(|known| known.ask_at).min()
    }

    /// Has some peers, `first` before all others, asked at once: the question
    /// tells them where we are.
    pub fn hurry(&mut self, now: Instant, first: impl Fn(&PeerId) -> bool) {
        // Whoever comes back is to hear of it, too.
        self.gone.clear();
        let mut peers: Vec<_> = self.peers.iter_mut().collect();
        peers.sort_by_key(|(peer, _)| !first(peer));
        peers.into_iter().take(TOLD).for_each(|(_, known)| known.ask_at = now);
    }

    /// Whom to tell what a member has just said of itself, among those that
    /// `may` hear it: who knows it at another address would hear of it minutes
    /// later. Auditors come first.
    pub fn told(&mut self, subject: &PeerId, may: impl Fn(&PeerId) -> bool) -> Vec<PeerId> {
        let others = self.peers.iter().filter(|(peer, _)| *peer != subject && may(peer));
        let dice = &mut self.dice;
        let mut others: Vec<(bool, u64, PeerId)> =
            others.map(|(peer, known)| (!known.auditor, dice.roll(), *peer)).collect();
        others.sort_unstable();
        others.into_iter().take(TOLD).map(|(.., peer)| peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    #[test]
    fn the_lonely_ask_soon_again_and_others_do_not() {
        let begin = epoch();
        for (lonely, times) in [(true, vec![0, 1, 5, 20, 320]), (false, vec![0, 300, 600])] {
            let mut known = Acquaintance::new(1);
            let peer = PeerId::random();
            known.joined(begin, peer, false);
            for seconds in times {
                let now = known.next_deadline().unwrap();
                assert_eq!(now, begin + Duration::from_secs(seconds), "lonely: {lonely}");
                assert_eq!(known.due(now, lonely), [peer]);
                assert_eq!(known.due(now, lonely), []);
            }
            known.left(begin, &peer);
            assert_eq!(known.next_deadline(), None);
        }
    }

    #[test]
    fn who_was_gone_for_a_moment_is_asked_no_more_often() {
        let (begin, second) = (epoch(), Duration::from_secs(1));
        let mut known = Acquaintance::new(1);
        let peer = PeerId::random();
        let mut asked = 0;
        // A guest that comes and goes each second.
        for n in 0..60 {
            known.joined(begin + second * n, peer, false);
            asked += known.due(begin + second * n, true).len();
            known.left(begin + second * n, &peer);
        }
        assert_eq!(asked, ASK_AFTER.len());
        known.joined(begin + ASK_EVERY * 2, peer, false);
        assert_eq!(known.due(begin + ASK_EVERY * 2, true), [peer]);
        for _ in 0..2 * MAX_KNOWN_PEERS {
            let other = PeerId::random();
            known.joined(begin, other, false);
            known.due(begin, true);
            known.left(begin, &other);
        }
        assert_eq!(known.gone.len(), MAX_KNOWN_PEERS);
    }

    #[test]
    fn who_stayed_or_may_not_know_where_we_are_is_asked_at_once() {
        let begin = epoch();
        let mut known = Acquaintance::new(1);
        let peer = PeerId::random();
        known.joined(begin, peer, false);
        assert_eq!(known.due(begin, false), [peer]);
        known.left(begin + STAYED, &peer);
        known.joined(begin + STAYED, peer, false);
        assert_eq!(known.due(begin + STAYED, false), [peer]);
        // It leaves at once, and then we move.
        known.left(begin + STAYED, &peer);
        known.hurry(begin + STAYED, |_| false);
        known.joined(begin + STAYED, peer, false);
        assert_eq!(known.due(begin + STAYED, false), [peer]);
    }

    #[test]
    fn auditors_hear_of_a_member_first_and_few_others() {
        let now = epoch();
        let mut known = Acquaintance::new(1);
        let peers: Vec<PeerId> = (0..30).map(|_| PeerId::random()).collect();
        for (n, peer) in peers.iter().enumerate() {
            known.joined(now, *peer, n == 7);
        }
        let told = known.told(&peers[3], |peer| *peer != peers[4]);
        assert_eq!((told.len(), told[0]), (TOLD, peers[7]));
        assert!(!told.contains(&peers[3]) && !told.contains(&peers[4]));
    }

    #[test]
    fn some_are_asked_again_at_once_when_we_have_moved() {
        let now = epoch();
        let mut known = Acquaintance::new(1);
        let peers: Vec<PeerId> = (0..30).map(|_| PeerId::random()).collect();
        peers.iter().for_each(|peer| known.joined(now, *peer, false));
        assert_eq!(known.due(now, false).len(), 30);
        known.hurry(now, |peer| *peer == peers[20]);
        let again = known.due(now, false);
        assert!(again.len() == TOLD && again.contains(&peers[20]));
    }
}
