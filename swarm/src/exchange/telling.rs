//! What is said to peers, and when: at once, or gathered.

use std::time::Instant;

use super::{Exchange, Link, Output};
use crate::link::LinkId;
use crate::wire::{Frame, Have, Whose};

/// Of so many blocks a patient peer hears at once: what is fast passes on fast.
const NEWS_BLOCKS: u32 = 8;

/// What a peer has not heard yet.
#[derive(Debug)]
pub(super) struct News {
    pub(super) due: Instant,
    blocks: u32,
}

impl Exchange {
    /// A new connection to the origin starts without memory of what we have.
    pub(super) fn tell_origin_everything(&mut self, link: LinkId) {
        let wants: Vec<_> = self.transfer.announced().collect();
        for want in wants {
            let runs = self.transfer.assembly(want.id).map(|a| a.held().runs());
            for (first, count) in runs.unwrap_or_default() {
                let have = Have { whose: Whose::Mine, index: want.index, first, count };
                self.push(link, Frame::Have(vec![have]));
            }
        }
    }

    pub(super) fn push(&mut self, link: LinkId, frame: Frame) {
        if let Some(l) = self.links.get_mut(&link) {
            l.outbox.push(frame);
            self.talking.insert(link);
        }
    }

    /// Whoever is patient hears later of what else we hold: of several blocks at
    /// a time, or along with something else.
    pub(super) fn tell(&mut self, now: Instant, link: LinkId, have: Have) {
        let Some(l) = self.links.get_mut(&link) else { return };
        let due = now + self.serving.patience(link);
        let news = self.news.entry(link).or_insert(News { due, blocks: 0 });
        news.blocks = news.blocks.saturating_add(have.count);
        l.outbox.push(Frame::Have(vec![have]));
        news.due = if news.blocks < NEWS_BLOCKS { news.due.min(due) } else { now };
    }

    pub(super) fn push_all(&mut self, frame: &Frame) {
        self.links.values_mut().for_each(|link| link.outbox.push(frame.clone()));
        self.talking.extend(self.links.keys());
    }

    /// Hands over the control frames that connections have room for.
    pub(super) fn flush(&mut self, now: Instant) -> Option<Output> {
        self.talking
            .extend(self.news.iter().filter(|(_, news)| now >= news.due).map(|(id, _)| *id));
        while let Some(id) = self.talking.pop_first() {
            self.news.remove(&id);
            let Some(link) = self.links.get_mut(&id) else { continue };
            if link.outbox.is_hopeless() {
                self.links.remove(&id);
                self.transfer.leave(id);
                self.serving.leave(id);
                self.out.push_back(Output::Close(id));
                continue;
            }
            while let Some(frame) = self.links.get_mut(&id).and_then(|link| link.outbox.pop()) {
                self.send(now, id, frame);
            }
        }
        self.out.pop_front()
    }

    pub(super) fn send(&mut self, now: Instant, link: LinkId, frame: Frame) {
        if let Some(Link { peer, .. }) = self.links.get(&link) {
            self.accounts.went(now, *peer, frame.wire_bytes());
            self.out.push_back(Output::Send { link, frame });
        }
    }
}
