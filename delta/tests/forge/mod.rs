//! Writes any delta, sound or not, straight from docs/delta.md.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) const WHOLE: u8 = 0;
pub(crate) const CODED: u8 = 1;

/// A delta that may say anything.
#[derive(Clone)]
pub(crate) struct Forged {
    pub(crate) codec: u8,
    pub(crate) target_len: u64,
    pub(crate) target_mark: [u8; 8],
    /// The number of sources it declares, if not as many as there are.
    pub(crate) declared_sources: Option<u64>,
    pub(crate) sources: Vec<([u8; 8], u64)>,
    pub(crate) body: Vec<u8>,
}

impl Forged {
    /// A delta that makes `target` from `sources`, as `body` tells.
    pub(crate) fn new(codec: u8, target: &[u8], sources: &[&[u8]], body: &[u8]) -> Self {
        Self {
            codec,
            target_len: target.len() as u64,
            target_mark: marked(target),
            declared_sources: None,
            sources: sources.iter().map(|bytes| (marked(bytes), bytes.len() as u64)).collect(),
            body: body.to_vec(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"UD\x02".to_vec();
        out.push(self.codec);
        out.extend(number(self.target_len));
        out.extend(self.target_mark);
        out.extend(number(self.declared_sources.unwrap_or(self.sources.len() as u64)));
        for (mark, len) in &self.sources {
            out.extend(mark);
            out.extend(number(*len));
        }
        out.extend(&self.body);
        out
    }
}

pub(crate) fn id(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

pub(crate) fn marked(bytes: &[u8]) -> [u8; 8] {
    id(bytes)[..8].try_into().unwrap()
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
