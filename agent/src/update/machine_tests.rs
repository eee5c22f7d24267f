//! Every arrow of the machine's drawing, and every restart.

use std::time::{Duration, Instant};

use manifest::audit::entry::Actor;
use manifest::audit::event::{Event, MetadataVersions, ReleaseRef, Traffic, Verdict};
use manifest::content::ContentId;
use manifest::name::ReleaseNumber;
use manifest::time::UnixTime;
use store::slots::SlotName;

use crate::limits::{PROBE_RESUMES, RESUMES, SWITCH_TRIES};
use crate::update::decision::{Decision, Offer};
use crate::update::machine::{Machine, RollBackError};
use crate::update::messages::{Input, Output};
use crate::update::schedule::Schedule;
use crate::update::state::{InSlot, Outcome, Phase, Purpose, Remembered};

const PERIOD: Duration = Duration::from_secs(600);
const WALL: UnixTime = UnixTime::from_seconds(1_800_000_000);

fn release(number: u64) -> ReleaseRef {
    ReleaseRef {
        version: format!("{number}.0").parse().unwrap(),
        number: ReleaseNumber(number),
        manifest: ContentId::of(&number.to_le_bytes()),
    }
}

fn slot(number: u64) -> SlotName {
    format!("{number}.0").parse().unwrap()
}

fn in_slot(number: u64) -> InSlot {
    InSlot::new(&release(number), slot(number))
}

fn install(number: u64) -> Input {
    let metadata = MetadataVersions { timestamp: number, ..MetadataVersions::default() };
    let key_ids = vec!["key".into()];
    let expires = Some(WALL);
    Input::Decided(Decision::Install(Offer {
        release: release(number),
        metadata,
        key_ids,
        expires,
        urgent: false,
    }))
}

fn staged(number: u64) -> Input {
    Input::Staged { slot: slot(number), traffic: Traffic { peers: 7, ..Traffic::default() } }
}

fn failed() -> Input {
    Input::Failed { reason: "the disk is full".to_owned() }
}

fn well() -> Input {
    Input::Probed { verdict: Verdict::Passed { seconds: 1 }, detail: String::new() }
}

fn ill() -> Input {
    let verdict = Verdict::Failed { exit_code: Some(3) };
    Input::Probed { verdict, detail: "no such library".to_owned() }
}

/// A machine, its clock and what it last told to keep.
struct Bench {
    machine: Machine,
    now: Instant,
    kept: Remembered,
}

impl Bench {
    fn start(kept: Remembered, current: Option<SlotName>) -> Self {
        let now = Instant::now();
        let schedule = Schedule::new(PERIOD, 7);
        let machine = Machine::start(kept.clone(), current.as_ref(), schedule, now, WALL);
        Self { machine, now, kept }
    }

    /// A machine that runs release 1, with release 0 before it.
    fn running() -> Self {
        let kept = Remembered {
            installed: Some(in_slot(1)),
            previous: Some(in_slot(9)),
            ..Remembered::default()
        };
        Self::start(kept, Some(slot(1)))
    }

    fn give(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(self.now, WALL, input);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        let outputs: Vec<_> = std::iter::from_fn(|| self.machine.poll()).collect();
        for output in &outputs {
            if let Output::Keep(kept) = output {
                self.kept = (**kept).clone();
            }
        }
        outputs
    }

    fn state(&self) -> &'static str {
        self.machine.state_name()
    }

    /// The process ends here, and another starts from what was kept.
    fn restart(&mut self, current: Option<SlotName>) -> Vec<Output> {
        *self = Self::start(self.kept.clone(), current);
        self.outputs()
    }

    /// Leads to a state by the shortest way.
    fn to(mut self, state: &str) -> Self {
        let inputs =
            [Input::Check, install(2), Input::Planned { wire_bytes: 5 }, Input::Fetched, staged(2)];
        for input in inputs.into_iter().chain([Input::Switched, ill()]) {
            if self.state() == state {
                return self;
            }
            self.give(input);
        }
        assert_eq!(self.state(), state);
        self
    }

    fn wait(&self) -> Duration {
        self.machine.next_deadline().expect("it waits") - self.now
    }

    fn tick(&mut self) -> Vec<Output> {
        self.now = self.machine.next_deadline().expect("it waits");
        self.give(Input::Tick)
    }
}

