//! What the address book promises, without a network.

use super::*;
use crate::limits::ENOUGH_PEERS;
use crate::testing::epoch;

const SECOND: Duration = Duration::from_secs(1);

fn book() -> AddressBook {
    AddressBook::new(PeerId::random(), ENOUGH_PEERS, 1)
}

fn at(host: u8) -> Vec<Multiaddr> {
    vec![format!("/ip4/10.0.0.{host}/tcp/4001").parse().unwrap()]
}

#[test]
fn a_given_address_is_tried_for_ever_with_longer_pauses() {
    let mut now = epoch();
    let mut book = book();
    book.learn(now, None, &at(1), Source::Given);
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let dial = book.poll(now).expect("due");
        assert_eq!(book.poll(now), None, "one dial at a time");
        book.failed(now, dial.dial, false);
        let due = book.next_deadline().unwrap();
        pauses.push(due - now);
        now = due;
    }
    assert!(pauses[0] < 2 * SECOND && pauses[19] >= LONGEST_PAUSE_GIVEN);
    assert!(pauses[19] < LONGEST_PAUSE_GIVEN + SECOND);
}

#[test]
fn a_hint_that_keeps_failing_is_forgotten() {
    let mut now = epoch();
    let mut book = book();
    book.learn(now, Some(PeerId::random()), &at(1), Source::Lan);
    for _ in 0..MOST_FAILURES {
        let dial = book.poll(now).expect("due");
        book.failed(now, dial.dial, false);
        now += LONGEST_PAUSE * 2;
    }
    assert_eq!(book.poll(now), None);
    assert!(book.places.is_empty() && book.by_peer.is_empty());
}

#[test]
fn who_is_connected_is_not_dialled_and_who_left_is_dialled_again() {
    let now = epoch();
    let (mut book, peer) = (book(), PeerId::random());
    book.learn(now, None, &at(1), Source::Given);
    let dial = book.poll(now).unwrap();
    book.joined(now, peer);
    book.reached(dial.dial, peer);
    assert_eq!(book.poll(now + 100 * SECOND), None);
    assert_eq!(book.addresses(&peer), at(1));
    book.left(now, &peer);
    assert_eq!(book.poll(now), None);
    let again = book.poll(now + 2 * SECOND).unwrap();
    assert_eq!(again.peer, Some(peer));
}

fn met(peer: PeerId, addresses: &[Multiaddr], said: u64) -> Met {
    let (addresses, record) = (addresses.to_vec(), Bytes::from(peer.to_bytes()));
    Met { peer, addresses, record, said: UnixTime::from_seconds(said) }
}

#[test]
fn a_member_that_moved_is_dialled_at_once_however_often_it_was_not_there() {
    let mut now = epoch();
    let (mut book, peer) = (book(), PeerId::random());
    book.learn(now, Some(peer), &at(1), Source::Given);
    for _ in 0..10 {
        let dial = book.poll(now).expect("due");
        book.failed(now, dial.dial, false);
        now = book.next_deadline().unwrap();
    }
    let dial = book.poll(now).expect("due");
    book.failed(now, dial.dial, false);
    book.learn(now, Some(peer), &at(1), Source::Lan);
    assert!(book.next_deadline().unwrap() >= now + 10 * SECOND, "that is no news");
    book.learn(now, Some(peer), &at(2), Source::Lan);
    assert_eq!(book.next_deadline(), Some(now + MOVED_PAUSE));
    now += MOVED_PAUSE;
    let dial = book.poll(now).expect("due");
    assert_eq!(dial.addresses, [at(2), at(1)].concat());
    book.failed(now, dial.dial, false);
    book.learn(now, Some(peer), &at(3), Source::Lan);
    assert_eq!(book.poll(now), None, "whoever keeps moving is not chased");
}

