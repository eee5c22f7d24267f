//! Where a repository has its files: base URLs and what follows them.
//!
//! Metadata files bear names that are percent-encoded already. A target's path
//! should be a path-relative URL (TUF 4.5, TARGETPATH), yet in the world it may
//! be any text, so there is more than one address that its owner may have
//! meant. All of them are safe to ask: what comes back is verified.

use manifest::trust::quote::encoded;

use crate::limits::ADDRESSES;

/// The addresses beneath a base at which the target file `name` may stand,
/// the likeliest first; `name` is its path with or without a hash.
#[must_use]
pub fn of_target(name: &str) -> Vec<String> {
    let escaped = (0..name.len()).filter(|at| is_escape(&name.as_bytes()[*at..])).count();
    let percents = name.bytes().filter(|byte| *byte == b'%').count();
    let mut addresses = Vec::new();
    // A path that is a URL stays as it is.
    if percents == escaped {
        addresses.push(encoded(name, |byte| byte == b'%' || stands(byte)));
    }
    // A path that is plain text is encoded as such.
    addresses.push(encoded(name, stands));
    // Servers that look at the raw request find a question mark only so.
    if name.contains('?') {
        addresses.push(encoded(name, |byte| byte == b'?' || byte == b'%' || stands(byte)));
    }
    addresses.dedup();
    addresses
}

/// As [`of_target`], for each of several names, bounded.
pub fn of_targets(names: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    names.flat_map(|name| of_target(&name)).take(ADDRESSES)
}

/// Whether a byte stands for itself in a URL's path (RFC 3986 3.3, and `/`).
fn stands(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

/// Whether `rest` begins with a `%` and two hex digits.
fn is_escape(rest: &[u8]) -> bool {
    matches!(rest, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_has_one_address() {
        assert_eq!(of_target("a/b-1.0~x_(y).tgz"), ["a/b-1.0~x_(y).tgz"]);
    }

    #[test]
    fn what_may_not_stand_in_a_url_is_encoded() {
        assert_eq!(of_target("a b/\"\u{e9}\"#\\"), ["a%20b/%22%C3%A9%22%23%5C"]);
    }

    #[test]
    fn a_percent_may_be_an_escape_or_itself() {
        assert_eq!(of_target("a%20b"), ["a%20b", "a%2520b"]);
        assert_eq!(of_target("50%"), ["50%25"]);
        assert_eq!(of_target("50%zz%20"), ["50%25zz%2520"]);
    }

    #[test]
    fn a_question_mark_is_first_a_part_of_the_name() {
        assert_eq!(of_target("a?b"), ["a%3Fb", "a?b"]);
    }

    #[test]
    fn a_target_with_many_hashes_has_few_addresses() {
        let names = (0..100).map(|i| format!("{i}.a%20b"));
        assert_eq!(of_targets(names).count(), ADDRESSES);
    }
}
