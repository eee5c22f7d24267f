//! What an answer to "from this byte on" means (RFC 9110, 14 and 15.3.7).
//!
//! Pure: status and headers in, where the body begins out. Believes neither
//! more of a header than it needs nor a number that does not fit the question.

use reqwest::StatusCode;

/// Where the body of an answer stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub from: u64,
    /// The length of the whole file, if it was said.
    pub total: Option<u64>,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The file, or the rest of it.
    Body(Place),
    /// The file has no more bytes than are there already.
    Complete,
    /// There is no such file.
    Missing,
    /// Another part of the file, in words.
    Other(String),
    /// Something else.
    Strange,
}

/// What an answer to a question for the bytes from `from` on means.
#[must_use]
pub fn meaning(
    from: u64,
    status: StatusCode,
    content_range: Option<&str>,
    content_length: Option<u64>,
) -> Meaning {
    match status {
        // Whoever does not know ranges sends the whole file.
        StatusCode::OK => Meaning::Body(Place { from: 0, total: content_length }),
        StatusCode::PARTIAL_CONTENT if from > 0 => match content_range.and_then(part) {
            // A server may send less than the rest.
            Some((first, last, total))
                if first == from && last >= first && total.is_none_or(|total| last < total) =>
            {
                match total.or(last.checked_add(1)) {
                    Some(total) => Meaning::Body(Place { from, total: Some(total) }),
                    None => Meaning::Other(shown(content_range)),
                }
            }
            _ => Meaning::Other(shown(content_range)),
        },
        StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
            match content_range.and_then(unsatisfied) {
                Some(total) if total == from => Meaning::Complete,
                Some(total) => Meaning::Other(format!("a file of {total} bytes")),
                None => Meaning::Other("a refusal".to_owned()),
            }
        }
        // Stores that do not list their files say 403 for one they lack.
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => Meaning::Missing,
        _ => Meaning::Strange,
    }
}

/// First byte, last byte and length of `bytes FIRST-LAST/LENGTH`.
fn part(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(number(total)?),
    };
    Some((number(first)?, number(last)?, total))
}

/// The length of `bytes */LENGTH`.
fn unsatisfied(text: &str) -> Option<u64> {
    number(text.trim().strip_prefix("bytes */")?)
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A header for a message, at most its first 80 characters.
fn shown(header: Option<&str>) -> String {
    let Some(header) = header else { return "a part without its place".to_owned() };
    format!("{:?}", header.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(from: u64, status: u16, range: &str, length: Option<u64>) -> Meaning {
        let range = (!range.is_empty()).then_some(range);
        meaning(from, StatusCode::from_u16(status).unwrap(), range, length)
    }

    const fn body(from: u64, total: Option<u64>) -> Meaning {
        Meaning::Body(Place { from, total })
    }

    #[test]
    fn the_rest_of_a_file_begins_where_it_was_asked_for() {
        assert_eq!(of(5, 206, "bytes 5-9/10", Some(5)), body(5, Some(10)));
        assert_eq!(of(5, 206, "bytes 5-7/10", Some(3)), body(5, Some(10)));
        assert_eq!(of(5, 206, "bytes 5-9/*", Some(5)), body(5, Some(10)));
    }

    #[test]
    fn who_knows_no_ranges_sends_the_whole() {
        assert_eq!(of(5, 200, "", Some(10)), body(0, Some(10)));
        assert_eq!(of(0, 200, "", None), body(0, None));
        assert_eq!(of(5, 200, "bytes 5-9/10", Some(10)), body(0, Some(10)));
    }

    #[test]
    fn another_part_is_not_taken_for_the_rest() {
        for range in [
            "",
            "bytes 4-9/10",
            "bytes 6-9/10",
            "bytes 5-4/10",
            "bytes 5-10/10",
            "bytes 5-9",
            "bytes 5-/10",
            "bytes +5-9/10",
            "bytes 5-9/-10",
            "bytes 5-99999999999999999999/*",
            "bytes 5-18446744073709551615/*",
            "bytes 5-18446744073709551615/18446744073709551615",
            "items 5-9/10",
            "multipart",
        ] {
            let found = of(5, 206, range, Some(5));
            assert!(matches!(found, Meaning::Other(_)), "{range}: {found:?}");
        }
        // Nobody asked for a part.
        assert_eq!(of(0, 206, "bytes 0-9/10", Some(10)), Meaning::Strange);
    }

    #[test]
    fn a_file_that_ends_where_we_are_is_complete() {
        assert_eq!(of(10, 416, "bytes */10", None), Meaning::Complete);
        for range in ["bytes */9", "bytes */11", "bytes */", "bytes */*", ""] {
            assert!(matches!(of(10, 416, range, None), Meaning::Other(_)), "{range}");
        }
        assert_eq!(of(0, 416, "bytes */0", None), Meaning::Strange);
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_strange() {
        for status in [404, 410, 403] {
            assert_eq!(of(3, status, "", None), Meaning::Missing);
        }
        for status in [204, 301, 304, 400, 429, 500, 503] {
            assert_eq!(of(3, status, "", None), Meaning::Strange);
        }
    }
}
