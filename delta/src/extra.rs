//! The new bytes between copies: what fills a target's holes.
//!
//! Holes are filled in order, in chunks; a chunk that no model makes shorter
//! stands as it is, beside the coded stream. What comes before a hole may be
//! repeated: old bytes gathered around the copies, then the target itself,
//! its copies and earlier holes.

use std::ops::Range;

use crate::coder::{Bit, Coder, Nibble, Writer};
use crate::literals::{Around, Literals, Op, Past};
use crate::parser::Parser;

/// Steps end with a chunk.
const CHUNK_BYTES: usize = 16 << 10;

/// Repetitions up to this are copied in one step.
const SHORT: usize = 16;

/// Chunks below this are never left as they are.
const MIN_BARE_BYTES: usize = 64;

/// A run of new bytes in the buffer of gathered old bytes and target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    /// Where in the buffer.
    pub(crate) place: Range<usize>,
    /// Where old bytes stand that may resemble its first ones, and its last.
    pub(crate) alike: Option<[usize; 2]>,
}

/// New bytes that are told wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtraError {
    /// More bytes are repeated than are missing.
    #[error("the delta repeats {found} bytes where {left} are missing")]
    TooLong {
        /// How many it repeats.
        found: usize,
        /// How many are missing.
        left: usize,
    },
    /// Bytes from before the first one are repeated.
    #[error("the delta repeats bytes from {distance} back, there are {known}")]
    TooFar {
        /// How far back.
        distance: usize,
        /// How many bytes there are.
        known: usize,
    },
    /// There are fewer bare bytes than are taken, or more.
    #[error("the delta has not as many bare bytes as it takes")]
    Bare,
}

/// What both sides know of the holes so far.
struct Filling {
    model: Literals,
    past: Past,
    bare: Bit,
}

impl Filling {
    /// Codes the way in which literals are told apart; a reader ignores `way`.
    fn new<C: Coder>(coder: &mut C, holes: &[Hole], way: u32) -> Self {
        let way = coder.nibble(&mut Nibble::of(1), way);
        let count = holes.iter().map(|hole| hole.place.len()).sum();
        Self { model: Literals::new(way, count), past: Past::new(), bare: Bit::QUICK }
    }

    fn enter(&mut self, hole: &Hole) {
        if let Some([first, last]) = hole.alike {
            let back = |there: usize| (hole.place.start - there) as u32;
            self.past = self.past.expecting(back(first), back(last));
        }
    }
}

fn chunks(place: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let (start, end) = (place.start, place.end);
    (start..end).step_by(CHUNK_BYTES).map(move |at| at..(at + CHUNK_BYTES).min(end))
}

/// Writes the bytes of `holes` in `buffer`, in which the target begins at
/// `origin`; gives those that are left bare.
pub(crate) fn write(
    writer: &mut Writer,
    (buffer, origin): (&[u8], usize),
    holes: &[Hole],
    (depth, way): (usize, u32),
) -> Vec<u8> {
    let mut bare = Vec::new();
    if holes.is_empty() {
        return bare;
    }
    let mut filling = Filling::new(writer, holes, way);
    let mut parser = Parser::new(buffer, depth);
    for hole in holes {
        filling.enter(hole);
        for chunk in chunks(&hole.place) {
            writer.about(chunk.start - origin);
            let (ops, price) = parser.steps(&filling.model, filling.past, chunk.start, chunk.end);
            if chunk.len() >= MIN_BARE_BYTES {
                let as_it_is = chunk.len() as u64 * 8 * 256;
                let bare_here = price >= as_it_is - as_it_is / 512;
                if writer.bit(&mut filling.bare, bare_here) {
                    writer.leave(chunk.start - origin..chunk.end - origin);
                    bare.extend_from_slice(&buffer[chunk]);
                    continue;
                }
            }
            let mut at = chunk.start;
            for op in ops {
                writer.about(at - origin);
                let around = Around::new(buffer, at, filling.past);
                filling.model.code(writer, filling.past, around, op);
                filling.past = filling.past.after(op);
                at += match op {
                    Op::Literal(_) => 1,
                    Op::Again { len, .. } | Op::Repeat { len, .. } => len,
                };
            }
        }
    }
    bare
}

/// Fills the `holes` in `buffer`.
pub(crate) fn read<C: Coder>(
    reader: C,
    buffer: &mut [u8],
    holes: &[Hole],
    mut bare: &[u8],
) -> Result<(), ExtraError> {
    if holes.is_empty() {
        return if bare.is_empty() { Ok(()) } else { Err(ExtraError::Bare) };
    }
    // What is known to nobody else stays in registers.
    let mut own = reader;
    let mut filling = Filling::new(&mut own, holes, 0);
    for hole in holes {
        filling.enter(hole);
        for chunk in chunks(&hole.place) {
            if chunk.len() >= MIN_BARE_BYTES && own.bit(&mut filling.bare, false) {
                let (bytes, rest) = bare.split_at_checked(chunk.len()).ok_or(ExtraError::Bare)?;
                buffer[chunk].copy_from_slice(bytes);
                bare = rest;
                continue;
            }
            fill(&mut own, buffer, &mut filling, chunk)?;
        }
    }
    if bare.is_empty() { Ok(()) } else { Err(ExtraError::Bare) }
}

