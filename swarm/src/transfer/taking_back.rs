//! What was asked for and is not waited for any more.
//!
//! A peer that sends nothing, a budget that shrinks, a block that came from
//! elsewhere: what was asked is taken back, and others may be asked. It may
//! still come, which is no offence then.

use std::time::Instant;

use crate::flight::Asked;
use crate::link::LinkId;
use crate::standing::Misbehaviour;
use crate::transfer::{Output, Transfer};
use crate::wire::{Run, WantIndex};

impl Transfer {
    /// Takes back everything that was asked for and is not on its way yet.
    pub(super) fn hold_back(&mut self, now: Instant) {
        let mut taken = Vec::new();
        for (id, link) in &mut self.links {
            let mut asked = link.flight.asked().to_vec();
            asked.sort_unstable_by_key(|asked| (asked.index, asked.block));
            for Asked { index, block, .. } in &asked {
                link.flight.take_back(*index, *block);
                link.excused += 1;
                // The list may be on its way, or may not be.
                link.listed.remove(index);
                let run = Run { index: *index, first: *block, count: 1 };
                match self.out.back_mut() {
                    Some(Output::Cancel { link: last, run })
                        if *last == *id
                            && run.index == *index
                            && run.first + run.count == *block =>
                    {
                        run.count += 1;
                    }
                    _ => self.out.push_back(Output::Cancel { link: *id, run }),
                }
            }
            taken.extend(asked);
        }
        self.moved = now;
        self.release(&taken);
    }

    pub(super) fn look_for_stalls(&mut self, now: Instant) {
        let mut given_up = Vec::new();
        for (id, link) in &mut self.links {
            if link.flight.pause_ended(now) {
                self.hungry.insert(*id);
            }
            if link.flight.is_stalled(now) {
                for asked in link.flight.give_up(now) {
                    link.excused += 1;
                    link.listed.remove(&asked.index);
                    let run = Run { index: asked.index, first: asked.block, count: 1 };
                    self.out.push_back(Output::Cancel { link: *id, run });
                    given_up.push(asked);
                }
                if link.flight.is_hopeless() {
                    let what = Misbehaviour::Withheld;
                    self.out.push_back(Output::Offence { link: *id, what });
                }
            }
        }
        self.release(&given_up);
    }

    /// Blocks that are not under way from that peer any more may be asked of
    /// others, unless yet another one has been asked already.
    pub(super) fn release(&mut self, blocks: &[Asked]) {
        if blocks.is_empty() {
            return;
        }
        for asked in blocks {
            if let Some(open) = self.objects.open_mut(asked.index)
                && !open.doubled.remove(asked.block)
            {
                open.flying.remove(asked.block);
            }
        }
        self.hungry.extend(self.links.keys());
    }

    /// Nobody `but` one needs to bring a block any more.
    pub(super) fn cancel(&mut self, but: Option<LinkId>, index: WantIndex, block: u32) {
        if let Some(open) = self.objects.open_mut(index) {
            open.flying.remove(block);
            open.doubled.remove(block);
        }
        for (id, link) in self.links.iter_mut().filter(|(id, _)| Some(**id) != but) {
            if link.flight.take_back(index, block) {
                link.excused += 1;
                let run = Run { index, first: block, count: 1 };
                self.out.push_back(Output::Cancel { link: *id, run });
                self.hungry.insert(*id);
            }
        }
    }
}
