//! From a circuit to a direct connection, through both networks.
//!
//! Each side tells the other over the circuit where it might be met; then both
//! dial at the same moment, so that what each sends opens its own network for
//! the other. The one that the circuit was dialled to leads: it asks, measures
//! the way, says *now*, and dials half a way later, when the other has heard.
//! A connection that comes about replaces the circuit. Promises that nobody is
//! made to dial without a circuit, more than a few times for each, or
//! elsewhere than at a few spots.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::link::LinkId;
use crate::reach::message::{Spot, Way};

/// What is tried over one circuit, in this order: UDP passes more networks.
const ROUNDS: [Way; 4] = [Way::Quic, Way::Tcp, Way::Quic, Way::Tcp];
/// How long an answer, and a dial, may take.
const ANSWERS_IN: Duration = Duration::from_secs(10);
const DIALS_IN: Duration = Duration::from_secs(8);
/// How long the other side's word on where it is may wait for *now*.
const FRESH: Duration = Duration::from_secs(30);
/// How long a circuit stays beside a direct connection, for what is on its way.
const OVERLAP: Duration = Duration::from_secs(2);

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Tell a member where we might be met, and ask where it might be.
    Meet(PeerId),
    /// Tell a member to dial now.
    Now(PeerId, Way),
    /// Dial a member at these spots.
    Dial {
        /// Whom.
        peer: PeerId,
        /// Where.
        spots: Vec<Spot>,
        /// Whether the other side is the one that dials, should both get
        /// through.
        answering: bool,
    },
    /// A direct connection has replaced this circuit.
    Close(LinkId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing to do, unless the other side asks.
    Idle,
    /// The next round may begin.
    Due,
    /// Asked where the other side is, then.
    Asked(Instant),
    /// Said *now*; to dial at that time.
    Aimed(Instant, Vec<Spot>),
    /// Both dial; until then.
    Dialling(Instant),
    /// A direct connection is there; the circuit goes then.
    Replaced(Instant),
}

#[derive(Debug)]
struct Circuit {
    peer: PeerId,
    /// Whether it was dialled to us: then we lead.
    leads: bool,
    state: State,
    round: usize,
    /// Where the other side says it might be met, and when it said so.
    told: Option<(Instant, Vec<Spot>)>,
}

/// The machine that leads from circuits to connections.
#[derive(Debug, Default)]
pub struct Punch {
    circuits: BTreeMap<LinkId, Circuit>,
    out: Vec<Step>,
}

impl Punch {
    /// A circuit to a member is there; `leads` if it was dialled to us.
    pub fn joined(&mut self, link: LinkId, peer: PeerId, leads: bool) {
        let state = if leads { State::Due } else { State::Idle };
        self.circuits.insert(link, Circuit { peer, leads, state, round: 0, told: None });
    }

    /// A member is directly connected.
    pub fn connected(&mut self, now: Instant, peer: &PeerId) {
        for circuit in self.circuits.values_mut().filter(|circuit| circuit.peer == *peer) {
            if !matches!(circuit.state, State::Replaced(_)) {
                circuit.state = State::Replaced(now + OVERLAP);
            }
        }
    }

    /// A circuit has ended.
    pub fn left(&mut self, link: LinkId) {
        self.circuits.remove(&link);
    }

    /// The answer to `Meet`: where the other side might be met, if it says so.
    pub fn answered(&mut self, now: Instant, peer: &PeerId, spots: Option<Vec<Spot>>) {
        let asked = |circuit: &&mut Circuit| {
            circuit.peer == *peer && matches!(circuit.state, State::Asked(_))
        };
        let Some(circuit) = self.circuits.values_mut().find(asked) else { return };
        let State::Asked(since) = circuit.state else { return };
        let Some(spots) = spots else {
            circuit.state = State::Idle;
            return;
        };
        // A round in which there is nowhere to go is skipped.
        let here = |way: Way| spots.iter().any(|spot| spot.way == way);
        while ROUNDS.get(circuit.round).is_some_and(|way| !here(*way)) {
            circuit.round += 1;
        }
        let Some(way) = ROUNDS.get(circuit.round).copied() else {
            circuit.state = State::Idle;
            return;
        };
        let half = now.saturating_duration_since(since) / 2;
        let spots = spots.into_iter().filter(|spot| spot.way == way).collect();
        circuit.state = State::Aimed(now + half, spots);
        self.out.push(Step::Now(*peer, way));
    }

