//! Whole numbers in as few bytes as they need: LEB128, least significant first.
//!
//! A number has exactly one encoding: what is longer than needed is refused.

/// Bytes that are not a varint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a varint is cut short, too large or longer than it needs to be")]
pub struct BadVarint;

/// Appends `value`.
pub(crate) fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front of `bytes`.
pub(crate) fn read(bytes: &mut &[u8]) -> Result<u64, BadVarint> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte holds the 64th bit and nothing else.
        if index == 9 && byte > 1 {
            return Err(BadVarint);
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            if byte == 0 && index > 0 {
                return Err(BadVarint);
            }
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
        if index == 9 {
            return Err(BadVarint);
        }
    }
    Err(BadVarint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, 1 << 20, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            assert_eq!(read(&mut &bytes[..]), Ok(value));
        }
    }

    #[test]
    fn only_the_shortest_encoding_is_read() {
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        let endless = [0x80; 12];
        for bad in [&[][..], &[0x80], &[0x80, 0], &[0xff, 0x80, 0], &too_large, &endless] {
            assert_eq!(read(&mut &bad[..]), Err(BadVarint), "{bad:?}");
        }
    }
}
