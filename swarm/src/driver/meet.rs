//! How members meet: addresses, names, the local network, and each other.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};
use manifest::admission::credential::Role;

use crate::address::{are_near, is_local, is_loopback, relay, without_peer};
use crate::address_book::{Dial, Source};
use crate::ask::{Question, Topic};
use crate::dns_sd::Ports;
use crate::driver::{Driver, Peer, chance, network, now, unix_now};
use crate::event::Event;
use crate::gate::public_key;
use crate::limits::MAX_ADDRESSES;
use crate::options::StartError;
use crate::peer_exchange::{self, BadList};
use crate::standing::Misbehaviour;

/// Reads a multiaddress.
pub(crate) fn parse(address: &str) -> Result<Multiaddr, StartError> {
    address.parse().map_err(|_| StartError::Address { found: address.chars().take(200).collect() })
}

/// Addresses with the peer's name behind each.
pub(crate) fn with_peer(addresses: &[Multiaddr], peer: &PeerId) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for address in addresses {
        let text = format!("{}/p2p/{peer}", without_peer(address).0);
        if !all.contains(&text) && all.len() < MAX_ADDRESSES {
            all.push(text);
        }
    }
    all
}

/// The name that an address begins with, and its port.
fn host(address: &Multiaddr) -> Option<(String, bool, bool)> {
    match address.iter().next()? {
        Protocol::Dns(name) => Some((name.into_owned(), true, true)),
        Protocol::Dns4(name) => Some((name.into_owned(), true, false)),
        Protocol::Dns6(name) => Some((name.into_owned(), false, true)),
        _ => None,
    }
}

/// The same address for each IP that its name has now.
async fn resolved(address: Multiaddr) -> Vec<Multiaddr> {
    let Some((name, v4, v6)) = host(&address) else { return vec![address] };
    let found = match tokio::net::lookup_host((name.as_str(), 0)).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!("{name} cannot be resolved: {error}");
            return Vec::new();
        }
    };
    let wanted = found.filter(|at| if at.is_ipv4() { v4 } else { v6 });
    let with = |ip: std::net::IpAddr| {
        let mut parts = address.iter();
        parts.next();
        let rest: Multiaddr = parts.collect();
        std::iter::once(Protocol::from(ip)).chain(rest.iter()).collect::<Multiaddr>()
    };
    wanted.map(|at| with(at.ip())).take(MAX_ADDRESSES).collect()
}

impl Driver {
    /// An address that the program gave.
    pub(crate) fn learn_given(&mut self, address: &Multiaddr) {
        let (address, peer) = without_peer(address);
        self.book.learn(now(), peer, &[address], Source::Given);
    }

    /// Addresses of somebody on the local network.
    pub(crate) fn on_found(&mut self, addresses: &[String]) {
        let addresses: Vec<Multiaddr> =
            addresses.iter().filter_map(|address| address.parse().ok()).collect();
        self.book.hear(now(), &self.listening, &addresses);
    }

    /// Dials, after names have become addresses.
    pub(crate) fn resolve(&mut self, dial: Dial) {
        if dial.addresses.iter().any(|address| host(address).is_some()) {
            self.resolving.push(Box::pin(async move {
                let mut addresses = Vec::new();
                for address in dial.addresses {
                    addresses.extend(resolved(address).await);
                }
                addresses.truncate(MAX_ADDRESSES);
                Dial { addresses, ..dial }
            }));
        } else {
            self.dial(dial);
        }
    }

    pub(crate) fn dial(&mut self, Dial { dial, peer, addresses }: Dial) {
        let opts = match (peer, addresses.first()) {
            (Some(peer), Some(_)) => DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                .build(),
            (None, Some(address)) => DialOpts::unknown_peer_id().address(address.clone()).build(),
            (_, None) => {
                self.book.failed(now(), dial, false);
                return;
            }
        };
        let connection = opts.connection_id();
        self.dials.insert(connection, dial);
        if let Err(error) = self.swarm.dial(opts) {
            tracing::debug!("not dialled: {}", network::reason(&error));
            self.dials.remove(&connection);
            self.book.failed(now(), dial, false);
        }
    }

    /// Asks peers whom they know; when to do so again.
    pub(crate) fn ask_around(&mut self, now: Instant) -> Option<Instant> {
        for id in self.acquaintance.due(now, self.book.is_lonely()) {
            let question = self.introduction(self.is_local(&id));
            let question = Question::Whole(question);
            self.swarm.behaviour_mut().topic(Topic::Peers).send_request(&id, question);
        }
        self.acquaintance.next_deadline()
    }

    /// Somebody asks whom we know; its question is who it is itself. One that
    /// tells of others asks nothing.
    pub(crate) fn on_peers_asked(&mut self, asker: &PeerId, question: &[u8]) -> Vec<u8> {
        let told = self.on_peers_told(asker, question);
        let asks = told.iter().all(|peer| peer == asker);
        let local = self.is_local(asker);
        if asks {
            peer_exchange::encode(&self.book.records(now(), asker, local))
        } else {
            Vec::new()
        }
    }

    /// Tells a few peers what a member has just said of itself.
    fn pass_on(&mut self, subject: &PeerId, record: Bytes, local: bool) {
        let list = peer_exchange::encode(&[record]);
        // What means something on a local network only is told there only.
        let near: HashSet<PeerId> =
            self.peers.keys().filter(|id| !local || self.is_local(id)).copied().collect();
        for id in self.acquaintance.told(subject, |peer| near.contains(peer)) {
            let told = Question::Whole(list.clone());
            self.swarm.behaviour_mut().topic(Topic::Peers).send_request(&id, told);
        }
    }

