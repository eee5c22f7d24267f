//! The names that stand in paths, roles and tickets, each bounded and plain.
//!
//! A name that parsed is safe as a path component and as part of a role name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} is {rule}, found {found:?}")]
pub struct BadName {
    /// Which kind of name was asked for.
    pub what: &'static str,
    /// What such a name looks like.
    pub rule: &'static str,
    /// What stood there, at most its first 80 characters.
    pub found: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                let holds: fn(&str) -> bool = $holds;
                if holds(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let found = text.chars().take(80).collect();
                    Err(BadName { what: $what, rule: $rule, found })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Whether `text` is `[a-z][a-z0-9-]{0,31}`, as a role name needs it.
fn is_slug(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

name!(
    /// What a vendor sells: `[a-z][a-z0-9-]{0,31}`.
    ProductName,
    "product",
    "1 to 32 of a-z, 0-9 and -, beginning with a letter",
    is_slug
);

name!(
    /// A line of releases, such as `stable`: `[a-z][a-z0-9-]{0,31}`.
    ChannelName,
    "channel",
    "1 to 32 of a-z, 0-9 and -, beginning with a letter",
    is_slug
);

name!(
    /// What a release runs on, such as `linux-x86_64`: `[a-z][a-z0-9_-]{0,31}`.
    Platform,
    "platform",
    "1 to 32 of a-z, 0-9, - and _, beginning with a letter",
    |text| is_slug(&text.replace('_', "-"))
);

name!(
    /// A release's name to people, such as `5.2.19` or `4:7.4.7-1+deb12u14`.
    ///
    /// Order comes from [`ReleaseNumber`], never from this text.
    ReleaseVersion,
    "version",
    "1 to 64 of A-Z, a-z, 0-9 and . - _ + ~ :, beginning with a letter or digit, without ..",
    |text| {
        text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !text.contains("..")
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+~:".contains(&b))
    }
);

/// A release's place in its product's one line of releases, counted from 1.
///
/// Promotion between channels keeps it, so that "newer" means one thing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ReleaseNumber(pub u64);

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_rules() {
        assert!("hello-2".parse::<ProductName>().is_ok());
        assert!("linux-x86_64".parse::<Platform>().is_ok());
        assert!("4:7.4.7-1+deb12u14".parse::<ReleaseVersion>().is_ok());
        for bad in ["", "2hello", "Hello", "a.b", "a/b", "é", &"a".repeat(33)] {
            assert!(bad.parse::<ProductName>().is_err(), "{bad}");
            assert!(bad.parse::<ChannelName>().is_err(), "{bad}");
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
        for bad in ["", ".", "..", "1..2", "a/b", "-1", "a b", "a\n", &"1".repeat(65)] {
            assert!(bad.parse::<ReleaseVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_the_rule_and_what_was_found() {
        let error = "No Way".parse::<ChannelName>().unwrap_err().to_string();
        assert!(error.contains("channel") && error.contains("No Way"), "{error}");
    }
}
