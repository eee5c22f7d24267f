//! What members say about reaching each other, as bytes (docs/wire.md).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::limits::MAX_ADDRESSES;

/// How a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// QUIC over UDP.
    Quic,
    /// TCP.
    Tcp,
}

/// A port of a machine, as seen from somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// How it is dialled.
    pub way: Way,
    /// Where; the port is not zero.
    pub at: SocketAddr,
}

impl Spot {
    /// The spot of a plain address.
    #[must_use]
    pub fn of(address: &Multiaddr) -> Option<Self> {
        let parts: Vec<Protocol> = address.iter().collect();
        let (ip, way, port) = match parts.as_slice() {
            [ip, Protocol::Tcp(port @ 1..)] => (ip, Way::Tcp, *port),
            [ip, Protocol::Udp(port @ 1..), Protocol::QuicV1] => (ip, Way::Quic, *port),
            _ => return None,
        };
        let ip: IpAddr = match ip {
            Protocol::Ip4(ip) => (*ip).into(),
            Protocol::Ip6(ip) => (*ip).into(),
            _ => return None,
        };
        Some(Self { way, at: SocketAddr::new(ip, port) })
    }

    /// The address of this spot.
    #[must_use]
    pub fn address(&self) -> Multiaddr {
        let address = Multiaddr::from(self.at.ip());
        match self.way {
            Way::Tcp => address.with(Protocol::Tcp(self.at.port())),
            Way::Quic => address.with(Protocol::Udp(self.at.port())).with(Protocol::QuicV1),
        }
    }
}

/// The ports that a member listens on; zero where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// TCP.
    pub tcp: u16,
    /// QUIC.
    pub quic: u16,
}

impl Ports {
    /// Whether there is any.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.tcp != 0 || self.quic != 0
    }

    /// The port for a way of dialling, if there is one.
    #[must_use]
    pub fn of(&self, way: Way) -> Option<u16> {
        let port = match way {
            Way::Tcp => self.tcp,
            Way::Quic => self.quic,
        };
        (port != 0).then_some(port)
    }
}

/// What a member found when it dialled another back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Findings {
    /// Where it sees the other.
    pub seen: Spot,
    /// Whether the TCP port answered.
    pub tcp: bool,
    /// Whether the QUIC port answered.
    pub quic: bool,
}

/// A question on the topic `reach`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// May circuits to me lead through you?
    Reserve,
    /// Can you dial me at these ports, where you see me?
    Examine(Ports),
    /// Let us connect directly: I may be met at these spots.
    Meet(Vec<Spot>),
    /// Dial now, in this way.
    Now(Way),
}

/// Why somebody relays nothing, or not this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It relays nothing.
    #[error("it relays nothing")]
    Unwilling,
    /// It relays as much as it will for anybody.
    #[error("it relays as much as it will")]
    Full,
    /// It relays as much as it will for this member.
    #[error("it relays as much as it will for this member")]
    Spent,
    /// The member at the other end has no reservation there.
    #[error("there is no reservation")]
    Nobody,
    /// The member at the other end did not take the circuit.
    #[error("the other end did not take it")]
    Untaken,
}

impl Refusal {
    /// Its byte; zero is none.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unwilling => 1,
            Self::Full => 2,
            Self::Spent => 3,
            Self::Nobody => 4,
            Self::Untaken => 5,
        }
    }

    /// The refusal of a byte; what is unknown is unwilling.
    #[must_use]
    pub const fn of(code: u8) -> Self {
        match code {
            2 => Self::Full,
            3 => Self::Spent,
            4 => Self::Nobody,
            5 => Self::Untaken,
            _ => Self::Unwilling,
        }
    }
}

const RESERVE: u8 = 1;
const EXAMINE: u8 = 2;
const MEET: u8 = 3;
const NOW: u8 = 4;

const fn way_byte(way: Way) -> u8 {
    match way {
        Way::Quic => 0,
        Way::Tcp => 1,
    }
}

const fn way_of(byte: u8) -> Option<Way> {
    match byte {
        0 => Some(Way::Quic),
        1 => Some(Way::Tcp),
        _ => None,
    }
}

impl Question {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Reserve => vec![RESERVE],
            Self::Examine(Ports { tcp, quic }) => {
                [&[EXAMINE][..], &tcp.to_be_bytes(), &quic.to_be_bytes()].concat()
            }
            Self::Meet(spots) => [&[MEET][..], &encode_spots(spots)].concat(),
            Self::Now(way) => vec![NOW, way_byte(*way)],
        }
    }

    /// The question of these bytes, if they are one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match (*kind, rest) {
            (RESERVE, []) => Some(Self::Reserve),
            (EXAMINE, &[a, b, c, d]) => {
                let (tcp, quic) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                Some(Self::Examine(Ports { tcp, quic }))
            }
            (MEET, list) => Some(Self::Meet(decode_spots(list)?)),
            (NOW, &[way]) => Some(Self::Now(way_of(way)?)),
            _ => None,
        }
    }
}

/// The answer to `Reserve`.
#[must_use]
pub fn encode_reservation(answer: Result<Duration, Refusal>) -> Vec<u8> {
    match answer {
        Ok(lasting) => {
            let seconds = u32::try_from(lasting.as_secs()).unwrap_or(u32::MAX);
            [&[0][..], &seconds.to_be_bytes()].concat()
        }
        Err(refusal) => vec![refusal.code()],
    }
}

