//! The messages of `metadata/1`, and announcements: who has which files, and
//! the newer ones.
//!
//! ```text
//! request                                  announcement
//! "UPDQ" 01         magic and version      "UPDA" 01       magic and version
//! root      u64 le  trusted version        root   u64 le   what it rests on
//! count     u8      at most 64             a bundle        at most 64 KiB in all
//! then for each file that is held:
//!   name    u8 length, as in a bundle
//! ```
//!
//! The answer to a request is a [`Bundle`]: newer roots, the timestamp, and
//! whatever it leads to that the asker does not hold. All of it is a hint
//! until a refresh has verified it.

use crate::trust::bundle::{Bundle, BundleError, is_file_name};
use crate::trust::limits::{ANNOUNCEMENT_BYTES, FILE_NAME_BYTES, REQUEST_FILES};
use crate::trust::role::{MetadataVersion, RoleName};
use crate::trust::trusted::TrustedSet;

const REQUEST_MAGIC: &[u8; 5] = b"UPDQ\x01";
const ANNOUNCEMENT_MAGIC: &[u8; 5] = b"UPDA\x01";

/// What an asker trusts already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRequest {
    /// The version of its root.
    pub root: MetadataVersion,
    /// The files below the timestamp that it holds, by their names in the
    /// repository, such as `3.snapshot.json`.
    pub held: Vec<String>,
}

/// Word of new metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The root that the files rest on: who has an older one cannot judge
    /// them yet.
    pub root: MetadataVersion,
    /// The timestamp, and what is new below it where that fits.
    pub files: Bundle,
}

/// Bytes that are no such message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// It does not begin as it should.
    #[error("expected the bytes {expected:02x?}, found {found:02x?}")]
    Magic {
        /// Magic and version.
        expected: [u8; 5],
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// It is cut short, goes on too long, or names too many files.
    #[error("the message of {found} bytes is cut short or too long")]
    Length {
        /// How long it is.
        found: usize,
    },
    /// No root has the version 0.
    #[error("it names a root of version 0")]
    NoVersion,
    /// A file's name is none.
    #[error("{name:?} is no file name")]
    Name {
        /// The name.
        name: String,
    },
    /// The files are no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl MetadataRequest {
    /// What is to be said of `trusted`.
    #[must_use]
    pub fn of(trusted: &TrustedSet) -> Self {
        let mut held: Vec<String> = below(trusted).into_iter().map(|(name, _)| name).collect();
        held.truncate(REQUEST_FILES);
        Self { root: trusted.root().version, held }
    }

    /// The request as a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = REQUEST_MAGIC.to_vec();
        out.extend_from_slice(&self.root.get().to_le_bytes());
        let held = || self.held.iter().take(REQUEST_FILES).filter(|n| n.len() <= FILE_NAME_BYTES);
        out.push(u8::try_from(held().count()).expect("a request names at most 64 files"));
        for name in held() {
            out.push(u8::try_from(name.len()).expect("longer names were left out"));
            out.extend_from_slice(name.as_bytes());
        }
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`ExchangeError`] for anything but exactly one request.
    pub fn decode(message: &[u8]) -> Result<Self, ExchangeError> {
        let (root, rest) = begin(message, REQUEST_MAGIC)?;
        let cut = || ExchangeError::Length { found: message.len() };
        let (count, mut rest) = rest.split_first().ok_or_else(cut)?;
        if usize::from(*count) > REQUEST_FILES {
            return Err(cut());
        }
        let mut held = Vec::with_capacity(usize::from(*count));
        for _ in 0..*count {
            let (len, after) = rest.split_first().ok_or_else(cut)?;
            let (name, after) = after.split_at_checked(usize::from(*len)).ok_or_else(cut)?;
            let name = String::from_utf8_lossy(name).into_owned();
            if !is_file_name(&name) {
                return Err(ExchangeError::Name { name });
            }
            held.push(name);
            rest = after;
        }
        if rest.is_empty() { Ok(Self { root, held }) } else { Err(cut()) }
    }

    /// Everything that `trusted` has and the asker has not, in one bundle;
    /// `root` gives the bytes of older roots by their version.
    ///
    /// What would make the bundle too long is left out: the asker comes again
    /// with the newer root that it then has.
    #[must_use]
    pub fn answer(
        &self,
        trusted: &TrustedSet,
        mut root: impl FnMut(MetadataVersion) -> Option<Vec<u8>>,
    ) -> Bundle {
        let mut bundle = Bundle::new();
        let mut version = self.root;
        while version < trusted.root().version {
            version = version.next();
            let Some(bytes) = root(version) else { break };
            if bundle.put(RoleName::ROOT.versioned_file_name(version), bytes).is_err() {
                break;
            }
        }
        if let Some(timestamp) = trusted.timestamp() {
            let name = RoleName::TIMESTAMP.file_name();
            if bundle.put(name, timestamp.bytes().to_vec()).is_err() {
                return bundle;
            }
        }
        for (name, bytes) in below(trusted) {
            if !self.held.contains(&name) && bundle.put(name, bytes.to_vec()).is_err() {
                break;
            }
        }
        bundle
    }
}

