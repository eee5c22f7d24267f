//! One member: the machines of the swarm, wired as its driver wires them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use manifest::content::ContentId;
use manifest::key::PublicKey;
use swarm::acquaintance::Acquaintance;
use swarm::address::{Multiaddr, PeerId};
use swarm::address_book::{AddressBook, Source};
use swarm::crowd::Crowd;
use swarm::exchange::{Exchange, Options};
use swarm::limits::{ASSEMBLY_BYTES, ENOUGH_PEERS, MAX_PEERS, MAX_PEERS_OF_ORIGIN};
use swarm::serving::Manner;

/// Addresses that a member remembers when it is switched off.
const REMEMBERED: usize = 32;

/// The machines of a member that is on.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) exchange: Exchange,
    pub(crate) book: AddressBook,
    pub(crate) acquaintance: Acquaintance,
    pub(crate) crowd: Crowd,
    /// Its own number of the connection to each peer.
    pub(crate) wires: BTreeMap<PeerId, u64>,
    /// When it looks at its machines next.
    pub(crate) wake: Option<Instant>,
    /// When it looks for peers next, or asks those it has; a look goes over all
    /// that it knows.
    pub(crate) looks: Option<Instant>,
}

/// A member, on or off.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: PublicKey,
    pub(crate) peer: PeerId,
    /// Where it can be dialled.
    pub(crate) addresses: Vec<Multiaddr>,
    /// Whether it is the vendor's seeder.
    pub(crate) vendor: bool,
    pub(crate) life: Option<Life>,
    /// How often it was switched on.
    pub(crate) lives: u32,
    /// Whether it has the newest metadata.
    pub(crate) heard: bool,
    /// The objects of the update that it has on its disk.
    pub(crate) have: BTreeSet<ContentId>,
    /// Since when it is on and could get the update.
    pub(crate) since: Option<Instant>,
    /// How long it was on after the publication, before `since`.
    pub(crate) was_on: Duration,
    /// How long it was on until it had all of the update.
    pub(crate) took: Option<Duration>,
    /// The most peers it had at one time.
    pub(crate) most_peers: usize,
    remembered: Vec<(Option<PeerId>, Vec<Multiaddr>)>,
}

impl Life {
    /// Something has changed that may have it look for peers.
    pub(crate) const fn stir(&mut self, now: Instant) {
        self.looks = Some(now);
    }
}

impl Member {
    /// A member that is off, and knows the addresses of its ticket.
    pub(crate) fn new(
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        vendor: bool,
        ticket: &[Multiaddr],
    ) -> Self {
        let key = swarm::gate::public_key(&peer).expect("a simulated key is an ed25519 key");
        let known = ticket.iter().map(|address| (None, vec![address.clone()]));
        Self {
            key,
            peer,
            addresses,
            vendor,
            life: None,
            lives: 0,
            heard: false,
            have: BTreeSet::new(),
            since: None,
            was_on: Duration::ZERO,
            took: None,
            most_peers: 0,
            remembered: known.collect(),
        }
    }

    /// Switches it on.
    pub(crate) fn begin(&mut self, now: Instant, seed: u64) {
        let manner = if self.vendor { Manner::Origin } else { Manner::Peer };
        let most = if self.vendor { MAX_PEERS_OF_ORIGIN } else { MAX_PEERS };
        let options = Options {
            own: self.key,
            manner,
            upload: None,
            download: None,
            assembly_bytes: ASSEMBLY_BYTES,
            seed,
        };
        let mut book = AddressBook::new(self.peer, ENOUGH_PEERS, !seed);
        for (peer, addresses) in &self.remembered {
            book.learn(now, *peer, addresses, Source::Given);
        }
        self.lives += 1;
        self.life = Some(Life {
            exchange: Exchange::new(now, &options),
            book,
            acquaintance: Acquaintance::new(seed.rotate_left(7)),
            crowd: Crowd::new(most),
            wires: BTreeMap::new(),
            wake: None,
            looks: Some(now),
        });
    }

    /// How long it was on since the publication.
    pub(crate) fn on_for(&self, now: Instant) -> Duration {
        self.was_on
            + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Switches it off; whom it knew it remembers.
    pub(crate) fn end(&mut self, now: Instant) -> Option<Life> {
        let life = self.life.take()?;
        self.was_on = self.on_for(now);
        self.since = None;
        for peer in life.wires.keys() {
            let addresses = life.book.addresses(peer);
            let known = self.remembered.iter().any(|(known, _)| *known == Some(*peer));
            if !addresses.is_empty() && !known && self.remembered.len() < REMEMBERED {
                self.remembered.push((Some(*peer), addresses.to_vec()));
            }
        }
        Some(life)
    }
}
