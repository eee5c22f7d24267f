//! Lists of hashes: files that name others with their SHA-256.
//!
//! A hash cannot be foreseen from older bytes, but it can be computed from
//! the file that it is of. So the view of a list leaves such hashes out, and
//! whoever closes it again, having made the other files, puts them back.
//! Which bytes are a line of a list follows from them alone, as
//! docs/container.md says; what files there are, the caller knows.

use crate::close::CloseError;
use crate::limits::LIST_BYTES;

/// What stands in a view for a hash.
const HIDDEN: u8 = b'=';

/// Between path and hash in a wheel's `RECORD`.
const RECORD: &[u8] = b",sha256=";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Base64 of a SHA-256, without padding.
const BASE64_LEN: usize = 43;

/// What a list says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Its path, as it is written.
    pub path: &'a str,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its length, where lists of this kind give it.
    pub len: Option<u64>,
}

/// What a file has in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its length.
    pub len: u64,
}

/// Whether a file that begins with `head` may be a list: one of its first
/// whole lines names a file.
#[must_use]
pub fn may_be_list(head: &[u8], len: u64) -> bool {
    len <= LIST_BYTES
        && head.split_inclusive(|byte| *byte == b'\n').take(8).any(|line| listed(line).is_some())
}

/// Everything that `file` says of files, in its order.
pub fn entries(file: &[u8]) -> impl Iterator<Item = Listed<'_>> {
    file.split_inclusive(|byte| *byte == b'\n').filter_map(listed)
}

/// `file` without those hashes for which `hides` says so; `None` if there is
/// none, or the file is longer than a list may be.
#[must_use]
pub fn masked(file: &[u8], hides: &dyn Fn(&Listed<'_>) -> bool) -> Option<Vec<u8>> {
    if file.len() as u64 > LIST_BYTES {
        return None;
    }
    let mut view = Vec::with_capacity(file.len());
    let mut hidden = false;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        match listed(line).filter(hides) {
            None => view.extend_from_slice(line),
            Some(listed) => {
                hidden = true;
                let (text, end) = cut(line);
                if listed.len.is_some() {
                    view.extend_from_slice(listed.path.as_bytes());
                    view.extend([b',', HIDDEN]);
                } else {
                    view.push(HIDDEN);
                    view.extend_from_slice(&text[2 * 32..]);
                }
                view.extend_from_slice(end);
            }
        }
    }
    hidden.then_some(view)
}

/// The list of `file_len` bytes that `view` was made from, `facts` being those
/// of the file at a path.
///
/// # Errors
/// [`CloseError::Unlisted`] for a path without facts, [`CloseError::Length`].
pub fn filled(
    view: &[u8],
    file_len: u64,
    facts: &mut dyn FnMut(&str) -> Option<Facts>,
) -> Result<Vec<u8>, CloseError> {
    let wrong = |found: usize| CloseError::Length { expected: file_len, found: found as u64 };
    if file_len > LIST_BYTES {
        return Err(wrong(view.len()));
    }
    let mut file = Vec::new();
    for line in view.split_inclusive(|byte| *byte == b'\n') {
        let (text, end) = cut(line);
        let mut of = |path: &str| {
            let unlisted = || CloseError::Unlisted { path: path.chars().take(200).collect() };
            facts(path).ok_or_else(unlisted)
        };
        match hidden(text) {
            None => file.extend_from_slice(text),
            Some(Hidden::Record(path)) => {
                let facts = of(path)?;
                file.extend_from_slice(path.as_bytes());
                file.extend_from_slice(RECORD);
                file.extend(base64(&facts.sha256));
                file.extend(format!(",{}", facts.len).bytes());
            }
            Some(Hidden::Sum(path)) => {
                file.extend(hex(&of(path)?.sha256));
                file.extend_from_slice(&text[1..]);
            }
        }
        file.extend_from_slice(end);
        if file.len() as u64 > file_len {
            return Err(wrong(file.len()));
        }
    }
    if file.len() as u64 != file_len {
        return Err(wrong(file.len()));
    }
    Ok(file)
}