/// The kinds of the entries, those that come with a switch too.
fn events(outputs: &[Output]) -> Vec<&str> {
    let entries = outputs.iter().filter_map(|output| match output {
        Output::Record { event, .. } | Output::Switch { entry: event, .. } => Some(event.kind()),
        _ => None,
    });
    entries.collect()
}

#[test]
fn at_the_start_it_looks_at_once_and_later_when_the_time_has_come() {
    let mut bench = Bench::running();
    assert_eq!(bench.state(), "idle");
    assert_eq!(bench.tick(), [Output::Refresh]);
    bench.give(Input::Decided(Decision::UpToDate));
    assert!(bench.give(Input::Tick).is_empty(), "it is too early");
    assert_eq!(bench.tick(), [Output::Refresh]);
}

#[test]
fn the_owner_or_a_hint_makes_it_look_now() {
    assert_eq!(Bench::running().give(Input::Check), [Output::Refresh]);
}

#[test]
fn with_nothing_to_do_it_rests_for_about_a_period() {
    let mut bench = Bench::running().to("refreshing");
    bench.give(Input::Decided(Decision::UpToDate));
    assert_eq!(bench.state(), "idle");
    assert!(bench.wait() > PERIOD / 2);
    assert!(bench.kept.last_check.as_ref().unwrap().ok);
}

#[test]
fn a_failed_refresh_is_tried_again_sooner_and_then_later() {
    let mut bench = Bench::running().to("refreshing");
    bench.give(failed());
    let first = bench.wait();
    assert!(first < PERIOD / 2);
    assert!(!bench.kept.last_check.as_ref().unwrap().ok);
    for _ in 0..5 {
        bench.tick();
        bench.give(failed());
    }
    assert!(bench.wait() > first * 2);
}

#[test]
fn an_offered_release_is_planned_on_the_base_of_what_is_installed() {
    let mut bench = Bench::running().to("refreshing");
    let outputs = bench.give(install(2));
    let plan = Output::Plan { release: release(2), base: Some(in_slot(1)) };
    assert_eq!(outputs.last(), Some(&plan));
    assert!(matches!(outputs[0], Output::Keep(_)), "what begins is kept first");
    assert_eq!(bench.kept.attempt.as_ref().unwrap().phase, Phase::Preparing);
}

#[test]
fn an_announced_release_is_planned_without_asking_again() {
    let mut bench = Bench::running();
    bench.give(install(2));
    assert_eq!(bench.state(), "planning");
}

#[test]
fn the_way_from_a_plan_to_a_commit() {
    let mut bench = Bench::running().to("planning");
    let outputs = bench.give(Input::Planned { wire_bytes: 5 });
    assert_eq!((events(&outputs), outputs.last()), (vec!["began"], Some(&Output::Fetch)));
    assert_eq!(bench.give(Input::Fetched), [Output::Stage]);
    let outputs = bench.give(staged(2));
    assert_eq!(events(&outputs), ["staged", "switching"]);
    assert!(matches!(outputs[1], Output::Keep(_)), "kept before it is switched");
    assert!(matches!(&outputs[2], Output::Switch { to: Some(to), .. } if *to == slot(2)));
    assert_eq!(bench.kept.traffic.peers, 7);
    let outputs = bench.give(Input::Switched);
    assert_eq!(outputs.last(), Some(&Output::Probe(in_slot(2))));
    assert_eq!(bench.kept.attempt.as_ref().unwrap().phase, Phase::Probing { slot: slot(2) });
    let outputs = bench.give(well());
    assert_eq!(events(&outputs), ["committed"]);
    assert!(matches!(outputs[0], Output::Record { .. }), "told before it is kept");
    assert_eq!(outputs.last(), Some(&Output::Prune { keep: vec![slot(2), slot(1)] }));
    assert_eq!(bench.state(), "idle");
    assert_eq!(bench.kept.installed, Some(in_slot(2)));
    assert_eq!(bench.kept.previous, Some(in_slot(1)));
    assert_eq!(bench.kept.attempt, None);
    assert_eq!(bench.kept.last_check.as_ref().unwrap().outcome, "2.0 (#2) was installed");
}

