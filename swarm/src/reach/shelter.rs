//! Whether we can be dialled, and where circuits to us may lead through if not.
//!
//! A few members far away are asked to dial us back. If none of them gets
//! through, or if we listen nowhere, circuits are reserved at members that
//! relay, the vendor's own first. Promises that nobody is asked more than now
//! and then, that an address far away counts as ours only once somebody has
//! been there, and that no reservation is sought while we can be dialled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::limits::{EXAMINATION_PAUSE, EXAMINERS, RELAYS};
use crate::reach::message::{Findings, Ports, Refusal, Spot, Way};

/// How long what a member found is believed, before it is asked again.
const BELIEVED: Duration = Duration::from_secs(15 * 60);
/// How long whoever relays nothing is left alone.
const UNWILLING: Duration = Duration::from_secs(30 * 60);
/// How long a relay is left alone that is full, or whose answer did not come.
const LATER: Duration = Duration::from_secs(60);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask a member to dial us back.
    Examine(PeerId, Ports),
    /// Ask a member for a reservation.
    Reserve(PeerId),
}

#[derive(Debug)]
struct Acquaintance {
    /// One of the vendor's own.
    seeder: bool,
    /// On our own machine or network: what it can dial says nothing of others.
    near: bool,
    findings: Option<Findings>,
    /// When it may be asked to dial us, and for a reservation.
    examine_at: Instant,
    reserve_at: Instant,
    /// Its answer is on its way.
    asked: bool,
    /// Until when it relays to us.
    reserved: Option<Instant>,
}

/// The machine that looks for shelter.
#[derive(Debug, Default)]
pub struct Shelter {
    /// Nothing until it is known.
    ports: Option<Ports>,
    known: BTreeMap<PeerId, Acquaintance>,
}

impl Shelter {
    /// What we listen on now.
    pub fn listens(&mut self, now: Instant, ports: Ports) {
        if self.ports.replace(ports) == Some(ports) {
            return;
        }
        for member in self.known.values_mut() {
            // What was found of other ports says nothing of these.
            member.findings = None;
            member.examine_at = member.examine_at.min(now + EXAMINATION_PAUSE);
        }
    }

    /// A member is directly connected.
    pub fn met(&mut self, now: Instant, member: PeerId, seeder: bool, near: bool) {
        self.known.entry(member).or_insert(Acquaintance {
            seeder,
            near,
            findings: None,
            examine_at: now,
            reserve_at: now,
            asked: false,
            reserved: None,
        });
    }

    /// The last direct connection to a member is gone, and with it what it
    /// relays.
    pub fn left(&mut self, member: &PeerId) {
        self.known.remove(member);
    }

    /// A member has tried to dial us, or did not answer.
    pub fn examined(&mut self, now: Instant, member: &PeerId, findings: Option<Findings>) {
        let Some(known) = self.known.get_mut(member) else { return };
        known.asked = false;
        known.findings = findings.or(known.findings);
        known.examine_at = now + if findings.is_some() { BELIEVED } else { LATER };
    }

    /// A member has answered whether it relays to us; nothing if it did not
    /// answer.
    pub fn reserved(
        &mut self,
        now: Instant,
        member: &PeerId,
        answer: Option<Result<Duration, Refusal>>,
    ) {
        let Some(known) = self.known.get_mut(member) else { return };
        known.asked = false;
        let pause = match answer {
            Some(Ok(lasting)) => {
                known.reserved = Some(now + lasting);
                (lasting / 2).max(LATER)
            }
            Some(Err(Refusal::Unwilling)) => UNWILLING,
            Some(Err(_)) | None => LATER,
        };
        known.reserve_at = now + pause;
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        for known in self.known.values_mut() {
            known.reserved = known.reserved.filter(|until| *until > now);
        }
        let step = self.examination(now).or_else(|| self.reservation(now))?;
        let (Step::Examine(member, _) | Step::Reserve(member)) = step;
        self.known.get_mut(&member)?.asked = true;
        Some(step)
    }

