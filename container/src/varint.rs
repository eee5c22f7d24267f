//! Numbers in little-endian groups of seven bits, as in every format of ours.

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a value from the front of `bytes`; `None` if there is none, or one
/// that is longer than it needs to be.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return (byte > 0 || shift == 0).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_encoding() {
        for value in [0, 1, 127, 128, 16_384, u64::from(u32::MAX), (1 << 62) - 1] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut rest = bytes.as_slice();
            assert_eq!((take(&mut rest), rest.len()), (Some(value), 0));
            *bytes.last_mut().unwrap() |= 0x80;
            assert_eq!(take(&mut bytes.as_slice()), None);
            bytes.push(0);
            assert_eq!(take(&mut bytes.as_slice()), None);
        }
        assert_eq!(take(&mut [0xFF; 12].as_slice()), None);
    }
}
