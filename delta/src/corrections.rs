//! What makes new bytes of the old ones they resemble.
//!
//! Differing bytes are found by the gaps between them. What changes is mostly
//! a number of a few bytes, little-endian, and many numbers change by the same
//! amount: amounts are remembered. Where numbers are big-endian, or lie in
//! instructions of four bytes, whole words are told instead. Whatever else
//! changes is told byte by byte.

use crate::coder::{Bit, Coder, Nibble, Writer};
use crate::control::Copy;
use crate::index::common_bytes;
use crate::numbers::{Byte, Number};

/// The bytes of a number that changes.
const WORD: usize = 4;

/// How many amounts are remembered, as a power of two.
const AMOUNT_BITS: u32 = 4;

/// Corrections of more bytes than there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the delta corrects bytes beyond the {len} that it copies")]
pub struct CorrectionError {
    /// How many bytes it copies.
    pub len: usize,
}

/// What came after the same steps the last time.
struct Recall {
    values: Vec<u64>,
    /// Whether it comes again, by how often it did.
    right: [Bit; 8],
    streak: usize,
}

/// How many pasts are told apart, as a power of two.
const PAST_BITS: u32 = 12;

impl Recall {
    fn new() -> Self {
        Self { values: vec![u64::MAX; 1 << PAST_BITS], right: [Bit::QUICK; 8], streak: 0 }
    }

    fn slot(&self, past: u64) -> usize {
        (past.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PAST_BITS)) as usize
    }

    /// Codes whether `value` is what came after `past`; gives it if so.
    fn code<C: Coder>(&mut self, coder: &mut C, past: u64, value: u64) -> (usize, Option<u64>) {
        let slot = self.slot(past);
        let recalled = self.values[slot];
        if recalled == u64::MAX {
            return (slot, None);
        }
        let right = coder.bit(&mut self.right[self.streak], value == recalled);
        self.streak = if right { (self.streak + 1).min(7) } else { 0 };
        (slot, right.then_some(recalled))
    }
}

/// What is likely.
struct Model {
    gap_after: Recall,
    amount_after: Recall,
    amount_of: Recall,
    /// Equal bytes, by how many there were the last time.
    gaps: [Number; 6],
    /// Whether the amount was seen before, by whether the last was.
    known: [Bit; 4],
    which: [Nibble; 2],
    /// What is added to a byte, by its place.
    bytes: Vec<Byte>,
    /// Whether the next byte differs too, by place.
    more: [Bit; 8],
}

/// Codes what makes `bytes` of the old ones that `copies` take, one behind the
/// other, into `new` ones, which a reader does not know.
pub(crate) fn code<C: Coder>(
    coder: &mut C,
    copies: &[Copy],
    bytes: &mut [u8],
    new: &[u8],
) -> Result<(), CorrectionError> {
    let best = if C::WRITES { best(copies, bytes, new) } else { Words::Loose };
    let told = coder.nibble(&mut Nibble::of(1), best as u32);
    let words = Words::ALL.get(told as usize).copied().unwrap_or(Words::Loose);
    code_as(coder, words, copies, bytes, new)
}

/// Which words make the shortest corrections.
fn best(copies: &[Copy], bytes: &[u8], new: &[u8]) -> Words {
    let len = |words: &Words| {
        let mut writer = Writer::new();
        let coded = code_as(&mut writer, *words, copies, &mut bytes.to_vec(), new);
        coded.map_or(usize::MAX, |()| writer.finish().len())
    };
    Words::ALL.into_iter().min_by_key(len).unwrap_or(Words::Loose)
}