#[test]
fn an_older_word_of_a_member_says_nothing() {
    let now = epoch();
    let (mut book, peer) = (book(), PeerId::random());
    let teller = Source::Member(PeerId::random());
    assert!(book.learn_record(now, met(peer, &at(1), 10), teller));
    assert!(book.learn_record(now, met(peer, &at(2), 20), teller));
    assert!(!book.learn_record(now, met(peer, &at(1), 10), teller));
    assert_eq!(book.addresses(&peer), at(2));
    assert!(!book.learn_record(now, met(peer, &at(2), 30), teller), "said again");
}

#[test]
fn who_has_no_room_is_asked_ever_less_often() {
    let mut now = epoch();
    let (mut book, peer) = (book(), PeerId::random());
    book.learn(now, Some(peer), &at(1), Source::Given);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let dial = book.poll(now).expect("due");
        book.joined(now, peer);
        book.reached(dial.dial, peer);
        now += SECOND;
        book.left(now, &peer);
        let due = book.next_deadline().unwrap();
        pauses.push(due - now);
        now = due;
    }
    assert!(pauses[0] < 2 * SECOND && pauses[1] < 3 * SECOND, "{pauses:?}");
    assert!(pauses[11] >= LONGEST_PAUSE / 2, "{pauses:?}");
    let dial = book.poll(now).unwrap();
    book.joined(now, peer);
    book.reached(dial.dial, peer);
    book.left(now + STEADY, &peer);
    let due = book.next_deadline().unwrap();
    assert!(due < now + STEADY + 2 * SECOND, "one that stayed long is missed at once");
}

#[test]
fn enough_peers_are_enough_if_we_chose_some() {
    let now = epoch();
    let mut book = book();
    (0..ENOUGH_PEERS).for_each(|_| book.joined(now, PeerId::random()));
    // A crowd may have come to keep us from everybody else.
    for host in 1..=CHOSEN_PEERS as u8 {
        book.learn(now, None, &at(host), Source::Given);
        let dial = book.poll(now).unwrap();
        let peer = PeerId::random();
        book.joined(now, peer);
        book.reached(dial.dial, peer);
    }
    book.learn(now, None, &at(99), Source::Given);
    assert_eq!(book.poll(now), None);
    assert_eq!(book.next_deadline(), None);
    assert!(!book.is_lonely());
}

#[test]
fn one_informant_and_one_neighbourhood_fill_only_so_much() {
    let now = epoch();
    let (mut book, liar) = (book(), PeerId::random());
    for host in 0..200 {
        let near = vec![format!("/ip4/198.51.100.{host}/tcp/1").parse().unwrap()];
        book.learn(now, Some(PeerId::random()), &near, Source::Member(PeerId::random()));
    }
    assert_eq!(book.places.len(), MAX_KNOWN_NEARBY);
    for host in 0..200 {
        book.learn(now, Some(PeerId::random()), &at(host), Source::Member(liar));
    }
    assert_eq!(book.places.len(), MAX_KNOWN_NEARBY + MAX_PEERS_FROM_ONE);
    for host in 0..=255 {
        for net in 0..4 {
            let far = vec![format!("/ip4/10.1.{net}.{host}/tcp/1").parse().unwrap()];
            book.learn(now, Some(PeerId::random()), &far, Source::Lan);
        }
    }
    assert_eq!(book.places.len(), MAX_KNOWN_PEERS);
}

#[test]
fn ourselves_are_never_dialled_twice() {
    let now = epoch();
    let mut book = book();
    let own = book.own;
    book.learn(now, Some(own), &at(1), Source::Lan);
    assert_eq!(book.poll(now), None);
    book.learn(now, None, &at(1), Source::Lan);
    let dial = book.poll(now).unwrap();
    book.failed(now, dial.dial, true);
    assert_eq!(book.poll(now + LONGEST_PAUSE * 2), None);
}

#[test]
fn records_are_handed_on_except_to_their_own_peer() {
    let now = epoch();
    let (mut book, a, b) = (book(), PeerId::random(), PeerId::random());
    for (peer, host) in [(a, 1), (b, 2)] {
        book.learn_record(now, met(peer, &at(host), 1), Source::Member(peer));
    }
    assert_eq!(book.records(now, &a, true), [Bytes::from(b.to_bytes())]);
    assert_eq!(book.records(now, &PeerId::random(), true).len(), 2);
}