#[test]
fn what_was_verified_may_be_finished_for_a_day_after_its_metadata_ended() {
    for (hours, state) in [(23, "switching"), (25, "idle")] {
        let mut bench = Bench::running().to("staging");
        let late = WALL.after(Duration::from_secs(hours * 3600));
        bench.machine.handle(bench.now, late, staged(2));
        let outputs = bench.outputs();
        assert_eq!(bench.state(), state);
        assert_eq!(events(&outputs).contains(&"failed"), state == "idle");
        assert_eq!(bench.kept.installed, Some(in_slot(1)));
    }
}

#[test]
fn a_failure_before_the_switch_changes_nothing_and_is_tried_later() {
    for state in ["planning", "transferring", "staging"] {
        let mut bench = Bench::running().to(state);
        let outputs = bench.give(failed());
        assert_eq!(events(&outputs), ["failed"], "{state}");
        assert_eq!(outputs.last(), Some(&Output::Discard), "{state}");
        assert_eq!(bench.state(), "idle");
        assert_eq!(bench.kept.installed, Some(in_slot(1)));
        let last = bench.kept.last_update.clone().unwrap();
        assert_eq!(last.outcome, Outcome::Failed);
        assert!(last.reason.unwrap().starts_with(state));
        assert!(bench.kept.bad.is_empty(), "the release is not to blame");
        assert_eq!(bench.tick(), [Output::Refresh], "{state}");
    }
}

#[test]
fn a_failed_switch_is_tried_again_and_at_last_undone() {
    let mut bench = Bench::running().to("switching");
    for _ in 1..SWITCH_TRIES {
        assert!(bench.give(failed()).is_empty());
        let outputs = bench.tick();
        assert!(
            matches!(outputs.last(), Some(Output::Switch { to: Some(to), .. }) if *to == slot(2))
        );
    }
    let outputs = bench.give(failed());
    assert_eq!(bench.state(), "rolling-back");
    assert!(matches!(outputs.last(), Some(Output::Switch { to: Some(to), .. }) if *to == slot(1)));
}

#[test]
fn an_ill_release_is_left_and_remembered() {
    for verdict in [
        Verdict::Failed { exit_code: Some(3) },
        Verdict::TimedOut { seconds: 2 },
        Verdict::NotStarted { reason: "no sh".into() },
    ] {
        let mut bench = Bench::running().to("probing");
        let outputs = bench.give(Input::Probed { verdict, detail: String::new() });
        assert_eq!(bench.state(), "rolling-back");
        assert!(bench.kept.bad(release(2).manifest).is_some(), "kept before it is left");
        let last = outputs.last();
        assert!(matches!(last, Some(Output::Switch { to: Some(to), .. }) if *to == slot(1)));
        let outputs = bench.give(Input::RolledBack);
        assert_eq!(events(&outputs), ["rolled-back"]);
        assert_eq!(outputs.last(), Some(&Output::Prune { keep: vec![slot(1), slot(9)] }));
        assert_eq!(bench.kept.installed, Some(in_slot(1)));
        assert_eq!(bench.kept.previous, Some(in_slot(9)));
        assert_eq!(bench.kept.last_update.as_ref().unwrap().outcome, Outcome::RolledBack);
    }
}

#[test]
fn a_probe_that_could_not_be_run_is_run_later_and_blames_nobody() {
    let mut bench = Bench::running().to("probing");
    assert!(bench.give(failed()).is_empty());
    let outputs = bench.tick();
    assert_eq!(outputs.last(), Some(&Output::Probe(in_slot(2))));
    assert!(bench.kept.bad.is_empty());
}

