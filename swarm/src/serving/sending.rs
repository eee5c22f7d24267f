//! Who is sent the next block.
//!
//! A few peers at a time have an upload slot, and blocks go to them in turn. A
//! small update begins with one block to each peer, one after another, so that
//! all of them soon have something to pass on.

use std::time::{Duration, Instant};

use crate::limits::{SLOT_PATIENCE, SLOT_QUANTUM, UPLOAD_SLOTS};
use crate::link::LinkId;
use crate::serving::revealing::MOST_REVEALED;
use crate::serving::{Content, Manner, Output, READ_AHEAD, Serving, Upload};
use crate::shelf::Lookup;
use crate::wire::{Frame, WantIndex};

/// Frames on their way to all peers that keep an uplink busy.
const AHEAD_OF_ALL: usize = 32;
/// With so few on their way and asked for an uplink will soon have nothing to
/// do.
const NEARLY_IDLE: usize = 6;
/// An update has just begun for who has wanted it for less than this.
const BEGINNING: Duration = Duration::from_millis(500);
/// How soon it is looked again whether a beginning is held up.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Serving {
    /// Gives slots, and hands the next block to a peer that has one.
    pub(super) fn send(&mut self, now: Instant, content: &mut dyn Content) {
        if !self.upload.has_any_room(now) {
            return;
        }
        if self.begins(now) {
            self.send_first(now, content);
            return;
        }
        for _ in 0..self.slots.len() + self.waiting.len() {
            self.give_slots();
            let Some(link) = self.slots.pop_front() else { return };
            let upload = self.links.get_mut(&link).expect("who has a slot is there");
            if upload.queue.is_empty() {
                continue;
            }
            if !self.upload.has_room(now, upload.near) {
                self.slots.push_back(link);
                continue;
            }
            if !upload.pace.has_room() {
                let stuck = now.saturating_duration_since(upload.took) >= SLOT_PATIENCE;
                if stuck && !self.waiting.is_empty() {
                    upload.parked = true;
                } else {
                    self.slots.push_back(link);
                }
                continue;
            }
            let sent = self.send_one(now, link, content);
            let upload = &self.links[&link];
            if upload.given >= SLOT_QUANTUM && !self.waiting.is_empty() {
                self.waiting.push_back(link);
            } else {
                self.slots.push_back(link);
            }
            if sent {
                return;
            }
        }
    }

    /// Origin: whether a small update has just begun, and somebody who asks for
    /// blocks has got none.
    pub(super) fn begins(&self, now: Instant) -> bool {
        if self.manner == Manner::Peer {
            return false;
        }
        let fresh = |upload: &Upload| now.saturating_duration_since(upload.began) < BEGINNING;
        let asking = self.slots.iter().chain(&self.waiting).filter_map(|link| self.links.get(link));
        let mut new = asking.filter(|upload| fresh(upload) && upload.sent == 0);
        new.any(|upload| !upload.queue.is_empty() && upload.wants_little())
    }

    /// Hands one block to each in turn, and no more than the line carries in a
    /// moment: what goes to several at once arrives late everywhere, and nobody
    /// can pass on what is half there.
    fn send_first(&mut self, now: Instant, content: &mut dyn Content) {
        if !self.uplink.has_room(self.on_the_way(now)) {
            return;
        }
        let asking = self.slots.iter().chain(&self.waiting).copied();
        let mut asking: Vec<LinkId> = asking.collect();
        asking.sort_by_key(|link| self.links.get(link).map(|upload| upload.sent));
        for link in asking {
            let upload = &self.links[&link];
            let may = upload.pace.has_room() && self.upload.has_room(now, upload.near);
            if may && self.send_one(now, link, content) {
                return;
            }
        }
    }

    /// Frames that wait for the line, not for a peer that takes nothing.
    fn on_the_way(&self, now: Instant) -> usize {
        let sent = self.sending.iter().filter_map(|link| self.links.get(link));
        let moving = sent.filter(|upload| self.uplink.goes_on(now, upload.took));
        moving.map(|upload| upload.pace.ahead()).sum()
    }

    /// Whether the uplink will soon have nothing to do.
    pub(super) fn is_nearly_idle(&self) -> bool {
        let queued = self.slots.iter().chain(&self.waiting).filter_map(|link| self.links.get(link));
        let queued = queued.map(|upload| upload.queue.len());
        self.uplink.ahead() + queued.sum::<usize>() <= NEARLY_IDLE
    }

    /// Gives free slots to those that have waited longest. Where a limit holds
    /// for those far away alone, they and those nearby do not wait for each
    /// other.
    fn give_slots(&mut self) {
        let apart = self.upload.is_limited(false) && !self.upload.is_limited(true);
        let places: &[Option<bool>] = if apart { &[Some(true), Some(false)] } else { &[None] };
        for place in places {
            let here = |near: bool| place.is_none_or(|place| place == near);
            while self.has_slot(here)
                && let Some(at) = self.waiting.iter().position(|link| here(self.links[link].near))
                && let Some(link) = self.waiting.remove(at)
            {
                self.links.get_mut(&link).expect("who waits is there").given = 0;
                self.slots.push_back(link);
            }
        }
    }

    /// Whether one more peer may be sent blocks: also where those that have a
    /// slot take them too slowly to keep the uplink busy.
    fn has_slot(&self, here: impl Fn(bool) -> bool) -> bool {
        let slots = self.slots.iter().filter_map(|link| self.links.get(link));
        let mut slots = slots.filter(|upload| here(upload.near));
        let mut count = 0;
        let any_room = slots.any(|upload| {
            count += 1;
            upload.pace.has_room()
        });
        if any_room {
            count += slots.count();
        }
        count < UPLOAD_SLOTS || (!any_room && self.uplink.ahead() < AHEAD_OF_ALL)
    }

    /// Hands the first block of a peer's queue over; whether anything was.
    fn send_one(&mut self, now: Instant, link: LinkId, content: &mut dyn Content) -> bool {
        let is_idle = self.is_nearly_idle();
        let upload = self.links.get_mut(&link).expect("the caller has just seen it");
        let Some((index, block)) = upload.queue.front().copied() else { return false };
        let wanted = upload.wants.get_mut(&index).expect("what is queued is wanted");
        let id = wanted.id;
        let list = wanted.list;
        let frame = if list {
            match content.list(now, id) {
                // A list of none is not sent: the id alone proves the block.
                Lookup::Ready(list) if list.hashes().is_empty() => {
                    wanted.list = false;
                    return self.send_one(now, link, content);
                }
                Lookup::Ready(list) => {
                    wanted.list = false;
                    Frame::List { index, hashes: list.hashes().to_vec() }
                }
                Lookup::Loading => return false,
                Lookup::Gone => return self.gone(link, index),
            }
        } else {
            match content.block(now, id, block) {
                Lookup::Ready(payload) => {
                    upload.queue.pop_front();
                    upload.given += 1;
                    upload.sent += 1;
                    upload.revealed.remove(&(index, block));
                    if upload.queue.is_empty() && (upload.revealed.is_empty() || is_idle) {
                        // It has all that was revealed, sooner than expected.
                        upload.window = (upload.window * 2).min(MOST_REVEALED);
                    }
                    if let Some((index, block)) = upload.queue.get(READ_AHEAD) {
                        content.expect(upload.wants[index].id, *block);
                    }
                    Frame::Block { index, block, payload }
                }
                Lookup::Loading => return false,
                Lookup::Gone => return self.gone(link, index),
            }
        };
        let bytes = frame.wire_bytes();
        self.upload.spend(now, upload.near, bytes as u64);
        if upload.pace.ahead() == 0 {
            upload.took = now;
        }
        upload.pace.send(now, bytes);
        self.uplink.send(now);
        self.sending.insert(link);
        self.revealing.stir();
        self.out.push_back(Output::Send { link, frame });
        true
    }

    /// A peer is told that what it waits for is gone.
    fn gone(&mut self, link: LinkId, index: WantIndex) -> bool {
        let upload = self.links.get_mut(&link).expect("the caller has just seen it");
        upload.queue.retain(|(queued, _)| *queued != index);
        self.out.push_back(Output::Lack { link, index });
        true
    }
}
