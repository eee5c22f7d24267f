//! Which old bytes a target takes, and where they go.
//!
//! Promises copies within the target and within the sources, in order, none
//! overlapping another. Old bytes mostly go on where the last copy ended, so
//! that is what they are counted from.

use crate::coder::{Bit, Coder};
use crate::limits::max_copies;
use crate::numbers::{Number, Signed, symbol, to_front};

/// How many shifts are remembered.
const SHIFTS: usize = 4;

/// Old bytes to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copy {
    /// How many new bytes come before.
    pub(crate) extra: usize,
    /// Where they stand in the delta's sources.
    pub(crate) address: u64,
    /// How many are taken.
    pub(crate) len: usize,
}

/// Control that leads outside the target or its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// More copies than a target of this length may have.
    #[error("the delta has {found} copies, at most {allowed} are allowed")]
    TooMany {
        /// The number declared.
        found: u64,
        /// How many are allowed.
        allowed: u64,
    },
    /// The copies are longer than the target.
    #[error("the copies of the delta are longer than its target of {target_len} bytes")]
    BeyondTarget {
        /// The length the delta declares.
        target_len: u64,
    },
    /// A copy reads outside the sources.
    #[error("a copy of the delta reads outside its sources of {sources_len} bytes")]
    BeyondSources {
        /// The bytes of all sources.
        sources_len: u64,
    },
}

/// What is likely.
struct Model {
    extra: Number,
    len: Number,
    /// Whether the shift stays, by whether it did the last time.
    stays: [Bit; 2],
    /// Whether it is one of those before.
    known: Bit,
    which: [Bit; SHIFTS],
    onward: Signed,
}

/// Codes the copies of a target of `target_len` bytes from sources of
/// `sources_len`; a reader ignores `copies`.
pub(crate) fn code<C: Coder>(
    coder: &mut C,
    copies: &[Copy],
    target_len: u64,
    sources_len: u64,
) -> Result<Vec<Copy>, ControlError> {
    let beyond_target = ControlError::BeyondTarget { target_len };
    let beyond_sources = ControlError::BeyondSources { sources_len };
    let mut model = Model {
        extra: Number::new(),
        len: Number::new(),
        stays: [Bit::QUICK; 2],
        known: Bit::QUICK,
        which: [Bit::QUICK; SHIFTS],
        onward: Signed::new(Bit::QUICK),
    };
    let found = Number::new().code(coder, copies.len() as u64);
    let allowed = max_copies(target_len);
    if found > allowed {
        return Err(ControlError::TooMany { found, allowed });
    }
    let mut made = Vec::with_capacity(found as usize);
    let (mut new_end, mut old_end) = (0u64, 0u64);
    let mut shifts = [0i64; SHIFTS];
    let mut stayed = false;
    for index in 0..found as usize {
        let told = copies.get(index).copied().unwrap_or(Copy { extra: 0, address: 0, len: 1 });
        // Who writes has so many bytes in memory.
        coder.about(new_end as usize);
        let extra = model.extra.code(coder, told.extra as u64);
        let new = new_end.checked_add(extra).filter(|new| *new <= target_len);
        let new = new.ok_or(beyond_target)?;
        let shift = told.address as i64 - new as i64;
        stayed = coder.bit(&mut model.stays[usize::from(stayed)], shift == shifts[0]);
        if !stayed {
            let which = shifts.iter().position(|known| *known == shift);
            if coder.bit(&mut model.known, which.is_some()) {
                let which = symbol(coder, &mut model.which, which.unwrap_or(0) as u32);
                to_front(&mut shifts, which as usize);
            } else {
                let onward = told.address as i64 - old_end as i64;
                let onward = model.onward.code(coder, onward);
                let address = old_end.checked_add_signed(onward).ok_or(beyond_sources)?;
                to_front(&mut shifts, SHIFTS - 1);
                shifts[0] = address.wrapping_sub(new).cast_signed();
            }
        }
        let address = new.checked_add_signed(shifts[0]).ok_or(beyond_sources)?;
        let len = model.len.code(coder, told.len as u64);
        let inside = |end: &u64| *end <= sources_len;
        old_end = address.checked_add(len).filter(inside).ok_or(beyond_sources)?;
        new_end = new.checked_add(len).filter(|end| *end <= target_len).ok_or(beyond_target)?;
        // Both are at most `target_len`, which fits memory.
        made.push(Copy { extra: extra as usize, address, len: len as usize });
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coder::{Reader, Writer};

    fn round_trip(copies: &[Copy], target_len: u64, sources_len: u64) -> usize {
        let mut writer = Writer::new();
        assert_eq!(code(&mut writer, copies, target_len, sources_len).unwrap(), copies);
        let bytes = writer.finish();
        let made = code(&mut Reader::new(&bytes), &[], target_len, sources_len);
        assert_eq!(made.unwrap(), copies);
        bytes.len()
    }

    #[test]
    fn copies_come_back() {
        let copy = |extra, address, len| Copy { extra, address, len };
        assert!(round_trip(&[], 0, 0) <= 1);
        assert!(round_trip(&[copy(0, 0, 1 << 20)], 1 << 20, 1 << 20) <= 6);
        let many = [copy(7, 1 << 40, 300), copy(0, 5, 20), copy(3, (1 << 40) + 303, 9)];
        round_trip(&many, 400, 1 << 41);
    }

    #[test]
    fn copies_that_lead_outside_are_refused() {
        let refused = |copy: Copy, target_len, sources_len| {
            let mut writer = Writer::new();
            drop(code(&mut writer, &[copy], 1 << 30, 1 << 40));
            let bytes = writer.finish();
            code(&mut Reader::new(&bytes), &[], target_len, sources_len).unwrap_err()
        };
        let beyond_target = ControlError::BeyondTarget { target_len: 100 };
        let beyond_sources = ControlError::BeyondSources { sources_len: 50 };
        assert_eq!(refused(Copy { extra: 101, address: 0, len: 0 }, 100, 50), beyond_target);
        assert_eq!(refused(Copy { extra: 51, address: 0, len: 50 }, 100, 50), beyond_target);
        assert_eq!(refused(Copy { extra: 0, address: 1, len: 50 }, 100, 50), beyond_sources);
        assert_eq!(refused(Copy { extra: 0, address: 1 << 39, len: 5 }, 100, 50), beyond_sources);
    }

    #[test]
    fn more_copies_than_a_target_may_have_are_refused() {
        let mut writer = Writer::new();
        Number::new().code(&mut writer, 1 << 40);
        let bytes = writer.finish();
        let refused = code(&mut Reader::new(&bytes), &[], 1000, 1000);
        let allowed = max_copies(1000);
        assert_eq!(refused, Err(ControlError::TooMany { found: 1 << 40, allowed }));
    }
}
