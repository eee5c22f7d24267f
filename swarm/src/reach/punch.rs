//! From circuits to a direct connection, through both networks.
//!
//! Each side tells the other over the circuit where it might be met; then both
//! dial at the same moment, so that what each sends opens its own network for
//! the other. The one with the greater id leads, whoever dialled the circuit:
//! it asks, measures the way, says *now*, and dials half a way later, when the
//! other has heard. A connection that comes about replaces the circuits.
//! Promises that nobody is made to dial without a circuit, more than a few
//! times, on its own network, or elsewhere than at a few spots; that the two never dial each other
//! twice at a time, which would leave neither of them to answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::address::is_local;
use crate::link::LinkId;
use crate::reach::message::{Spot, Way};

/// What is tried over one circuit, in this order: UDP passes more networks.
const ROUNDS: [Way; 4] = [Way::Quic, Way::Tcp, Way::Quic, Way::Tcp];
/// How long an answer, and a dial, may take: longer than it is tried, so that
/// none is under way when the next begins from the same port.
const ANSWERS_IN: Duration = Duration::from_secs(10);
const DIALS_IN: Duration = Duration::from_secs(12);
/// How long circuits may take to become one where both sides dialled one, and
/// what was said on the other is lost.
const SETTLING: Duration = Duration::from_millis(500);
/// Questions that may stay without an answer, and the pause after each: one of
/// us may not know yet where it is seen.
const LOST: u32 = 5;
const LOST_PAUSE: Duration = Duration::from_secs(4);
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
    /// The next round may begin then.
    Due(Instant),
    /// Asked where the other side is, then.
    Asked(Instant),
    /// Said *now*; to dial at that time.
    Aimed(Instant, Vec<Spot>),
    /// Both dial; until then.
    Dialling(Instant),
    /// A direct connection is there; the circuit goes then.
    Replaced(Instant),
}

/// What is known of one member that circuits lead to.
#[derive(Debug)]
struct Meeting {
    circuits: BTreeSet<LinkId>,
    leads: bool,
    state: State,
    round: usize,
    /// Questions without an answer.
    lost: u32,
    /// Where the other side says it might be met, and when it said so.
    told: Option<(Instant, Vec<Spot>)>,
}

/// The machine that leads from circuits to connections.
#[derive(Debug, Default)]
pub struct Punch {
    meetings: BTreeMap<PeerId, Meeting>,
    out: VecDeque<Step>,
}

impl Punch {
    /// A circuit to a member is there; `leads` if our id is the greater one.
    pub fn joined(&mut self, now: Instant, link: LinkId, peer: PeerId, leads: bool) {
        let state = if leads { State::Due(now + SETTLING) } else { State::Idle };
        let circuits = BTreeSet::new();
        let new = Meeting { circuits, leads, state, round: 0, lost: 0, told: None };
        self.meetings.entry(peer).or_insert(new).circuits.insert(link);
    }

    /// A member is directly connected.
    pub fn connected(&mut self, now: Instant, peer: &PeerId) {
        if let Some(meeting) = self.meetings.get_mut(peer)
            && !matches!(meeting.state, State::Replaced(_))
        {
            meeting.state = State::Replaced(now + OVERLAP);
        }
    }

    /// A circuit has ended.
    pub fn left(&mut self, link: LinkId) {
        self.meetings.retain(|_, meeting| {
            meeting.circuits.remove(&link);
            !meeting.circuits.is_empty()
        });
    }

    /// The answer to `Meet`: where the other side might be met, if it says so.
    pub fn answered(&mut self, now: Instant, peer: &PeerId, spots: Option<Vec<Spot>>) {
        let Some(meeting) = self.meetings.get_mut(peer) else { return };
        let State::Asked(since) = meeting.state else { return };
        let Some(spots) = spots.map(far).filter(|spots| !spots.is_empty()) else {
            meeting.lost += 1;
            let more = meeting.lost < LOST;
            meeting.state = if more { State::Due(now + LOST_PAUSE) } else { State::Idle };
            return;
        };
        // A round whose way leads nowhere takes the other.
        let here = |way: &Way| spots.iter().any(|spot| spot.way == *way);
        let planned = ROUNDS.get(meeting.round).copied();
        let Some(way) = planned.and_then(|way| [way, Way::Quic, Way::Tcp].into_iter().find(here))
        else {
            meeting.state = State::Idle;
            return;
        };
        let half = now.saturating_duration_since(since) / 2;
        let spots = spots.into_iter().filter(|spot| spot.way == way).collect();
        meeting.state = State::Aimed(now + half, spots);
        self.out.push_back(Step::Now(*peer, way));
    }

    /// The other side asks where we are, and says where it is; whether it may
    /// know.
    pub fn asked(&mut self, now: Instant, peer: &PeerId, spots: Vec<Spot>) -> bool {
        let meeting = self.meetings.get_mut(peer).filter(|meeting| !meeting.leads);
        let Some(meeting) = meeting.filter(|meeting| meeting.round < ROUNDS.len()) else {
            return false;
        };
        meeting.told = Some((now, far(spots)));
        true
    }