    /// A peer told us of itself or of others: of whom.
    pub(crate) fn on_peers_told(&mut self, teller: &PeerId, list: &[u8]) -> Vec<PeerId> {
        let mut told = Vec::new();
        let near = self
            .peers
            .get(teller)
            .is_some_and(|peer| peer.links.values().any(|link| is_loopback(&link.address)));
        let local = self.is_local(teller);
        let list = match peer_exchange::decode(list, unix_now()) {
            Ok(list) => list,
            Err(bad) => {
                let what = match bad {
                    BadList::Shape => Misbehaviour::Protocol(bad.to_string()),
                    BadList::Forged => Misbehaviour::FalseRecord,
                };
                self.offend(teller, what);
                return told;
            }
        };
        for mut met in list {
            told.push(met.peer);
            // Whose key is not in its name is in no credential either.
            if public_key(&met.peer).is_none() {
                continue;
            }
            // Nobody far away knows what is on our local network.
            met.addresses.retain(|address| {
                if is_loopback(address) { near } else { local || !is_local(address) }
            });
            let (peer, record) = (met.peer, met.record.clone());
            let here = met.addresses.iter().any(is_local);
            let news = self.book.learn_record(now(), met, Source::Member(*teller));
            if news && peer == *teller {
                self.pass_on(&peer, record, here);
            }
        }
        told
    }

    /// Whether a member is on our machine, or comes from a private network:
    /// what is local to us may mean something to it.
    fn is_local(&self, id: &PeerId) -> bool {
        let links = self.peers.get(id).into_iter().flat_map(|peer| peer.links.values());
        let near = |address: &Multiaddr| self.listening.iter().any(|own| are_near(own, address));
        let mut direct = links.filter(|link| relay(&link.address).is_none());
        direct.any(|link| is_local(&link.address) || near(&link.address))
    }

    /// Has some peers, the vendor's own first, hear soon where we are now.
    pub(crate) fn introduce_again(&mut self, now: Instant) {
        let peers = &self.peers;
        let seeds = |id: &PeerId| peers.get(id).is_some_and(|peer| peer.member.has(Role::Seeder));
        self.acquaintance.hurry(now, seeds);
    }

    /// Our own record, alone in a list.
    fn introduction(&self, local: bool) -> Vec<u8> {
        let own = self.own_addresses(local);
        let record = (!own.is_empty()).then(|| peer_exchange::sign(&self.keypair, &own)).flatten();
        peer_exchange::encode(record.as_slice())
    }

    /// What has to be done now and then.
    pub(crate) fn keep_house(&mut self, now: Instant) {
        self.let_the_fallen_go();
        let exchange = &mut self.exchange;
        let mut over = Vec::new();
        for peer in self.swarm.behaviour().door.banned() {
            if public_key(peer).is_none_or(|key| !exchange.is_banned(now, &key)) {
                over.push(*peer);
            }
        }
        self.swarm.behaviour_mut().door.pardon(&over);
        self.announce_on_lan();
    }

    /// Keeps house in time for the first credential that ends.
    pub(crate) fn keep_to_credentials(&mut self, now: Instant) {
        let left = self.gate.soonest_end().map(|end| end.since(unix_now()));
        let second = Duration::from_secs(1);
        if let Some(left) = left.filter(|left| now + *left < self.housekeeping) {
            self.housekeeping = now + left + second;
        }
    }

    /// Tells the local network where we listen.
    pub(crate) fn announce_on_lan(&mut self) {
        let mut ports = Ports::default();
        for address in self.listening.iter().filter(|address| !is_loopback(address)) {
            for part in address {
                match part {
                    Protocol::Tcp(port) => ports.tcp = Some(port),
                    Protocol::Udp(port) => ports.quic = Some(port),
                    _ => {}
                }
            }
        }
        if let Some(lan) = &mut self.lan
            && let Err(error) = lan.announce(ports, unix_now(), chance())
        {
            tracing::debug!("{error}");
        }
    }

    /// Closes the connections to a member that did nothing wrong.
    pub(crate) fn let_go(&mut self, id: PeerId, why: String) {
        // Not connected any more is as good.
        let _ = self.swarm.disconnect_peer_id(id);
        if let Some(Peer { key, member, .. }) = self.peers.get(&id) {
            let (peer, member) = (*key, member.clone());
            self.tell(Event::LetGo { peer, member, why });
        }
    }

    /// Closes connections to those whose credential holds no more.
    pub(crate) fn let_the_fallen_go(&mut self) {
        for (peer, why) in self.gate.fallen() {
            self.let_go(peer, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_the_end_is_taken_off_and_put_back() {
        let peer = PeerId::random();
        let full: Multiaddr = format!("/ip4/192.0.2.1/tcp/4001/p2p/{peer}").parse().unwrap();
        let (bare, found) = without_peer(&full);
        assert_eq!((bare.to_string().as_str(), found), ("/ip4/192.0.2.1/tcp/4001", Some(peer)));
        assert_eq!(with_peer(&[bare, full.clone()], &peer), [full.to_string()]);
    }

    #[tokio::test]
    async fn names_become_addresses_with_the_rest_kept() {
        let name: Multiaddr = "/dns4/localhost/udp/4001/quic-v1".parse().unwrap();
        let found = resolved(name).await;
        assert_eq!(found[0].to_string(), "/ip4/127.0.0.1/udp/4001/quic-v1");
        let plain: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        assert_eq!(resolved(plain.clone()).await, [plain]);
    }

    #[test]
    fn what_is_no_address_is_shown() {
        let error = parse("192.0.2.1:4001").unwrap_err().to_string();
        assert!(error.contains("192.0.2.1:4001") && error.contains("/ip4/"), "{error}");
    }
}
