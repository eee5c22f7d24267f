//! References in copied bytes, changed to where what they mean has gone.
//!
//! Which bytes are references follows from the old ones and from the zones,
//! so that only wrong guesses cost something. A guess that is no reference at
//! all is left to `corrections`.

use crate::coder::{Bit, Coder};
use crate::control::Copy;
use crate::field::Field;
use crate::labels::{Labels, Lookup, Run, WAYS};
use crate::numbers::Signed;
use crate::sites;
use crate::zones::{Kind, Zones};

/// How many guesses are tried.
const TRIED: usize = 3;

/// What is likely for one class of references.
#[derive(Clone)]
struct Class {
    /// Whether a guess is right, by its way, its turn, and whether the last
    /// two were.
    right: [[[Bit; 4]; TRIED]; WAYS],
    unchanged: Bit,
    away: Signed,
    history: usize,
    /// By how much the last one moved.
    last: u64,
}

/// All references of one target.
struct References<'a> {
    labels: Labels<'a>,
    zones: &'a Zones,
    classes: Vec<Class>,
}

/// Codes what becomes of the references in the `bytes` of all `copies`, one
/// behind the other; `new` is what they become, which a reader does not know.
pub(crate) fn code<C: Coder>(
    coder: &mut C,
    zones: &Zones,
    copies: &[Copy],
    bytes: &mut [u8],
    new: &[u8],
) {
    let class = Class {
        right: [[[Bit::STEADY; 4]; TRIED]; WAYS],
        unchanged: Bit::QUICK,
        away: Signed::new(Bit::QUICK),
        history: 0,
        last: 0,
    };
    let labels = Labels::new(zones, copies);
    let mut references = References { labels, zones, classes: vec![class; sites::CLASSES] };
    let (mut place, mut done) = (zones.start, 0);
    for copy in copies {
        place += copy.extra as u64;
        let end = copy.address + copy.len as u64;
        for zone in &zones.list {
            let from = copy.address.max(zone.old.at);
            let to = end.min(zone.old.at + zone.old.len);
            if from >= to || matches!(zone.kind, Kind::Data | Kind::Bare) {
                continue;
            }
            let skipped = (from - copy.address) as usize;
            let Some(new_va) = zones.new_va(place + skipped as u64) else { continue };
            let run = done + skipped..done + skipped + (to - from) as usize;
            let old_va = zone.old.va + (from - zone.old.at);
            let after = if C::WRITES { &new[run.clone()] } else { &[][..] };
            let scan = sites::Scan { zone, zones, old_va, new_va };
            let here = Run::new(old_va, new_va, to - from);
            let from_here = (place - zones.start) as usize + skipped;
            scan.each(&mut bytes[run], |bytes, field| {
                coder.about(from_here + field.at);
                references.field(coder, here, field, bytes, after);
            });
        }
        place += copy.len as u64;
        done += copy.len;
    }
}

impl References<'_> {
    #[inline]
    fn field<C: Coder>(
        &mut self,
        coder: &mut C,
        here: Run,
        field: Field,
        bytes: &mut [u8],
        new: &[u8],
    ) {
        let old_value = field.value(bytes);
        let label = field.label(old_value);
        let wanted = if C::WRITES { field.value(new) } else { 0 };
        let class = &mut self.classes[field.class];
        let lookup = Lookup { label, here, last: class.last };
        let mut tried = [0; TRIED];
        let mut turn = 0;
        let mut found = None;
        let mut known = None;
        let history = class.history;
        for way in 0..WAYS {
            let Some(shift) = self.labels.guess(way, &lookup) else { continue };
            // All are compared, so that no processor has to foresee how many.
            let before = tried.iter().enumerate();
            if before.fold(false, |any, (at, other)| any | (at < turn) & (*other == shift)) {
                continue;
            }
            tried[turn] = shift;
            let va = label.wrapping_add(shift);
            let model = &mut class.right[way][turn][history];
            let right = coder.bit(model, field.new_value(va) == wanted);
            if turn == 0 {
                class.history = history << 1 & 3 | usize::from(right);
            }
            if right {
                found = Some(va);
                known = Some(way);
                break;
            }
            turn += 1;
            if turn == TRIED {
                break;
            }
        }
        let va = match found {
            Some(va) => va,
            None => {
                let truth = field.new_label(wanted);
                let keep = C::WRITES && (wanted == old_value || !self.zones.is_new(truth));
                if coder.bit(&mut class.unchanged, keep) {
                    return;
                }
                // One way always guesses.
                let first = label.wrapping_add(tried[0]);
                let away = class.away.code(coder, truth.wrapping_sub(first).cast_signed());
                first.wrapping_add(away.cast_unsigned())
            }
        };
        class.last = va.wrapping_sub(label);
        if known != Some(0) {
            self.labels.learn(label, va);
        }
        field.put(bytes, field.new_value(va));
    }
}
