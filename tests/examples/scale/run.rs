//! One run in numbers: played, kept as a line of JSON, shown as a row.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use updraft_tests::scale::Plan;

/// Points of a curve, the percentages 0.5, 1.0 … 100.
const POINTS: usize = 200;

/// What came of a run.
pub(crate) struct Run {
    pub(crate) members: usize,
    kib: usize,
    seed: u64,
    bound: f64,
    /// After which time each half percent of the members has the update, in
    /// seconds; those that never got it are missing at the end.
    pub(crate) took: Vec<f64>,
    pub(crate) egress: f64,
    /// What of it was the update itself.
    pub(crate) egress_in_blocks: f64,
    pub(crate) frames: u64,
    most_frames: u64,
    /// Bytes that a member sent, in payloads.
    sent: f64,
    most_sent: f64,
    peers: u64,
    most_peers: u64,
    pub(crate) kb_a_member: u64,
    played: f64,
}

impl Run {
    /// The head of the table.
    pub(crate) const HEAD: &'static str = "| members | seed | bound, s | 50 %, s | 90 %, s | 99 %, s | all, s | seeder sent, payloads (of it blocks) | frames of a member, median (most) | it sent, payloads (most) | peers (most) | memory, KB a member | played in, s |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|";

    /// Plays one.
    pub(crate) fn play(members: usize, kib: usize, seed: u64, minutes: u64) -> Self {
        let patience = Duration::from_secs(60 * minutes);
        let plan = Plan { bytes: kib * 1024, patience, ..Plan::of(members, seed) };
        let begun = Instant::now();
        let outcome = plan.play();
        let took = outcome.took();
        let nth = |point: usize| (members * point).div_ceil(POINTS).max(1) - 1;
        let took = (1..=POINTS).map_while(|point| took.get(nth(point)).map(Duration::as_secs_f64));
        let took = took.collect();
        let (frames, most_frames) = outcome.typical(|share| share.parcels);
        let (sent, most_sent) = outcome.typical(|share| share.bytes);
        let (peers, most_peers) = outcome.typical(|share| share.peers as u64);
        let payloads = |bytes: u64| bytes as f64 / outcome.payload as f64;
        Self {
            members,
            kib,
            seed,
            bound: outcome.bound.as_secs_f64(),
            took,
            egress: outcome.egress(),
            egress_in_blocks: outcome.egress_in_blocks(),
            frames,
            most_frames,
            sent: payloads(sent),
            most_sent: payloads(most_sent),
            peers,
            most_peers,
            kb_a_member: most_resident_kb() / members as u64,
            played: begun.elapsed().as_secs_f64(),
        }
    }

    /// Whether it is the run of these.
    pub(crate) const fn is_of(&self, members: usize, kib: usize, seed: u64) -> bool {
        self.members == members && self.kib == kib && self.seed == seed
    }

    /// After how many seconds `percent` of the members have it.
    pub(crate) fn after(&self, percent: usize) -> Option<f64> {
        self.took.get(percent * POINTS / 100 - 1).copied()
    }

    /// Seconds and percentages, for a curve.
    pub(crate) fn curve(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let percent = |point: usize| 100.0 * (point + 1) as f64 / POINTS as f64;
        self.took.iter().enumerate().map(move |(point, at)| (*at, percent(point)))
    }

    /// As a line to keep.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "members": self.members,
            "kib": self.kib,
            "seed": self.seed,
            "bound_s": self.bound,
            "took_s": self.took,
            "egress": self.egress,
            "egress_in_blocks": self.egress_in_blocks,
            "frames": [self.frames, self.most_frames],
            "sent": [self.sent, self.most_sent],
            "peers": [self.peers, self.most_peers],
            "kb_a_member": self.kb_a_member,
            "played_s": self.played,
        })
    }

    /// From a line that was kept.
    pub(crate) fn of_json(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let missing = |name: &str| format!("a run without {name:?}");
        let number = |name: &str| value[name].as_u64().ok_or_else(|| missing(name));
        let real = |name: &str| value[name].as_f64().ok_or_else(|| missing(name));
        let pair = |name: &str| {
            let pair = (value[name][0].as_f64(), value[name][1].as_f64());
            pair.0.zip(pair.1).ok_or_else(|| missing(name))
        };
        let (frames, sent, peers) = (pair("frames")?, pair("sent")?, pair("peers")?);
        let took = value["took_s"].as_array().ok_or_else(|| missing("took_s"))?;
        Ok(Self {
            members: number("members")? as usize,
            kib: number("kib")? as usize,
            seed: number("seed")?,
            bound: real("bound_s")?,
            took: took.iter().filter_map(Value::as_f64).collect(),
            egress: real("egress")?,
            egress_in_blocks: real("egress_in_blocks")?,
            frames: frames.0 as u64,
            most_frames: frames.1 as u64,
            sent: sent.0,
            most_sent: sent.1,
            peers: peers.0 as u64,
            most_peers: peers.1 as u64,
            kb_a_member: number("kb_a_member")?,
            played: real("played_s")?,
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | {:.2} ", self.members, self.seed, self.bound)?;
        for percent in [50, 90, 99, 100] {
            match self.after(percent) {
                Some(after) => write!(f, "| {after:.2} ")?,
                None => write!(f, "| – ")?,
            }
        }
        let Self { egress, egress_in_blocks, frames, most_frames, .. } = self;
        let Self { sent, most_sent, peers, most_peers, .. } = self;
        write!(
            f,
            "| {egress:.1} ({egress_in_blocks:.1}) | {frames} ({most_frames}) | {sent:.2} ({most_sent:.0}) | {peers} ({most_peers}) | {} | {:.0} |",
            self.kb_a_member, self.played
        )
    }
}

/// The most memory that this process ever had, in KB.
fn most_resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}
