//! How much the agent takes from others, holds and remembers.

use std::time::Duration;

use web::body::Patience;

/// Releases that are remembered as bad.
pub const BAD_RELEASES: usize = 64;

/// Restarts while an update is being prepared before it is left for a while:
/// one that brings the agent or the machine down must not do so without pause.
pub const RESUMES: u32 = 20;

/// Restarts while a new release is being probed before it is left: what brings
/// the machine down is not well.
pub const PROBE_RESUMES: u32 = 3;

/// Failed attempts at a switch before what ran before is restored.
pub const SWITCH_TRIES: u32 = 5;

/// The first wait after a failure; it doubles from there.
pub const FIRST_RETRY: Duration = Duration::from_secs(5);

/// The longest wait after a failure.
pub const LAST_RETRY: Duration = Duration::from_secs(3600);

/// How long after its metadata ended a release may be switched to that was
/// verified before.
pub const VERIFIED_PLAN: Duration = Duration::from_secs(24 * 3600);

/// Bytes of a configuration file.
pub const CONFIG_BYTES: u64 = 64 << 10;

/// The shortest time between two looks for releases.
pub const SHORTEST_POLL: Duration = Duration::from_millis(100);

/// Bytes of the file that keeps a credential with its issuer's statement.
pub const CREDENTIAL_FILE_BYTES: u64 = 16 << 10;

/// A credential is renewed when it has less than this left.
pub const RENEW_BEFORE: Duration = Duration::from_secs(10 * 86_400);

/// Peers whose bytes are told apart during one update.
pub const METERED_PEERS: usize = 1024;

/// Bytes of objects that were served just now and stay in memory.
pub const SERVED_BYTES: usize = 2 << 20;

/// Bytes of objects under way that outlive a restart: the largest object, and
/// as much again as is under way at a time.
pub const PARTIAL_BYTES: u64 = 128 << 20;

/// Threads that make a release's bytes at once.
pub const ASSEMBLY_THREADS: usize = 4;

/// Files that were changed on disk and are named by `explain`.
pub const NAMED_DAMAGE: usize = 20;

/// Bytes of the file that keeps what the last plan came to.
pub const ACCOUNT_BYTES: u64 = 64 << 10;

/// How long peers have for themselves before mirrors are asked.
pub const HEAD_START: Duration = Duration::from_secs(2);

/// How long peers may bring nothing before mirrors help out.
pub const PEER_PAUSE: Duration = Duration::from_secs(4);

/// How long nobody may bring anything before a transfer is given up for now.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a mirror may keep us waiting.
pub const MIRROR_PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    silence: Duration::from_secs(20),
    grace: Duration::from_secs(5),
    slowest: 4096,
};

/// How long it may be so where no member is connected.
pub const LONELY: Duration = Duration::from_secs(5);

/// How long an agent that runs once waits for somebody to ask.
pub const ONCE_PATIENCE: Duration = Duration::from_secs(12);

/// Objects that are fetched from mirrors at once.
pub const MIRROR_JOBS: usize = 8;

/// Of these, objects that are fetched from one mirror.
pub const MIRROR_JOBS_EACH: usize = 4;

/// How long a mirror may stand still before another one is asked instead.
pub const MIRROR_STALL: Duration = Duration::from_secs(4);

/// How long a mirror may be far slower than another one before that one is
/// asked instead.
pub const MIRROR_LAG: Duration = Duration::from_secs(3);

/// How long a mirror that failed is left alone; it doubles with each failure.
pub const MIRROR_FIRST_REST: Duration = Duration::from_secs(1);

/// The longest that a mirror is left alone.
pub const MIRROR_LAST_REST: Duration = Duration::from_secs(600);

/// Where no other is left, a mirror is left alone no longer than this.
pub const MIRROR_WAIT: Duration = Duration::from_secs(4);

/// New bytes of an object with which an answer that broke off was no failure.
pub const WORTH_A_TRY: u64 = 32 << 10;

/// Bytes of a mirror's answer that may be lost with the process.
pub const HEAD_BYTES: usize = 64 << 10;

/// Bytes of answers that broke off and outlive a restart.
pub const HEADS_BYTES: u64 = 128 << 20;

/// Bytes of a file with certificates of authorities.
pub const AUTHORITIES_BYTES: u64 = 1 << 20;

/// News of answers that wait for the transfer.
pub const MIRROR_NEWS: usize = 64;

/// How often each mirror is asked for an object.
pub const MIRROR_TRIES: usize = 2;

/// Reasons that a failed transfer names.
pub const REASONS: usize = 4;

/// Peers that a refresh asks at once.
pub const REFRESH_PEERS: usize = 3;

/// Mirrors that a refresh asks at once.
pub const REFRESH_MIRRORS: usize = 4;

/// How long one source of metadata may take.
pub const SOURCE_PATIENCE: Duration = Duration::from_secs(30);

/// How long other sources still have once one has led to the end.
pub const REFRESH_GRACE: Duration = Duration::from_secs(2);

/// Characters of a probe's last words that an entry tells.
pub const PROBE_DETAIL_CHARS: usize = 300;

/// Commands of the owner that wait for the daemon.
pub const COMMANDS: usize = 16;

/// News of members that wait for the daemon.
pub const NEWS: usize = 64;

/// Bytes of the file that keeps members' addresses.
pub const PEERS_FILE_BYTES: u64 = 64 << 10;

/// Addresses of members that are kept, to find them when every server is down.
pub const REMEMBERED_ADDRESSES: usize = 64;

/// Objects from members that wait to be kept.
pub const ARRIVALS: usize = 16;

/// Objects that are read for members at once.
pub const SERVED_AT_ONCE: usize = 8;

/// Questions of members that are answered at once.
pub const ANSWERS_AT_ONCE: usize = 4;

/// Members that were just met and are asked for news at one time.
pub const HEARD_AT_ONCE: usize = 2;

/// Members' misbehaviours that one run of the agent tells the log of.
pub const TOLD_MISBEHAVIOURS: usize = 32;

/// Bytes a second that members beyond the local network are sent at most,
/// unless the owner says otherwise: 16 Mbit/s, a part of what most lines carry.
pub const UPLOAD_BYTES_PER_SECOND: u64 = 2_000_000;
