//! Writes any delta, sound or not, straight from docs/delta.md.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) const WHOLE: u8 = 0;
pub(crate) const CODED: u8 = 0x20;
pub(crate) const CODED_AND_BARE: u8 = 0x60;

/// A delta that may say anything.
#[derive(Clone)]
pub(crate) struct Forged {
    pub(crate) codec: u8,
    pub(crate) target_len: u64,
    pub(crate) target_mark: [u8; 4],
    pub(crate) source_count: u8,
    pub(crate) body: Vec<u8>,
}

impl Forged {
    /// A delta that makes `target` from so many sources, as `body` tells.
    pub(crate) fn new(codec: u8, target: &[u8], source_count: u8, body: &[u8]) -> Self {
        Self {
            codec,
            target_len: target.len() as u64,
            target_mark: marked(target),
            source_count,
            body: body.to_vec(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0xd5, self.codec | self.source_count];
        out.extend(number(self.target_len));
        out.extend(self.target_mark);
        out.extend(&self.body);
        out
    }
}

pub(crate) fn marked(bytes: &[u8]) -> [u8; 4] {
    blake3::hash(bytes).as_bytes()[..4].try_into().unwrap()
}

/// A varint.
pub(crate) fn number(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