#[test]
fn who_asks_again_is_told_of_a_few_the_newest_first() {
    let now = epoch();
    let (mut book, asker) = (book(), PeerId::random());
    let meet = |book: &mut AddressBook, host| {
        let peer = PeerId::random();
        let far = vec![format!("/ip4/10.{host}.0.1/tcp/1").parse().unwrap()];
        book.learn_record(now, met(peer, &far, 1), Source::Member(peer));
        Bytes::from(peer.to_bytes())
    };
    (0..50).for_each(|host| drop(meet(&mut book, host)));
    assert_eq!(book.records(now, &asker, true).len(), MAX_EXCHANGED_PEERS);
    let new: Vec<Bytes> = (100..103).map(|host| meet(&mut book, host)).collect();
    let again = book.records(now, &asker, true);
    assert_eq!(again.len(), MAX_EXCHANGED_AGAIN);
    assert!(again[..3].iter().all(|record| new.contains(record)));
    assert!(book.records(now, &asker, true).iter().any(|record| !new.contains(record)));
    let later = now + REMEMBERED;
    assert_eq!(book.records(later, &asker, true).len(), MAX_EXCHANGED_PEERS, "as if it were new");
    for _ in 0..2 * MAX_ANSWERED {
        book.records(later, &PeerId::random(), true);
        assert!(book.answered.len() <= MAX_ANSWERED);
    }
}

/// Two that are told of each other dial once, not twice: the smaller id's
/// connection is the one that both would keep.
#[test]
fn of_two_that_hear_of_each_other_one_goes_first() {
    let now = epoch();
    let (a, b) = (PeerId::random(), PeerId::random());
    let (small, large) = (a.min(b), a.max(b));
    let teller = Source::Member(PeerId::random());
    let mut first = AddressBook::new(small, ENOUGH_PEERS, 1);
    first.learn(now, Some(large), &at(2), teller);
    assert_eq!(first.poll(now).unwrap().peer, Some(large));
    let mut second = AddressBook::new(large, ENOUGH_PEERS, 2);
    second.learn(now, Some(small), &at(1), teller);
    assert_eq!(second.poll(now), None);
    assert_eq!(second.next_deadline(), Some(now + GIVE_WAY));
    assert_eq!(second.poll(now + GIVE_WAY).unwrap().peer, Some(small), "if it does not come");
    second.learn(now, Some(PeerId::random()), &at(3), Source::Given);
    assert!(second.poll(now).is_some(), "who is given is not waited for");
}

#[test]
fn nobody_is_dialled_where_a_connected_member_is() {
    let now = epoch();
    let (mut book, peer) = (book(), PeerId::random());
    book.learn(now, None, &[at(1), at(2)].concat(), Source::Lan);
    book.joined(now, peer);
    book.met(peer, &at(2)[0]);
    assert_eq!(book.poll(now), None);
    book.learn(now, None, &[at(2), at(3)].concat(), Source::Lan);
    assert_eq!((book.poll(now), book.places.len()), (None, 1));
    book.left(now, &peer);
    book.learn(now, None, &at(2), Source::Given);
    let dial = book.poll(now).expect("whoever is there now");
    assert_eq!((dial.peer, dial.addresses), (None, at(2)));
}

#[test]
fn of_two_that_announce_themselves_one_goes_first() {
    let now = epoch();
    let (mut first, mut second) = (book(), book());
    first.hear(now, &at(1), &at(2));
    second.hear(now, &at(2), &at(1));
    assert_eq!(first.poll(now).unwrap().addresses, at(2));
    assert_eq!((second.poll(now), second.next_deadline()), (None, Some(now + GIVE_WAY)));
    let mut deaf = book();
    deaf.hear(now, &[], &at(1));
    assert!(deaf.poll(now).is_some(), "nobody hears of who listens nowhere");
}
