//! A line that is shared, told of as a machine would be.

use super::*;
use crate::dice::Dice;
use crate::testing::{epoch, seed};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A downlink of so many bytes a second, which we fill as far as we may.
struct Line {
    courtesy: Courtesy,
    now: Instant,
    capacity: f64,
    line: Passed,
    own: Passed,
    /// Bytes that passed and are not counted as ours yet.
    late: f64,
    dice: Dice,
}

impl Line {
    fn new(capacity: f64, seed: u64) -> Self {
        let courtesy = Courtesy::default();
        Self {
            courtesy,
            now: epoch(),
            capacity,
            line: Passed::default(),
            own: Passed::default(),
            late: 0.0,
            dice: Dice::new(seed),
        }
    }

    /// A tenth of a second in which somebody else would like to receive
    /// `wish` bytes a second and gets at least `share` of the line; what both
    /// received a second.
    fn tick(&mut self, wish: f64, share: f64) -> (f64, f64) {
        let allowed = self.courtesy.rates().down.map_or(f64::INFINITY, |rate| rate as f64);
        let ours = allowed.min(self.capacity - wish.min(self.capacity * share)).max(0.0);
        let theirs = wish.min(self.capacity - ours);
        self.now += 100 * MS;
        let passed = ours / 10.0 + self.late;
        // What came in the last few thousandths of a second is not read yet.
        self.late = ours * self.dice.below(LATENESS) as f64 / 1_000.0;
        let counted = (passed - self.late).max(0.0);
        self.late = passed - counted;
        self.own.received += counted as u64;
        self.line.received += ((ours + theirs) / 10.0) as u64;
        self.observe();
        (ours, theirs)
    }

    fn observe(&mut self) {
        self.courtesy.observe(Reading { at: self.now, line: self.line, own: self.own });
    }

    fn run(&mut self, time: Duration, wish: f64, share: f64) -> (f64, f64) {
        let ticks = (time.as_millis() / 100).max(1) as u32;
        let mut sums = (0.0, 0.0);
        for _ in 0..ticks {
            let (ours, theirs) = self.tick(wish, share);
            sums = (sums.0 + ours, sums.1 + theirs);
        }
        (sums.0 / f64::from(ticks), sums.1 / f64::from(ticks))
    }
}

/// How many milliseconds later bytes are counted as ours, at the most.
const LATENESS: u64 = 32;

/// 10 Mbit/s.
const LINE: f64 = 1_250_000.0;

#[test]
fn alone_on_the_line_nothing_is_held_back() {
    let first = seed(1);
    for seed in first..first + 50 {
        let mut line = Line::new(LINE, seed);
        for _ in 0..600 {
            line.tick(0.0, 0.5);
            assert!(!line.courtesy.yields(), "seed {seed}");
        }
        // Questions, names and keepalives are nobody's download.
        line.run(10 * SECOND, NOISE / 2.0, 0.5);
        assert_eq!(line.courtesy.rates(), Rates::default(), "seed {seed}");
    }
}

#[test]
fn what_waits_to_be_counted_is_nobody_elses() {
    let first = seed(9);
    for seed in first..first + 50 {
        let mut line = Line::new(LINE, seed);
        let mut waiting = 0.0;
        for _ in 0..300 {
            // It grows to as much as buffers take, and is counted all at once.
            line.now += 100 * MS;
            line.line.received += LINE as u64 / 10;
            waiting += LINE / 10.0;
            let left = line.dice.below(UNDER_WAY as u64) as f64;
            let counted = (waiting - left).max(0.0);
            waiting -= counted;
            line.own.received += counted as u64;
            line.observe();
            assert!(!line.courtesy.yields(), "seed {seed}");
        }
    }
}

