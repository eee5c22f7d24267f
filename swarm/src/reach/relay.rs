//! What we relay for others: reservations, circuits, and their bounds.
//!
//! A member that cannot be dialled reserves; another may then ask for a
//! circuit to it. Promises that reservations, circuits and bytes stay within
//! `Quotas`, in all and for each member, however often anybody asks. A circuit
//! is charged with all it may carry when it begins, and gets the rest back when
//! it ends. Moves no bytes and sees none; see `driver::splice`.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::limits::{
    CIRCUIT_ASKS, CIRCUIT_BYTES, CIRCUIT_LASTS, CIRCUITS_FROM_ONE, CIRCUITS_TO_ONE,
    MAX_RELAYED_MEMBERS, RELAY_WINDOW, RELAYED_BYTES_FOR_ONE, RESERVATION_LASTS,
};
use crate::reach::message::Refusal;

/// How much is relayed in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Members that may hold a reservation at a time.
    pub reservations: usize,
    /// Circuits at a time.
    pub circuits: usize,
    /// Bytes of all circuits within `RELAY_WINDOW`.
    pub bytes: u64,
}

/// The number of a circuit that leads through us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CircuitId(pub u64);

/// What a circuit may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Its number, for its end.
    pub circuit: CircuitId,
    /// Bytes, both ways together.
    pub bytes: u64,
    /// How long it may last.
    pub lasting: Duration,
}

#[derive(Debug)]
struct Circuit {
    from: PeerId,
    to: PeerId,
    granted: u64,
}

/// What a member has used of the current window.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    asks: u32,
    bytes: u64,
}

/// The machine that grants.
#[derive(Debug)]
pub struct Relay {
    quotas: Quotas,
    willing: bool,
    reserved: HashMap<PeerId, Instant>,
    circuits: BTreeMap<CircuitId, Circuit>,
    used: HashMap<PeerId, Used>,
    bytes: u64,
    window: Instant,
    next: u64,
}

impl Relay {
    /// A relay that grants within `quotas` once it is willing.
    #[must_use]
    pub fn new(now: Instant, quotas: Quotas) -> Self {
        Self {
            quotas,
            willing: false,
            reserved: HashMap::new(),
            circuits: BTreeMap::new(),
            used: HashMap::new(),
            bytes: 0,
            window: now,
            next: 0,
        }
    }

    /// Grants from now on, or grants nothing new.
    pub const fn set_willing(&mut self, willing: bool) {
        self.willing = willing;
    }

    /// A member asks that circuits to it may lead through us, for so long.
    ///
    /// # Errors
    /// [`Refusal`], for it to hear.
    pub fn reserve(&mut self, now: Instant, member: PeerId) -> Result<Duration, Refusal> {
        self.reserved.retain(|_, until| *until > now);
        if !self.willing {
            return Err(Refusal::Unwilling);
        }
        // Whoever holds one may always renew it.
        if self.reserved.len() >= self.quotas.reservations && !self.reserved.contains_key(&member) {
            return Err(Refusal::Full);
        }
        self.reserved.insert(member, now + RESERVATION_LASTS);
        Ok(RESERVATION_LASTS)
    }

    /// A member asks for a circuit to another.
    ///
    /// # Errors
    /// [`Refusal`], for it to hear.
    pub fn open(&mut self, now: Instant, from: PeerId, to: PeerId) -> Result<Grant, Refusal> {
        self.turn(now);
        if !self.willing {
            return Err(Refusal::Unwilling);
        }
        if !self.used.contains_key(&from) && self.used.len() >= MAX_RELAYED_MEMBERS {
            return Err(Refusal::Full);
        }
        let used = self.used.entry(from).or_default();
        // Asking in vain counts too: each ask costs a stream.
        if used.asks >= CIRCUIT_ASKS {
            return Err(Refusal::Spent);
        }
        used.asks += 1;
        let left = RELAYED_BYTES_FOR_ONE.saturating_sub(used.bytes);
        if from == to || self.reserved.get(&to).is_none_or(|until| *until <= now) {
            return Err(Refusal::Nobody);
        }
        let open = |end: fn(&Circuit) -> PeerId, member: PeerId| {
            self.circuits.values().filter(|circuit| end(circuit) == member).count()
        };
        if left == 0
            || open(|circuit| circuit.from, from) >= CIRCUITS_FROM_ONE
            || open(|circuit| circuit.to, to) >= CIRCUITS_TO_ONE
        {
            return Err(Refusal::Spent);
        }
        let bytes = CIRCUIT_BYTES.min(left).min(self.quotas.bytes.saturating_sub(self.bytes));
        if self.circuits.len() >= self.quotas.circuits || bytes == 0 {
            return Err(Refusal::Full);
        }
        self.used.entry(from).or_default().bytes += bytes;
        self.bytes += bytes;
        let circuit = CircuitId(self.next);
        self.next += 1;
        self.circuits.insert(circuit, Circuit { from, to, granted: bytes });
        Ok(Grant { circuit, bytes, lasting: CIRCUIT_LASTS })
    }

    /// A circuit ended after it had carried so much.
    pub fn ended(&mut self, circuit: CircuitId, carried: u64) {
        let Some(Circuit { from, granted, .. }) = self.circuits.remove(&circuit) else { return };
        let rest = granted.saturating_sub(carried);
        self.bytes = self.bytes.saturating_sub(rest);
        if let Some(used) = self.used.get_mut(&from) {
            used.bytes = used.bytes.saturating_sub(rest);
        }
    }

    /// A member's last direct connection is gone, and its reservation with it.
    /// Circuits end by themselves: their streams are gone.
    pub fn left(&mut self, member: &PeerId) {
        self.reserved.remove(member);
    }