fn code_as<C: Coder>(
    coder: &mut C,
    words: Words,
    copies: &[Copy],
    bytes: &mut [u8],
    new: &[u8],
) -> Result<(), CorrectionError> {
    let beyond = CorrectionError { len: bytes.len() };
    let mut places = Places { copies: copies.iter(), start: 0, end: 0, address: 0 };
    let mut model = Model {
        gap_after: Recall::new(),
        amount_after: Recall::new(),
        amount_of: Recall::new(),
        gaps: [const { Number::new() }; 6],
        known: [Bit::QUICK; 4],
        which: [Nibble::new(); 2],
        bytes: vec![Byte::new(); 4],
        more: [Bit::QUICK; 8],
    };
    let mut amounts = [0u32; 1 << AMOUNT_BITS];
    let mut at = 0;
    let mut last_gap = 0;
    let mut history = 0;
    let (mut old_slot, mut amount_slot) = (0, 0);
    let mut past_gaps = 0u64;
    let mut spots = Spots { copies: copies.iter(), end: 0, extra: 0 };
    loop {
        if C::WRITES {
            coder.about(spots.spot(at));
        }
        let gap = if C::WRITES { common_bytes(&bytes[at..], &new[at..], 0) } else { 0 };
        let class = (u64::BITS - u64::leading_zeros(last_gap)).div_ceil(2).min(5);
        let (slot, recalled) = model.gap_after.code(coder, past_gaps, gap as u64);
        let gap = match recalled {
            Some(gap) => gap,
            None => model.gaps[class as usize].code(coder, gap as u64),
        };
        model.gap_after.values[slot] = gap;
        past_gaps = past_gaps << 32 | gap & 0xffff_ffff;
        let left = bytes.len() - at;
        let skipped = usize::try_from(gap).ok().filter(|gap| *gap <= left).ok_or(beyond)?;
        at += skipped;
        last_gap = gap;
        if at == bytes.len() {
            return Ok(());
        }
        let begin = if words == Words::Loose { at } else { places.aligned(at) };
        let end = (begin + WORD).min(bytes.len());
        let old = words.number(&bytes[begin..end]);
        let amount = if C::WRITES { words.number(&new[begin..end]).wrapping_sub(old) } else { 0 };
        // A word cut short by the end is told byte by byte.
        if end - begin == WORD {
            let past = u64::from(amounts[0]) << 32 | gap & 0xffff_ffff;
            let (slot, recalled) = model.amount_of.code(coder, u64::from(old), u64::from(amount));
            old_slot = slot;
            let (slot, recalled) = match recalled {
                Some(_) => (model.amount_after.slot(past), recalled),
                None => model.amount_after.code(coder, past, u64::from(amount)),
            };
            amount_slot = slot;
            let told = match recalled {
                Some(amount) => Some(amount as u32),
                None => {
                    let which = amounts.iter().position(|known| *known == amount);
                    let known = coder.bit(&mut model.known[history], which.is_some());
                    history = history << 1 & 3 | usize::from(known);
                    let places = &mut model.which[history >> 1];
                    known.then(|| {
                        let which = coder.nibble(places, which.unwrap_or(0) as u32);
                        amounts[which as usize]
                    })
                }
            };
            if let Some(amount) = told {
                remember(&mut amounts, amount);
                model.amount_after.values[slot] = u64::from(amount);
                model.amount_of.values[old_slot] = u64::from(amount);
                words.put(&mut bytes[begin..end], old.wrapping_add(amount));
                at = end;
                continue;
            }
        }
        let start = at;
        loop {
            let place = at - start;
            let added = if C::WRITES { new[at].wrapping_sub(bytes[at]) } else { 0 };
            let added = model.bytes[place.min(3)].code(coder, added);
            bytes[at] = bytes[at].wrapping_add(added);
            at += 1;
            if at == bytes.len() {
                return Ok(());
            }
            let more = C::WRITES && bytes[at] != new[at];
            if !coder.bit(&mut model.more[place.min(7)], more) {
                break;
            }
        }
        if end - begin == WORD {
            let amount = words.number(&bytes[begin..end]).wrapping_sub(old);
            remember(&mut amounts, amount);
            model.amount_after.values[amount_slot] = u64::from(amount);
            model.amount_of.values[old_slot] = u64::from(amount);
        }
    }
}

/// Puts `amount` first among those remembered.
///
/// All are looked at and all are moved, so that no processor has to foresee
/// where it stood.
#[inline(always)]
fn remember(amounts: &mut [u32; 1 << AMOUNT_BITS], amount: u32) {
    let mut before = amount;
    let mut moving = u32::MAX;
    for known in amounts.iter_mut() {
        let here = *known;
        *known = before & moving | here & !moving;
        // Behind where it stood, all stay.
        moving &= u32::from(here == amount).wrapping_sub(1);
        before = here;
    }
}

/// Where copied bytes go in the target.
struct Spots<'a> {
    copies: std::slice::Iter<'a, Copy>,
    /// The end of the last copy looked at.
    end: usize,
    /// The bytes of the target before it that are not copied.
    extra: usize,
}

impl Spots<'_> {
    /// Where the byte at `at` goes. Asked in ascending order.
    fn spot(&mut self, at: usize) -> usize {
        while self.end <= at {
            let Some(copy) = self.copies.next() else { break };
            self.end += copy.len;
            self.extra += copy.extra;
        }
        at + self.extra
    }
}

/// Where copied bytes were in their sources.
struct Places<'a> {
    copies: std::slice::Iter<'a, Copy>,
    /// The run of the last copy looked at.
    start: usize,
    end: usize,
    /// Where its first byte was.
    address: u64,
}