#[test]
fn a_first_release_that_is_ill_leaves_nothing_running() {
    let mut bench = Bench::start(Remembered::default(), None).to("probing");
    let outputs = bench.give(ill());
    assert!(matches!(outputs.last(), Some(Output::Switch { to: None, .. })));
    bench.give(Input::RolledBack);
    assert_eq!(bench.kept.installed, None);
}

#[test]
fn a_failed_rollback_is_tried_for_ever() {
    let mut bench = Bench::running().to("rolling-back");
    for _ in 0..50 {
        bench.give(failed());
        let outputs = bench.tick();
        assert!(
            matches!(outputs.last(), Some(Output::Switch { to: Some(to), .. }) if *to == slot(1))
        );
    }
}

#[test]
fn why_a_release_is_withheld_is_told_once() {
    let withheld = |reason: &str| {
        Input::Decided(Decision::Withheld { release: release(2), reason: reason.to_owned() })
    };
    let mut bench = Bench::running().to("refreshing");
    assert_eq!(events(&bench.give(withheld("it failed before"))), ["deferred"]);
    bench.tick();
    assert!(events(&bench.give(withheld("it failed before"))).is_empty());
    bench.restart(Some(slot(1)));
    assert!(events(&bench.give(withheld("it failed before"))).is_empty());
    assert_eq!(events(&bench.give(withheld("it is on hold"))), ["deferred"]);
}

#[test]
fn news_during_an_update_are_looked_at_after_it() {
    for news in [Input::Check, install(3)] {
        let mut bench = Bench::running().to("staging");
        bench.give(news);
        assert_eq!(bench.state(), "staging");
        bench.give(staged(2));
        bench.give(Input::Switched);
        bench.give(well());
        assert_eq!(bench.wait(), Duration::ZERO);
    }
}

#[test]
fn a_release_that_is_fetched_makes_way_for_the_one_that_is_offered() {
    for state in ["planning", "transferring"] {
        let mut bench = Bench::running().to(state);
        let outputs = bench.give(install(3));
        assert_eq!(events(&outputs), ["failed"]);
        let plan = Output::Plan { release: release(3), base: Some(in_slot(1)) };
        let at = |wanted: &Output| outputs.iter().position(|output| output == wanted);
        assert!(at(&Output::Discard).unwrap() < at(&plan).unwrap(), "its jobs end first");
        let update = bench.kept.last_update.as_ref().unwrap();
        assert_eq!(update.release, release(2));
        assert!(update.reason.as_ref().unwrap().ends_with("3.0 (#3) is offered instead"));
        assert_eq!(bench.state(), "planning");
        assert!(bench.kept.bad.is_empty());
    }
}

#[test]
fn what_the_vendor_took_back_is_not_fetched_any_further() {
    let withheld = Decision::Withheld { release: release(3), reason: "it failed".into() };
    for decision in [Decision::UpToDate, Decision::NothingOffered, withheld] {
        let mut bench = Bench::running().to("transferring");
        let outputs = bench.give(Input::Decided(decision));
        assert!(outputs.contains(&Output::Discard));
        assert_eq!((bench.state(), bench.kept.attempt.as_ref()), ("idle", None));
        assert!(bench.wait() > PERIOD / 2);
    }
}

#[test]
fn a_release_that_turns_out_to_close_a_hole_is_urgent_from_then_on() {
    let mut bench = Bench::running().to("transferring");
    assert!(!bench.machine.is_urgent());
    let Input::Decided(Decision::Install(mut offer)) = install(2) else { unreachable!() };
    offer.urgent = true;
    assert!(bench.give(Input::Decided(Decision::Install(offer))).is_empty());
    assert!(bench.machine.is_urgent());
    assert_eq!(bench.state(), "transferring");
}

