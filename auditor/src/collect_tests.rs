//! Each arrow of the drawing.

use manifest::audit::event::Event;
use manifest::audit::testing::SampleLog;
use manifest::testing::TestWorkgroup;

use super::*;

const PAUSE: Duration = Duration::from_secs(30);

struct Bench {
    now: Instant,
    collector: Collector,
}

impl Bench {
    fn new() -> Self {
        Self { now: Instant::now(), collector: Collector::new(PAUSE) }
    }

    fn came(&mut self, who: u64, kept: u64) {
        let log_key = TestWorkgroup::log_key(who).public();
        let installation = InstallationId::of(&log_key);
        let peer = peer(who);
        self.handle(Input::Came { peer, installation, log_key, kept });
    }

    fn handle(&mut self, input: Input) {
        self.collector.handle(self.now, input);
    }

    fn poll(&mut self) -> Option<Output> {
        self.collector.poll(self.now)
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Expects a request to machine `who` and says from which entry on.
    fn asked(&mut self, who: u64) -> u64 {
        match self.poll() {
            Some(Output::Ask { peer: to, installation: of, request }) => {
                assert_eq!((to, of), (peer(who), installation(who)));
                request.from
            }
            other => panic!("{other:?}"),
        }
    }

    /// Lets machine `who` answer with what it has of `log`.
    fn answered(&mut self, who: u64, from: u64, log: &SampleLog) {
        let request = LogRequest { from };
        let answer = LogAnswer::to(&request, log.checkpoint(), log.chain.size(), &log.lines);
        self.handle(Input::Answered { installation: installation(who), answer });
    }

    fn expect_judge(&mut self) -> Reading {
        match self.poll() {
            Some(Output::Judge { reading, .. }) => reading,
            other => panic!("{other:?}"),
        }
    }

    fn judged(&mut self, who: u64, outcome: Outcome) {
        self.handle(Input::Judged { installation: installation(who), outcome });
    }
}

fn peer(who: u64) -> PublicKey {
    TestWorkgroup::peer_key(who).public()
}

fn installation(who: u64) -> InstallationId {
    InstallationId::of(&TestWorkgroup::log_key(who).public())
}

fn log(who: u64) -> SampleLog {
    SampleLog::with_story(TestWorkgroup::log_key(who))
}

#[test]
fn the_first_reading_is_whole_and_later_ones_bring_what_is_new() {
    let mut bench = Bench::new();
    let mut log = log(1);
    bench.came(1, 12);
    assert_eq!(bench.asked(1), 0);
    bench.answered(1, 0, &log);
    assert_eq!(bench.expect_judge().lines, log.lines);
    bench.judged(1, Outcome::Kept { size: 12 });
    assert_eq!(bench.poll(), None);
    assert_eq!(bench.collector.next_deadline(), Some(bench.now + PAUSE));
    bench.later(30);
    assert_eq!(bench.asked(1), 12);
    log.append(Event::Stopped { reason: "done".into() });
    bench.answered(1, 12, &log);
    let reading = bench.expect_judge();
    assert_eq!((reading.from, reading.checkpoint), (12, log.checkpoint()));
    assert!(log.lines.ends_with(&reading.lines));
    assert_eq!(bench.collector.read_count(), 1);
}

#[test]
fn the_whole_log_is_read_again_after_a_day() {
    let mut bench = Bench::new();
    bench.came(1, 0);
    bench.asked(1);
    bench.answered(1, 0, &log(1));
    bench.expect_judge();
    bench.judged(1, Outcome::Kept { size: 12 });
    bench.later(24 * 60 * 60);
    assert_eq!(bench.asked(1), 0);
}

#[test]
fn a_long_log_is_asked_for_until_all_is_there() {
    let mut bench = Bench::new();
    let log = log(1);
    bench.came(1, 0);
    assert_eq!(bench.asked(1), 0);
    let whole = LogAnswer::to(&LogRequest { from: 0 }, log.checkpoint(), 12, &log.lines);
    let lines: Vec<&[u8]> = whole.lines.split_inclusive(|byte| *byte == b'\n').collect();
    let part = LogAnswer { lines: lines[..5].concat(), ..whole.clone() };
    bench.handle(Input::Answered { installation: installation(1), answer: part });
    assert_eq!(bench.asked(1), 5);
    bench.answered(1, 5, &log);
    assert_eq!(bench.expect_judge().lines, log.lines);
}

#[test]
fn one_that_promises_more_than_it_gives_is_judged_by_what_it_gives() {
    let mut bench = Bench::new();
    let log = log(1);
    bench.came(1, 0);
    bench.asked(1);
    let answer = LogAnswer { from: 0, checkpoint: log.checkpoint(), lines: Vec::new() };
    bench.handle(Input::Answered { installation: installation(1), answer });
    assert!(bench.expect_judge().lines.is_empty());
}

#[test]
fn what_does_not_fit_leads_to_a_whole_reading_at_once() {
    let mut bench = Bench::new();
    bench.came(1, 0);
    bench.asked(1);
    bench.answered(1, 0, &log(1));
    bench.expect_judge();
    bench.judged(1, Outcome::Kept { size: 12 });
    bench.later(30);
    assert_eq!(bench.asked(1), 12);
    bench.answered(1, 12, &log(1));
    bench.expect_judge();
    bench.judged(1, Outcome::Suspect);
    assert_eq!(bench.asked(1), 0);
    bench.answered(1, 0, &log(1));
    bench.expect_judge();
    bench.judged(1, Outcome::Accused);
    assert_eq!(bench.poll(), None);
    bench.later(30);
    assert_eq!(bench.asked(1), 0, "an accused log is read whole again");
}

#[test]
fn failures_are_paused_for_longer_and_longer() {
    let mut bench = Bench::new();
    bench.came(1, 0);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        bench.asked(1);
        bench.handle(Input::Failed { installation: installation(1) });
        let deadline = bench.collector.next_deadline().unwrap();
        pauses.push((deadline - bench.now).as_secs());
        bench.now = deadline;
    }
    assert_eq!(pauses[..4], [60, 120, 240, 480]);
    assert!(pauses[4..].iter().all(|pause| *pause == LONGEST_PAUSE.as_secs()), "{pauses:?}");
    assert_eq!(bench.collector.read_count(), 0);
}

