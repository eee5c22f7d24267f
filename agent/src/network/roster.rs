//! Which mirror is asked for which object next, and which one is spared.
//!
//! A machine: told what mirrors do, it says whom to ask and whom to stop
//! asking. Promises that a mirror that fails rests, for longer each time; that
//! an object is taken from a mirror that lags or stands still as soon as
//! another one could bring it; that every mirror is asked again before an
//! object is given up; and that no mirror has more than a few questions at a
//! time. Knows nothing of HTTP, or of when mirrors may be asked at all; see
//! `fallback`.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use manifest::content::ContentId;
use manifest::release::plan::Wanted;

use crate::limits::{
    MIRROR_FIRST_REST, MIRROR_JOBS, MIRROR_JOBS_EACH, MIRROR_LAG, MIRROR_LAST_REST, MIRROR_STALL,
    MIRROR_TRIES, MIRROR_WAIT, WORTH_A_TRY,
};

/// Bytes after which a mirror's pace says something.
const TELLING_BYTES: u64 = 64 << 10;

/// So many times slower than another one is a mirror that lags.
const LAGGARD: u64 = 4;

/// The number of a question.
pub type Job = u64;

/// What is remembered of mirrors from one transfer to the next.
#[derive(Debug, Clone, Default)]
pub struct Standings(Vec<Standing>);

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// Failures since it last brought something whole.
    failures: u32,
    rests_until: Option<Instant>,
    /// Bytes a second that it brought last.
    pace: Option<u64>,
}

impl Standing {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    fn failed(&mut self, now: Instant) {
        // What fails together is one failure.
        if self.rests(now) {
            return;
        }
        let rest = MIRROR_FIRST_REST * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(now + rest.min(MIRROR_LAST_REST));
    }
}

/// Why a mirror did not bring an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has no such object.
    Lacks,
    /// What it has is not the object.
    Lies,
    /// It could not be reached, broke off, or was too slow.
    Unwell,
    /// What several answers came to is not the object; whose fault it is
    /// cannot be said.
    Patchwork,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The object is whole.
    Whole,
    /// It was stopped.
    Stopped,
    /// It failed.
    Failed(Fault),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Ask a mirror for an object, from where the last answer ended.
    Ask {
        /// The number of the question.
        job: Job,
        /// The mirror, by its place in the list.
        place: usize,
        /// The object.
        wanted: Wanted,
    },
    /// Stop a question.
    Stop(Job),
}

#[derive(Debug)]
struct Object {
    len: u64,
    /// How often each mirror was asked for it and brought next to nothing;
    /// nothing for those that do not have it, or have something else.
    vain: Vec<Option<usize>>,
    /// The most bytes of a mirror's file that there have been.
    most: u64,
}

impl Object {
    /// Mirrors that may be asked for it, and how often each was in vain.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let vain = self.vain.iter().enumerate();
        vain.filter_map(|(place, vain)| vain.filter(|n| *n < MIRROR_TRIES).map(|n| (place, n)))
    }
}

#[derive(Debug)]
struct Asked {
    id: ContentId,
    place: usize,
    begun: Instant,
    moved: Instant,
    bytes: u64,
    grown: u64,
    stopped: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Roster {
    standings: Vec<Standing>,
    objects: BTreeMap<ContentId, Object>,
    queue: VecDeque<ContentId>,
    jobs: BTreeMap<Job, Asked>,
    next: Job,
    out: VecDeque<Output>,
}

impl Roster {
    /// So many mirrors, of which some are known from before, and the objects
    /// that are wanted, in order.
    #[must_use]
    pub fn new(mirrors: usize, known: Standings, wanted: &[Wanted]) -> Self {
        let mut standings = known.0;
        standings.resize(mirrors, Standing::default());
        let object = |wanted: &Wanted| {
            let object = Object { len: wanted.len, vain: vec![Some(0); mirrors], most: 0 };
            (wanted.id, object)
        };
        Self {
            standings,
            objects: wanted.iter().map(object).collect(),
            queue: wanted.iter().map(|wanted| wanted.id).collect(),
            jobs: BTreeMap::new(),
            next: 0,
            out: VecDeque::new(),
        }
    }

    /// What is to be remembered of the mirrors.
    #[must_use]
    pub fn standings(&self) -> Standings {
        Standings(self.standings.clone())
    }

    /// An object came by other means.
    pub fn arrived(&mut self, id: ContentId) {
        self.objects.remove(&id);
        for (job, asked) in self.jobs.iter_mut().filter(|(_, asked)| asked.id == id) {
            if !std::mem::replace(&mut asked.stopped, true) {
                self.out.push_back(Output::Stop(*job));
            }
        }
    }

    /// An answer goes on: so many bytes came, and so many are there of the
    /// file. Whether that is more than there ever was: what comes again and
    /// again, whatever becomes of it, is nothing new.
    pub fn moved(&mut self, now: Instant, job: Job, bytes: u64, reached: u64) -> bool {
        let Some(asked) = self.jobs.get_mut(&job) else { return false };
        asked.moved = now;
        asked.bytes = asked.bytes.saturating_add(bytes);
        let Some(object) = self.objects.get_mut(&asked.id) else { return false };
        let grown = reached.saturating_sub(object.most);
        object.most += grown;
        asked.grown = asked.grown.saturating_add(grown);
        grown > 0
    }