#[test]
fn something_newer_is_looked_for_beside_a_release_that_takes_long() {
    let mut bench = Bench::running().to("planning");
    assert!(bench.give(Input::Tick).is_empty(), "it is too early");
    assert_eq!(bench.tick(), [Output::Look]);
    assert!(bench.give(Input::Check).is_empty(), "that is being done");
    bench.give(Input::Planned { wire_bytes: 5 });
    assert!(bench.give(Input::Unchanged).is_empty());
    assert_eq!(bench.state(), "transferring");
    assert_eq!(bench.give(Input::Check), [Output::Look]);
    assert!(bench.give(install(2)).is_empty());
    assert_eq!(bench.tick(), [Output::Look]);
    assert_eq!(bench.give(Input::Fetched), [Output::Stage]);
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn a_repair_is_finished_before_anything_else() {
    let mut bench = Bench::running();
    bench.give(Input::Damaged);
    assert!(bench.give(install(2)).is_empty());
    assert_eq!(bench.kept.attempt.as_ref().unwrap().errand.purpose, Purpose::Repair);
    bench.give(Input::Planned { wire_bytes: 5 });
    bench.give(Input::Fetched);
    bench.give(staged(1));
    bench.give(Input::Switched);
    bench.give(well());
    assert_eq!(bench.wait(), Duration::ZERO);
}

#[test]
fn damage_is_repaired_by_installing_afresh_without_losing_the_release_before() {
    let mut bench = Bench::running();
    let outputs = bench.give(Input::Damaged);
    let plan = Output::Plan { release: release(1), base: Some(in_slot(1)) };
    assert_eq!(outputs.last(), Some(&plan));
    bench.give(Input::Planned { wire_bytes: 5 });
    bench.give(Input::Fetched);
    let fresh: SlotName = "1.0@1".parse().unwrap();
    bench.give(Input::Staged { slot: fresh.clone(), traffic: Traffic::default() });
    bench.give(Input::Switched);
    // Even if the probe fails: what stood there before was worse.
    let outputs = bench.give(ill());
    assert_eq!(events(&outputs), ["committed"]);
    assert_eq!(bench.kept.installed.as_ref().unwrap().slot, fresh);
    assert_eq!(bench.kept.previous, Some(in_slot(9)));
    assert!(bench.kept.bad.is_empty());
}

#[test]
fn without_a_release_there_is_nothing_to_repair() {
    let mut bench = Bench::start(Remembered::default(), None);
    assert!(bench.give(Input::Damaged).is_empty());
    assert_eq!(bench.state(), "idle");
}

#[test]
fn the_owner_goes_back_and_the_release_left_is_not_installed_again() {
    let mut bench = Bench::running();
    bench.machine.roll_back_for_owner(WALL, 1000).unwrap();
    let outputs = bench.outputs();
    let owner = Actor::Owner { uid: 1000 };
    let last = outputs.last();
    assert!(
        matches!(last, Some(Output::Switch { to: Some(to), by, .. }) if *to == slot(9) && *by == owner)
    );
    let outputs = bench.give(Input::RolledBack);
    assert!(
        matches!(&outputs[0], Output::Record { by, event: Event::RolledBack { .. } } if *by == owner)
    );
    assert_eq!(bench.kept.installed, Some(in_slot(9)));
    assert_eq!(bench.kept.previous, None);
    assert!(bench.kept.bad(release(1).manifest).is_some());
    assert_eq!(bench.machine.roll_back_for_owner(WALL, 0), Err(RollBackError::NoPrevious));
}

#[test]
fn the_owner_cannot_go_back_in_the_midst_of_an_update() {
    let mut bench = Bench::running().to("staging");
    let refused = bench.machine.roll_back_for_owner(WALL, 0);
    assert_eq!(refused, Err(RollBackError::Busy { state: "staging" }));
    assert_eq!(bench.state(), "staging");
}

#[test]
fn a_pardoned_release_is_no_longer_bad() {
    let mut bench = Bench::running().to("rolling-back");
    bench.give(Input::RolledBack);
    bench.machine.pardon_all();
    bench.outputs();
    assert!(bench.kept.bad.is_empty());
}

#[test]
fn a_restart_while_preparing_plans_again() {
    for state in ["planning", "transferring", "staging"] {
        let mut bench = Bench::running().to(state);
        let outputs = bench.restart(Some(slot(1)));
        assert_eq!(events(&outputs), ["recovered"], "{state}");
        assert!(
            matches!(outputs.last(), Some(Output::Plan { release, .. }) if *release == self::release(2))
        );
        assert_eq!(bench.kept.attempt.as_ref().unwrap().resumes, 1);
    }
}

#[test]
fn a_restart_before_the_switch_switches_and_one_after_it_probes() {
    let mut bench = Bench::running().to("switching");
    let outputs = bench.restart(Some(slot(1)));
    assert_eq!(events(&outputs), ["recovered", "switching"]);
    let mut bench = Bench::running().to("switching");
    let outputs = bench.restart(Some(slot(2)));
    assert_eq!(outputs.last(), Some(&Output::Probe(in_slot(2))));
}

#[test]
fn a_restart_while_probing_probes_again_and_while_rolling_back_rolls_back() {
    let mut bench = Bench::running().to("probing");
    let outputs = bench.restart(Some(slot(2)));
    assert_eq!(outputs.last(), Some(&Output::Probe(in_slot(2))));
    let mut bench = Bench::running().to("rolling-back");
    let outputs = bench.restart(Some(slot(2)));
    assert!(matches!(outputs.last(), Some(Output::Switch { to: Some(to), .. }) if *to == slot(1)));
    assert!(bench.kept.bad(release(2).manifest).is_some());
}

#[test]
fn a_release_that_brings_the_agent_down_is_left() {
    let mut bench = Bench::running().to("probing");
    for _ in 0..PROBE_RESUMES {
        bench.restart(Some(slot(2)));
        assert_eq!(bench.state(), "probing");
    }
    bench.restart(Some(slot(2)));
    assert_eq!(bench.state(), "rolling-back");
    assert!(bench.kept.bad(release(2).manifest).is_some());
}

#[test]
fn what_is_prepared_in_vain_for_ever_has_to_wait_and_is_not_to_blame() {
    let mut bench = Bench::running().to("transferring");
    for _ in 0..RESUMES {
        bench.restart(Some(slot(1)));
        assert_eq!(bench.state(), "planning");
    }
    bench.restart(Some(slot(1)));
    assert_eq!(bench.state(), "idle");
    assert!(bench.wait() > Duration::ZERO);
    assert!(bench.kept.bad.is_empty(), "somebody may just have pulled the plug");
}

#[test]
fn a_late_answer_changes_nothing() {
    let answers = || {
        [Input::Planned { wire_bytes: 1 }, Input::Fetched, staged(2), Input::Switched, well()]
            .into_iter()
            .chain([ill(), Input::RolledBack, failed(), Input::Damaged, Input::Tick])
    };
    let mut bench = Bench::running().to("refreshing");
    bench.give(Input::Decided(Decision::UpToDate));
    for answer in answers().filter(|answer| *answer != Input::Damaged) {
        assert!(bench.give(answer.clone()).is_empty(), "{answer:?}");
        assert_eq!(bench.state(), "idle");
    }
    for state in ["transferring", "staging", "switching", "probing"] {
        for answer in [Input::Planned { wire_bytes: 1 }, Input::RolledBack, Input::Damaged] {
            let mut bench = Bench::running().to(state);
            assert!(bench.give(answer).is_empty());
            assert_eq!(bench.state(), state);
        }
    }
}

#[test]
fn a_repair_names_itself_in_what_is_kept() {
    let mut bench = Bench::running();
    bench.give(Input::Damaged);
    let attempt = bench.kept.attempt.as_ref().unwrap();
    assert_eq!((attempt.errand.purpose, &attempt.errand.release), (Purpose::Repair, &release(1)));
}
