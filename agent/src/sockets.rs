//! What this process's own TCP connections carry to and from other machines, as
//! Linux counts it.
//!
//! The kernel counts a byte when it comes off the line or goes onto it, however
//! long it then waits to be read or was written before. So these counters can be
//! compared with those of an interface at any moment (`sock_diag(7)`).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::ipproto;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use swarm::courtesy::Passed;

/// Bytes of a reply of the kernel, at the most.
const REPLY_BYTES: usize = 16 * 1024;
/// Bytes of a segment that are not the program's: Ethernet, IPv4, TCP and its
/// timestamps. With IPv6 it is twenty more.
const SEGMENT_HEAD: u64 = 14 + 20 + 20 + 12;
/// Where `struct tcp_info` (`linux/tcp.h`) has what the other side has
/// acknowledged, what was received, and the segments out and in.
const ACKNOWLEDGED_AT: usize = 120;
const RECEIVED_AT: usize = 128;
const SEGMENTS_OUT_AT: usize = 136;
const SEGMENTS_IN_AT: usize = 140;
/// A cookie that means whichever connection has these ends.
const ANY: [u8; 8] = [0xff; 8];

/// Counts over all connections, also those that have ended.
#[derive(Debug, Default)]
pub struct Sockets {
    kernel: Option<Kernel>,
    /// The sockets of this process by inode, as far as it is clear what they are.
    known: HashMap<u32, Kind>,
    tally: Tally,
    /// Whether the owner was told that the kernel does not tell.
    warned: bool,
}

/// The local end of a connection, and the other one.
type Ends = (SocketAddr, SocketAddr);

/// What a socket is, for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A connection over TCP to another machine.
    Abroad(Ends),
    /// Anything else.
    Other,
}

impl Sockets {
    /// Bytes that passed between this process and other machines since the
    /// first time this was asked, headers included: what came in, and what the
    /// other side has acknowledged. What a connection moved after the last time
    /// before its end is not in it. Nothing where the system does not tell.
    pub fn passed(&mut self) -> Option<Passed> {
        match self.counters() {
            Ok(counters) => Some(self.tally.add(counters)),
            Err(error) => {
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(
                        "updates do not make way for others on this machine's line: what this \
                         program's own connections carry cannot be read ({error}); allow it \
                         /proc, pidfd_getfd and sockets of AF_NETLINK, or set \
                         network.make-way = false"
                    );
                }
                self.kernel = None;
                None
            }
        }
    }

    fn counters(&mut self) -> io::Result<Vec<Counter>> {
        let kernel = match &mut self.kernel {
            Some(kernel) => kernel,
            none => none.insert(Kernel::new()?),
        };
        let mut known = HashMap::new();
        let mut counters = Vec::new();
        for (fd, inode) in own_sockets()? {
            let before = self.known.remove(&inode);
            let Some(kind) = before.map_or_else(|| kind(fd), |kind| Ok(Some(kind)))? else {
                continue;
            };
            if let Kind::Abroad(ends) = kind {
                // One that is gone may leave its number to another.
                let Some(counter) = kernel.ask(ends, inode)? else { continue };
                counters.push(counter);
            }
            known.insert(inode, kind);
        }
        self.known = known;
        Ok(counters)
    }
}

/// The numbers and inodes of this process's sockets.
fn own_sockets() -> io::Result<Vec<(RawFd, u32)>> {
    let mut own = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // Those that were closed since are nobody's.
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let inode = target.to_str().and_then(|to| to.strip_prefix("socket:[")?.strip_suffix(']'));
        let inode = inode.and_then(|inode| inode.parse().ok());
        let fd = entry.file_name().to_str().and_then(|fd| fd.parse().ok());
        own.extend(fd.zip(inode));
    }
    Ok(own)
}

/// What a socket is; nothing if that is not clear yet, since it is only about
/// to be connected, or listens.
fn kind(fd: RawFd) -> io::Result<Option<Kind>> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let socket = match pidfd_getfd(this, fd, PidfdGetfdFlags::empty()) {
        Ok(socket) => socket,
        // It was closed meanwhile.
        Err(Errno::BADF) => return Ok(None),
        // Better to know nothing than to take one's own for somebody else's.
        Err(error) => return Err(error.into()),
    };
    let socket = socket.as_fd();
    if rustix::net::sockopt::socket_protocol(socket)? != Some(ipproto::TCP) {
        return Ok(Some(Kind::Other));
    }
    Ok(ends(socket)
        .map(|ends| if leaves_the_machine(&ends) { Kind::Abroad(ends) } else { Kind::Other }))
}

/// The ends of a connection; nothing as long as there is none.
fn ends(socket: BorrowedFd<'_>) -> Option<Ends> {
    let here = rustix::net::getsockname(socket).ok()?;
    let there = rustix::net::getpeername(socket).ok()??;
    Some((here.try_into().ok()?, there.try_into().ok()?))
}

fn leaves_the_machine(&(here, there): &Ends) -> bool {
    here.ip() != there.ip() && !there.ip().to_canonical().is_loopback()
}

/// What one connection moved in all its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counter {
    /// No other connection ever has it.
    cookie: [u8; 8],
    passed: Passed,
}

impl Counter {
    fn of(response: &InetResponse) -> Option<Self> {
        let passed = response.nlas.iter().find_map(|nla| match nla {
            Nla::TcpInfo(info) => carried(info),
            _ => None,
        })?;
        Some(Self { cookie: response.header.socket_id.cookie, passed })
    }
}

