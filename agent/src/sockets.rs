//! What this process's own TCP connections carry to and from other machines, as
//! Linux counts it.
//!
//! The kernel counts a byte when it comes off the line or goes onto it, however
//! long it then waits to be read or was written before. So these counters can be
//! compared with those of an interface at any moment (`sock_diag(7)`).

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use swarm::courtesy::Passed;

/// Bytes of a reply of the kernel: it fills what it is given, up to this.
const REPLY_BYTES: usize = 32 * 1024;
/// Bytes of a segment that are not the program's: Ethernet, IPv4, TCP and its
/// timestamps. With IPv6 it is twenty more.
const SEGMENT_HEAD: u64 = 14 + 20 + 20 + 12;
/// Where `struct tcp_info` (`linux/tcp.h`) has what was received, the segments
/// out and in, and what was sent.
const RECEIVED_AT: usize = 128;
const SEGMENTS_OUT_AT: usize = 136;
const SEGMENTS_IN_AT: usize = 140;
const SENT_AT: usize = 200;

/// Counts over all connections, also those that have ended.
#[derive(Debug, Default)]
pub struct Sockets {
    kernel: Option<Kernel>,
    tally: Tally,
}

impl Sockets {
    /// Bytes that passed between this process and other machines since the
    /// first time this was asked, headers included. What a connection moved
    /// after the last time before its end is not in it. Nothing where the
    /// system does not tell.
    pub fn passed(&mut self) -> Option<Passed> {
        let own = own_sockets().ok()?;
        let counters = match self.counters(&own) {
            Ok(counters) => counters,
            Err(error) => {
                tracing::debug!("the kernel does not tell of sockets: {error}");
                self.kernel = None;
                return None;
            }
        };
        Some(self.tally.add(counters.into_iter().filter(Counter::leaves_the_machine)))
    }

    fn counters(&mut self, own: &HashSet<u32>) -> io::Result<Vec<Counter>> {
        let kernel = match &mut self.kernel {
            Some(kernel) => kernel,
            none => none.insert(Kernel::new()?),
        };
        let mut counters = Vec::new();
        for family in [AF_INET, AF_INET6] {
            kernel.ask(family, own, &mut counters)?;
        }
        Ok(counters)
    }
}

/// The inodes of this process's sockets.
fn own_sockets() -> io::Result<HashSet<u32>> {
    let mut own = HashSet::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        // Those that were closed since are nobody's.
        let Ok(target) = std::fs::read_link(entry?.path()) else { continue };
        let inode = target.to_str().and_then(|to| to.strip_prefix("socket:[")?.strip_suffix(']'));
        own.extend(inode.and_then(|inode| inode.parse::<u32>().ok()));
    }
    Ok(own)
}

/// What one connection moved in all its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counter {
    /// No other connection ever has it.
    cookie: [u8; 8],
    ends: (IpAddr, IpAddr),
    passed: Passed,
}

impl Counter {
    fn of(response: &InetResponse, own: &HashSet<u32>) -> Option<Self> {
        if !own.contains(&response.header.inode) {
            return None;
        }
        let id = &response.header.socket_id;
        let passed = response.nlas.iter().find_map(|nla| match nla {
            Nla::TcpInfo(info) => carried(info),
            _ => None,
        })?;
        let ends = (id.source_address, id.destination_address);
        Some(Self { cookie: id.cookie, ends, passed })
    }

    fn leaves_the_machine(&self) -> bool {
        let (here, there) = self.ends;
        here != there && !there.to_canonical().is_loopback()
    }
}

/// Reads `struct tcp_info`; nothing if the kernel is too old to tell (4.19).
fn carried(info: &[u8]) -> Option<Passed> {
    let long = |at: usize| info.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
    let short =
        |at: usize| info.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes).map(u64::from);
    Some(Passed {
        received: long(RECEIVED_AT)?.wrapping_add(short(SEGMENTS_IN_AT)? * SEGMENT_HEAD),
        sent: long(SENT_AT)?.wrapping_add(short(SEGMENTS_OUT_AT)? * SEGMENT_HEAD),
    })
}

/// Adds up what connections moved that come and go.
#[derive(Debug, Default)]
struct Tally {
    seen: Option<HashMap<[u8; 8], Passed>>,
    sum: Passed,
}

