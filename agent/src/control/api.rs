//! The values that cross the socket, and that `--json` prints.

use std::path::PathBuf;

use manifest::admission::installation::InstallationId;
use manifest::audit::event::{ReleaseRef, Traffic};
use manifest::name::{ChannelName, Platform, ProductName, ReleaseNumber, ReleaseVersion};
use manifest::time::UnixTime;
use manifest::trust::role::RoleName;
use manifest::trust::trusted::TrustedSet;
use serde::{Deserialize, Serialize};
use store::installed::Report;

use crate::leave::Moves;
use crate::network::peers::Partial;
use crate::network::progress::Summary;
use crate::update::decision::Subject;
use crate::update::state::{Bad, InSlot, LastCheck, LastUpdate, Remembered};

/// Everything about an installation at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The product.
    pub product: ProductName,
    /// The line of releases it follows.
    pub channel: ChannelName,
    /// What its releases must run on.
    pub platform: Platform,
    /// The installation's id.
    pub installation: InstallationId,
    /// Its directory.
    pub into: PathBuf,
    /// Whether the daemon answered; else the files did.
    pub daemon: bool,
    /// The release that runs.
    pub installed: Option<InSlot>,
    /// The release before it.
    pub previous: Option<InSlot>,
    /// The update machine's state.
    pub state: String,
    /// The release that an update under way is for.
    pub under_way: Option<ReleaseRef>,
    /// How far the transfer is.
    pub progress: Summary,
    /// Where the bytes of this update, or of the last one, came from.
    pub bytes: Bytes,
    /// Members that are connected.
    pub peers: usize,
    /// What moves between members, and what may.
    #[serde(default)]
    pub pace: PaceView,
    /// Where this installation can be met.
    pub addresses: Vec<String>,
    /// Releases that are not installed by themselves.
    pub bad: Vec<Bad>,
    /// What came of looking for releases last.
    pub last_check: Option<LastCheck>,
    /// What came of the last update.
    pub last_update: Option<LastUpdate>,
    /// When what is believed ends.
    pub expires: Expiries,
    /// Looks for releases that ended since the daemon started.
    pub checks: u64,
    /// Why the daemon does not continue the log, if it does not.
    #[serde(default)]
    pub closed_log: Option<String>,
}

/// What moves between members, and what may.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PaceView {
    /// Bytes a second that come, of late.
    pub received: u64,
    /// Bytes a second that go out, of late.
    pub sent: u64,
    /// Bytes a second that may come, with everybody.
    pub download_limit: Option<u64>,
    /// Bytes a second that may go out, with everybody.
    pub upload_limit: Option<u64>,
    /// Of these, bytes a second from beyond the local network.
    pub far_download_limit: Option<u64>,
    /// Of these, bytes a second to beyond the local network.
    pub far_upload_limit: Option<u64>,
    /// Whether somebody else uses the line, and we make way.
    pub makes_way: bool,
    /// Bytes a second that somebody else receives over the line.
    pub others_receive: u64,
    /// Bytes a second that somebody else sends over it.
    pub others_send: u64,
    /// What the owner's rules let move now.
    pub moves: Moves,
    /// Why they let no more move, if they do not.
    pub why: Option<String>,
}

/// Bytes by source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bytes {
    /// From the vendor's own seeders.
    pub origin: u64,
    /// From other installations.
    pub peers: u64,
    /// From mirrors.
    pub mirror: u64,
    /// Already on this disk.
    pub disk: u64,
}

impl From<&Traffic> for Bytes {
    fn from(traffic: &Traffic) -> Self {
        let Traffic { origin, peers, mirror, disk, .. } = *traffic;
        Self { origin, peers, mirror, disk }
    }
}