    /// When `poll` may have something by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let examine = self.examiners().map(|(_, known)| known.examine_at);
        let reserve = self.candidates().map(|(_, known)| known.reserve_at);
        let ends = self.known.values().filter_map(|known| known.reserved);
        examine.chain(reserve).chain(ends).min()
    }

    /// Whether somebody far away has dialled us.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.found().any(|findings| findings.tcp || findings.quic)
    }

    /// Whether those far away who tried to dial us did so in vain.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.found().next().is_some() && !self.is_reached()
    }

    /// Members that circuits to us may lead through.
    pub fn relays(&self) -> impl Iterator<Item = PeerId> + '_ {
        let reserved = self.known.iter().filter(|(_, known)| known.reserved.is_some());
        reserved.map(|(member, _)| *member)
    }

    /// Where members far away have dialled us.
    #[must_use]
    pub fn open(&self) -> Vec<Spot> {
        let mut open = BTreeSet::new();
        for findings in self.found() {
            for (way, reached) in [(Way::Quic, findings.quic), (Way::Tcp, findings.tcp)] {
                open.extend(
                    self.port(way)
                        .filter(|_| reached)
                        .map(|port| Spot { way, at: (findings.seen.at.ip(), port).into() }),
                );
            }
        }
        open.into_iter().collect()
    }

    /// Where we might be met if we dial at the same time: where others see us
    /// come from, and our own ports there, which most networks keep.
    #[must_use]
    pub fn behind(&self) -> Vec<Spot> {
        let mut spots: Vec<Spot> = Vec::new();
        let seen: Vec<Spot> = self.found().map(|findings| findings.seen).collect();
        let kept = seen.iter().flat_map(|seen| {
            let ways = [Way::Quic, Way::Tcp].into_iter();
            ways.filter_map(|way| {
                let at = (seen.at.ip(), self.port(way)?).into();
                Some(Spot { way, at })
            })
        });
        // Where a network does not keep the ports, what is seen is better.
        for spot in seen.iter().copied().chain(kept) {
            if self.port(spot.way).is_some() && !spots.contains(&spot) {
                spots.push(spot);
            }
        }
        spots
    }

    fn port(&self, way: Way) -> Option<u16> {
        self.ports?.of(way)
    }

    fn listens_somewhere(&self) -> bool {
        self.ports.is_some_and(|ports| ports.any())
    }

    fn found(&self) -> impl Iterator<Item = &Findings> + '_ {
        self.known.values().filter_map(|known| known.findings.as_ref())
    }

    /// Whom to ask whether we can be dialled: few, the vendor's own first.
    fn examiners(&self) -> impl Iterator<Item = (PeerId, &Acquaintance)> + '_ {
        let far = self.known.iter().filter(|(_, known)| self.listens_somewhere() && !known.near);
        let mut far: Vec<_> = far.map(|(member, known)| (*member, known)).collect();
        far.sort_by_key(|(_, known)| (!known.seeder, known.findings.is_none()));
        far.into_iter().take(EXAMINERS).filter(|(_, known)| !known.asked)
    }

    fn examination(&self, now: Instant) -> Option<Step> {
        let mut due = self.examiners().filter(|(_, known)| known.examine_at <= now);
        due.next().map(|(member, _)| Step::Examine(member, self.ports.unwrap_or_default()))
    }

    /// Those who may be asked for a reservation, the best first: who relays
    /// already, the vendor's own, others.
    fn candidates(&self) -> impl Iterator<Item = (PeerId, &Acquaintance)> + '_ {
        let hidden = !self.is_reached();
        let unreachable = |known: &Acquaintance| {
            let from_there = known.findings.is_some_and(|found| !found.tcp && !found.quic);
            self.ports.is_some_and(|ports| !ports.any()) || (hidden && from_there)
        };
        let asked = self.known.values().filter(|known| known.asked && known.reserved.is_none());
        let taken = self.relays().count() + asked.count();
        let mut fit: Vec<_> = self.known.iter().filter(|(_, known)| unreachable(known)).collect();
        fit.retain(|(_, known)| !known.asked && (known.reserved.is_some() || taken < RELAYS));
        fit.sort_by_key(|(_, known)| (known.reserved.is_none(), !known.seeder));
        fit.into_iter().map(|(member, known)| (*member, known))
    }

    fn reservation(&self, now: Instant) -> Option<Step> {
        let mut due = self.candidates().filter(|(_, known)| known.reserve_at <= now);
        due.next().map(|(member, _)| Step::Reserve(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RESERVATION_LASTS;
    use crate::testing::epoch;

    const PORTS: Ports = Ports { tcp: 4001, quic: 4001 };

    fn spot(address: &str) -> Spot {
        Spot::of(&address.parse().unwrap()).unwrap()
    }

    fn seen() -> Spot {
        spot("/ip4/198.51.100.7/udp/50123/quic-v1")
    }

    fn shelter(now: Instant) -> Shelter {
        let mut shelter = Shelter::default();
        shelter.listens(now, PORTS);
        shelter
    }

    fn found(tcp: bool, quic: bool) -> Option<Findings> {
        Some(Findings { seen: seen(), tcp, quic })
    }

    #[test]
    fn whoever_cannot_be_dialled_reserves_at_the_vendors_and_renews() {
        let mut now = epoch();
        let mut shelter = shelter(now);
        let [seeder, member] = [PeerId::random(), PeerId::random()];
        shelter.met(now, member, false, false);
        shelter.met(now, seeder, true, false);
        assert_eq!(shelter.poll(now), Some(Step::Examine(seeder, PORTS)));
        assert_eq!(shelter.poll(now), Some(Step::Examine(member, PORTS)));
        assert_eq!(shelter.poll(now), None, "nothing is known yet");
        shelter.examined(now, &member, found(false, false));
        shelter.examined(now, &seeder, found(false, false));
        assert_eq!(shelter.poll(now), Some(Step::Reserve(seeder)));
        shelter.reserved(now, &seeder, Some(Ok(RESERVATION_LASTS)));
        assert_eq!(shelter.relays().collect::<Vec<_>>(), [seeder]);
        assert_eq!(shelter.poll(now), Some(Step::Reserve(member)));
        shelter.reserved(now, &member, Some(Err(Refusal::Unwilling)));
        assert_eq!(shelter.poll(now), None);
        now += RESERVATION_LASTS / 2;
        shelter.examined(now, &seeder, found(false, false));
        shelter.examined(now, &member, found(false, false));
        assert_eq!(shelter.poll(now), Some(Step::Reserve(seeder)), "half its time is over");
        shelter.reserved(now, &seeder, None);
        now += RESERVATION_LASTS / 2;
        shelter.poll(now);
        assert_eq!(shelter.relays().count(), 0, "a reservation that is not renewed ends");
    }

    #[test]
    fn whoever_can_be_dialled_says_where_and_reserves_nowhere() {
        let now = epoch();
        let mut shelter = shelter(now);
        let [one, two] = [PeerId::random(), PeerId::random()];
        [one, two].into_iter().for_each(|member| shelter.met(now, member, true, false));
        shelter.poll(now);
        shelter.poll(now);
        assert!(shelter.open().is_empty(), "nobody has been there");
        shelter.examined(now, &one, found(false, true));
        shelter.examined(now, &two, found(false, false));
        assert!(shelter.is_reached());
        assert_eq!(shelter.open(), [spot("/ip4/198.51.100.7/udp/4001/quic-v1")]);
        assert_eq!(shelter.poll(now), None, "one gets through");
        shelter.left(&one);
        assert_eq!(shelter.poll(now), Some(Step::Reserve(two)));
    }

    #[test]
    fn nobody_near_is_asked_and_whoever_listens_nowhere_reserves_at_once() {
        let now = epoch();
        let (mut shelter, member) = (shelter(now), PeerId::random());
        shelter.met(now, member, true, true);
        assert_eq!((shelter.poll(now), shelter.next_deadline()), (None, None));
        shelter.listens(now, Ports::default());
        assert_eq!(shelter.poll(now), Some(Step::Reserve(member)));
    }

    #[test]
    fn answers_that_do_not_come_are_waited_for_and_asked_for_later() {
        let now = epoch();
        let (mut shelter, member) = (shelter(now), PeerId::random());
        shelter.met(now, member, true, false);
        assert!(matches!(shelter.poll(now), Some(Step::Examine(..))));
        assert_eq!((shelter.poll(now), shelter.next_deadline()), (None, None));
        shelter.examined(now, &member, None);
        assert_eq!((shelter.poll(now), shelter.next_deadline()), (None, Some(now + LATER)));
        assert!(matches!(shelter.poll(now + LATER), Some(Step::Examine(..))));
    }

    #[test]
    fn few_are_asked_and_other_ports_are_asked_about_anew() {
        let now = epoch();
        let mut shelter = shelter(now);
        (0..50).for_each(|_| shelter.met(now, PeerId::random(), false, false));
        let asked: Vec<Step> = std::iter::from_fn(|| shelter.poll(now)).collect();
        assert_eq!(asked.len(), EXAMINERS);
        for step in &asked {
            let Step::Examine(member, _) = step else { panic!("{step:?}") };
            shelter.examined(now, member, found(true, true));
        }
        assert_eq!(shelter.poll(now), None);
        let ports = Ports { quic: 9, ..PORTS };
        shelter.listens(now, ports);
        assert!(!shelter.is_reached());
        let again = shelter.poll(now + EXAMINATION_PAUSE);
        assert!(matches!(again, Some(Step::Examine(_, found)) if found == ports), "{again:?}");
    }

    #[test]
    fn what_others_see_comes_before_what_a_network_may_have_kept() {
        let now = epoch();
        let (mut shelter, member) = (shelter(now), PeerId::random());
        shelter.met(now, member, true, false);
        shelter.examined(now, &member, found(false, false));
        let kept = ["/ip4/198.51.100.7/udp/4001/quic-v1", "/ip4/198.51.100.7/tcp/4001"].map(spot);
        assert_eq!(shelter.behind(), [seen(), kept[0], kept[1]]);
    }
}