    /// The other side says *now*.
    pub fn told_now(&mut self, now: Instant, peer: &PeerId, way: Way) {
        let Some(meeting) = self.meetings.get_mut(peer).filter(|meeting| !meeting.leads) else {
            return;
        };
        // A last dial may just be over.
        if matches!(meeting.state, State::Dialling(until) if now >= until) {
            meeting.state = State::Idle;
        }
        let Some((at, spots)) = meeting.told.take().filter(|_| meeting.state == State::Idle) else {
            return;
        };
        let spots: Vec<_> = spots.into_iter().filter(|spot| spot.way == way).collect();
        if spots.is_empty() || now.saturating_duration_since(at) > FRESH {
            return;
        }
        meeting.round += 1;
        meeting.state = State::Dialling(now + DIALS_IN);
        self.out.push_back(Step::Dial { peer: *peer, spots, answering: false });
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        for (peer, meeting) in &mut self.meetings {
            if let Some(step) = meeting.turn(now, *peer) {
                self.out.push_back(step);
            }
            if matches!(meeting.state, State::Replaced(at) if now >= at) {
                self.out.extend(std::mem::take(&mut meeting.circuits).into_iter().map(Step::Close));
            }
        }
        self.meetings.retain(|_, meeting| !meeting.circuits.is_empty());
        self.out.pop_front()
    }

    /// When `poll` may have something by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let times = self.meetings.values().filter_map(|meeting| match &meeting.state {
            State::Idle => None,
            State::Asked(since) => Some(*since + ANSWERS_IN),
            State::Due(at) | State::Aimed(at, _) | State::Dialling(at) | State::Replaced(at) => {
                Some(*at)
            }
        });
        times.min()
    }
}

/// Without spots on our own network or machine: nobody makes us knock there.
fn far(mut spots: Vec<Spot>) -> Vec<Spot> {
    spots.retain(|spot| !is_local(&spot.address()));
    spots
}

impl Meeting {
    /// Goes on if it is time.
    fn turn(&mut self, now: Instant, peer: PeerId) -> Option<Step> {
        match &mut self.state {
            State::Dialling(until) if now >= *until => {
                let more = self.leads && self.round < ROUNDS.len();
                self.state = if more { State::Due(now) } else { State::Idle };
            }
            State::Asked(since) if now >= *since + ANSWERS_IN => self.state = State::Idle,
            _ => {}
        }
        match &mut self.state {
            State::Due(at) if now >= *at => {
                self.state = State::Asked(now);
                Some(Step::Meet(peer))
            }
            State::Aimed(at, spots) if now >= *at => {
                let spots = std::mem::take(spots);
                self.round += 1;
                self.state = State::Dialling(now + DIALS_IN);
                Some(Step::Dial { peer, spots, answering: true })
            }
            _ => None,
        }
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

    /// The two ends of one circuit, and the time that a word takes over it.
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
            leader.joined(epoch(), LinkId(1), ids[1], true);
            follower.joined(epoch(), LinkId(2), ids[0], false);
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
    fn a_way_that_one_side_has_not_gives_its_rounds_to_the_other() {
        let mut pair = Pair::new(Duration::from_millis(20));
        pair.run(Duration::from_secs(300), &[Way::Tcp]);
        assert_eq!(pair.dials.len(), 2 * ROUNDS.len());
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
    fn a_question_that_is_lost_with_its_circuit_is_asked_again_on_the_other() {
        let mut now = epoch();
        let (mut punch, peer) = (Punch::default(), PeerId::random());
        punch.joined(now, LinkId(1), peer, true);
        punch.joined(now, LinkId(2), peer, true);
        punch.left(LinkId(1));
        for _ in 0..LOST {
            assert_eq!(punch.poll(now), None);
            now = punch.next_deadline().unwrap();
            assert_eq!(punch.poll(now), Some(Step::Meet(peer)));
            punch.answered(now, &peer, None);
        }
        assert_eq!(punch.next_deadline(), None, "nobody is there who answers");
    }

    #[test]
    fn our_own_network_is_never_dialled_on_anybodys_word() {
        let (now, peer) = (epoch(), PeerId::random());
        let local = [[192, 168, 1, 1], [127, 0, 0, 1], [10, 0, 0, 1]];
        let local = local.map(|ip| Spot { way: Way::Tcp, at: (ip, 22).into() }).to_vec();
        let mut follower = Punch::default();
        follower.joined(now, LinkId(1), peer, false);
        assert!(follower.asked(now, &peer, local.clone()));
        follower.told_now(now, &peer, Way::Tcp);
        assert_eq!(follower.poll(now), None);
        let mut leader = Punch::default();
        leader.joined(now, LinkId(1), peer, true);
        let now = now + SETTLING;
        assert_eq!(leader.poll(now), Some(Step::Meet(peer)));
        leader.answered(now, &peer, Some(local));
        assert_eq!(leader.poll(now), None, "as if it had not answered");
    }

    #[test]
    fn a_second_circuit_begins_nothing_of_its_own() {
        let mut pair = Pair::new(Duration::from_millis(20));
        pair.leader.joined(pair.now, LinkId(3), pair.ids[1], true);
        pair.follower.joined(pair.now, LinkId(4), pair.ids[0], false);
        pair.run(Duration::from_secs(4), &BOTH);
        assert_eq!(pair.dials.len(), 2, "one dial from each side");
    }

    #[test]
    fn nobody_dials_without_a_circuit_without_a_word_or_on_an_old_one() {
        let now = epoch();
        let (mut punch, peer) = (Punch::default(), PeerId::random());
        assert!(!punch.asked(now, &peer, spots(&BOTH)));
        punch.told_now(now, &peer, Way::Quic);
        punch.joined(now, LinkId(1), peer, false);
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
        punch.joined(now, LinkId(1), peer, false);
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
        assert!(punch.meetings.is_empty());
    }
}
