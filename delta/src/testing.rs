//! Deltas told anew, with other decisions, for tests and fuzzing.
//!
//! Changed bytes of a coded stream mislead every decision behind them: few
//! get past the first bound. Here the decisions of a sound delta are changed
//! one by one, and coded again as an encoder would have.

use crate::body;
use crate::coder::{Bit, Coder, Nibble, Reader, Writer};
use crate::format::{self, Codec, Delta};
use crate::old::Old;
use crate::read_at::ReadAt;
use crate::varint;

/// Hears what a stream decides.
struct Listener<'a, C> {
    reader: C,
    heard: &'a mut Vec<u32>,
}

impl<C: Coder> Coder for Listener<'_, C> {
    const WRITES: bool = false;

    fn bit(&mut self, model: &mut Bit, bit: bool) -> bool {
        let bit = self.reader.bit(model, bit);
        self.heard.push(u32::from(bit));
        bit
    }

    fn nibble(&mut self, model: &mut Nibble, value: u32) -> u32 {
        let value = self.reader.nibble(model, value);
        self.heard.push(value);
        value
    }

    fn even(&mut self, count: u32, value: u32) -> u32 {
        let value = self.reader.even(count, value);
        self.heard.push(value);
        value
    }
}

/// Decides as it was told, 0 behind the end, and writes down how.
struct Script<'a> {
    told: std::slice::Iter<'a, u32>,
    writer: &'a mut Writer,
}

impl Script<'_> {
    fn next(&mut self) -> u32 {
        self.told.next().copied().unwrap_or(0)
    }
}

impl Coder for Script<'_> {
    const WRITES: bool = false;

    fn bit(&mut self, model: &mut Bit, _: bool) -> bool {
        let bit = self.next() & 1 == 1;
        self.writer.bit(model, bit)
    }

    fn nibble(&mut self, model: &mut Nibble, _: u32) -> u32 {
        let value = self.next() & 15;
        self.writer.nibble(model, value)
    }

    fn even(&mut self, count: u32, _: u32) -> u32 {
        let value = self.next() & ((1 << count) - 1);
        self.writer.even(count, value)
    }
}

/// The decisions of a sound `delta` from these `sources`, in their order;
/// none if it is not sound or has no coded stream.
#[must_use]
pub fn decisions(delta: &[u8], sources: &[&dyn ReadAt]) -> Vec<u32> {
    let mut heard = Vec::new();
    let listened = coded(delta, sources, |bare, stream, old, target_len| {
        let out = &mut Vec::new();
        let heard = &mut heard;
        match Reader::of_long(stream) {
            Some(reader) => {
                body::read_coded(Listener { reader, heard }, bare, old, target_len, out)
            }
            None => {
                let reader = Reader::new(stream);
                body::read_coded(Listener { reader, heard }, bare, old, target_len, out)
            }
        }
        .is_ok()
    });
    if listened == Some(true) { heard } else { Vec::new() }
}

/// `delta` with these decisions instead of its own: of each, as many of its
/// lowest bits as there is room for. The result tells them as far as they
/// lead; none if `delta` has no coded stream.
#[must_use]
pub fn retold(delta: &[u8], sources: &[&dyn ReadAt], told: &[u32]) -> Option<Vec<u8>> {
    let parsed = Delta::parse(delta).ok()?;
    let mut writer = Writer::new();
    let body = coded(delta, sources, |bare, _, old, target_len| {
        let script = Script { told: told.iter(), writer: &mut writer };
        // Where it fails, the delta ends: a decoder must fail there too.
        drop(body::read_coded(script, bare, old, target_len, &mut Vec::new()));
        let mut body = Vec::new();
        if !bare.is_empty() {
            varint::write(&mut body, bare.len() as u64);
            body.extend_from_slice(bare);
        }
        body.extend_from_slice(&writer.finish());
        body
    })?;
    let codec = Codec::Coded { bare: matches!(parsed.codec, Codec::Coded { bare: true }) };
    Some(format::write(codec, &parsed.header, &body))
}

/// Gives the parts of a coded delta to `with`.
fn coded<T>(
    delta: &[u8],
    sources: &[&dyn ReadAt],
    with: impl FnOnce(&[u8], &[u8], &Old<'_>, usize) -> T,
) -> Option<T> {
    let parsed = Delta::parse(delta).ok()?;
    let Codec::Coded { bare } = parsed.codec else { return None };
    let old = Old::new(&parsed.header, sources).ok()?;
    let (bare, stream) = body::parts(parsed.body, bare).ok()?;
    Some(with(bare, stream, &old, parsed.header.target_len as usize))
}