#[test]
fn a_download_has_the_line_within_half_a_second() {
    let first = seed(2);
    for seed in first..first + 50 {
        let mut line = Line::new(LINE, seed);
        line.run(5 * SECOND, 0.0, 0.5);
        // It asks for all and would get a quarter.
        line.run(500 * MS, LINE, 0.25);
        assert!(line.courtesy.yields(), "seed {seed}");
        let (ours, theirs) = line.run(3 * SECOND, LINE, 0.25);
        assert!(theirs > LINE * 0.97 && ours > 10_000.0, "seed {seed}: {ours} {theirs}");
        let up = line.courtesy.rates().up.expect("what is sent makes way too");
        assert!(up as f64 <= LINE / 4.0, "seed {seed}: {up}");
    }
}

#[test]
fn once_they_have_gone_we_come_back_step_by_step() {
    let mut line = Line::new(LINE, seed(3));
    line.run(5 * SECOND, 0.0, 0.5);
    line.run(3 * SECOND, LINE, 0.25);
    let (ours, _) = line.run(SECOND, 0.0, 0.25);
    assert!(ours < LINE / 3.0, "at first it may only be a pause: {ours}");
    line.run(4 * SECOND, 0.0, 0.25);
    assert_eq!(line.courtesy.rates(), Rates::default());
}

#[test]
fn who_looks_rarely_comes_back_as_soon() {
    let mut line = Line::new(LINE, seed(10));
    line.run(5 * SECOND, 0.0, 0.5);
    line.run(3 * SECOND, LINE, 0.25);
    assert!(line.courtesy.yields());
    for _ in 0..6 {
        line.now += SECOND;
        line.observe();
    }
    assert_eq!(line.courtesy.rates(), Rates::default());
}

#[test]
fn beside_somebody_who_leaves_room_we_use_that_room() {
    // A film takes a quarter of the line.
    let mut line = Line::new(LINE, seed(4));
    line.run(5 * SECOND, 0.0, 0.5);
    line.run(30 * SECOND, LINE / 4.0, 0.5);
    let (ours, theirs) = line.run(10 * SECOND, LINE / 4.0, 0.5);
    assert!(ours > LINE / 3.0, "{ours}");
    assert!(theirs > LINE / 4.0 * 0.99, "{theirs}");
}

#[test]
fn somebody_who_takes_all_is_tried_less_and_less() {
    let mut line = Line::new(LINE, seed(5));
    line.run(5 * SECOND, 0.0, 0.5);
    line.run(SECOND, LINE, 0.25);
    let (ours, theirs) = line.run(300 * SECOND, LINE, 0.25);
    assert!(theirs > LINE * 0.96, "{theirs}");
    assert!(ours > 20_000.0, "never nothing: {ours}");
}

#[test]
fn a_download_that_was_there_first_is_not_disturbed() {
    let mut line = Line::new(LINE, seed(6));
    // We have nothing to fetch yet.
    for _ in 0..20 {
        line.now += 100 * MS;
        line.line.received += LINE as u64 / 10;
        line.observe();
    }
    let (_, theirs) = line.run(5 * SECOND, LINE, 0.25);
    assert!(theirs > LINE * 0.95, "{theirs}");
}

#[test]
fn who_moves_nothing_over_the_line_gives_no_way() {
    let mut line = Line::new(LINE, seed(8));
    // All that we exchange stays within this machine.
    for _ in 0..50 {
        line.now += 100 * MS;
        line.line.received += LINE as u64 / 10;
        line.observe();
        assert_eq!(line.courtesy.rates(), Rates::default());
    }
    // And once what we had to fetch is here, nobody need look at the line.
    line.run(3 * SECOND, LINE, 0.25);
    assert!(line.courtesy.yields());
    for _ in 0..100 {
        line.now += 100 * MS;
        line.line.received += LINE as u64 / 10;
        line.observe();
    }
    assert!(!line.courtesy.yields());
}

#[test]
fn counters_that_begin_anew_and_clocks_that_stand_still_mean_nothing() {
    let mut line = Line::new(LINE, seed(7));
    line.run(SECOND, 0.0, 0.5);
    // The clock stands still.
    line.line = Passed { received: u64::MAX, sent: u64::MAX };
    line.observe();
    line.now += 100 * MS;
    line.line = Passed::default();
    line.own = Passed::default();
    line.observe();
    line.run(3 * SECOND, 0.0, 0.5);
    assert!(!line.courtesy.yields());
}
