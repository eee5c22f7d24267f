//! Control frames that wait for a connection, gathered into few.
//!
//! What we hold changes with every block; a peer is told in as few frames as
//! its connection leaves room for. Order is kept where it matters: a request
//! never overtakes the `Want` it speaks of.

use std::collections::VecDeque;

use crate::limits::{
    CONTROL_FRAMES_IN_HAND, CONTROL_FRAMES_WAITING, MAX_ENTRIES_A_FRAME, MAX_WANTS_A_FRAME,
};
use crate::wire::Frame;

/// The control frames for one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Frame>,
    in_hand: usize,
}

impl Outbox {
    /// Adds a frame, joined with the last one if both say more of the same.
    pub fn push(&mut self, frame: Frame) {
        let joined = match (self.waiting.back_mut(), &frame) {
            (Some(Frame::Want(list)), Frame::Want(more)) => join(list, more, MAX_WANTS_A_FRAME),
            (Some(Frame::Unwant(list)), Frame::Unwant(m)) => join(list, m, MAX_ENTRIES_A_FRAME),
            (Some(Frame::Taken(frames)), Frame::Taken(more)) => {
                let sum = frames.checked_add(*more);
                sum.map(|sum| *frames = sum).is_some()
            }
            (Some(Frame::Lack(list)), Frame::Lack(more)) => join(list, more, MAX_ENTRIES_A_FRAME),
            (Some(Frame::Have(list)), Frame::Have(more)) => {
                match (list.last_mut(), more.as_slice()) {
                    (Some(last), [have])
                        if last.whose == have.whose
                            && last.index == have.index
                            && last.first + last.count == have.first =>
                    {
                        last.count += have.count;
                        true
                    }
                    _ => join(list, more, MAX_ENTRIES_A_FRAME),
                }
            }
            _ => false,
        };
        if !joined {
            self.waiting.push_back(frame);
        }
    }

    /// The next frame that the connection has room for.
    pub fn pop(&mut self) -> Option<Frame> {
        if self.in_hand >= CONTROL_FRAMES_IN_HAND {
            return None;
        }
        let frame = self.waiting.pop_front()?;
        self.in_hand += 1;
        Some(frame)
    }

    /// The connection wrote frames.
    pub const fn written(&mut self, frames: usize) {
        self.in_hand = self.in_hand.saturating_sub(frames);
    }

    /// Whether the peer reads so little that there is no point in going on.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.waiting.len() > CONTROL_FRAMES_WAITING
    }
}

fn join<T: Clone>(list: &mut Vec<T>, more: &[T], most: usize) -> bool {
    let fits = list.len() + more.len() <= most;
    if fits {
        list.extend_from_slice(more);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Have, Run, Whose};

    fn have(index: u32, first: u32, count: u32) -> Frame {
        Frame::Have(vec![Have { whose: Whose::Yours, index, first, count }])
    }

    #[test]
    fn neighbouring_blocks_become_one_entry() {
        let mut outbox = Outbox::default();
        (0..10).for_each(|block| outbox.push(have(1, block, 1)));
        outbox.push(have(2, 0, 1));
        let expected = [(1, 0, 10), (2, 0, 1)].map(|(index, first, count)| Have {
            whose: Whose::Yours,
            index,
            first,
            count,
        });
        assert_eq!(outbox.pop(), Some(Frame::Have(expected.to_vec())));
        assert_eq!(outbox.pop(), None);
    }

    #[test]
    fn frames_stay_within_their_bound_and_in_order() {
        let mut outbox = Outbox::default();
        (0..2 * MAX_ENTRIES_A_FRAME as u32).for_each(|n| outbox.push(Frame::Lack(vec![n])));
        outbox.push(Frame::Cancel(Run { index: 0, first: 0, count: 1 }));
        outbox.push(Frame::Lack(vec![7]));
        let popped: Vec<Frame> = std::iter::from_fn(|| outbox.pop()).collect();
        let lens = popped.iter().map(|frame| match frame {
            Frame::Lack(list) => list.len(),
            _ => 0,
        });
        assert_eq!(lens.collect::<Vec<_>>(), [1_024, 1_024, 0, 1]);
    }

    #[test]
    fn a_connection_that_does_not_write_gets_no_more() {
        let mut outbox = Outbox::default();
        for index in 0..100 {
            outbox.push(Frame::Cancel(Run { index, first: 0, count: 1 }));
        }
        assert_eq!(std::iter::from_fn(|| outbox.pop()).count(), CONTROL_FRAMES_IN_HAND);
        outbox.written(3);
        assert_eq!(std::iter::from_fn(|| outbox.pop()).count(), 3);
        assert!(!outbox.is_hopeless());
    }
}