/// Reads `struct tcp_info`; nothing if the kernel is too old to tell (before 4.6).
fn carried(info: &[u8]) -> Option<Passed> {
    let long = |at: usize| info.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
    let short =
        |at: usize| info.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes).map(u64::from);
    Some(Passed {
        received: long(RECEIVED_AT)?.wrapping_add(short(SEGMENTS_IN_AT)? * SEGMENT_HEAD),
        sent: long(ACKNOWLEDGED_AT)?.wrapping_add(short(SEGMENTS_OUT_AT)? * SEGMENT_HEAD),
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
        socket.connect(&netlink_sys::SocketAddr::new(0, 0))?;
        // The kernel answers before it returns: what is not there will not come.
        socket.set_non_blocking(true)?;
        Ok(Self { socket, reply: Vec::with_capacity(REPLY_BYTES) })
    }

    /// The counter of the connection between `ends`, if it is there and has
    /// this inode.
    fn ask(&mut self, ends: Ends, inode: u32) -> io::Result<Option<Counter>> {
        self.socket.send(&question(ends), 0)?;
        self.reply.clear();
        self.socket.recv(&mut self.reply, 0)?;
        let answer = answer(&self.reply)?.filter(|answer| answer.header.inode == inode);
        Ok(answer.as_ref().and_then(Counter::of))
    }
}

fn question((here, there): Ends) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let (near, far) = (here.ip().to_canonical(), there.ip().to_canonical());
    let request = InetRequest {
        family: if matches!(near, IpAddr::V4(_)) { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: here.port(),
            destination_port: there.port(),
            source_address: near,
            destination_address: far,
            // Addresses of one link mean something there only.
            interface_id: if let SocketAddr::V6(there) = there { there.scope_id() } else { 0 },
            cookie: ANY,
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What the kernel tells of a connection; nothing if there is none.
fn answer(reply: &[u8]) -> io::Result<Option<InetResponse>> {
    let message = NetlinkMessage::<SockDiagMessage>::deserialize(reply)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    match message.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
            Ok(Some(*response))
        }
        NetlinkPayload::Error(error) if error.to_io().kind() == io::ErrorKind::NotFound => Ok(None),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        other => Err(io::Error::other(format!("no answer, but {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;

    use super::*;

    fn counter(number: u8, received: u64, sent: u64) -> Counter {
        Counter { cookie: [number; 8], passed: Passed { received, sent } }
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

    fn inode(stream: &TcpStream) -> u32 {
        let fd = stream.as_raw_fd();
        own_sockets().unwrap().into_iter().find(|socket| socket.0 == fd).expect("it is ours").1
    }

    #[test]
    fn the_kernel_tells_what_waits_to_be_read() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(listen).unwrap();
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut far, _) = listener.accept().unwrap();
            far.write_all(&[7; 100_000]).unwrap();
            let mut kernel = Kernel::new().expect("Linux tells everybody of sockets");
            let ends = [&near, &far].map(|stream| ends(stream.as_fd()).unwrap());
            assert_eq!(ends[0], (ends[1].1, ends[1].0));
            let near_passed = kernel.ask(ends[0], inode(&near)).unwrap().unwrap().passed;
            let far_passed = kernel.ask(ends[1], inode(&far)).unwrap().unwrap().passed;
            let with_heads = 100_000..100_000 + 300 * SEGMENT_HEAD;
            assert!(with_heads.contains(&near_passed.received), "{near_passed:?}");
            // An acknowledgement may still be under way.
            assert!(far_passed.sent < with_heads.end, "{far_passed:?}");
            // What is another's number, and what is gone.
            assert_eq!(kernel.ask(ends[0], inode(&far)).unwrap(), None);
            drop((near, far));
            let nobody = (ends[0].0, SocketAddr::new(ends[0].1.ip(), 1));
            assert_eq!(kernel.ask(nobody, 1).unwrap(), None);
        }
    }

    #[test]
    fn what_stays_within_the_machine_is_on_nobodys_line() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut sockets = Sockets::default();
        assert_eq!(sockets.passed(), Some(Passed::default()));
        far.write_all(&[7; 100_000]).unwrap();
        assert_eq!(sockets.passed(), Some(Passed::default()));
        assert_eq!(sockets.known.get(&inode(&near)), Some(&Kind::Other));
        // Who listens may become whatever it likes; UDP never becomes TCP.
        assert_eq!(kind(listener.as_raw_fd()).unwrap(), None);
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(kind(udp.as_raw_fd()).unwrap(), Some(Kind::Other));
        let ends = |here: &str, there: &str| (here.parse().unwrap(), there.parse().unwrap());
        assert!(leaves_the_machine(&ends("10.0.0.1:1", "10.0.0.2:1")));
        assert!(!leaves_the_machine(&ends("10.0.0.1:1", "10.0.0.1:2")));
        assert!(!leaves_the_machine(&ends("[::ffff:127.0.0.2]:1", "[::ffff:127.0.0.1]:2")));
    }

    #[test]
    fn what_is_no_reply_is_an_error_and_no_panic() {
        for len in 1..64 {
            for byte in [0, 1, 20, 255] {
                assert!(!matches!(answer(&vec![byte; len]), Ok(Some(_))));
            }
        }
        assert_eq!(carried(&[0; 143]), None);
        assert_eq!(carried(&[0; 144]), Some(Passed::default()));
    }
}
