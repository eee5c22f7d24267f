//! Every bound of the swarm, in one place.
//!
//! What a peer can make longer, deeper or more frequent ends here. The wire
//! limits are part of the protocol (docs/wire.md); the others may differ from
//! one installation to the next.

use std::time::Duration;

/// Bytes of a block, the unit of request, verification and relay. A power of
/// two of blake3's 1,024-byte chunks, so that each block is a whole subtree.
pub const BLOCK_BYTES: u32 = 32 * 1024;

/// The largest object that is moved.
pub const MAX_OBJECT_BYTES: u32 = 64 * 1024 * 1024;

/// Blocks of the largest object.
pub const MAX_OBJECT_BLOCKS: u32 = MAX_OBJECT_BYTES / BLOCK_BYTES;

/// Objects that one peer may want of another at a time.
pub const MAX_WANTS: usize = 4_096;

/// Objects in one `Want` frame.
pub const MAX_WANTS_A_FRAME: usize = 512;

/// Entries in one `Have`, `Lack` or `Unwant` frame.
pub const MAX_ENTRIES_A_FRAME: usize = 1_024;

/// Blocks that one peer may have asked of another without having got them.
pub const MAX_REQUESTED_BLOCKS: usize = 256;

/// The longest body of any frame: the block list of the largest object.
pub const MAX_FRAME_BODY: usize = 4 + 32 * MAX_OBJECT_BLOCKS as usize;

/// Objects whose holders are remembered for one peer beyond those it wants.
pub const MAX_REMEMBERED_HOLDINGS: usize = 8_192;

/// Streams that a peer may have open on one connection.
pub const MAX_STREAMS: usize = 32;

/// Bytes of one TCP connection or circuit that came and were not read yet, on
/// all its streams: a quarter of a megabyte each, and 4 MiB for those whose
/// round trip needs more.
pub const YAMUX_CONNECTION_BYTES: usize = MAX_STREAMS * 256 * 1024 + 4 * 1024 * 1024;

/// Bytes that a stream is handed at a time: a block with its head, in one
/// message of Noise, which has at most 64,511.
pub const CHUNK_BYTES: usize = BLOCK_BYTES as usize + 1024;

/// Control frames handed to a connection and not yet written.
pub const CONTROL_FRAMES_IN_HAND: usize = 16;

/// Control frames that may wait for a connection; a peer that does not read
/// that many is let go.
pub const CONTROL_FRAMES_WAITING: usize = 4_096;

/// Peers that are sent blocks at one time: few, so that each soon has
/// something to pass on.
pub const UPLOAD_SLOTS: usize = 4;

/// Blocks that a peer is sent before another one waiting takes its slot.
pub const SLOT_QUANTUM: u32 = 8;

/// How long a peer that reads nothing may keep its upload slot.
pub const SLOT_PATIENCE: Duration = Duration::from_secs(1);

/// Peers that may wait for an upload slot; one more is told `Busy`.
pub const MAX_WAITING_FOR_SLOT: usize = 64;

/// Bytes the program is asked to read at a time: whole pieces.
pub const EXTENT_BYTES: u32 = 1024 * 1024;

/// Reads the program is asked for at a time.
pub const MAX_READS: usize = 8;

/// How long the program may take to read before the read counts as failed.
pub const READ_PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of block lists kept in memory for what we serve.
pub const LIST_CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of objects kept in memory for what a member serves: it can read again
/// what it keeps, in less time than any link needs to carry it.
pub const SHELF_CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of objects kept in memory for what the origin serves.
pub const SHELF_CACHE_BYTES_OF_ORIGIN: usize = 24 * 1024 * 1024;

/// How long served bytes stay in memory when nobody asks for them.
pub const SHELF_CACHE_AGE: Duration = Duration::from_secs(15);

/// Bytes of objects under way that are kept in memory, by default.
pub const ASSEMBLY_BYTES: usize = 48 * 1024 * 1024;

/// How long a verified block waits for others of its object before it goes to
/// the program to be kept.
pub const KEEP_AFTER: Duration = Duration::from_millis(200);

