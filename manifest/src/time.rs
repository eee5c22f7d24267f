//! Points in time that judge expiry, never waiting.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds since 1970-01-01T00:00:00Z, between the years 1970 and 9999.
///
/// Written as `2026-11-23T09:31:00Z`, the form of TUF 4.2 and of the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(u64);

/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

// A civil time, because the zoned kind ends a day before the year 9999 does.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A text that is not a time in the one accepted form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time is written like 2026-11-23T09:31:00Z, found {found:?}")]
pub struct NotATime {
    /// What stood there, at most its first 80 characters.
    pub found: String,
}

impl UnixTime {
    /// The time `seconds` after 1970 began; the year 9999 ends all times.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(if seconds > LAST_SECOND { LAST_SECOND } else { seconds })
    }

    /// Seconds since 1970 began.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// The time `later` after this one, at most the end of the year 9999.
    #[must_use]
    pub const fn after(self, later: Duration) -> Self {
        Self::from_seconds(self.0.saturating_add(later.as_secs()))
    }

    /// The time `earlier` before this one, at least the start of 1970.
    #[must_use]
    pub const fn before(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier.as_secs()))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = SignedDuration::from_secs(i64::try_from(self.0).expect("the year 9999 fits"));
        let time = EPOCH.checked_add(since).expect("the year 9999 is in range");
        write!(f, "{}", time.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UnixTime {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let refused = || NotATime { found: text.chars().take(80).collect() };
        // TUF 4.2 allows this one shape; a looser parser would disagree with others.
        let shape = text.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            10 => b == b'T',
            13 | 16 => b == b':',
            19 => b == b'Z',
            _ => b.is_ascii_digit(),
        });
        if text.len() != 20 || !shape {
            return Err(refused());
        }
        let time: DateTime = text[..19].parse().map_err(|_| refused())?;
        let seconds = u64::try_from(time.duration_since(EPOCH).as_secs()).map_err(|_| refused())?;
        let time = Self::from_seconds(seconds);
        // A leap second or a 24th hour would come back as another text.
        if time.to_string() == text { Ok(time) } else { Err(refused()) }
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (LAST_SECOND, "9999-12-31T23:59:59Z"),
        ] {
            let time = UnixTime::from_seconds(seconds);
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        for bad in [
            "",
            "2026-11-23",
            "2026-11-23T09:31:00",
            "2026-11-23T09:31:00+00:00",
            "2026-11-23T09:31:00.5Z",
            "2026-13-23T09:31:00Z",
            "2026-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-23T09:31:60Z",
            "2026-11-23t09:31:00z",
        ] {
            assert!(bad.parse::<UnixTime>().is_err(), "{bad}");
        }
    }
}