/// How long a reservation holds, or why there is none.
#[must_use]
pub fn decode_reservation(bytes: &[u8]) -> Option<Result<Duration, Refusal>> {
    match *bytes {
        [0, a, b, c, d] => Some(Ok(Duration::from_secs(u32::from_be_bytes([a, b, c, d]).into()))),
        [code] if code != 0 => Some(Err(Refusal::of(code))),
        _ => None,
    }
}

/// The answer to `Examine`.
#[must_use]
pub fn encode_findings(findings: &Findings) -> Vec<u8> {
    let mut out = vec![u8::from(findings.tcp) | u8::from(findings.quic) << 1];
    encode_spot(&mut out, &findings.seen);
    out
}

/// What was found.
#[must_use]
pub fn decode_findings(bytes: &[u8]) -> Option<Findings> {
    let (flags, rest) = bytes.split_first().filter(|(flags, _)| **flags < 4)?;
    match decode_spot(rest)? {
        (seen, []) => Some(Findings { seen, tcp: flags & 1 != 0, quic: flags & 2 != 0 }),
        _ => None,
    }
}

/// A list of spots, such as answers `Meet`.
#[must_use]
pub fn encode_spots(spots: &[Spot]) -> Vec<u8> {
    let mut out = Vec::new();
    spots.iter().take(MAX_ADDRESSES).for_each(|spot| encode_spot(&mut out, spot));
    out
}

/// The spots of a list; nothing if it is too long or breaks off.
#[must_use]
pub fn decode_spots(mut bytes: &[u8]) -> Option<Vec<Spot>> {
    let mut spots = Vec::new();
    while !bytes.is_empty() {
        let (spot, rest) = decode_spot(bytes).filter(|_| spots.len() < MAX_ADDRESSES)?;
        spots.push(spot);
        bytes = rest;
    }
    Some(spots)
}

fn encode_spot(out: &mut Vec<u8>, spot: &Spot) {
    out.push(way_byte(spot.way));
    match spot.at.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&spot.at.port().to_be_bytes());
}

fn decode_spot(bytes: &[u8]) -> Option<(Spot, &[u8])> {
    let (&[way, version], rest) = bytes.split_first_chunk()?;
    let (ip, rest): (IpAddr, _) = match version {
        4 => rest.split_first_chunk::<4>().map(|(ip, rest)| ((*ip).into(), rest))?,
        6 => rest.split_first_chunk::<16>().map(|(ip, rest)| ((*ip).into(), rest))?,
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let at = SocketAddr::new(ip, u16::from_be_bytes(*port));
    (at.port() != 0).then_some((Spot { way: way_of(way)?, at }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn spot(address: &str) -> Spot {
        Spot::of(&address.parse().unwrap()).unwrap()
    }

    fn spots() -> Vec<Spot> {
        ["/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/udp/4001/quic-v1"].map(spot).to_vec()
    }

    #[test]
    fn questions_are_the_bytes_of_the_document() {
        let golden = include_str!("../../tests/data/reach.txt");
        let questions = [
            ("Reserve", Question::Reserve),
            ("Examine", Question::Examine(Ports { tcp: 4001, quic: 4002 })),
            ("Meet", Question::Meet(spots())),
            ("Now", Question::Now(Way::Tcp)),
        ];
        let findings = Findings { seen: spots()[0], tcp: false, quic: true };
        let answers = [
            ("Reserved", encode_reservation(Ok(Duration::from_secs(1_800)))),
            ("Refused", encode_reservation(Err(Refusal::Full))),
            ("Found", encode_findings(&findings)),
        ];
        let written = questions.iter().map(|(name, question)| (*name, question.encode()));
        let written = written.chain(answers.iter().map(|(name, bytes)| (*name, bytes.clone())));
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let lines: String =
            written.map(|(name, bytes)| format!("{} {name}\n", hex(bytes))).collect();
        assert_eq!(lines, golden);
        for (_, question) in questions {
            assert_eq!(Question::decode(&question.encode()), Some(question));
        }
        let [(_, reserved), (_, refused), (_, found)] = answers;
        assert_eq!(decode_reservation(&reserved), Some(Ok(Duration::from_secs(1_800))));
        assert_eq!(decode_reservation(&refused), Some(Err(Refusal::Full)));
        assert_eq!(decode_findings(&found), Some(findings));
    }

    #[test]
    fn spots_are_plain_addresses() {
        for spot in spots() {
            assert_eq!(Spot::of(&spot.address()), Some(spot));
        }
        for other in ["/ip4/192.0.2.1/tcp/0", "/dns4/a.example/tcp/1", "/ip4/192.0.2.1/tcp/1/ws"] {
            assert_eq!(Spot::of(&other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn long_lists_and_mutations_are_no_questions_or_others_and_never_a_panic() {
        assert_eq!(
            Question::decode(&[&[MEET][..], &[0, 4, 1, 1, 1, 1, 0, 1].repeat(9)].concat()),
            None
        );
        let mut dice = Dice::new(crate::testing::seed(3));
        for _ in 0..5_000 {
            let mut bytes = Question::Meet(spots()).encode();
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] = dice.roll() as u8;
            bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize);
            if let Some(question) = Question::decode(&bytes) {
                assert_eq!(question.encode(), bytes, "one form for each question");
            }
            let _ = (decode_findings(&bytes), decode_reservation(&bytes));
        }
    }
}
