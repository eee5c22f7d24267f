//! Text within an entry: short, on one line, safe to show on a terminal.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::audit::limits::TEXT_BYTES;

/// A text of at most [`TEXT_BYTES`] bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// `text` as an entry can hold it: control characters become spaces, and
    /// what is too long ends in `…`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        // One character more than could fit is enough to know that it does not.
        let clean: String = text
            .chars()
            .take(TEXT_BYTES + 1)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if clean.len() <= TEXT_BYTES {
            return Self(clean);
        }
        let mut end = TEXT_BYTES - '…'.len_utf8();
        while !clean.is_char_boundary(end) {
            end -= 1;
        }
        Self(format!("{}…", &clean[..end]))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > TEXT_BYTES || text.chars().any(char::is_control) {
            return Err(serde::de::Error::custom(format!(
                "a text is at most {TEXT_BYTES} bytes without control characters"
            )));
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        for long in ["é".repeat(TEXT_BYTES), "x".repeat(TEXT_BYTES + 1), "€".repeat(TEXT_BYTES)]
        {
            let text = Text::new(&long);
            assert!(text.as_str().len() <= TEXT_BYTES && text.as_str().ends_with('…'), "{text}");
        }
        let fits = "x".repeat(TEXT_BYTES);
        assert_eq!(Text::new(&fits).as_str(), fits);
    }

    #[test]
    fn control_characters_never_reach_a_line() {
        assert_eq!(Text::new("a\nb\u{1b}[31m\u{9b}c\u{7f}").as_str(), "a b [31m c ");
        assert!(serde_json::from_str::<Text>(r#""a\nb""#).is_err());
    }
}
