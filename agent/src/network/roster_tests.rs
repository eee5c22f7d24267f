//! Mirrors that lack, lie, lag, stand still and come back, on simulated time.

use std::collections::BTreeSet;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn objects(count: u8) -> Vec<Wanted> {
    (0..count).map(|n| Wanted { id: ContentId::of(&[n]), len: 1 << 20 }).collect()
}

fn roster(mirrors: usize, wanted: &[Wanted]) -> Roster {
    Roster::new(mirrors, Standings::default(), wanted)
}

/// Everything that is asked now: question, mirror and object.
fn asked(roster: &mut Roster, now: Instant) -> Vec<(Job, usize, ContentId)> {
    std::iter::from_fn(|| roster.poll(now))
        .map(|output| match output {
            Output::Ask { job, place, wanted } => (job, place, wanted.id),
            Output::Stop(job) => panic!("{job} was stopped"),
        })
        .collect()
}

#[test]
fn several_mirrors_are_asked_at_a_time_and_none_for_much() {
    let now = Instant::now();
    let mut one = roster(1, &objects(20));
    assert_eq!(asked(&mut one, now).len(), MIRROR_JOBS_EACH);
    let mut three = roster(3, &objects(20));
    let all = asked(&mut three, now);
    assert_eq!(all.len(), MIRROR_JOBS);
    let at = |place| all.iter().filter(|(_, at, _)| *at == place).count();
    assert!((0..3).all(|place| (2..=3).contains(&at(place))), "{all:?}");
    // As one ends, the next begins where there is room.
    three.ended(now, all[0].0, End::Whole);
    assert_eq!(asked(&mut three, now)[0].1, all[0].1);
}

#[test]
fn no_mirror_means_nothing_to_ask() {
    let mut roster = roster(0, &objects(3));
    assert_eq!(roster.poll(Instant::now()), None);
    assert!(!roster.is_asking());
}

#[test]
fn an_object_that_one_mirror_lacks_is_had_from_another() {
    let now = Instant::now();
    let mut roster = roster(3, &objects(1));
    let mut places = BTreeSet::new();
    for _ in 0..3 {
        let (job, place, _) = asked(&mut roster, now)[0];
        places.insert(place);
        roster.ended(now, job, End::Failed(Fault::Lacks));
    }
    assert_eq!(places.len(), 3);
    // All lack it: nothing is left to ask, and nobody is worse for it.
    assert!(!roster.is_asking() && roster.poll(now).is_none());
    assert!(roster.standings.iter().all(|standing| !standing.rests(now)));
}

#[test]
fn a_mirror_that_fails_rests_for_longer_each_time_and_is_well_once_it_helps() {
    let mut now = Instant::now();
    let mut rests = Vec::new();
    let mut known = Standings::default();
    for _ in 0..12 {
        let mut roster = Roster::new(1, known, &objects(1));
        let (job, ..) = asked(&mut roster, now)[0];
        roster.ended(now, job, End::Failed(Fault::Unwell));
        let until = roster.standings[0].rests_until.unwrap();
        rests.push(until - now);
        now = until;
        known = roster.standings();
    }
    assert_eq!(rests[..3], [MIRROR_FIRST_REST, MIRROR_FIRST_REST * 2, MIRROR_FIRST_REST * 4]);
    assert_eq!(rests[11], MIRROR_LAST_REST);
    let mut roster = Roster::new(1, known, &objects(1));
    let (job, ..) = asked(&mut roster, now)[0];
    roster.ended(now, job, End::Whole);
    assert_eq!((roster.standings[0].failures, roster.is_asking()), (0, false));
}

#[test]
fn what_fails_together_is_one_failure() {
    let now = Instant::now();
    let mut roster = roster(1, &objects(9));
    for (job, ..) in asked(&mut roster, now) {
        roster.ended(now, job, End::Failed(Fault::Unwell));
    }
    assert_eq!(roster.standings[0].rests_until, Some(now + MIRROR_FIRST_REST));
    // It is let alone until then, and asked again.
    assert_eq!(roster.poll(now), None);
    assert_eq!(roster.next_deadline(now), Some(now + MIRROR_FIRST_REST));
    assert_eq!(asked(&mut roster, now + MIRROR_FIRST_REST).len(), MIRROR_JOBS_EACH);
}