/// When each file that is believed ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Expiries {
    /// Root.
    pub root: Option<UnixTime>,
    /// Timestamp.
    pub timestamp: Option<UnixTime>,
    /// Snapshot.
    pub snapshot: Option<UnixTime>,
    /// Top-level targets.
    pub targets: Option<UnixTime>,
    /// The channel's role.
    pub channel: Option<UnixTime>,
    /// The installation's own credential.
    pub credential: Option<UnixTime>,
}

impl Expiries {
    /// The ends of what `trusted` holds for `subject`.
    #[must_use]
    pub fn of(trusted: &TrustedSet, subject: &Subject, credential: Option<UnixTime>) -> Self {
        Self {
            root: Some(trusted.root().expires),
            timestamp: trusted.timestamp().map(|file| file.expires),
            snapshot: trusted.snapshot().map(|file| file.expires),
            targets: trusted.targets(&RoleName::TARGETS).map(|file| file.expires),
            channel: trusted.targets(&subject.role()).map(|file| file.expires),
            credential,
        }
    }

    /// The names of those that have ended at `now`.
    #[must_use]
    pub fn over(&self, now: UnixTime) -> Vec<&'static str> {
        let all = [
            ("root", self.root),
            ("timestamp", self.timestamp),
            ("snapshot", self.snapshot),
            ("targets", self.targets),
            ("channel", self.channel),
            ("credential", self.credential),
        ];
        let over = all.into_iter().filter(|(_, end)| end.is_some_and(|end| end <= now));
        over.map(|(name, _)| name).collect()
    }
}

impl Status {
    /// The status as the files tell it, without a daemon.
    #[must_use]
    pub fn at_rest(
        subject: Subject,
        installation: InstallationId,
        into: PathBuf,
        kept: Remembered,
        expires: Expiries,
    ) -> Self {
        let Subject { product, channel, platform } = subject;
        let bytes = Bytes::from(&kept.traffic);
        let under_way = kept.attempt.map(|attempt| attempt.errand.release);
        Self {
            product,
            channel,
            platform,
            installation,
            into,
            daemon: false,
            installed: kept.installed,
            previous: kept.previous,
            state: "stopped".to_owned(),
            under_way,
            progress: Summary::default(),
            bytes,
            peers: 0,
            pace: PaceView::default(),
            addresses: Vec::new(),
            bad: kept.bad,
            last_check: kept.last_check,
            last_update: kept.last_update,
            expires,
            checks: 0,
            closed_log: None,
        }
    }
}

/// The objects of a transfer, for whoever wants to see it spread: of the one
/// under way or, without one, of the last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TransferView {
    /// The figures.
    pub progress: Summary,
    /// Every object that is wanted, whole, in parts or not here at all.
    pub objects: Vec<Partial>,
}

/// What a look for damage found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The release.
    pub version: ReleaseVersion,
    /// Its number.
    pub number: ReleaseNumber,
    /// Its directory.
    pub dir: PathBuf,
    /// Files that were compared.
    pub files: u64,
    /// Bytes that were compared.
    pub bytes: u64,
    /// What differs.
    pub damaged: Vec<Difference>,
    /// What stands there besides.
    pub extra: Vec<String>,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The path, within the release.
    pub path: String,
    /// What was expected and found.
    pub how: String,
}

impl Verified {
    /// What `report` says of `installed`.
    #[must_use]
    pub fn new(installed: &InSlot, dir: PathBuf, report: Report) -> Self {
        let difference = |damage: store::installed::Damage| Difference {
            path: damage.path,
            how: damage.how.to_string(),
        };
        Self {
            version: installed.version.clone(),
            number: installed.number,
            dir,
            files: report.files,
            bytes: report.bytes,
            damaged: report.damaged.into_iter().map(difference).collect(),
            extra: report.extra,
        }
    }
}

/// Asks for a look for releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckRequest {
    /// Whether releases that failed may be tried again.
    #[serde(default)]
    pub retry: bool,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// A word for programs: `busy`, `nothing-to-do`, `failed`.
    pub code: String,
    /// A sentence's end for people.
    pub message: String,
}

impl Refusal {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}
