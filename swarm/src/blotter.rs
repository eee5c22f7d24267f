//! What a log tells of those who do wrong, so that a crowd cannot fill it.
//!
//! Promises that whoever does something wrong is named at once if it has not
//! been for a while, a member by its machine and a stranger by its address, and
//! that there are at most so many lines within a while, whoever comes. Members
//! and strangers have pages of their own, so that a flood at the door hides no
//! liar inside. What is left out is counted. Writes nothing itself.

use std::collections::HashSet;
use std::time::Instant;

use manifest::admission::chain::Member;

use crate::event::Event;
use crate::limits::{BAN, BLOTTER_LINES, BLOTTER_WHILE};

/// The machine that decides.
#[derive(Debug, Default)]
pub struct Blotter {
    members: Page,
    strangers: Page,
}

#[derive(Debug, Default)]
struct Page {
    began: Option<Instant>,
    /// Whom and what the lines of this while were about.
    told: HashSet<String>,
    left_out: u64,
}

impl Blotter {
    /// The line that tells of an event, if it tells of an offence or of
    /// somebody who is let go, and is not one too many.
    pub fn line(&mut self, now: Instant, event: &Event) -> Option<String> {
        match event {
            Event::Refused { address, peer, why, fault: true, .. } => {
                // Whoever comes again comes from another port.
                let host: String = address.split('/').take(3).collect::<Vec<_>>().join("/");
                let key = |key: &_| format!(" (peer key {key})");
                let key = peer.as_ref().map_or_else(String::new, key);
                let line = || format!("{address}{key} was turned away: {why}");
                self.strangers.line(now, &format!("{host} {why}"), line)
            }
            Event::Misbehaved { peer, member, address, why, banned } => {
                let who = || match member {
                    Some(member) => machine(member),
                    None => format!("the machine with peer key {peer}"),
                };
                let at = |at: &String| format!(", at {at},");
                let at = address.as_ref().map_or_else(String::new, at);
                let end = if *banned {
                    format!("; it is kept away for {} minutes", BAN.as_secs() / 60)
                } else {
                    String::new()
                };
                let line = || format!("{}{at} did wrong: {why}{end}", who());
                self.members.line(now, &format!("{peer} {why} {banned}"), line)
            }
            Event::LetGo { peer, member, why } => {
                let line = || format!("{} was let go: {why}", machine(member));
                self.members.line(now, &format!("{peer} {why}"), line)
            }
            _ => None,
        }
    }
}

/// A member as a person would look for it.
fn machine(member: &Member) -> String {
    let Member { installation, organisation, peer_key, issuer, .. } = member;
    let installation = installation.short();
    format!("machine {installation} of {organisation:?} (peer key {peer_key}, issuer {issuer})")
}

impl Page {
    /// `name` is told once in a while.
    fn line(&mut self, now: Instant, name: &str, line: impl FnOnce() -> String) -> Option<String> {
        let over = |began| now.saturating_duration_since(began) >= BLOTTER_WHILE;
        if self.began.is_none_or(over) {
            self.began = Some(now);
            self.told.clear();
        }
        if self.told.len() >= BLOTTER_LINES || !self.told.insert(name.to_owned()) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        let mut line = line();
        match std::mem::take(&mut self.left_out) {
            0 => {}
            count => line.push_str(&format!(" ({count} more were not told of before)")),
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standing::Misbehaviour;
    use crate::testing::epoch;
    use manifest::admission::credential::Role;
    use manifest::testing::TestWorkgroup;
    use manifest::time::UnixTime;

    fn stranger(port: u32, why: &str) -> Event {
        let address = format!("/ip4/192.0.2.1/tcp/{port}");
        Event::Refused { address, dialled: false, peer: None, why: why.to_owned(), fault: true }
    }

    fn liar(who: u64, banned: bool) -> Event {
        let (group, now) = (TestWorkgroup::new(1), UnixTime::default());
        let chain = group.credential(who, Role::Member, now);
        let peer = TestWorkgroup::peer_key(who).public();
        let member = chain.verify(&group.trust, &peer, now).ok();
        let address = Some("/ip4/192.0.2.9/tcp/1".to_owned());
        Event::Misbehaved { peer, member, address, why: Misbehaviour::Unasked, banned }
    }

    #[test]
    fn a_member_is_named_by_machine_and_a_stranger_by_address() {
        let (now, mut blotter) = (epoch(), Blotter::default());
        let line = blotter.line(now, &stranger(7, "it was rude")).unwrap();
        assert_eq!(line, "/ip4/192.0.2.1/tcp/7 was turned away: it was rude");
        assert!(blotter.line(now, &liar(5, false)).is_some());
        let line = blotter.line(now, &liar(5, true)).unwrap();
        let key = TestWorkgroup::peer_key(5).public().to_string();
        for part in
            ["machine ", "\"Test Organisation\"", &key, "/ip4/192.0.2.9/tcp/1", "10 minutes"]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
        let nobody = Event::Refused {
            address: String::new(),
            dialled: true,
            peer: None,
            why: "it is gone".into(),
            fault: false,
        };
        assert_eq!(blotter.line(now, &nobody), None, "networks that break are nobody's fault");
    }

    #[test]
    fn the_same_is_told_once_in_a_while_and_the_rest_is_counted() {
        let (now, mut blotter) = (epoch(), Blotter::default());
        assert!(blotter.line(now, &stranger(1, "a")).is_some());
        for port in 2..7 {
            assert_eq!(blotter.line(now, &stranger(port, "a")), None);
        }
        let line = blotter.line(now, &stranger(7, "b")).unwrap();
        assert!(line.contains("(5 more were not told of before)"), "{line}");
        assert!(blotter.line(now + BLOTTER_WHILE, &stranger(8, "a")).is_some());
    }

    #[test]
    fn a_crowd_gets_no_more_lines_than_there_are_and_hides_no_member() {
        let (now, mut blotter) = (epoch(), Blotter::default());
        let crowd = (0..10_000).map(|n| stranger(n, &n.to_string()));
        let told = crowd.filter(|event| blotter.line(now, event).is_some());
        assert_eq!(told.count(), BLOTTER_LINES);
        assert!(blotter.strangers.told.len() <= BLOTTER_LINES);
        assert!(blotter.line(now, &liar(5, false)).is_some());
    }
}
