//! What the origin tells of: to each peer something that no other has.
//!
//! A pass over all peers costs the more the more there are, so it comes the
//! less often; in between, what happens is only noted.

use std::time::{Duration, Instant};

use crate::blockmap::BlockMap;
use crate::dice::Dice;
use crate::limits::UPLOAD_SLOTS;
use crate::link::LinkId;
use crate::picker::{Candidate, Lots, rarest};
use crate::serving::{Content, Holding, Output, Serving, Upload};
use crate::spread::Spread;
use crate::wire::{Have, WantIndex, Whose};

/// Blocks that the origin reveals to a new peer ahead of its requests: few, so
/// that of a small object each peer gets a part that is its own to pass on.
pub(super) const FIRST_REVEALED: usize = 2;
pub(super) const MOST_REVEALED: usize = 256;

/// A peer that others gave nothing for so long is served by the origin what is
/// scarce: who was told of it first may be slow to pass it on.
const LONELY_AFTER: Duration = Duration::from_millis(700);
/// What fewer peers than this know of is scarce.
const SCARCE: u16 = 4;
/// Among so many peers it is served everything then. With each doubling this
/// takes as long again, since what others pass on takes one hop more to reach
/// everybody.
const ABANDONED_AMONG: usize = 16;
/// With so few blocks on their way and nothing to follow, a little of a small
/// update is told of a second time.
const NEARLY_DONE: usize = 3;
/// Lonely peers that are served at a time: of many most are soon helped by
/// those few.
const NURSED: usize = 4;
/// A peer may owe the others so many blocks more than the one that owes least:
/// who is given more than it passes on keeps everybody waiting, and its own
/// requests wait behind what it sends.
const LEAD: usize = 1;
/// So many are told of beyond that rather than letting the uplink idle.
const REFILL: usize = 12;
/// Between two passes, for each peer.
const PASS_EVERY: Duration = Duration::from_micros(40);

/// What the origin keeps in mind beside each peer.
#[derive(Debug)]
pub(super) struct Revealing {
    /// To how many peers each block is known.
    pub(super) spread: Spread,
    dice: Dice,
    /// Whether something happened since the last pass.
    stirred: bool,
    /// The next pass comes no sooner.
    pass_at: Option<Instant>,
    /// When somebody may have become lonely.
    lonely_at: Option<Instant>,
}

impl Revealing {
    pub(super) fn new(seed: u64) -> Self {
        let (spread, dice) = (Spread::default(), Dice::new(seed));
        Self { spread, dice, stirred: false, pass_at: None, lonely_at: None }
    }

    /// There may be something to reveal.
    pub(super) const fn stir(&mut self) {
        self.stirred = true;
    }

    /// A peer that was helped at `helped` may be lonely later.
    pub(super) fn expect(&mut self, helped: Instant) {
        self.look_at(helped + LONELY_AFTER);
    }

    /// Somebody may be lonely, or abandoned, at that time.
    fn look_at(&mut self, at: Instant) {
        self.lonely_at = Some(self.lonely_at.map_or(at, |known| known.min(at)));
    }

    /// When the next pass is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let stirred = self.pass_at.filter(|_| self.stirred);
        stirred.into_iter().chain(self.lonely_at).min()
    }

    /// Whether a pass over so many peers is due; the next is put off.
    fn begin(&mut self, now: Instant, peers: usize) -> bool {
        let lonely = self.lonely_at.is_some_and(|at| now >= at);
        let due = lonely || (self.stirred && self.pass_at.is_none_or(|at| now >= at));
        if due {
            (self.stirred, self.lonely_at) = (false, None);
            self.pass_at = Some(now + PASS_EVERY * u32::try_from(peers).unwrap_or(u32::MAX));
        }
        due
    }
}

/// How long one of so many peers is left to the others.
fn abandoned_after(peers: usize) -> Duration {
    let doublings = (peers / ABANDONED_AMONG).checked_ilog2().unwrap_or(0);
    LONELY_AFTER * (doublings + 1)
}

impl Upload {
    /// Whether the origin gives it what it may give everybody.
    fn is_nursed(&self) -> bool {
        self.lonely && !self.wants.is_empty()
    }
}