/// The path in a tree of what the list at `list` calls `path`, its paths
/// beginning `above` directories above its own; `None` if there are not so
/// many.
#[must_use]
pub fn resolved(list: &str, above: u64, path: &str) -> Option<String> {
    let mut directory = list;
    for _ in 0..=above {
        if directory.is_empty() {
            return None;
        }
        directory = directory.rsplit_once('/').map_or("", |(before, _)| before);
    }
    match directory {
        "" => Some(path.to_owned()),
        directory => Some(format!("{directory}/{path}")),
    }
}

/// A line without its end, and its end.
fn cut(line: &[u8]) -> (&[u8], &[u8]) {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    line.split_at(text.len())
}

/// What a line says, if it is one of a list.
fn listed(line: &[u8]) -> Option<Listed<'_>> {
    let (text, _) = cut(line);
    record(text).or_else(|| sum(text))
}

/// `PATH,sha256=BASE64,LENGTH`: a wheel's `RECORD`.
fn record(text: &[u8]) -> Option<Listed<'_>> {
    let comma = text.iter().rposition(|byte| *byte == b',')?;
    let (before, len) = (&text[..comma], std::str::from_utf8(&text[comma + 1..]).ok()?);
    let (before, hash) = before.split_at_checked(before.len().checked_sub(BASE64_LEN)?)?;
    let path = path(before.strip_suffix(RECORD)?)?;
    let known: u64 = len.parse().ok()?;
    let sha256 = from_base64(hash)?;
    // One way to write it only: with leading zeros it is another line.
    (known.to_string() == len).then_some(Listed { path, sha256, len: Some(known) })
}

/// `HEX  PATH` or `HEX *PATH`: what `sha256sum` writes.
fn sum(text: &[u8]) -> Option<Listed<'_>> {
    let (hash, rest) = text.split_at_checked(2 * 32)?;
    let path = path(rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?)?;
    let mut sha256 = [0; 32];
    for (byte, digits) in sha256.iter_mut().zip(hash.chunks_exact(2)) {
        let [high, low] = [digits[0], digits[1]].map(|d| HEX.iter().position(|hex| *hex == d));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(Listed { path, sha256, len: None })
}

fn path(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|path| !path.is_empty())
}

/// A line of a view whose hash was left out.
enum Hidden<'a> {
    Record(&'a str),
    Sum(&'a str),
}

fn hidden(text: &[u8]) -> Option<Hidden<'_>> {
    if let Some(rest) = text.strip_suffix(&[b',', HIDDEN]) {
        return path(rest).map(Hidden::Record);
    }
    let rest = text.strip_prefix(&[HIDDEN])?;
    let rest = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    path(rest).map(Hidden::Sum)
}

fn hex(hash: &[u8; 32]) -> impl Iterator<Item = u8> {
    hash.iter().flat_map(|byte| [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]))
}

/// RFC 4648, section 5, without padding.
fn base64(hash: &[u8; 32]) -> impl Iterator<Item = u8> {
    (0..BASE64_LEN).map(|digit| {
        let (byte, bit) = (digit * 6 / 8, digit * 6 % 8);
        let next = hash.get(byte + 1).copied().unwrap_or(0);
        let pair = u16::from(hash[byte]) << 8 | u16::from(next);
        BASE64[usize::from(pair >> (10 - bit) & 63)]
    })
}