impl Places<'_> {
    /// Where the word begins that has the byte at `at`, aligned in the sources;
    /// `at` itself if that is not in its copy. Asked in ascending order.
    fn aligned(&mut self, at: usize) -> usize {
        while self.end <= at {
            let Some(copy) = self.copies.next() else { return at };
            (self.start, self.address) = (self.end, copy.address);
            self.end += copy.len;
        }
        let offset = (at - self.start) as u64;
        let back = (self.address + offset) % WORD as u64;
        if back <= offset { at - back as usize } else { at }
    }
}

/// How four bytes are taken for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// Little-endian, from the first byte that differs.
    Loose = 0,
    /// Little-endian, where all instructions and numbers are aligned.
    Little = 1,
    /// Big-endian and aligned.
    Big = 2,
}

impl Words {
    const ALL: [Self; 3] = [Self::Loose, Self::Little, Self::Big];

    /// Up to four bytes as a number.
    #[inline(always)]
    fn number(self, bytes: &[u8]) -> u32 {
        let mut all = [0; WORD];
        all[..bytes.len()].copy_from_slice(bytes);
        if self == Self::Big { u32::from_be_bytes(all) } else { u32::from_le_bytes(all) }
    }

    /// A number as four bytes.
    #[inline(always)]
    fn put(self, bytes: &mut [u8], number: u32) {
        let all = if self == Self::Big { number.to_be_bytes() } else { number.to_le_bytes() };
        bytes.copy_from_slice(&all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coder::{Reader, Writer};

    fn round_trip(old: &[u8], new: &[u8]) -> usize {
        // As two copies, the second from where words are not aligned in `old`.
        let (first, second) = (old.len() / 3, old.len() - old.len() / 3);
        let copies = [
            Copy { extra: 0, address: 8, len: first },
            Copy { extra: 0, address: 8 + first as u64, len: second },
        ];
        for words in Words::ALL {
            let mut writer = Writer::new();
            let mut made = old.to_vec();
            code_as(&mut writer, words, &copies, &mut made, new).unwrap();
            assert_eq!(made, new, "{words:?}");
            let bytes = writer.finish();
            let mut made = old.to_vec();
            code_as(&mut Reader::new(&bytes), words, &copies, &mut made, &[]).unwrap();
            assert_eq!(made, new, "{words:?}");
        }
        let mut writer = Writer::new();
        code(&mut writer, &copies, &mut old.to_vec(), new).unwrap();
        let bytes = writer.finish();
        let mut made = old.to_vec();
        code(&mut Reader::new(&bytes), &copies, &mut made, &[]).unwrap();
        assert_eq!(made, new);
        bytes.len()
    }

    #[test]
    fn changes_come_back() {
        let old: Vec<u8> = (0..200u8).collect();
        let mut new = old.clone();
        for at in [0, 3, 4, 17, 18, 19, 100, 197, 199] {
            new[at] = new[at].wrapping_mul(7).wrapping_add(200);
        }
        for len in [0, 1, 2, 3, 5, 18, 198, 199, 200] {
            round_trip(&old[..len], &new[..len]);
        }
    }

    #[test]
    fn addresses_that_moved_alike_cost_little() {
        let bytes = |each: fn(u32) -> [u8; 4], by: u32| -> Vec<u8> {
            let addresses = (0..1000u32).map(|at| at.wrapping_mul(0x9e37_79b1).wrapping_add(by));
            addresses.flat_map(|at| [each(at), [7; 4]].concat()).collect()
        };
        for (each, by, most) in
            [(u32::to_le_bytes as fn(u32) -> _, 0x11, 60), (u32::to_be_bytes, 0x1234, 120)]
        {
            let cost = round_trip(&bytes(each, 0), &bytes(each, by));
            assert!(cost < most, "{cost}");
        }
    }

    #[test]
    fn words_begin_in_their_copy() {
        let copies = [(5u64, 6), (8, 9), (3, 5)];
        let copies = copies.map(|(address, len)| Copy { extra: 0, address, len });
        let mut places = Places { copies: copies.iter(), start: 0, end: 0, address: 0 };
        let begins: Vec<usize> = (0..22).map(|at| places.aligned(at)).collect();
        let first = [0, 1, 2, 3, 3, 3];
        let second = [6, 6, 6, 6, 10, 10, 10, 10, 14];
        let third = [15, 16, 16, 16, 16];
        let behind = [20, 21];
        assert_eq!(begins, [&first[..], &second, &third, &behind].concat());
    }

    #[test]
    fn corrections_beyond_the_end_are_refused() {
        let mut writer = Writer::new();
        writer.nibble(&mut Nibble::of(1), 0);
        Number::new().code(&mut writer, 7);
        let bytes = writer.finish();
        let refused = code(&mut Reader::new(&bytes), &[], &mut [0; 6], &[]);
        assert_eq!(refused, Err(CorrectionError { len: 6 }));
    }
}
