//! Writes any delta, sound or not, straight from docs/delta.md.

#![allow(dead_code, reason = "each test uses a part")]

use zstd_safe::{CCtx, CParameter};

pub(crate) const WHOLE: u8 = 0;
pub(crate) const DIFFERENCE: u8 = 1;

pub(crate) const RANGES: u8 = 1;
pub(crate) const CONTROL: u8 = 2;
pub(crate) const ADDED: u8 = 3;
pub(crate) const GAPS: u8 = 4;
pub(crate) const CHANGES: u8 = 5;
pub(crate) const EXTRA: u8 = 6;

/// A delta that may say anything.
#[derive(Clone)]
pub(crate) struct Forged {
    pub(crate) codec: u8,
    pub(crate) target_len: u64,
    pub(crate) target_id: [u8; 32],
    /// The number of sources it declares, if not as many as there are.
    pub(crate) declared_sources: Option<u64>,
    pub(crate) sources: Vec<([u8; 32], u64)>,
    pub(crate) sections: Vec<(u8, Vec<u8>)>,
}

impl Forged {
    /// A delta that makes `target` from `sources`, without sections.
    pub(crate) fn new(codec: u8, target: &[u8], sources: &[&[u8]]) -> Self {
        Self {
            codec,
            target_len: target.len() as u64,
            target_id: id(target),
            declared_sources: None,
            sources: sources.iter().map(|bytes| (id(bytes), bytes.len() as u64)).collect(),
            sections: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, tag: u8, section: Vec<u8>) -> Self {
        self.sections.push((tag, section));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"UDel\x01".to_vec();
        out.push(self.codec);
        out.extend(number(self.target_len));
        out.extend(self.target_id);
        out.extend(number(self.declared_sources.unwrap_or(self.sources.len() as u64)));
        for (id, len) in &self.sources {
            out.extend(id);
            out.extend(number(*len));
        }
        for (tag, section) in &self.sections {
            out.push(*tag);
            out.extend(number(section.len() as u64));
            out.extend(section);
        }
        out
    }
}

pub(crate) fn id(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
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

/// A varint of either sign.
pub(crate) fn signed(value: i64) -> Vec<u8> {
    number(((value << 1) ^ (value >> 63)) as u64)
}

/// Control of the given extra lengths, turns of the shift and lengths.
pub(crate) fn control(segments: &[(u64, i64, u64)]) -> Vec<u8> {
    let each = segments
        .iter()
        .map(|(extra, turn, len)| [number(*extra), signed(*turn), number(*len)].concat());
    each.collect::<Vec<_>>().concat()
}

/// A stream as it is.
pub(crate) fn stored(bytes: &[u8]) -> Vec<u8> {
    [number((bytes.len() as u64) << 1), bytes.to_vec()].concat()
}

/// A stream as a frame, declared to hold `declared` bytes.
pub(crate) fn framed(bytes: &[u8], prefix: &[u8], declared: u64) -> Vec<u8> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::WindowLog(24)).unwrap();
    context.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
    context.ref_prefix(prefix).unwrap();
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    context.compress2(&mut frame, bytes).unwrap();
    [number(declared << 1 | 1), frame[4..].to_vec()].concat()
}