impl Announcement {
    /// Word of what `trusted` holds; of its timestamp alone where all of it
    /// is too long. `None` before there is a timestamp.
    #[must_use]
    pub fn of(trusted: &TrustedSet) -> Option<Self> {
        let root = trusted.root().version;
        let timestamp = trusted.timestamp()?.bytes();
        let name = RoleName::TIMESTAMP.file_name();
        let mut files = Bundle::new();
        files.put(name.clone(), timestamp.to_vec()).ok()?;
        let alone = Self { root, files: files.clone() };
        for (name, bytes) in below(trusted) {
            if files.put(name, bytes.to_vec()).is_err() {
                return Some(alone);
            }
        }
        let whole = Self { root, files };
        Some(if whole.encode().len() <= ANNOUNCEMENT_BYTES { whole } else { alone })
    }

    /// The announcement as a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = ANNOUNCEMENT_MAGIC.to_vec();
        out.extend_from_slice(&self.root.get().to_le_bytes());
        out.extend_from_slice(&self.files.encode());
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`ExchangeError`] for anything but exactly one announcement.
    pub fn decode(message: &[u8]) -> Result<Self, ExchangeError> {
        if message.len() > ANNOUNCEMENT_BYTES {
            return Err(ExchangeError::Length { found: message.len() });
        }
        let (root, rest) = begin(message, ANNOUNCEMENT_MAGIC)?;
        Ok(Self { root, files: Bundle::decode(rest, ANNOUNCEMENT_BYTES)? })
    }
}

/// Checks magic and version, and reads the root's version behind them.
fn begin<'a>(
    message: &'a [u8],
    magic: &[u8; 5],
) -> Result<(MetadataVersion, &'a [u8]), ExchangeError> {
    let Some(rest) = message.strip_prefix(magic) else {
        let found = message[..message.len().min(magic.len())].to_vec();
        return Err(ExchangeError::Magic { expected: *magic, found });
    };
    let length = ExchangeError::Length { found: message.len() };
    let Some((root, rest)) = rest.split_first_chunk() else { return Err(length) };
    let root = MetadataVersion::new(u64::from_le_bytes(*root)).ok_or(ExchangeError::NoVersion)?;
    Ok((root, rest))
}