fn from_base64(text: &[u8]) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let (mut held, mut bits, mut at) = (0u32, 0, 0);
    for digit in text {
        let value = BASE64.iter().position(|known| known == digit)?;
        held = held << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *hash.get_mut(at)? = (held >> bits & 0xFF) as u8;
            at += 1;
        }
    }
    // The last digit has two bits that say nothing.
    (at == 32 && base64(&hash).eq(text.iter().copied())).then_some(hash)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// SHA-256 of nothing: FIPS 180-4, in the three ways that it is written.
    const EMPTY_HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const EMPTY_BASE64: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    fn empty() -> Facts {
        Facts { sha256: listed(format!("{EMPTY_HEX}  x").as_bytes()).unwrap().sha256, len: 0 }
    }

    fn close(view: &[u8], len: usize, known: &[&str]) -> Result<Vec<u8>, CloseError> {
        let facts: HashMap<&str, Facts> = known.iter().map(|path| (*path, empty())).collect();
        filled(view, len as u64, &mut |path| facts.get(path).copied())
    }

    #[test]
    fn hashes_are_left_out_and_put_back() {
        let file = format!(
            "a/b.py,sha256={EMPTY_BASE64},0\r\nnot a line\n{EMPTY_HEX}  c d\n{EMPTY_HEX} *e\n\
             a,x/RECORD,,\nf,sha256={EMPTY_BASE64},0"
        );
        let paths: Vec<&str> = entries(file.as_bytes()).map(|listed| listed.path).collect();
        assert_eq!(paths, ["a/b.py", "c d", "e", "f"]);
        assert!(may_be_list(file.as_bytes(), 9) && !may_be_list(b"text\nand more\n", 9));
        let view = masked(file.as_bytes(), &|_| true).unwrap();
        let expected = "a/b.py,=\r\nnot a line\n=  c d\n= *e\na,x/RECORD,,\nf,=";
        assert_eq!(String::from_utf8(view.clone()).unwrap(), expected);
        let known = ["a/b.py", "c d", "e", "f"];
        assert_eq!(close(&view, file.len(), &known), Ok(file.clone().into_bytes()));
        let some = masked(file.as_bytes(), &|listed| listed.path == "e").unwrap();
        assert_eq!(close(&some, file.len(), &["e"]), Ok(file.clone().into_bytes()));
        assert_eq!(masked(file.as_bytes(), &|_| false), None);
        let refused = close(&view, file.len(), &known[..3]);
        assert_eq!(refused, Err(CloseError::Unlisted { path: "f".to_owned() }));
    }

    #[test]
    fn what_has_another_form_is_no_line() {
        let upper = EMPTY_HEX.to_uppercase();
        for line in [
            format!("a,sha256={EMPTY_BASE64},00"),
            format!("a,sha256={EMPTY_BASE64},"),
            format!("a,sha256={}V,0", &EMPTY_BASE64[..42]),
            format!(",sha256={EMPTY_BASE64},0"),
            format!("a,sha512={EMPTY_BASE64},0"),
            format!("{upper}  a"),
            format!("{EMPTY_HEX} a"),
            format!("{EMPTY_HEX}  "),
            String::new(),
        ] {
            assert_eq!(listed(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_view_never_grows_beyond_what_was_declared() {
        let view = b"a,=\n".repeat(1000);
        let refused = close(&view, 100, &["a"]);
        assert_eq!(refused, Err(CloseError::Length { expected: 100, found: 110 }));
        let refused = close(b"a\n", 3, &[]);
        assert_eq!(refused, Err(CloseError::Length { expected: 3, found: 2 }));
        let beyond = usize::try_from(LIST_BYTES).unwrap() + 1;
        assert!(close(b"", beyond, &[]).is_err());
    }

    #[test]
    fn paths_begin_above_the_list() {
        assert_eq!(resolved("lib/x.dist-info/RECORD", 1, "x/y").as_deref(), Some("lib/x/y"));
        assert_eq!(resolved("x.dist-info/RECORD", 1, "x/y").as_deref(), Some("x/y"));
        assert_eq!(resolved("sums", 0, "y").as_deref(), Some("y"));
        assert_eq!(resolved("sums", 1, "y"), None);
    }
}
