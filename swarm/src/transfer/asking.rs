//! Which blocks to ask of a peer that has room for more.
//!
//! Rarest first among what is open, then one more object that few hold, and
//! at the end what others are late with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::dice::Dice;
use crate::link::LinkId;
use crate::picker::{Candidate, Lots, rarest};
use crate::site::claim;
use crate::transfer::{
    DUPLICATES, HOPELESS, Link, Output, Place, RECHECK, SITE_PATIENCE, Transfer,
};
use crate::wire::{Run, WantIndex};

/// Blocks that one peer is asked for at a time, however few are left.
const LEAST_SHARE: usize = 2;

impl Transfer {
    /// Asks a peer for as much as is worth asking now.
    pub(super) fn fill(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let on_parole = self.standing.on_parole(&link.peer);
        let mut room = link.flight.room(now, on_parole);
        if room < link.flight.worthwhile() && !link.flight.asked().is_empty() {
            return;
        }
        let is_limited = self.download.is_limited(link.place == Place::Near);
        if is_limited {
            room = room.min(1);
        }
        room = room.min(self.share(room));
        if room == 0 {
            return;
        }
        let mut picked = self.pick(now, id, room);
        while picked.len() < room && self.open_one(id) {
            picked.extend(self.pick_more(now, id, room, &picked));
        }
        if picked.is_empty() {
            picked = self.late_blocks(now, id, room);
        }
        for (index, block) in picked {
            self.ask(now, id, index, block);
        }
        if is_limited && self.out.iter().any(|o| matches!(o, Output::Request { .. })) {
            self.hungry.insert(id);
        }
    }

    /// How much of what is left one of those that hold something is asked for,
    /// where there is `room` for so much: what only a few are asked for comes
    /// late, while others could help.
    fn share(&self, room: usize) -> usize {
        if self.objects.any_queued() {
            return room;
        }
        let holders = self.links.values().filter(|link| !link.holds.is_empty()).count().max(1);
        let left = self.objects.unasked(room.saturating_mul(holders));
        left.div_ceil(holders).max(LEAST_SHARE)
    }

    fn pick_more(
        &mut self,
        now: Instant,
        id: LinkId,
        room: usize,
        picked: &[(WantIndex, u32)],
    ) -> Vec<(WantIndex, u32)> {
        let more = self.pick(now, id, room);
        let new = more.into_iter().filter(|pick| !picked.contains(pick));
        new.take(room - picked.len()).collect()
    }

    /// The best blocks of open objects that nobody is asked for.
    fn pick(&mut self, now: Instant, id: LinkId, room: usize) -> Vec<(WantIndex, u32)> {
        let link = &self.links[&id];
        // When nothing has come for a while, nobody is relied on.
        let stuck = now.saturating_duration_since(self.moved) >= SITE_PATIENCE;
        let neighbours = if stuck { Vec::new() } else { neighbours(&self.links, link.place) };
        if !neighbours.is_empty() {
            self.spurned.get_or_insert(self.moved + SITE_PATIENCE);
        }
        let neighbours = &neighbours;
        let own = self.own;
        // Who is near has it already, or brings it.
        let left = move |index, object, block| {
            neighbours.iter().any(|near| {
                near.holds.get(&index).is_some_and(|map| map.contains(block))
                    || (near.wanted.contains(&object)
                        && claim(&near.peer, object, block) > claim(&own, object, block))
            })
        };
        let near: BTreeSet<WantIndex> = link.flight.asked().iter().map(|a| a.index).collect();
        let near = &near;
        let candidates = self.objects.opened().flat_map(|(index, open)| {
            let offered = link.holds.get(&index);
            let blocks = offered.map(|map| map.minus([open.assembly.held(), &open.flying]));
            let object = open.assembly.id();
            let blocks = blocks.into_iter().flatten();
            blocks.filter(move |block| !left(index, object, *block)).map(move |block| Candidate {
                index,
                block,
                holders: open.holders[block as usize],
                near: near.contains(&index),
            })
        });
        rarest(candidates, room, Lots::Blocks, &mut self.dice)
    }