/// The files below the timestamp, by their names in the repository; none
/// where the snapshot is not the one that the timestamp names.
fn below(trusted: &TrustedSet) -> Vec<(String, &[u8])> {
    let Some(snapshot) = trusted.snapshot().filter(|_| trusted.has_named_snapshot()) else {
        return Vec::new();
    };
    let consistent = trusted.root().consistent_snapshot();
    let name = |role: &RoleName, version| match consistent {
        true => role.versioned_file_name(version),
        false => role.file_name(),
    };
    let mut files = vec![(name(&RoleName::SNAPSHOT, snapshot.version), snapshot.bytes())];
    for role in std::iter::once(&RoleName::TARGETS).chain(trusted.delegated_roles()) {
        if let Some(file) = trusted.targets(role) {
            files.push((name(role, file.version), file.bytes()));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::testing::{Client, Files, NOW, Vendor, day, role};

    /// What a client with all of `vendor`'s files trusts.
    fn trusted(vendor: &Vendor) -> TrustedSet {
        let mut client = Client::new(&vendor.files);
        client.refresh(&vendor.files, day(1), &[role()]).unwrap();
        client.trusted
    }

    fn files(bundle: &Bundle) -> Files {
        bundle.files().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
    }

    fn names(bundle: &Bundle) -> Vec<&str> {
        bundle.files().map(|(name, _)| name).collect()
    }

    #[test]
    fn one_answer_brings_a_newcomer_up_to_date() {
        let mut vendor = Vendor::new();
        vendor.repository.renew(RoleName::ROOT);
        vendor.release(1);
        vendor.publish(day(1));
        let mut client = Client::new(&vendor.files);
        let request = MetadataRequest::of(&client.trusted);
        let request = MetadataRequest::decode(&request.encode()).unwrap();
        let root = |version| vendor.files.get(&format!("{version}.root.json")).cloned();
        let answer = request.answer(&trusted(&vendor), root);
        client.refresh(&files(&answer), day(1), &[role()]).unwrap();
        assert_eq!(client.trusted.root().version.get(), 2);
    }

    #[test]
    fn who_has_everything_is_sent_the_timestamp_alone() {
        let vendor = Vendor::new();
        let trusted = trusted(&vendor);
        let answer = MetadataRequest::of(&trusted).answer(&trusted, |_| None);
        assert_eq!(names(&answer), ["timestamp.json"]);
    }

    #[test]
    fn a_new_release_costs_three_files() {
        let mut vendor = Vendor::new();
        let request = MetadataRequest::of(&trusted(&vendor));
        vendor.release(1);
        vendor.publish(day(1));
        let answer = request.answer(&trusted(&vendor), |_| None);
        assert_eq!(names(&answer), ["timestamp.json", "2.snapshot.json", "2.hello.stable.json"]);
    }

    #[test]
    fn an_announcement_brings_a_member_up_to_date() {
        let mut vendor = Vendor::new();
        let mut client = Client::new(&vendor.files);
        client.refresh(&vendor.files, NOW, &[role()]).unwrap();
        vendor.release(1);
        vendor.publish(day(1));
        let message = Announcement::of(&trusted(&vendor)).unwrap().encode();
        assert!(message.len() < 8192, "{}", message.len());
        let announcement = Announcement::decode(&message).unwrap();
        assert_eq!(announcement.root.get(), 1);
        client.refresh(&files(&announcement.files), day(1), &[role()]).unwrap();
        assert_eq!(client.trusted.timestamp().unwrap().version.get(), 2);
    }

    #[test]
    fn cuts_extra_bytes_and_bad_names_are_refused() {
        let vendor = Vendor::new();
        let request = MetadataRequest::of(&trusted(&vendor)).encode();
        let announcement = Announcement::of(&trusted(&vendor)).unwrap().encode();
        for len in 0..request.len() {
            assert!(MetadataRequest::decode(&request[..len]).is_err(), "{len}");
        }
        for len in 0..announcement.len() {
            assert!(Announcement::decode(&announcement[..len]).is_err(), "{len}");
        }
        assert!(MetadataRequest::decode(&[&request[..], b"x"].concat()).is_err());
        assert!(Announcement::decode(&[&announcement[..], b"x"].concat()).is_err());
        assert!(Announcement::decode(&vec![0; ANNOUNCEMENT_BYTES + 1]).is_err());
        let bad =
            MetadataRequest { root: MetadataVersion::FIRST, held: vec!["../x.json".to_owned()] };
        assert!(matches!(MetadataRequest::decode(&bad.encode()), Err(ExchangeError::Name { .. })));
    }
}