    /// The other side asks where we are, and says where it is; whether it may
    /// know.
    pub fn asked(&mut self, now: Instant, peer: &PeerId, spots: Vec<Spot>) -> bool {
        let follows = |circuit: &&mut Circuit| circuit.peer == *peer && !circuit.leads;
        let Some(circuit) = self.circuits.values_mut().find(follows) else { return false };
        if circuit.round >= ROUNDS.len() {
            return false;
        }
        circuit.told = Some((now, spots));
        true
    }

    /// The other side says *now*.
    pub fn told_now(&mut self, now: Instant, peer: &PeerId, way: Way) {
        let follows = |circuit: &&mut Circuit| {
            circuit.peer == *peer && !circuit.leads && circuit.state == State::Idle
        };
        let Some(circuit) = self.circuits.values_mut().find(follows) else { return };
        let Some((at, spots)) = circuit.told.take() else { return };
        let spots: Vec<_> = spots.into_iter().filter(|spot| spot.way == way).collect();
        if spots.is_empty() || now.saturating_duration_since(at) > FRESH {
            return;
        }
        circuit.round += 1;
        circuit.state = State::Dialling(now + DIALS_IN);
        self.out.push(Step::Dial { peer: *peer, spots, answering: false });
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        if !self.out.is_empty() {
            return Some(self.out.remove(0));
        }
        for (link, circuit) in &mut self.circuits {
            match &mut circuit.state {
                State::Due => {
                    circuit.state = State::Asked(now);
                    return Some(Step::Meet(circuit.peer));
                }
                State::Asked(since) if now >= *since + ANSWERS_IN => circuit.state = State::Idle,
                State::Aimed(at, spots) if now >= *at => {
                    let spots = std::mem::take(spots);
                    circuit.round += 1;
                    circuit.state = State::Dialling(now + DIALS_IN);
                    return Some(Step::Dial { peer: circuit.peer, spots, answering: true });
                }
                State::Dialling(until) if now >= *until => {
                    let more = circuit.leads && circuit.round < ROUNDS.len();
                    circuit.state = if more { State::Due } else { State::Idle };
                    if more {
                        circuit.state = State::Asked(now);
                        return Some(Step::Meet(circuit.peer));
                    }
                }
                State::Replaced(at) if now >= *at => {
                    let link = *link;
                    self.circuits.remove(&link);
                    return Some(Step::Close(link));
                }
                _ => {}
            }
        }
        None
    }

