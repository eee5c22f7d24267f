//! How often we dial members back to tell them whether that works.
//!
//! Each such dial costs a handshake, and leads to wherever the one who asks
//! comes from. Few at a time, and for one member now and then.

use std::collections::HashMap;
use std::time::Instant;

use libp2p::PeerId;

use crate::limits::{EXAMINATION_PAUSE, EXAMINATIONS};

/// The machine that says yes or no.
#[derive(Debug, Default)]
pub struct Examiner {
    recent: HashMap<PeerId, Instant>,
}

impl Examiner {
    /// Whether a member may be dialled back now.
    pub fn allows(&mut self, now: Instant, member: PeerId) -> bool {
        self.recent.retain(|_, at| now.saturating_duration_since(*at) < EXAMINATION_PAUSE);
        let allowed = self.recent.len() < EXAMINATIONS && !self.recent.contains_key(&member);
        if allowed {
            self.recent.insert(member, now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    #[test]
    fn each_member_now_and_then_and_few_in_all() {
        let now = epoch();
        let (mut examiner, member) = (Examiner::default(), PeerId::random());
        assert!(examiner.allows(now, member) && !examiner.allows(now, member));
        let others = (0..1_000).filter(|_| examiner.allows(now, PeerId::random()));
        assert_eq!(others.count(), EXAMINATIONS - 1);
        assert!(examiner.allows(now + EXAMINATION_PAUSE, member));
        assert_eq!(examiner.recent.len(), 1);
    }
}
