//! What can be told of an address by looking at it.

use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
// What this crate speaks in: who uses it needs no libp2p of its own.
pub use libp2p::{Multiaddr, PeerId};

/// Whether a text is an address at all; whoever keeps some asks before it uses
/// what it finds.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.parse::<Multiaddr>().is_ok_and(|address| !address.is_empty())
}

/// The IP that an address begins with.
#[must_use]
pub fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Whether an address is what our transports speak: an IP and TCP or QUIC.
#[must_use]
pub fn is_plain(address: &Multiaddr) -> bool {
    let parts: Vec<Protocol> = address.iter().collect();
    matches!(
        parts.as_slice(),
        [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(1..)]
            | [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Udp(1..), Protocol::QuicV1]
    )
}

/// Whether an address stays within this machine.
#[must_use]
pub fn is_loopback(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| ip.is_loopback())
}

/// Whether an address is one of QUIC.
#[must_use]
pub fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::QuicV1) && relay(address).is_none()
}

/// Whether an address means something on some local network only, or on this
/// machine: told elsewhere it leads to nobody, or to somebody else.
#[must_use]
pub fn is_local(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    })
}

/// The network that an address belongs to: /24 or /48. Nothing for names and
/// for this machine.
#[must_use]
pub fn neighbourhood(address: &Multiaddr) -> Option<IpAddr> {
    match ip(address).filter(|ip| !ip.is_loopback())? {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Some(IpAddr::from([a, b, c, 0]))
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            Some(IpAddr::from([a, b, c, 0, 0, 0, 0, 0]))
        }
    }
}

/// Whether two addresses are of one machine or one local network.
#[must_use]
pub fn are_near(one: &Multiaddr, other: &Multiaddr) -> bool {
    match (ip(one), ip(other)) {
        (Some(IpAddr::V4(a)), Some(IpAddr::V4(b))) => {
            let local = a.is_private() || a.is_link_local();
            a == b || (local && a.octets()[..3] == b.octets()[..3])
        }
        (Some(IpAddr::V6(a)), Some(IpAddr::V6(b))) => {
            a == b || a.segments()[..4] == b.segments()[..4]
        }
        _ => false,
    }
}

/// Where a member can be met through `relay`: a circuit.
#[must_use]
pub fn circuit(relay: PeerId) -> Multiaddr {
    [Protocol::P2p(relay), Protocol::P2pCircuit].into_iter().collect()
}

/// The member that a circuit leads through; nothing if the address is none.
/// Whoever is at its far end may be named behind it.
#[must_use]
pub fn relay(address: &Multiaddr) -> Option<PeerId> {
    match without_peer(address).0.iter().collect::<Vec<_>>().as_slice() {
        [Protocol::P2p(relay), Protocol::P2pCircuit] => Some(*relay),
        _ => None,
    }
}

/// An address, and the peer that it named at its end.
#[must_use]
pub fn without_peer(address: &Multiaddr) -> (Multiaddr, Option<PeerId>) {
    let mut bare = address.clone();
    match bare.pop() {
        Some(Protocol::P2p(peer)) => (bare, Some(peer)),
        _ => (address.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Multiaddr {
        address.parse().unwrap()
    }

    #[test]
    fn near_is_one_machine_or_one_local_network() {
        let near =
            |a: &str, b: &str| are_near(&at(&format!("{a}/tcp/1")), &at(&format!("{b}/tcp/2")));
        assert!(near("/ip4/192.168.1.2", "/ip4/192.168.1.77"));
        assert!(!near("/ip4/192.168.1.2", "/ip4/192.168.2.2"));
        assert!(!near("/ip4/198.51.100.1", "/ip4/198.51.100.2"), "neighbours at a provider");
        assert!(near("/ip4/127.0.0.1", "/ip4/127.0.0.1"));
        assert!(near("/ip6/2001:db8::1", "/ip6/2001:db8::2"));
        assert!(!near("/ip6/2001:db8::1", "/ip6/2001:db8:0:1::2"));
    }

    #[test]
    fn what_means_something_here_only_is_local() {
        for local in ["10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "169.254.1.1"] {
            assert!(is_local(&at(&format!("/ip4/{local}/tcp/1"))), "{local}");
        }
        assert!(is_local(&at("/ip4/100.64.0.1/tcp/1")) && !is_local(&at("/ip4/100.128.0.1/tcp/1")));
        assert!(is_local(&at("/ip6/fd00::1/tcp/1")) && is_local(&at("/ip6/fe80::1/tcp/1")));
        assert!(
            !is_local(&at("/ip4/203.0.113.1/tcp/1")) && !is_local(&at("/dns4/a.example/tcp/1"))
        );
        assert!(!is_local(&circuit(PeerId::random())), "a circuit leads anywhere");
    }

    #[test]
    fn a_circuit_names_its_relay_with_and_without_its_end() {
        let (relayed, end) = (PeerId::random(), PeerId::random());
        let address = circuit(relayed);
        assert_eq!(relay(&address), Some(relayed));
        let full: Multiaddr = address.iter().chain([Protocol::P2p(end)]).collect();
        assert_eq!(relay(&full), Some(relayed));
        assert_eq!(without_peer(&full), (address, Some(end)));
        let plain = "/ip4/192.0.2.1/tcp/4001";
        assert_eq!(relay(&at(plain)), None);
        assert_eq!(relay(&at(&format!("{plain}/p2p/{relayed}/p2p-circuit"))), None);
        assert_eq!(without_peer(&at(&format!("{plain}/p2p/{end}"))), (at(plain), Some(end)));
    }
}
