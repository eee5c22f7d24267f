//! Names of other people as names of files: percent-encoded (RFC 3986 2.1).
//!
//! Every byte but ASCII letters, digits and `_.-~` stands as `%` and two
//! capital hex digits, as other TUF clients write it, so that no name can
//! leave a directory or mean something to a URL.

/// `name` with everything encoded that is not plain.
#[must_use]
pub fn quoted(name: &str) -> String {
    encoded(name, |byte| byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte))
}

/// `name` with everything encoded but the bytes that are `plain`, which must
/// be ASCII.
#[must_use]
pub fn encoded(name: &str, plain: impl Fn(u8) -> bool) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if byte.is_ascii() && plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    out
}

/// The name that was encoded to `text`, with every escape undone; `None` if an
/// escape is broken or the bytes are no text.
#[must_use]
pub fn unquoted(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, encoded)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.extend(hex::decode(encoded.get(..2)?).ok()?);
        rest = &encoded[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_plain_bytes_are_encoded() {
        assert_eq!(quoted("aZ09_.-~"), "aZ09_.-~");
        assert_eq!(quoted("../a b/%\u{e9}\"\n"), "..%2Fa%20b%2F%25%C3%A9%22%0A");
        assert_eq!(unquoted("..%2Fa%20b%2f%25%C3%A9").unwrap(), "../a b/%\u{e9}");
        for broken in ["%", "%2", "%zz", "%FF", "a%\u{e9}"] {
            assert_eq!(unquoted(broken), None, "{broken}");
        }
        assert_eq!(encoded("a/b c\u{e9}", |byte| byte != b' '), "a/b%20c%C3%A9");
    }
}
