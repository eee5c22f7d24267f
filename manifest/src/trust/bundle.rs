//! Several metadata files in one message.
//!
//! ```text
//! "UPDB" 01                          magic and version
//! files      u16 little-endian       at most 1100
//! then for each file:
//!   name     u8 length, ASCII        as in the repository, such as 2.root.json
//!   bytes    u32 little-endian length, bytes
//! ```
//!
//! Carries files, believes nothing of them: whoever takes one out hands it to
//! a refresh.

use crate::trust::limits::{BUNDLE_BYTES, BUNDLE_FILES, FILE_NAME_BYTES};

const MAGIC: &[u8; 5] = b"UPDB\x01";

/// Files by name, in the order they were put in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundle {
    files: Vec<(String, Vec<u8>)>,
}

/// A message that is no bundle, or a bundle that would be too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Longer than allowed.
    #[error("a bundle of {found} bytes exceeds the {limit} allowed")]
    TooLong {
        /// How long it is.
        found: usize,
        /// How long it may be.
        limit: usize,
    },
    /// More files than any refresh needs.
    #[error("more than {BUNDLE_FILES} files")]
    TooManyFiles,
    /// It does not begin as a bundle does.
    #[error("expected a bundle of version 1, found the bytes {found:02x?}")]
    Magic {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// It ends within a file, or goes on after the last.
    #[error("the bundle is cut short or has bytes left over at {at}")]
    Length {
        /// How many bytes made sense.
        at: usize,
    },
    /// No name that a repository has, or one that stands there twice.
    #[error("{name:?} is no file name, or stands there twice")]
    Name {
        /// The name, at most its first 80 characters.
        name: String,
    },
}

impl Bundle {
    /// A bundle without files.
    #[must_use]
    pub const fn new() -> Self {
        Self { files: Vec::new() }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`BundleError`] if the name is taken or none, or the bundle would
    /// exceed the longest message, 4 MiB.
    pub fn put(&mut self, name: impl Into<String>, bytes: Vec<u8>) -> Result<(), BundleError> {
        let name = name.into();
        if !is_file_name(&name) || self.get(&name).is_some() {
            return Err(BundleError::Name { name: name.chars().take(80).collect() });
        }
        if self.files.len() == BUNDLE_FILES {
            return Err(BundleError::TooManyFiles);
        }
        let found = self.encoded_len() + entry_len(&name, &bytes);
        if found > BUNDLE_BYTES {
            return Err(BundleError::TooLong { found, limit: BUNDLE_BYTES });
        }
        self.files.push((name, bytes));
        Ok(())
    }

    /// The file of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|file| file.0 == name).map(|file| file.1.as_slice())
    }

    /// The files, in order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// How many bytes [`Bundle::encode`] gives.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let entries = self.files.iter().map(|(name, bytes)| entry_len(name, bytes));
        MAGIC.len() + 2 + entries.sum::<usize>()
    }

    /// The bundle as a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        out.extend_from_slice(MAGIC);
        let count = u16::try_from(self.files.len()).expect("put keeps to BUNDLE_FILES");
        out.extend_from_slice(&count.to_le_bytes());
        for (name, bytes) in &self.files {
            out.push(u8::try_from(name.len()).expect("a file name has at most 255 bytes"));
            out.extend_from_slice(name.as_bytes());
            let len = u32::try_from(bytes.len()).expect("put keeps to BUNDLE_BYTES");
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out
    }

    /// Reads a message of at most `limit` bytes.
    ///
    /// # Errors
    /// [`BundleError`] for anything but exactly one bundle.
    pub fn decode(message: &[u8], limit: usize) -> Result<Self, BundleError> {
        let limit = limit.min(BUNDLE_BYTES);
        if message.len() > limit {
            return Err(BundleError::TooLong { found: message.len(), limit });
        }
        let Some(mut rest) = message.strip_prefix(MAGIC) else {
            let found = message[..message.len().min(MAGIC.len())].to_vec();
            return Err(BundleError::Magic { found });
        };
        let mut bundle = Self::new();
        let cut = |rest: &[u8]| BundleError::Length { at: message.len() - rest.len() };
        let count = u16::from_le_bytes(*take_array(&mut rest).ok_or_else(|| cut(rest))?);
        for _ in 0..count {
            let [name_len] = *take_array::<1>(&mut rest).ok_or_else(|| cut(rest))?;
            let name = take(&mut rest, usize::from(name_len)).ok_or_else(|| cut(rest))?;
            let name = String::from_utf8_lossy(name).into_owned();
            let len = u32::from_le_bytes(*take_array(&mut rest).ok_or_else(|| cut(rest))?);
            let len = usize::try_from(len).map_err(|_| cut(rest))?;
            let bytes = take(&mut rest, len).ok_or_else(|| cut(rest))?;
            bundle.put(name, bytes.to_vec())?;
        }
        if rest.is_empty() { Ok(bundle) } else { Err(cut(rest)) }
    }
}

/// Whether `name` is one under which a repository may have metadata: no path,
/// nothing hidden.
pub(super) fn is_file_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-~%".contains(&b);
    name.ends_with(".json")
        && name.len() <= FILE_NAME_BYTES
        && !name.starts_with('.')
        && name.bytes().all(plain)
}

const fn entry_len(name: &str, bytes: &[u8]) -> usize {
    1 + name.len() + 4 + bytes.len()
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

fn take_array<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    take(rest, N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Bundle {
        let mut bundle = Bundle::new();
        bundle.put("2.root.json", b"{}".to_vec()).unwrap();
        bundle.put("timestamp.json", Vec::new()).unwrap();
        bundle
    }

    #[test]
    fn a_bundle_has_exactly_these_bytes() {
        let expected = b"UPDB\x01\x02\x00\x0b2.root.json\x02\0\0\0{}\x0etimestamp.json\0\0\0\0";
        assert_eq!(sample().encode(), expected);
        assert_eq!(sample().encoded_len(), expected.len());
        let read = Bundle::decode(expected, 1000).unwrap();
        assert_eq!(read, sample());
        assert_eq!(read.get("2.root.json"), Some(&b"{}"[..]));
        assert_eq!(read.get("root.json"), None);
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_refused() {
        let good = sample().encode();
        for len in 0..good.len() {
            assert!(Bundle::decode(&good[..len], 1000).is_err(), "{len}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(Bundle::decode(&longer, 1000), Err(BundleError::Length { at: good.len() }));
    }

    #[test]
    fn a_bundle_longer_than_its_message_may_be_is_refused() {
        let good = sample().encode();
        assert!(matches!(Bundle::decode(&good, 10), Err(BundleError::TooLong { limit: 10, .. })));
        let mut bundle = Bundle::new();
        bundle.put("a.json", vec![0; BUNDLE_BYTES / 2]).unwrap();
        let refused = bundle.put("b.json", vec![0; BUNDLE_BYTES / 2]);
        assert!(matches!(refused, Err(BundleError::TooLong { .. })));
    }

    #[test]
    fn a_declared_length_takes_no_memory() {
        let mut message = b"UPDB\x01\x01\x00\x06a.json".to_vec();
        message.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(Bundle::decode(&message, 1000), Err(BundleError::Length { .. })));
    }

    #[test]
    fn names_are_single_plain_and_distinct() {
        let mut bundle = sample();
        for bad in ["", "a", "../a.json", "a/b.json", ".json", "a b.json", "\u{e9}.json"] {
            assert!(matches!(bundle.put(bad, Vec::new()), Err(BundleError::Name { .. })), "{bad}");
        }
        assert!(bundle.put("timestamp.json", Vec::new()).is_err());
    }
}