    /// Opens one more object that this peer holds something of.
    fn open_one(&mut self, id: LinkId) -> bool {
        let link = &self.links[&id];
        let mut best: Option<(usize, u64, WantIndex)> = None;
        for (index, map) in &link.holds {
            if !self.objects.waits(*index) || map.is_empty() {
                continue;
            }
            let holders = self.links.values().filter(|l| l.holds.contains_key(index)).count();
            // A hash of seed and index: the map's own order is not repeatable.
            let tie = Dice::new(self.dice.clone().roll() ^ u64::from(*index)).roll();
            if best.is_none_or(|(h, t, _)| (holders, tie) < (h, t)) {
                best = Some((holders, tie, *index));
            }
        }
        self.dice.roll();
        let Some((_, _, index)) = best else { return false };
        self.begin(index);
        true
    }

    /// Makes room for an object's blocks.
    pub(super) fn begin(&mut self, index: WantIndex) {
        let blocks = self.objects.get(index).map_or(0, |object| object.size.blocks());
        let mut holders = vec![0; blocks as usize];
        for map in self.links.values().filter_map(|link| link.holds.get(&index)) {
            map.iter().for_each(|block| holders[block as usize] += 1);
        }
        self.objects.begin(index, holders);
        let holders = self.links.iter().filter(|(_, link)| link.holds.contains_key(&index));
        self.hungry.extend(holders.map(|(id, _)| *id));
    }

    /// Blocks that others are asked for and that this peer would bring sooner.
    fn late_blocks(&mut self, now: Instant, id: LinkId, room: usize) -> Vec<(WantIndex, u32)> {
        let link = &self.links[&id];
        let ours = link.flight.expected();
        // While there is anything else to come, only who has failed is helped:
        // a block that comes twice takes the place of one that is missing.
        // And a copy from afar is spared where somebody near will have it.
        let alone = neighbours(&self.links, link.place).is_empty();
        let ending = alone && !self.objects.any_unasked();
        let (mut late, mut any) = (Vec::new(), false);
        for (_, l) in self.links.iter().filter(|(other, _)| **other != id) {
            for asked in l.flight.asked() {
                let Some(open) = self.objects.open(asked.index) else { continue };
                let offered = link.holds.get(&asked.index);
                if open.doubled.contains(asked.block)
                    || !offered.is_some_and(|map| map.contains(asked.block))
                {
                    continue;
                }
                any = true;
                let remaining = l.flight.remaining(now, asked.at);
                let slow = remaining > ours * 2 + RECHECK;
                if slow && (ending || remaining > HOPELESS) {
                    late.push((remaining, asked.index, asked.block));
                }
            }
        }
        late.sort_unstable_by(|a, b| b.cmp(a));
        late.truncate(room.min(DUPLICATES));
        if late.is_empty() && any {
            self.idle.insert(id);
            self.recheck.get_or_insert(now + RECHECK);
        }
        late.into_iter().map(|(_, index, block)| (index, block)).collect()
    }

    fn ask(&mut self, now: Instant, id: LinkId, index: WantIndex, block: u32) {
        let Some(size) = self.objects.get(index).map(|object| object.size) else { return };
        let Some(open) = self.objects.open(index) else { return };
        let proven = open.assembly.list().is_some();
        self.objects.ask(now, index, block);
        let link = self.links.get_mut(&id).expect("the peer was just picked for");
        link.flight.ask(now, index, block);
        self.download.spend(now, link.place == Place::Near, size.range(block).len() as u64);
        let list = !proven && link.listed.insert(index);
        // Neighbours travel in one request.
        if !list
            && let Some(Output::Request { link: last, run, .. }) = self.out.back_mut()
            && *last == id
            && run.index == index
            && run.first + run.count == block
        {
            run.count += 1;
            return;
        }
        let run = Run { index, first: block, count: 1 };
        self.out.push_back(Output::Request { link: id, run, list });
    }
}

/// Those near us to whom the blocks of a peer in that place may be left:
/// nobody unless it is far away. What the origin offers us it offers to nobody
/// else.
fn neighbours(links: &BTreeMap<LinkId, Link>, place: Place) -> Vec<&Link> {
    match place {
        Place::Far { origin: false } => {
            links.values().filter(|link| link.place == Place::Near).collect()
        }
        Place::Near | Place::Far { origin: true } => Vec::new(),
    }
}