/// Blocks that the program is given to keep at a time.
pub const KEEP_BLOCKS: usize = 16;

/// Times that the program is given something to keep before it has kept what
/// came first.
pub const KEEPS_AT_ONCE: usize = 2;

/// Objects that the program is asked at a time to bring parts of.
pub const RECALLS_AT_ONCE: usize = 4;

/// How long the program may take to bring the parts that it keeps of an
/// object, before peers are asked for all of it.
pub const RECALL_PATIENCE: Duration = Duration::from_secs(5);

/// Offences that are remembered, at most.
pub const MAX_RECORDS: usize = 4_096;

/// How long a liar stays away.
pub const BAN: Duration = Duration::from_secs(600);

/// Blocks a peer on parole must get right, one at a time.
pub const PAROLE_BLOCKS: u32 = 16;

/// What a peer does that costs us is counted within this.
pub const TALLY_WINDOW: Duration = Duration::from_secs(60);

/// Questions that one peer may ask within [`TALLY_WINDOW`]: an auditor reads a
/// long log question by question, a seeder passes on whoever comes.
pub const QUESTIONS_FROM_ONE: u32 = 600;

/// Questions without an end from one peer within [`TALLY_WINDOW`]: whose line
/// breaks has few under way.
pub const UNFINISHED_FROM_ONE: u32 = 4;

/// Announcements that told nothing new, from one peer within [`TALLY_WINDOW`].
pub const VAIN_ANNOUNCEMENTS_FROM_ONE: u32 = 120;

/// Circuits that one peer may ask for within [`TALLY_WINDOW`] before it is let
/// go: three times as many as are ever granted in an hour.
pub const CIRCUIT_FLOOD: u32 = 3 * CIRCUIT_ASKS;

/// How long a frame that has begun may take; as long again, and the
/// peer is let go. No link in use carries less than 2 KiB a second.
pub const FRAME_PATIENCE: Duration = Duration::from_secs(20);

/// Lines within [`BLOTTER_WHILE`] that tell of members who did wrong, and as
/// many that tell of strangers.
pub const BLOTTER_LINES: usize = 32;

/// See [`BLOTTER_LINES`].
pub const BLOTTER_WHILE: Duration = Duration::from_secs(600);

/// Connections that wait to be admitted, in all.
pub const MAX_KNOCKING: usize = 64;

/// Connections that wait to be admitted from one /24 or /48.
pub const MAX_KNOCKING_NEARBY: usize = 16;

/// Peers that we dial ourselves until so many are connected.
pub const ENOUGH_PEERS: usize = 16;

/// Peers that an auditor dials until so many are connected: all it knows of,
/// for it reads the log of each.
pub const ENOUGH_PEERS_OF_AUDITOR: usize = MAX_KNOWN_PEERS;

/// Peers that a member stays connected with.
pub const MAX_PEERS: usize = 64;

/// How long a guest of a full node may stay at the least; others wait so long.
pub const GUEST_STAY: Duration = Duration::from_secs(1);

/// Peers that the origin, or an auditor, stays connected with.
pub const MAX_PEERS_OF_ORIGIN: usize = 512;

/// Of these, places for whoever comes by itself: all but [`ENOUGH_PEERS`].
/// The vendor's own seeders find so many places beyond.
pub const SEEDER_PLACES: usize = 8;

/// The longest announcement, in bytes.
pub const MAX_ANNOUNCEMENT: usize = 64 * 1024;

/// Announcements that wait for the program's verdict.
pub const MAX_UNJUDGED: usize = 64;

/// Of these, announcements from one peer.
pub const MAX_UNJUDGED_FROM_ONE: usize = 8;

/// Members that we stay connected with because we dialled them: whoever comes
/// by itself may be nobody's friend, in any number.
pub const CHOSEN_PEERS: usize = 4;

/// Events that wait for the program.
pub const MAX_EVENTS: usize = 256;

