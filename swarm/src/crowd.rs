//! Who may stay when more members come than there is room for.
//!
//! Some places are kept for whom we dial ourselves, and for the vendor's
//! seeders, so that nobody who fills the others cuts us off. Where many have
//! come with one ticket, the last of them makes room for who came with
//! another. And a few come as guests: a node that sent newcomers away who know
//! of nobody else would keep its workgroup no larger than its own room. They
//! are told whom else they may turn to, and the one that has been there
//! longest makes room for the next.

use std::collections::HashMap;
use std::time::Instant;

use libp2p::PeerId;
use manifest::key::PublicKey;

use crate::limits::{ENOUGH_PEERS, GUEST_STAY, SEEDER_PLACES};

/// There is no place for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Every place is taken.
    #[error("there are {0} peers already")]
    Full(usize),
    /// The places of those who come by themselves are taken.
    #[error("{here} members have come already, {of_it} of them with tickets of issuer {issuer}")]
    Taken {
        /// How many have come.
        here: usize,
        /// The issuer of most of them.
        issuer: PublicKey,
        /// How many those are.
        of_it: usize,
    },
}

/// Why a member makes room for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was a guest.
    Guest,
    /// Too many have its issuer's tickets.
    Ticket(NoRoom),
}

/// A member that comes, or that we dialled.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer {
    /// Who it is.
    pub peer: PeerId,
    /// Who issued its ticket.
    pub issuer: PublicKey,
    /// Whether it is the vendor's: only the vendor makes seeders; they are few,
    /// and whom everybody needs.
    pub seeder: bool,
    /// Whether it came by itself.
    pub came: bool,
}

/// What room there is for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// It has a place, or gets one.
    Place,
    /// It gets the place of this one.
    PlaceOf(PeerId, NoRoom),
    /// It may come as a guest.
    Guest,
    /// It may come as a guest instead of this one.
    GuestFor(PeerId),
}

#[derive(Debug)]
struct Seat {
    newcomer: Newcomer,
    /// In which order they came.
    number: u64,
    /// Since when it is a guest; nothing if it has a place.
    guest: Option<Instant>,
}

/// The machine.
#[derive(Debug)]
pub struct Crowd {
    places: usize,
    seats: HashMap<PeerId, Seat>,
    next: u64,
}