#[inline(always)]
fn fill<C: Coder>(
    reader: &mut C,
    buffer: &mut [u8],
    filling: &mut Filling,
    chunk: Range<usize>,
) -> Result<(), ExtraError> {
    let mut at = chunk.start;
    let mut past = filling.past;
    while at < chunk.end {
        let around = Around::new(buffer, at, past);
        let op = filling.model.code(reader, past, around, Op::Literal(0));
        let (distance, len) = match op {
            Op::Literal(byte) => {
                buffer[at] = byte;
                at += 1;
                past = past.after(op);
                continue;
            }
            Op::Again { which, len } => (past.distance(which), len),
            Op::Repeat { distance, len } => (distance, len),
        };
        let left = chunk.end - at;
        if len > left {
            return Err(ExtraError::TooLong { found: len, left });
        }
        let from = at.checked_sub(distance);
        let from = from.ok_or(ExtraError::TooFar { distance, known: at })?;
        if distance >= SHORT && len <= SHORT && left >= SHORT {
            // What is made beyond its end is made again.
            let (before, rest) = buffer.split_at_mut(at);
            rest[..SHORT].copy_from_slice(&before[from..from + SHORT]);
        } else if distance >= len {
            buffer.copy_within(from..from + len, at);
        } else {
            // What is repeated is itself being made.
            for offset in 0..len {
                buffer[at + offset] = buffer[from + offset];
            }
        }
        at += len;
        past = past.after(op);
    }
    filling.past = past;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coder::Reader;
    use crate::noise::noise;

    fn round_trip(buffer: &[u8], holes: &[Hole]) -> (usize, usize) {
        let mut writer = Writer::new();
        let bare = write(&mut writer, (buffer, 0), holes, (16, 0));
        let coded = writer.finish();
        let mut made = buffer.to_vec();
        holes.iter().for_each(|hole| made[hole.place.clone()].fill(0));
        read(Reader::new(&coded), &mut made, holes, &bare).unwrap();
        assert!(made == buffer);
        (coded.len(), bare.len())
    }

    #[test]
    fn holes_are_filled_again() {
        let text = b"to be or not to be, that is the question. ".repeat(1200);
        let holes =
            [0..10, 40..41, 300..1000, 5000..40_000].map(|place| Hole { place, alike: None });
        let (coded, bare) = round_trip(&text, &holes);
        assert!(coded < 100 && bare == 0, "{coded}");
    }

    #[test]
    fn what_nobody_can_shorten_is_left_bare() {
        let bytes = noise(1, 100_000);
        let hole = Hole { place: 1000..90_000, alike: None };
        let (coded, bare) = round_trip(&bytes, &[hole]);
        assert!(coded < 20 && bare == 89_000, "{coded} {bare}");
    }

    #[test]
    fn bare_bytes_are_taken_exactly() {
        let bytes = noise(1, 3000);
        let hole = [Hole { place: 1000..3000, alike: None }];
        let mut writer = Writer::new();
        let bare = write(&mut writer, (&bytes, 0), &hole, (16, 0));
        let coded = writer.finish();
        assert_eq!(bare.len(), 2000);
        let taken = |bare: &[u8]| read(Reader::new(&coded), &mut bytes.clone(), &hole, bare);
        assert_eq!(taken(&bare), Ok(()));
        assert_eq!(taken(&bare[1..]), Err(ExtraError::Bare));
        assert_eq!(taken(&[&bare[..], b"x"].concat()), Err(ExtraError::Bare));
    }

    #[test]
    fn repetitions_that_lead_outside_are_refused() {
        let filled = |op: Op| {
            let (mut writer, mut model) = (Writer::new(), Literals::new(0, 30));
            writer.nibble(&mut Nibble::of(1), 0);
            let mut buffer = [0; 50];
            let around = Around::new(&buffer, 10, Past::new());
            model.code(&mut writer, Past::new(), around, op);
            let hole = [Hole { place: 10..40, alike: None }];
            read(Reader::new(&writer.finish()), &mut buffer, &hole, &[])
        };
        let far = Op::Repeat { distance: 11, len: 5 };
        assert_eq!(filled(far), Err(ExtraError::TooFar { distance: 11, known: 10 }));
        let long = Op::Again { which: 0, len: 31 };
        assert_eq!(filled(long), Err(ExtraError::TooLong { found: 31, left: 30 }));
        let endless = Op::Repeat { distance: 1, len: usize::MAX };
        assert!(matches!(filled(endless), Err(ExtraError::TooLong { left: 30, .. })));
    }

    #[test]
    fn old_bytes_that_are_alike_cost_little() {
        let mut bytes = noise(1, 2000);
        let (old, new) = bytes.split_at_mut(1000);
        new.copy_from_slice(old);
        (1000..2000).step_by(50).for_each(|at| bytes[at] ^= 1);
        let hole = Hole { place: 1000..2000, alike: Some([0, 0]) };
        let (coded, _) = round_trip(&bytes, &[hole]);
        assert!(coded < 80, "{coded}");
    }
}