impl Serving {
    /// The origin tells each peer of the blocks that are spread least.
    pub(super) fn reveal(&mut self, now: Instant, content: &dyn Content) {
        if self.upload.is_closed(true) || !self.revealing.begin(now, self.links.len()) {
            return;
        }
        let mut links: Vec<LinkId> = self.links.keys().copied().collect();
        let patience = abandoned_after(links.len());
        let owed = |link: &LinkId| self.revealing.spread.owed_by(*link);
        let wanting = self.links.iter().filter(|(_, upload)| !upload.wants.is_empty());
        let wanting: Vec<usize> = wanting.map(|(link, _)| owed(link)).collect();
        let most_owed = match wanting[..] {
            // There is nobody to pass anything on to.
            [_] => usize::MAX,
            _ => wanting.iter().min().map_or(0, |least| least + LEAD),
        };
        // Whoever owes least comes first to what keeps the uplink busy.
        links.sort_by_key(owed);
        let mut refill = if self.is_nearly_idle() { REFILL } else { 0 };
        let mut nursed = self.links.values().filter(|upload| upload.is_nursed()).count();
        for link in links {
            let upload = self.links.get_mut(&link).expect("listed above");
            if upload.wants.is_empty() || self.upload.is_closed(upload.near) {
                continue;
            }
            let alone = now.saturating_duration_since(upload.helped);
            let lonely = alone >= LONELY_AFTER;
            if !lonely {
                self.revealing.expect(upload.helped);
            } else if !upload.lonely && nursed < NURSED {
                nursed += 1;
                (upload.lonely, upload.look) = (true, true);
                // What it was told of and never asked for is not worth waiting for.
                upload.revealed.clear();
            }
            if !upload.lonely {
                upload.abandoned = false;
            } else if alone < patience {
                upload.abandoned = false;
                self.revealing.look_at(upload.helped + patience);
            } else if !upload.abandoned {
                (upload.abandoned, upload.look) = (true, true);
            }
            let least = match (upload.lonely, upload.abandoned) {
                (false, _) => 1,
                (true, false) => SCARCE,
                (true, true) => u16::MAX,
            };
            let lonely = upload.lonely;
            let room = upload.window.saturating_sub(upload.revealed.len());
            if !upload.look || room * 2 < upload.window {
                continue;
            }
            // Nobody is entrusted with more than it passes on, unless nobody
            // else takes anything.
            let fair = most_owed.saturating_sub(self.revealing.spread.owed_by(link));
            let room = if lonely { room } else { room.min(fair.max(refill)) };
            if room == 0 {
                continue;
            }
            let (found, more) = self.least_spread(link, room, (lonely, least), content);
            let upload = self.links.get_mut(&link).expect("listed above");
            upload.look = more;
            refill = refill.saturating_sub(found.len());
            for (index, block) in found {
                self.reveal_to(now, link, index, block);
            }
        }
        self.reveal_again(now, content);
    }

    /// The last blocks of a small update would reach everybody late, from whoever
    /// has them, one after another, while our uplink has nothing to do: it
    /// gives the scarcest of them to somebody else as well.
    fn reveal_again(&mut self, now: Instant, content: &dyn Content) {
        let busy = |upload: &Upload| !upload.queue.is_empty();
        if self.uplink.ahead() > NEARLY_DONE || self.links.values().any(busy) {
            return;
        }
        let open = self.links.iter().filter(|(_, upload)| {
            let free = !upload.wants.is_empty() && upload.revealed.is_empty();
            free && upload.wants_little() && !self.upload.is_closed(upload.near)
        });
        let links: Vec<LinkId> = open.map(|(link, _)| *link).collect();
        let mut found = Vec::new();
        for link in links {
            let (best, _) = self.least_spread(link, 1, (true, SCARCE), content);
            for (index, block) in best {
                let id = self.links[&link].wants[&index].id;
                let holders = self.revealing.spread.of(id, block);
                found.push((holders, self.revealing.dice.roll(), link, index, block));
            }
        }
        found.sort_unstable();
        for (_, _, link, index, block) in found.into_iter().take(UPLOAD_SLOTS) {
            self.reveal_to(now, link, index, block);
        }
    }

    /// Tells one peer of one block.
    fn reveal_to(&mut self, now: Instant, link: LinkId, index: WantIndex, block: u32) {
        let upload = self.links.get_mut(&link).expect("the caller has just seen it");
        upload.revealed.insert((index, block));
        (upload.entrusted, upload.entrusted_at) = (upload.entrusted + 1, now);
        let wanted = &upload.wants[&index];
        let (id, blocks) = (wanted.id, wanted.size.blocks());
        self.note(link, id, blocks, (block, 1));
        let have = Have { whose: Whose::Yours, index, first: block, count: 1 };
        self.out.push_back(Output::Have { link, have });
    }

    /// Blocks that a peer lacks and fewest others know of, fewer than `scarce`:
    /// more than its share of them only if it is `lonely`.
    fn least_spread(
        &mut self,
        link: LinkId,
        room: usize,
        (lonely, scarce): (bool, u16),
        content: &dyn Content,
    ) -> (Vec<(WantIndex, u32)>, bool) {
        let upload = &self.links[&link];
        let none = BlockMap::new(0);
        let mut candidates = Vec::new();
        for (index, wanted) in &upload.wants {
            if !matches!(content.holding(wanted.id, wanted.size), Holding::All) {
                continue;
            }
            let blocks = wanted.size.blocks();
            let known = upload.known.get(&wanted.id).unwrap_or(&none);
            if known.is_full() && known.blocks() == blocks {
                continue;
            }
            for block in (0..blocks).filter(|block| !known.contains(*block)) {
                let holders = self.revealing.spread.of(wanted.id, block);
                if holders < scarce {
                    let near = !known.is_empty();
                    candidates.push(Candidate { index: *index, block, holders, near });
                }
            }
        }
        // Whoever comes first leaves something for the others to pass on.
        let share = candidates.len().div_ceil(2 * self.links.len());
        let turn = share > 1 || self.is_next(upload);
        let share = if turn { share.saturating_sub(upload.pace.ahead()) } else { 0 };
        let room = if lonely { room } else { room.min(share) };
        let more = candidates.len() > room;
        (rarest(candidates.into_iter(), room, Lots::Objects, &mut self.revealing.dice), more)
    }

    /// Whether a peer has got no more than others of the last blocks, and has
    /// had the longest to pass on what it got, or the uplink would have nothing
    /// to do.
    fn is_next(&self, upload: &Upload) -> bool {
        let rank = |upload: &Upload| (upload.entrusted, upload.entrusted_at);
        let others = self.links.values().filter(|other| !other.wants.is_empty());
        others.map(rank).min().is_none_or(|least| rank(upload) <= least)
            || self.links.values().all(|other| other.queue.is_empty() && other.revealed.is_empty())
    }
}