    /// Reservations held and circuits under way.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.reserved.len(), self.circuits.len())
    }

    /// Begins a new window when the old one is over; open circuits weigh on it
    /// with all that they may still carry.
    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.window) < RELAY_WINDOW {
            return;
        }
        self.window = now;
        self.used.clear();
        self.bytes = 0;
        for circuit in self.circuits.values() {
            self.used.entry(circuit.from).or_default().bytes += circuit.granted;
            self.bytes += circuit.granted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::testing::{epoch, seed};

    const QUOTAS: Quotas = Quotas { reservations: 3, circuits: 8, bytes: 6 * CIRCUIT_BYTES };

    fn relay(now: Instant) -> Relay {
        let mut relay = Relay::new(now, QUOTAS);
        relay.set_willing(true);
        relay
    }

    fn members<const N: usize>() -> [PeerId; N] {
        std::array::from_fn(|_| PeerId::random())
    }

    #[test]
    fn only_the_willing_relay() {
        let now = epoch();
        let mut relay = Relay::new(now, QUOTAS);
        let [a, b] = members();
        assert_eq!(relay.reserve(now, a), Err(Refusal::Unwilling));
        assert_eq!(relay.open(now, b, a), Err(Refusal::Unwilling));
    }

    #[test]
    fn a_circuit_needs_a_reservation_at_its_end() {
        let now = epoch();
        let mut relay = relay(now);
        let [a, b] = members();
        assert_eq!(relay.open(now, b, a), Err(Refusal::Nobody));
        relay.reserve(now, a).unwrap();
        assert_eq!(relay.open(now, a, a), Err(Refusal::Nobody), "nobody to itself");
        relay.open(now, b, a).unwrap();
        assert_eq!(relay.open(now + RESERVATION_LASTS, b, a), Err(Refusal::Nobody), "it ended");
        relay.reserve(now, a).unwrap();
        relay.left(&a);
        assert_eq!(relay.open(now, b, a), Err(Refusal::Nobody));
    }

    #[test]
    fn a_full_relay_renews_and_takes_nobody_new_until_one_ends() {
        let now = epoch();
        let mut relay = relay(now);
        let [a, b, c, d] = members();
        [a, b, c].into_iter().for_each(|member| _ = relay.reserve(now, member).unwrap());
        assert_eq!(relay.reserve(now, d), Err(Refusal::Full));
        let later = now + RESERVATION_LASTS / 2;
        relay.reserve(later, a).unwrap();
        assert_eq!(relay.reserve(later, d), Err(Refusal::Full));
        relay.reserve(now + RESERVATION_LASTS, d).unwrap();
        assert_eq!(relay.load().0, 2, "a renewed, and d");
    }

    #[test]
    fn one_member_takes_no_more_than_its_share_of_circuits() {
        let now = epoch();
        let mut relay = relay(now);
        let [a, b, c] = members();
        [a, b].into_iter().for_each(|member| _ = relay.reserve(now, member).unwrap());
        for _ in 0..CIRCUITS_FROM_ONE {
            relay.open(now, c, a).unwrap();
        }
        assert_eq!(relay.open(now, c, b), Err(Refusal::Spent));
        relay.open(now, a, b).unwrap();
    }

    #[test]
    fn relay_abuse_ends_at_what_one_may_ask_and_carry_in_an_hour() {
        let now = epoch();
        let mut relay = Relay::new(now, Quotas { bytes: u64::MAX, ..QUOTAS });
        relay.set_willing(true);
        let [a, b, other] = members();
        relay.reserve(now, a).unwrap();
        let mut carried = 0;
        let spent = (0..10_000).any(|_| match relay.open(now, b, a) {
            Ok(grant) => {
                carried += grant.bytes;
                relay.ended(grant.circuit, grant.bytes);
                false
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Spent);
                true
            }
        });
        assert!(spent && carried <= RELAYED_BYTES_FOR_ONE, "{carried}");
        // Asking in vain is counted as well.
        let asks = (0..10_000).take_while(|_| relay.open(now, other, b) == Err(Refusal::Nobody));
        assert_eq!(asks.count(), CIRCUIT_ASKS as usize);
        let later = now + RELAY_WINDOW;
        relay.reserve(later, a).unwrap();
        relay.open(later, b, a).unwrap();
    }

    #[test]
    fn whatever_happens_the_quotas_hold_and_all_is_given_back() {
        let mut now = epoch();
        let mut relay = relay(now);
        let members: [PeerId; 12] = members();
        let mut dice = Dice::new(seed(11));
        let mut open: Vec<(Grant, u64)> = Vec::new();
        for _ in 0..20_000 {
            let mut any = || members[dice.below(12) as usize];
            let (a, b) = (any(), any());
            match dice.below(6) {
                0 => _ = relay.reserve(now, a),
                1 | 2 => open.extend(relay.open(now, a, b).ok().map(|grant| (grant, 0))),
                3 if !open.is_empty() => {
                    let nth = dice.below(open.len() as u64) as usize;
                    let (grant, _) = open.swap_remove(nth);
                    relay.ended(grant.circuit, dice.below(grant.bytes + 1));
                }
                4 => relay.left(&a),
                _ => now += RELAY_WINDOW / 200,
            }
            let (reservations, circuits) = relay.load();
            assert!(reservations <= QUOTAS.reservations && circuits <= QUOTAS.circuits);
            assert!(relay.bytes <= QUOTAS.bytes && relay.used.len() <= 12);
            assert!(relay.used.values().all(|used| used.bytes <= RELAYED_BYTES_FOR_ONE));
        }
        open.into_iter().for_each(|(grant, _)| relay.ended(grant.circuit, 0));
        relay.turn(now + RELAY_WINDOW);
        assert_eq!((relay.bytes, relay.load().1), (0, 0));
    }
}
