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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_plain_bytes_are_encoded() {
        assert_eq!(quoted("aZ09_.-~"), "aZ09_.-~");
        assert_eq!(quoted("../a b/%\u{e9}\"\n"), "..%2Fa%20b%2F%25%C3%A9%22%0A");
        assert_eq!(encoded("a/b c\u{e9}", |byte| byte != b' '), "a/b%20c%C3%A9");
    }
}