impl Tally {
    fn add(&mut self, counters: impl IntoIterator<Item = Counter>) -> Passed {
        let before = self.seen.take();
        let mut seen = HashMap::new();
        for Counter { cookie, passed, .. } in counters {
            let had = match &before {
                Some(before) => before.get(&cookie).copied().unwrap_or_default(),
                // What moved before anybody looked counts for nobody.
                None => passed,
            };
            self.sum.received += passed.received.saturating_sub(had.received);
            self.sum.sent += passed.sent.saturating_sub(had.sent);
            seen.insert(cookie, passed);
        }
        self.seen = Some(seen);
        self.sum
    }
}

/// A socket on which the kernel tells of sockets.
#[derive(Debug)]
struct Kernel {
    socket: Socket,
    reply: Vec<u8>,
}

impl Kernel {
    fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel answers before it returns: what is not there will not come.
        socket.set_non_blocking(true)?;
        Ok(Self { socket, reply: Vec::with_capacity(REPLY_BYTES) })
    }

    /// Adds the counters of the connections of one family that are `own`.
    fn ask(
        &mut self,
        family: u8,
        own: &HashSet<u32>,
        counters: &mut Vec<Counter>,
    ) -> io::Result<()> {
        self.socket.send(&question(family), 0)?;
        loop {
            self.reply.clear();
            self.socket.recv(&mut self.reply, 0)?;
            if read(&self.reply, own, counters)? {
                return Ok(());
            }
        }
    }
}

fn question(family: u8) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::ESTABLISHED
            | StateFlags::FIN_WAIT1
            | StateFlags::FIN_WAIT2
            | StateFlags::CLOSE_WAIT
            | StateFlags::LAST_ACK
            | StateFlags::CLOSING,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Reads one reply; whether it was the last.
fn read(mut reply: &[u8], own: &HashSet<u32>, counters: &mut Vec<Counter>) -> io::Result<bool> {
    while !reply.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(reply)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                counters.extend(Counter::of(&response, own));
            }
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => {}
        }
        // Messages begin at multiples of four bytes.
        let length = (message.header.length as usize).next_multiple_of(4);
        reply = if length == 0 { &[] } else { reply.get(length..).unwrap_or_default() };
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    fn counter(number: u8, received: u64, sent: u64) -> Counter {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Counter { cookie: [number; 8], ends: (here, here), passed: Passed { received, sent } }
    }

    #[test]
    fn connections_that_come_and_go_are_added_up() {
        let mut tally = Tally::default();
        let mut add = |counters: &[Counter]| {
            let Passed { received, sent } = tally.add(counters.iter().copied());
            (received, sent)
        };
        assert_eq!(add(&[counter(1, 1_000, 50)]), (0, 0));
        assert_eq!(add(&[counter(1, 1_500, 60), counter(2, 7, 8)]), (507, 18));
        assert_eq!(add(&[counter(2, 10, 8)]), (510, 18));
        assert_eq!(add(&[]), (510, 18));
        // One that is told of again is another.
        assert_eq!(add(&[counter(3, 1, 1)]), (511, 19));
    }

    #[test]
    fn the_kernel_tells_what_waits_to_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.write_all(&[7; 100_000]).unwrap();
        let mut sockets = Sockets::default();
        let all = sockets.counters(&own_sockets().unwrap());
        let all = all.expect("Linux tells everybody of sockets");
        // Other tests of this process have connections too.
        let with_heads = 100_000..100_000 + 300 * SEGMENT_HEAD;
        for count in [|passed: Passed| passed.received, |passed: Passed| passed.sent] {
            assert!(all.iter().any(|one| with_heads.contains(&count(one.passed))), "{all:?}");
        }
        near.read_exact(&mut [0; 100_000]).unwrap();
        // They are on nobody's line.
        assert_eq!(sockets.passed(), Some(Passed::default()));
        far.write_all(&[7; 100_000]).unwrap();
        assert_eq!(sockets.passed(), Some(Passed::default()));
    }

    #[test]
    fn what_is_no_reply_is_an_error_and_no_panic() {
        let own = HashSet::new();
        let mut counters = Vec::new();
        for len in 1..64 {
            for byte in [0, 1, 20, 255] {
                let _ = read(&vec![byte; len], &own, &mut counters);
            }
        }
        assert!(counters.is_empty());
        assert_eq!(carried(&[0; 207]), None);
        assert_eq!(carried(&[0; 208]), Some(Passed::default()));
    }
}