#[test]
fn what_could_not_be_judged_is_read_again_later() {
    let mut bench = Bench::new();
    bench.came(1, 0);
    bench.asked(1);
    bench.answered(1, 0, &log(1));
    bench.expect_judge();
    bench.judged(1, Outcome::Unjudged);
    assert_eq!(bench.poll(), None);
    bench.later(60);
    assert_eq!(bench.asked(1), 0);
}

#[test]
fn one_that_went_is_asked_when_it_comes_again() {
    let mut bench = Bench::new();
    bench.came(1, 0);
    bench.asked(1);
    bench.handle(Input::Went { peer: peer(1) });
    assert_eq!((bench.poll(), bench.collector.next_deadline()), (None, None));
    // An answer that was under way when it went is too late.
    bench.answered(1, 0, &log(1));
    assert_eq!(bench.poll(), None);
    bench.came(1, 0);
    assert_eq!(bench.asked(1), 0);
}

#[test]
fn an_answer_to_another_question_counts_as_none() {
    let mut bench = Bench::new();
    bench.came(1, 0);
    bench.asked(1);
    bench.answered(1, 3, &log(1));
    assert_eq!(bench.poll(), None);
}

#[test]
fn only_so_many_logs_are_read_at_a_time() {
    let mut bench = Bench::new();
    let count = READINGS as u64 + 3;
    for who in 0..count {
        bench.came(who, 0);
    }
    let mut asked = Vec::new();
    while let Some(Output::Ask { installation, .. }) = bench.poll() {
        asked.push(installation);
    }
    assert_eq!(asked.len(), READINGS);
    let first = (0..count).find(|who| installation(*who) == asked[0]).unwrap();
    bench.answered(first, 0, &log(first));
    bench.expect_judge();
    assert_eq!(bench.poll(), None);
    bench.judged(first, Outcome::Kept { size: 12 });
    let Some(Output::Ask { installation, .. }) = bench.poll() else { panic!("a place is free") };
    assert!(!asked.contains(&installation));
}