    /// A question has ended.
    pub fn ended(&mut self, now: Instant, job: Job, end: End) {
        let Some(asked) = self.jobs.remove(&job) else { return };
        let standing = &mut self.standings[asked.place];
        match end {
            End::Whole => {
                if asked.bytes >= TELLING_BYTES {
                    standing.pace = Some(asked.pace(now));
                }
                (standing.failures, standing.rests_until) = (0, None);
                self.objects.remove(&asked.id);
                return;
            }
            End::Failed(Fault::Unwell | Fault::Lies) => standing.failed(now),
            End::Failed(Fault::Lacks | Fault::Patchwork) | End::Stopped => {}
        }
        let Some(object) = self.objects.get_mut(&asked.id) else { return };
        match end {
            End::Failed(Fault::Lies | Fault::Lacks) => object.vain[asked.place] = None,
            // Whoever brings something and breaks off may be asked again.
            _ if asked.grown >= WORTH_A_TRY => {}
            _ => object.vain[asked.place].iter_mut().for_each(|vain| *vain += 1),
        }
        if object.places().next().is_none() {
            self.objects.remove(&asked.id);
        } else if matches!(end, End::Stopped) {
            self.queue.push_front(asked.id);
        } else {
            self.queue.push_back(asked.id);
        }
    }

    /// Whether mirrors may still bring something.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        !self.standings.is_empty() && !self.objects.is_empty()
    }

    /// The next thing to do, where mirrors may be asked for more.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        self.poll_stops(now).or_else(|| self.ask(now))
    }

    /// The next question to stop.
    pub fn poll_stops(&mut self, now: Instant) -> Option<Output> {
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        let late = |asked: &&Asked| self.is_late(now, asked) && self.could_another(now, asked);
        let (job, place) = self
            .jobs
            .iter()
            .find(|(_, asked)| late(asked))
            .map(|(job, asked)| (*job, asked.place))?;
        self.jobs.get_mut(&job)?.stopped = true;
        self.standings[place].failed(now);
        Some(Output::Stop(job))
    }

    /// When `poll` may have something to say though nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let asked = self.jobs.values().filter(|asked| !asked.stopped);
        let late = asked.flat_map(|asked| [asked.moved + MIRROR_STALL, asked.begun + MIRROR_LAG]);
        let rested = self.standings.iter().filter_map(|standing| standing.rests_until);
        late.chain(rested).filter(|at| *at > now).min()
    }

    fn ask(&mut self, now: Instant) -> Option<Output> {
        let load = self.load();
        if self.jobs.len() >= MIRROR_JOBS || load.iter().all(|jobs| *jobs >= MIRROR_JOBS_EACH) {
            return None;
        }
        let mut at = 0;
        while let Some(id) = self.queue.get(at).copied() {
            let Some(object) = self.objects.get(&id) else {
                // It came by other means.
                self.queue.remove(at);
                continue;
            };
            let Some(place) = self.choose(now, id, object, &load) else {
                at += 1;
                continue;
            };
            let wanted = Wanted { id, len: object.len };
            self.queue.remove(at);
            let (job, begun) = (self.next, now);
            self.next += 1;
            let moved = now;
            let asked = Asked { id, place, begun, moved, bytes: 0, grown: 0, stopped: false };
            self.jobs.insert(job, asked);
            return Some(Output::Ask { job, place, wanted });
        }
        None
    }

    /// The mirror to ask for an object; nothing if it is better to wait.
    fn choose(
        &self,
        now: Instant,
        id: ContentId,
        object: &Object,
        load: &[usize],
    ) -> Option<usize> {
        let (resting, awake): (Vec<_>, Vec<_>) =
            object.places().partition(|(place, _)| self.standings[*place].rests(now));
        let room = |place: &usize| load[*place] < MIRROR_JOBS_EACH;
        // Nobody twice in vain while another one has not been asked at all.
        if let Some(least) = awake.iter().map(|(_, vain)| *vain).min() {
            let fresh = awake.into_iter().filter(|(_, vain)| *vain == least);
            let mirrors = self.standings.len();
            // Objects begin at different mirrors.
            let first = usize::from(id.as_bytes()[0]) % mirrors;
            let turn = |place: usize| (place + mirrors - first) % mirrors;
            let fresh = fresh.map(|(place, _)| place).filter(room);
            return fresh.min_by_key(|place| (load[*place], turn(*place)));
        }
        let until = |place: &usize| self.standings[*place].rests_until;
        let soonest = resting.into_iter().map(|(place, _)| place).min_by_key(until)?;
        // Where no other is left, there is nothing to lose.
        let late = until(&soonest).is_some_and(|until| until > now + MIRROR_WAIT);
        (late && room(&soonest)).then_some(soonest)
    }

    fn load(&self) -> Vec<usize> {
        let mut load = vec![0; self.standings.len()];
        self.jobs.values().for_each(|asked| load[asked.place] += 1);
        load
    }

    fn is_late(&self, now: Instant, asked: &Asked) -> bool {
        if asked.stopped {
            return false;
        }
        let others = self
            .standings
            .iter()
            .enumerate()
            .filter(|(place, other)| *place != asked.place && !other.rests(now));
        let best = others.filter_map(|(_, other)| other.pace).max().unwrap_or(0);
        now >= asked.moved + MIRROR_STALL
            || (now >= asked.begun + MIRROR_LAG && asked.pace(now).saturating_mul(LAGGARD) < best)
    }

    /// Whether another mirror has room for what one was asked for.
    fn could_another(&self, now: Instant, asked: &Asked) -> bool {
        let load = self.load();
        self.objects.get(&asked.id).is_some_and(|object| {
            object.places().any(|(place, _)| {
                place != asked.place
                    && !self.standings[place].rests(now)
                    && load[place] < MIRROR_JOBS_EACH
            })
        })
    }
}

impl Asked {
    /// Bytes a second.
    fn pace(&self, now: Instant) -> u64 {
        let took = now.saturating_duration_since(self.begun).max(Duration::from_millis(1));
        let pace = u128::from(self.bytes) * 1000 / took.as_millis().max(1);
        u64::try_from(pace).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