#[test]
fn a_mirror_that_rests_is_asked_only_if_no_other_is_left() {
    let now = Instant::now();
    let mut known = vec![Standing::default(); 2];
    known[0] = Standing { failures: 9, rests_until: Some(now + MIRROR_LAST_REST), pace: None };
    let mut roster = Roster::new(2, Standings(known), &objects(1));
    let (job, place, _) = asked(&mut roster, now)[0];
    assert_eq!(place, 1);
    roster.ended(now, job, End::Failed(Fault::Lacks));
    assert_eq!(asked(&mut roster, now)[0].1, 0);
}

#[test]
fn every_mirror_is_asked_again_before_an_object_is_given_up() {
    let mut now = Instant::now();
    let mut roster = roster(3, &objects(1));
    let mut places = Vec::new();
    while roster.is_asking() {
        match roster.poll(now) {
            Some(Output::Ask { job, place, .. }) => {
                places.push(place);
                roster.ended(now, job, End::Failed(Fault::Unwell));
            }
            Some(Output::Stop(job)) => panic!("{job} was stopped"),
            None => now = roster.next_deadline(now).expect("somebody wakes up"),
        }
    }
    assert_eq!(places.len(), 3 * MIRROR_TRIES);
    assert!((0..3).all(|place| places.iter().filter(|p| **p == place).count() >= 1), "{places:?}");
}

#[test]
fn whoever_breaks_off_again_and_again_but_brings_something_is_not_given_up() {
    let mut now = Instant::now();
    let mut roster = roster(1, &objects(1));
    for n in 1..=50 {
        let (job, ..) = asked(&mut roster, now)[0];
        assert!(roster.moved(now, job, 100_000, n * WORTH_A_TRY));
        roster.ended(now, job, End::Failed(Fault::Unwell));
        assert!(roster.is_asking());
        now += MIRROR_LAST_REST;
    }
    // The same bytes again and again are nothing.
    for _ in 0..MIRROR_TRIES {
        let (job, ..) = asked(&mut roster, now)[0];
        assert!(!roster.moved(now, job, 100_000, 50 * WORTH_A_TRY));
        roster.ended(now, job, End::Failed(Fault::Unwell));
        now += MIRROR_LAST_REST;
    }
    assert!(!roster.is_asking());
}

#[test]
fn an_object_is_taken_from_a_mirror_that_stands_still() {
    let begun = Instant::now();
    let mut roster = roster(2, &objects(1));
    let (job, place, id) = asked(&mut roster, begun)[0];
    roster.moved(begun + SECOND, job, 500_000, 500_000);
    let late = begun + SECOND + MIRROR_STALL;
    assert_eq!(roster.next_deadline(begun + MIRROR_LAG), Some(late));
    assert_eq!(roster.poll(late - SECOND / 10), None);
    assert_eq!(roster.poll(late), Some(Output::Stop(job)));
    assert_eq!(roster.poll(late), None, "once is enough");
    roster.ended(late, job, End::Stopped);
    let (_, other, again) = asked(&mut roster, late)[0];
    assert_eq!((other, again), (1 - place, id));
}

#[test]
fn a_mirror_that_stands_still_is_waited_for_if_it_is_the_only_one() {
    let begun = Instant::now();
    let mut roster = roster(2, &objects(1));
    let (job, ..) = asked(&mut roster, begun)[0];
    roster.ended(begun, job, End::Failed(Fault::Lacks));
    let (_, place, _) = asked(&mut roster, begun)[0];
    assert_eq!(roster.poll(begun + 10 * MIRROR_STALL), None);
    assert!(!roster.standings[place].rests(begun + 10 * MIRROR_STALL));
}