impl Crowd {
    /// Room for so many members, and for an eighth as many guests.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places, seats: HashMap::new(), next: 0 }
    }

    /// Whether a member could come in now.
    ///
    /// # Errors
    /// [`NoRoom`] if it could not, not even as a guest.
    pub fn has_room(&self, now: Instant, newcomer: &Newcomer) -> Result<(), NoRoom> {
        self.room(now, newcomer).map(|_| ())
    }

    /// A member came in; who has to make room for it, and why.
    pub fn arrive(&mut self, now: Instant, newcomer: Newcomer) -> Option<(PeerId, Why)> {
        if let Some(seat) = self.seats.get_mut(&newcomer.peer) {
            // Whom we dial as well holds a place of those we dialled.
            seat.newcomer.came &= newcomer.came;
            return None;
        }
        let (guest, leaver) = match self.room(now, &newcomer) {
            Ok(Room::Place) => (None, None),
            Ok(Room::PlaceOf(peer, taken)) => (None, Some((peer, Why::Ticket(taken)))),
            Ok(Room::Guest) | Err(_) => (Some(now), None),
            Ok(Room::GuestFor(peer)) => (Some(now), Some((peer, Why::Guest))),
        };
        if let Some((peer, _)) = leaver {
            self.seats.remove(&peer);
        }
        let number = self.next;
        self.next += 1;
        self.seats.insert(newcomer.peer, Seat { newcomer, number, guest });
        leaver
    }

    /// A member is gone; the guest that waited longest gets a place that is
    /// free now.
    pub fn leave(&mut self, peer: &PeerId) {
        self.seats.remove(peer);
        if let Some(next) = self.oldest_guest()
            && self.place_for(&self.seats[&next].newcomer) == Ok(Room::Place)
            && let Some(seat) = self.seats.get_mut(&next)
        {
            seat.guest = None;
        }
    }

    /// Whether a member is in.
    #[must_use]
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.seats.contains_key(peer)
    }

    fn room(&self, now: Instant, newcomer: &Newcomer) -> Result<Room, NoRoom> {
        if self.contains(&newcomer.peer) {
            return Ok(Room::Place);
        }
        self.place_for(newcomer).or_else(|none| {
            if self.guests().count() < (self.places / 8).max(1) {
                return Ok(Room::Guest);
            }
            let oldest = self.oldest_guest().ok_or(none)?;
            let since = self.seats[&oldest].guest.unwrap_or(now);
            // It needs some time to ask around.
            let stayed = now.saturating_duration_since(since) >= GUEST_STAY;
            stayed.then_some(Room::GuestFor(oldest)).ok_or(none)
        })
    }

    /// A place, if need be another one's.
    fn place_for(&self, newcomer: &Newcomer) -> Result<Room, NoRoom> {
        let settled = self.settled().count();
        let places = self.places + if newcomer.seeder { SEEDER_PLACES } else { 0 };
        if settled >= places {
            return Err(NoRoom::Full(settled));
        }
        let came = || self.settled().filter(|seat| seat.newcomer.came);
        let here = came().count();
        if !newcomer.came || newcomer.seeder || here < self.places.saturating_sub(ENOUGH_PEERS) {
            return Ok(Room::Place);
        }
        let mut of: HashMap<PublicKey, usize> = HashMap::new();
        came().for_each(|seat| *of.entry(seat.newcomer.issuer).or_default() += 1);
        let most = of.iter().max_by_key(|(_, count)| **count);
        let (issuer, of_it) = most.ok_or(NoRoom::Full(settled))?;
        let taken = NoRoom::Taken { here, issuer: *issuer, of_it: *of_it };
        if of.get(&newcomer.issuer).copied().unwrap_or(0) + 1 >= *of_it {
            return Err(taken);
        }
        let last = came().filter(|seat| seat.newcomer.issuer == *issuer).max_by_key(|s| s.number);
        last.map(|seat| Room::PlaceOf(seat.newcomer.peer, taken)).ok_or(taken)
    }

    fn settled(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values().filter(|seat| seat.guest.is_none())
    }

    fn guests(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values().filter(|seat| seat.guest.is_some())
    }

    fn oldest_guest(&self) -> Option<PeerId> {
        self.guests().min_by_key(|seat| seat.number).map(|seat| seat.newcomer.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn newcomer(issuer: u64) -> Newcomer {
        let issuer = manifest::testing::key(issuer).public();
        Newcomer { peer: PeerId::random(), issuer, seeder: false, came: true }
    }

    /// Everybody has a place, and eight are guests.
    fn full(now: Instant) -> (Crowd, Vec<PeerId>) {
        let mut crowd = Crowd::new(64);
        let mut peers = Vec::new();
        for _ in 0..48 + 8 {
            let newcomer = newcomer(1);
            crowd.has_room(now, &newcomer).unwrap();
            assert_eq!(crowd.arrive(now, newcomer), None);
            peers.push(newcomer.peer);
        }
        assert_eq!((crowd.settled().count(), crowd.guests().count()), (48, 8));
        (crowd, peers)
    }

    #[test]
    fn the_oldest_guest_makes_room_once_it_had_time() {
        let now = epoch();
        let (mut crowd, peers) = full(now);
        let (next, later) = (newcomer(1), now + GUEST_STAY);
        let turned = crowd.has_room(now, &next).unwrap_err();
        assert!(matches!(turned, NoRoom::Taken { here: 48, of_it: 48, .. }), "{turned}");
        crowd.has_room(later, &next).unwrap();
        assert_eq!(crowd.arrive(later, next), Some((peers[48], Why::Guest)));
        assert!(!crowd.contains(&peers[48]) && crowd.contains(&next.peer));
        assert_eq!(crowd.arrive(later, next), None, "it is in already");
    }

    #[test]
    fn whoever_has_a_place_keeps_it_and_guests_inherit() {
        let now = epoch();
        let (mut crowd, peers) = full(now);
        for n in 0..100 {
            let gone = crowd.arrive(now + GUEST_STAY * (n + 1), newcomer(1));
            assert!(gone.is_some_and(|(gone, _)| !peers[..48].contains(&gone)));
        }
        let waits = crowd.oldest_guest().unwrap();
        crowd.leave(&peers[3]);
        assert!(crowd.seats[&waits].guest.is_none());
        assert_eq!((crowd.settled().count(), crowd.guests().count()), (48, 7));
        crowd.leave(&crowd.oldest_guest().unwrap());
        assert_eq!((crowd.settled().count(), crowd.guests().count()), (48, 6));
    }

    #[test]
    fn a_crowd_of_one_ticket_leaves_room_for_others_and_for_whom_we_dial() {
        let now = epoch();
        let (mut crowd, _) = full(now);
        // Another ticket's members displace its own, up to as many as it has left.
        for n in 0..24 {
            let gone = crowd.arrive(now, newcomer(2));
            assert!(matches!(gone, Some((_, Why::Ticket(_)))), "{n}: {gone:?}");
        }
        assert!(crowd.has_room(now, &newcomer(2)).is_err());
        let dialled = Newcomer { came: false, ..newcomer(1) };
        assert_eq!(crowd.place_for(&dialled), Ok(Room::Place));
        // However many we dial, a seeder finds a place.
        while crowd.settled().count() < 64 {
            crowd.arrive(now, Newcomer { came: false, ..newcomer(9) });
        }
        assert_eq!(crowd.place_for(&dialled), Err(NoRoom::Full(64)));
        let seeder = Newcomer { seeder: true, ..newcomer(3) };
        assert_eq!(crowd.place_for(&seeder), Ok(Room::Place));
    }
}