/// Bytes of delivered objects that wait for the program; beyond, nothing more
/// is taken from the network.
pub const MAX_UNDELIVERED_BYTES: usize = 64 * 1024 * 1024;

/// Members that are remembered though not connected.
pub const MAX_KNOWN_PEERS: usize = 256;

/// Members of one /24 or /48 that are remembered, beyond this machine's own.
pub const MAX_KNOWN_NEARBY: usize = 32;

/// Addresses of one member.
pub const MAX_ADDRESSES: usize = 8;

/// Members in one answer of peer exchange.
pub const MAX_EXCHANGED_PEERS: usize = 32;

/// Members that one peer tells another of when it is asked again.
pub const MAX_EXCHANGED_AGAIN: usize = 8;

/// Members learned from one peer.
pub const MAX_PEERS_FROM_ONE: usize = 64;

/// How often others are led back, and we by others, within [`GUIDES_WITHIN`].
pub const MAX_GUIDES: usize = 16;

/// See [`MAX_GUIDES`].
pub const GUIDES_WITHIN: Duration = Duration::from_secs(10);

/// Ways back that wait for the program.
pub const GUIDED_AT_ONCE: usize = 4;

/// How long a reservation at a relay holds unless it is renewed.
pub const RESERVATION_LASTS: Duration = Duration::from_secs(30 * 60);

/// Members that may hold a reservation at the origin, and at another member.
pub const RESERVATIONS_AT_ORIGIN: usize = MAX_PEERS_OF_ORIGIN;

/// See [`RESERVATIONS_AT_ORIGIN`].
pub const RESERVATIONS_AT_MEMBER: usize = 8;

/// Circuits that lead through the origin at a time, and through another member.
pub const CIRCUITS_AT_ORIGIN: usize = 256;

/// See [`CIRCUITS_AT_ORIGIN`].
pub const CIRCUITS_AT_MEMBER: usize = 8;

/// Circuits that one member may have begun through one relay at a time.
pub const CIRCUITS_FROM_ONE: usize = 4;

/// Circuits that lead to one member through one relay at a time.
pub const CIRCUITS_TO_ONE: usize = 6;

/// Bytes that one circuit may carry, both ways together.
pub const CIRCUIT_BYTES: u64 = 2 * 1024 * 1024;

/// How long one circuit may last.
pub const CIRCUIT_LASTS: Duration = Duration::from_secs(15 * 60);

/// What a relay counts within: an hour.
pub const RELAY_WINDOW: Duration = Duration::from_secs(3_600);

/// Circuits that one member may ask of one relay within [`RELAY_WINDOW`].
pub const CIRCUIT_ASKS: u32 = 60;

/// Bytes of the circuits that one member began, within [`RELAY_WINDOW`].
pub const RELAYED_BYTES_FOR_ONE: u64 = 32 * 1024 * 1024;

/// Bytes that the origin, and another member, relays within [`RELAY_WINDOW`].
pub const RELAYED_BYTES_AT_ORIGIN: u64 = 2 * 1024 * 1024 * 1024;

/// See [`RELAYED_BYTES_AT_ORIGIN`].
pub const RELAYED_BYTES_AT_MEMBER: u64 = 32 * 1024 * 1024;

/// Members whose use of a relay is counted at a time.
pub const MAX_RELAYED_MEMBERS: usize = 4_096;

/// Circuits, and asks for circuits, that wait for something at a time.
pub const MAX_CIRCUITS_PENDING: usize = 64;

/// Relays that one member holds a reservation at.
pub const RELAYS: usize = 2;

/// The largest object that is asked for over a circuit; larger ones wait for a
/// direct connection, the origin or a mirror.
pub const RELAYED_OBJECT_BYTES: u32 = 256 * 1024;

/// Members dialled back, to tell them whether they can be, within
/// [`EXAMINATION_PAUSE`].
pub const EXAMINATIONS: usize = 64;

/// How long the same member waits to be dialled back again.
pub const EXAMINATION_PAUSE: Duration = Duration::from_secs(20);

/// Members that are asked whether they can dial us.
pub const EXAMINERS: usize = 3;