#[test]
fn an_object_is_taken_from_a_mirror_that_lags_far_behind_another() {
    let begun = Instant::now();
    let mut roster = roster(2, &objects(2));
    let both = asked(&mut roster, begun);
    assert_ne!(both[0].1, both[1].1);
    let (quick, slow) = (both[0].0, both[1].0);
    roster.moved(begun + SECOND, quick, 1_000_000, 1_000_000);
    roster.ended(begun + SECOND, quick, End::Whole);
    // A quarter of the other's pace is good enough, less is not.
    roster.moved(begun + MIRROR_LAG, slow, 250_000 * MIRROR_LAG.as_secs(), 1);
    assert_eq!(roster.poll(begun + MIRROR_LAG), None);
    let later = begun + MIRROR_LAG + SECOND;
    roster.moved(later, slow, 10_000, 1);
    assert_eq!(roster.poll(later), Some(Output::Stop(slow)));
}

#[test]
fn what_comes_by_other_means_is_asked_for_no_more() {
    let now = Instant::now();
    let mut roster = roster(1, &objects(6));
    let all = asked(&mut roster, now);
    let (running, waiting) = (all[0].2, objects(6)[5].id);
    roster.arrived(running);
    roster.arrived(waiting);
    assert_eq!(roster.poll(now), Some(Output::Stop(all[0].0)));
    roster.ended(now, all[0].0, End::Stopped);
    let next = asked(&mut roster, now);
    assert_eq!(next.len(), 1);
    assert!(next[0].2 != waiting && next[0].2 != running);
    for (job, ..) in all.into_iter().skip(1).chain(next) {
        roster.ended(now, job, End::Whole);
    }
    assert!(!roster.is_asking());
}

#[test]
fn a_liar_is_not_asked_for_that_object_again() {
    let now = Instant::now();
    let mut roster = roster(2, &objects(1));
    let (job, liar, _) = asked(&mut roster, now)[0];
    roster.ended(now, job, End::Failed(Fault::Lies));
    let (job, other, _) = asked(&mut roster, now)[0];
    assert_ne!(liar, other);
    roster.ended(now, job, End::Failed(Fault::Patchwork));
    // Whose fault the patchwork was nobody knows.
    assert!(roster.standings[liar].rests(now) && !roster.standings[other].rests(now));
    assert_eq!(asked(&mut roster, now + MIRROR_LAST_REST)[0].1, other);
}

/// Mirrors of random conduct, of which one is honest: every object comes.
#[test]
fn one_honest_mirror_among_any_others_is_enough() {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => 1_u64,
    };
    for seed in seed..seed + 200 {
        let mut state = seed;
        let mut roll = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mirrors = 1 + roll(5) as usize;
        let honest = roll(mirrors as u64) as usize;
        let wanted = objects(30);
        let mut roster = roster(mirrors, &wanted);
        let (begun, mut now) = (Instant::now(), Instant::now());
        let mut open: Vec<(Job, usize, Instant)> = Vec::new();
        let mut whole = 0;
        while roster.is_asking() {
            while let Some(output) = roster.poll(now) {
                match output {
                    Output::Ask { job, place, .. } => open.push((job, place, now)),
                    Output::Stop(job) => {
                        open.retain(|(other, ..)| *other != job);
                        roster.ended(now, job, End::Stopped);
                    }
                }
            }
            now += SECOND / 2;
            assert!(now < begun + 3_600 * SECOND, "seed {seed}: no end");
            for (job, place, since) in std::mem::take(&mut open) {
                let end = match (place == honest, roll(6)) {
                    (true, _) => Some(End::Whole),
                    (false, 0) => Some(End::Failed(Fault::Lacks)),
                    (false, 1) => Some(End::Failed(Fault::Lies)),
                    (false, 2) => Some(End::Failed(Fault::Patchwork)),
                    // A mirror that says nothing for 20 s is given up by itself.
                    (false, _) if now >= since + 20 * SECOND => Some(End::Failed(Fault::Unwell)),
                    (false, _) => None,
                };
                match end {
                    Some(end) => {
                        whole += usize::from(end == End::Whole);
                        roster.ended(now, job, end);
                    }
                    None => open.push((job, place, since)),
                }
            }
        }
        assert_eq!(whole, wanted.len(), "seed {seed}: {mirrors} mirrors, {honest} is honest");
    }
}
