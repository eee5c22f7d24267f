//! What was released: the vendor's own list, oldest first.
//!
//! Channels list what installations may still need; this remembers the rest,
//! so that numbers are never given twice and older releases can be bases.

use manifest::content::ContentId;
use manifest::name::{ChannelName, Platform, ReleaseNumber, ReleaseVersion};
use manifest::time::UnixTime;
use serde::{Deserialize, Serialize};

/// One release in one channel for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// In which channel.
    pub channel: ChannelName,
    /// For which platform.
    pub platform: Platform,
    /// Its name to people.
    pub version: ReleaseVersion,
    /// Its place in the product's line of releases.
    pub number: ReleaseNumber,
    /// Its manifest.
    pub manifest: ContentId,
    /// When it was signed.
    pub released: UnixTime,
    /// How many files it has.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// All releases, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Record>);

/// A release that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The version is taken.
    #[error("{version} was released on {channel} for {platform} at {released}")]
    Released {
        /// The version.
        version: ReleaseVersion,
        /// Where.
        channel: ChannelName,
        /// For what.
        platform: Platform,
        /// When.
        released: UnixTime,
    },
    /// Elsewhere the version has a number that this channel has passed.
    #[error(
        "{version} is release {number}, but {channel} for {platform} is at release {newest} already"
    )]
    Passed {
        /// The version.
        version: ReleaseVersion,
        /// Its number.
        number: ReleaseNumber,
        /// Where it was to be released.
        channel: ChannelName,
        /// For what.
        platform: Platform,
        /// The number of the newest release there.
        newest: ReleaseNumber,
    },
}

impl History {
    /// All records, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.0
    }

    /// Adds a record, unless it is the newest already.
    pub fn add(&mut self, record: Record) {
        if self.0.last() != Some(&record) {
            self.0.push(record);
        }
    }

    /// The releases of a channel for a platform, newest first.
    pub fn line<'a>(
        &'a self,
        channel: &'a ChannelName,
        platform: &'a Platform,
    ) -> impl Iterator<Item = &'a Record> {
        let here = |r: &&Record| r.channel == *channel && r.platform == *platform;
        self.0.iter().rev().filter(here)
    }

    /// The number of a release that is about to be made: the one it has on
    /// another channel or platform, or one more than any.
    ///
    /// # Errors
    /// [`Refused`] if the channel has this version or has passed it.
    pub fn number_for(
        &self,
        version: &ReleaseVersion,
        channel: &ChannelName,
        platform: &Platform,
    ) -> Result<ReleaseNumber, Refused> {
        if let Some(record) = self.line(channel, platform).find(|r| r.version == *version) {
            return Err(Refused::Released {
                version: version.clone(),
                channel: channel.clone(),
                platform: platform.clone(),
                released: record.released,
            });
        }
        let highest = self.0.iter().map(|record| record.number).max().unwrap_or_default();
        let known = self.0.iter().find(|record| record.version == *version);
        let number = known.map_or(ReleaseNumber(highest.0 + 1), |record| record.number);
        match self.line(channel, platform).map(|record| record.number).max() {
            Some(newest) if newest >= number => Err(Refused::Passed {
                version: version.clone(),
                number,
                channel: channel.clone(),
                platform: platform.clone(),
                newest,
            }),
            _ => Ok(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: &str, channel: &str, platform: &str, number: u64) -> Record {
        Record {
            channel: channel.parse().unwrap(),
            platform: platform.parse().unwrap(),
            version: version.parse().unwrap(),
            number: ReleaseNumber(number),
            manifest: ContentId::of(version.as_bytes()),
            released: UnixTime::from_seconds(1_800_000_000),
            files: 1,
            bytes: 1,
        }
    }

    fn number(history: &History, version: &str, channel: &str, platform: &str) -> Option<u64> {
        let (channel, platform) = (channel.parse().unwrap(), platform.parse().unwrap());
        history.number_for(&version.parse().unwrap(), &channel, &platform).ok().map(|n| n.0)
    }

    #[test]
    fn numbers_rise_and_follow_a_version_across_channels_and_platforms() {
        let mut history = History::default();
        assert_eq!(number(&history, "1.0", "beta", "linux"), Some(1));
        history.add(record("1.0", "beta", "linux", 1));
        assert_eq!(number(&history, "1.0", "beta", "macos"), Some(1));
        assert_eq!(number(&history, "1.1", "beta", "linux"), Some(2));
        history.add(record("1.1", "beta", "linux", 2));
        assert_eq!(number(&history, "1.1", "stable", "linux"), Some(2));
        history.add(record("1.1", "stable", "linux", 2));
        assert_eq!(number(&history, "2.0", "stable", "linux"), Some(3));
    }

    #[test]
    fn a_version_is_released_once_and_never_after_a_newer_one() {
        let mut history = History::default();
        history.add(record("1.0", "beta", "linux", 1));
        history.add(record("1.1", "beta", "linux", 2));
        history.add(record("1.1", "stable", "linux", 2));
        assert_eq!(number(&history, "1.1", "stable", "linux"), None);
        assert_eq!(number(&history, "1.0", "stable", "linux"), None);
        let error = history
            .number_for(
                &"1.0".parse().unwrap(),
                &"stable".parse().unwrap(),
                &"linux".parse().unwrap(),
            )
            .unwrap_err();
        assert!(error.to_string().starts_with("1.0 is release 1, but stable"), "{error}");
    }
}
