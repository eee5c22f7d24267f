//! A release among hundreds of simulated members, more than the vendor's
//! seeder has places for.

use updraft_tests::scale::{Outcome, Plan};

fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(7);
    println!("SEED={seed}");
    seed
}

/// The median number of frames that a member sends.
fn frames(outcome: &Outcome) -> u64 {
    outcome.typical(|share| share.parcels).0
}

#[test]
fn more_members_than_the_seeder_has_room_for_all_get_the_update() {
    let seed = seed();
    let small = Plan::of(60, seed).play();
    let large = Plan::of(650, seed).play();
    for outcome in [&small, &large] {
        assert!(outcome.after(100).is_some(), "only {} ever got it", outcome.took().len());
        // What the seeder sends is bounded by its uplink and the time, not by
        // the members.
        assert!(outcome.egress() < 40.0, "the seeder sent {:.1} payloads", outcome.egress());
    }
    // What a member does does not grow at all.
    assert!(frames(&large) < 3 * frames(&small), "{} and {}", frames(&large), frames(&small));
    assert!(large.after(90) < small.after(90).map(|after| after * 3), "time grows too fast");
}

#[test]
fn the_same_seed_plays_the_same_run() {
    let seed = seed();
    assert_eq!(Plan::of(40, seed).play(), Plan::of(40, seed).play());
}