    /// When `poll` may have something by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let times = self.circuits.values().filter_map(|circuit| match &circuit.state {
            State::Idle | State::Due => None,
            State::Asked(since) => Some(*since + ANSWERS_IN),
            State::Aimed(at, _) | State::Dialling(at) | State::Replaced(at) => Some(*at),
        });
        times.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn spots(ways: &[Way]) -> Vec<Spot> {
        ways.iter().map(|way| Spot { way: *way, at: ([198, 51, 100, 7], 4001).into() }).collect()
    }

    const BOTH: [Way; 2] = [Way::Quic, Way::Tcp];

    /// The two ends of one circuit, `leader` the one it was dialled to, and
    /// the time that a word takes over it.
    struct Pair {
        now: Instant,
        leader: Punch,
        follower: Punch,
        ids: [PeerId; 2],
        delay: Duration,
        /// When which side dialled, at how many spots.
        dials: Vec<(Instant, bool, Vec<Spot>)>,
        closed: Vec<LinkId>,
    }

    impl Pair {
        fn new(delay: Duration) -> Self {
            let ids = [PeerId::random(), PeerId::random()];
            let (mut leader, mut follower) = (Punch::default(), Punch::default());
            leader.joined(LinkId(1), ids[1], true);
            follower.joined(LinkId(2), ids[0], false);
            let (dials, closed) = (Vec::new(), Vec::new());
            Self { now: epoch(), leader, follower, ids, delay, dials, closed }
        }

        /// Runs both machines for so long; `ways` is where each might be met.
        fn run(&mut self, lasting: Duration, ways: &[Way]) {
            let end = self.now + lasting;
            // What is on its way, and when it arrives.
            let mut words: Vec<(Instant, Step)> = Vec::new();
            while self.now < end {
                let due: Vec<_> = words.extract_if(.., |(at, _)| *at <= self.now).collect();
                for (_, word) in due {
                    match word {
                        Step::Meet(to) if to == self.ids[1] => {
                            let leader = self.ids[0];
                            assert!(self.follower.asked(self.now, &leader, spots(ways)));
                            // The answer, marked by whom it is for.
                            words.push((self.now + self.delay, Step::Meet(leader)));
                        }
                        Step::Meet(_) => {
                            let follower = self.ids[1];
                            self.leader.answered(self.now, &follower, Some(spots(ways)));
                        }
                        Step::Now(_, way) => {
                            let leader = self.ids[0];
                            self.follower.told_now(self.now, &leader, way);
                        }
                        other => panic!("{other:?} is no word"),
                    }
                }
                while let Some(step) = self.leader.poll(self.now) {
                    self.take(step, true, &mut words);
                }
                while let Some(step) = self.follower.poll(self.now) {
                    self.take(step, false, &mut words);
                }
                self.now += Duration::from_millis(1);
            }
        }

        fn take(&mut self, step: Step, leader: bool, words: &mut Vec<(Instant, Step)>) {
            match step {
                Step::Dial { spots, answering, .. } => {
                    assert_eq!(answering, leader, "one side is the one that dials");
                    self.dials.push((self.now, leader, spots));
                }
                Step::Close(link) => self.closed.push(link),
                word => words.push((self.now + self.delay, word)),
            }
        }
    }

    #[test]
    fn both_dial_at_the_same_moment_however_long_the_way_is() {
        for delay in [0, 3, 40, 400].map(Duration::from_millis) {
            let mut pair = Pair::new(delay);
            pair.run(Duration::from_secs(4), &BOTH);
            let [(one, _, to), (other, ..)] = &pair.dials[..] else { panic!("{:?}", pair.dials) };
            let apart = other.saturating_duration_since(*one);
            assert!(apart <= Duration::from_millis(2), "{apart:?} apart at {delay:?}");
            assert!(to.iter().all(|spot| spot.way == Way::Quic) && to.len() == 1);
        }
    }

    #[test]
    fn what_does_not_work_is_tried_a_few_times_in_other_ways_and_then_left() {
        let mut pair = Pair::new(Duration::from_millis(20));
        pair.run(Duration::from_secs(300), &BOTH);
        let ways: Vec<Way> = pair.dials.iter().map(|(.., spots)| spots[0].way).collect();
        let expected: Vec<Way> = ROUNDS.iter().flat_map(|way| [*way, *way]).collect();
        assert_eq!(ways, expected);
        let leader = pair.ids[0];
        assert!(!pair.follower.asked(pair.now, &leader, spots(&BOTH)), "it is tired of it");
        assert_eq!(pair.leader.next_deadline(), None);
    }

    #[test]
    fn a_way_that_one_side_has_not_is_skipped() {
        let mut pair = Pair::new(Duration::from_millis(20));
        pair.run(Duration::from_secs(300), &[Way::Tcp]);
        assert_eq!(pair.dials.len(), 4);
        assert!(pair.dials.iter().all(|(.., spots)| spots[0].way == Way::Tcp));
    }

    #[test]
    fn a_direct_connection_replaces_the_circuit_a_moment_later() {
        let mut pair = Pair::new(Duration::from_millis(20));
        pair.run(Duration::from_secs(1), &BOTH);
        let (now, peer) = (pair.now, pair.ids[1]);
        pair.leader.connected(now, &peer);
        pair.run(OVERLAP, &BOTH);
        assert!(pair.closed.is_empty());
        pair.run(Duration::from_secs(60), &BOTH);
        assert_eq!((pair.closed, pair.dials.len()), (vec![LinkId(1)], 2));
    }

    #[test]
    fn nobody_dials_without_a_circuit_without_a_word_or_on_an_old_one() {
        let now = epoch();
        let (mut punch, peer) = (Punch::default(), PeerId::random());
        assert!(!punch.asked(now, &peer, spots(&BOTH)));
        punch.told_now(now, &peer, Way::Quic);
        punch.joined(LinkId(1), peer, false);
        punch.told_now(now, &peer, Way::Quic);
        assert!(punch.asked(now, &peer, spots(&BOTH)));
        punch.told_now(now + FRESH * 2, &peer, Way::Quic);
        assert_eq!(punch.poll(now), None);
        // An answer that was not asked for is none.
        punch.answered(now, &peer, Some(spots(&BOTH)));
        assert_eq!(punch.poll(now), None);
    }

    #[test]
    fn relay_abuse_makes_nobody_dial_more_than_a_few_times() {
        let mut now = epoch();
        let (mut punch, peer) = (Punch::default(), PeerId::random());
        punch.joined(LinkId(1), peer, false);
        let mut dials = 0;
        for _ in 0..1_000 {
            punch.asked(now, &peer, spots(&BOTH));
            punch.told_now(now, &peer, Way::Quic);
            while let Some(step) = punch.poll(now) {
                dials += usize::from(matches!(step, Step::Dial { .. }));
            }
            now += Duration::from_secs(1);
        }
        assert_eq!(dials, ROUNDS.len());
        punch.left(LinkId(1));
        assert!(punch.circuits.is_empty());
    }
}
