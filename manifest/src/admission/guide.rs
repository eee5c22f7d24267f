//! What leads somebody back who cannot be admitted: newer roots, and what the
//! vendor says now of whoever vouches for it.
//!
//! A machine that was off while keys were replaced knows roots that are too
//! old to judge members by, or shows a statement that nobody believes any
//! more. Both are signed by themselves, so anybody may hand them over, and
//! nothing else is handed to one who is no member.

use std::sync::Arc;

use crate::admission::issuer::SignedIssuer;
use crate::admission::limits::{CHAIN_BYTES, GUIDE_BYTES};
use crate::admission::workgroup::WorkgroupTrust;
use crate::key::PublicKey;
use crate::trust::bundle::Bundle;
use crate::trust::role::{MetadataVersion, RoleName};

/// The name of the file that holds an issuer's statement in the answer.
const ISSUER: &str = "issuer.json";

/// The roots that can be handed over, the newest and those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guide {
    version: MetadataVersion,
    /// From the oldest to the newest.
    roots: Vec<(MetadataVersion, Arc<[u8]>)>,
}

impl Default for Guide {
    /// Knows of no root after the first.
    fn default() -> Self {
        Self { version: MetadataVersion::FIRST, roots: Vec::new() }
    }
}

impl Guide {
    /// Leads to the root of this version; `root` gives the bytes of each. Of
    /// roots that are longer than [`GUIDE_BYTES`] together, the newest count.
    #[must_use]
    pub fn to(
        version: MetadataVersion,
        mut root: impl FnMut(MetadataVersion) -> Option<Vec<u8>>,
    ) -> Self {
        let mut roots: Vec<(MetadataVersion, Arc<[u8]>)> = Vec::new();
        let mut room = GUIDE_BYTES;
        let mut next = version;
        while next > MetadataVersion::FIRST {
            let Some(bytes) = root(next).filter(|bytes| bytes.len() <= room) else { break };
            room -= bytes.len();
            roots.push((next, bytes.into()));
            let Some(before) = MetadataVersion::new(next.get() - 1) else { break };
            next = before;
        }
        roots.reverse();
        Self { version, roots }
    }

    /// The root that it leads to.
    #[must_use]
    pub const fn version(&self) -> MetadataVersion {
        self.version
    }

    /// For one whose root has version `from`, and whose credential is by
    /// `issuer`: the roots after that one, and what `trust` lists of the issuer.
    #[must_use]
    pub fn beyond(
        &self,
        from: MetadataVersion,
        issuer: Option<&PublicKey>,
        trust: &WorkgroupTrust,
    ) -> Bundle {
        let mut bundle = Bundle::new();
        let mut next = from.next();
        for (version, bytes) in &self.roots {
            if *version == next {
                next = next.next();
                let name = RoleName::ROOT.versioned_file_name(*version);
                let _ = bundle.put(name, bytes.to_vec());
            }
        }
        if let Some(signed) = issuer.and_then(|issuer| trust.statement_of(issuer)) {
            let bytes = serde_json::to_vec(signed).expect("plain fields always serialise");
            let _ = bundle.put(ISSUER, bytes);
        }
        bundle
    }
}

/// The statement of an issuer that a guide's answer holds; believed only by
/// its own signature.
#[must_use]
pub fn statement_in(bundle: &Bundle) -> Option<SignedIssuer> {
    let bytes = bundle.get(ISSUER).filter(|bytes| bytes.len() <= CHAIN_BYTES)?;
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::credential::Role;
    use crate::admission::issuers::Issuers;
    use crate::testing::TestWorkgroup;
    use crate::trust::testing::NOW;

    fn version(number: u64) -> MetadataVersion {
        MetadataVersion::new(number).unwrap()
    }

    fn names(bundle: &Bundle) -> Vec<&str> {
        bundle.files().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_roots_after_ones_own_are_given_and_no_others() {
        let guide = Guide::to(version(5), |version| Some(vec![version.get() as u8; 10]));
        let trust = TestWorkgroup::new(1).trust;
        assert_eq!(names(&guide.beyond(version(3), None, &trust)), ["4.root.json", "5.root.json"]);
        assert!(names(&guide.beyond(version(5), None, &trust)).is_empty());
        assert!(names(&guide.beyond(version(9), None, &trust)).is_empty());
        assert!(names(&Guide::default().beyond(version(1), None, &trust)).is_empty());
    }

    #[test]
    fn a_chain_with_a_gap_is_not_begun_in_the_middle() {
        let long = Guide::to(version(5), |_| Some(vec![0; GUIDE_BYTES / 2]));
        let trust = TestWorkgroup::new(1).trust;
        assert!(names(&long.beyond(version(1), None, &trust)).is_empty(), "2 and 3 did not fit");
        assert_eq!(long.beyond(version(3), None, &trust).files().count(), 2);
        let cut = Guide::to(version(5), |version| (version.get() != 4).then(|| vec![0]));
        assert!(names(&cut.beyond(version(3), None, &trust)).is_empty());
        assert_eq!(names(&cut.beyond(version(4), None, &trust)), ["5.root.json"]);
    }

    #[test]
    fn the_asker_s_issuer_is_spoken_of_and_no_other() {
        let group = TestWorkgroup::new(1);
        let ticket = group.ticket(&[Role::Member], NOW);
        let mut issuers = Issuers::default();
        issuers.set(ticket.issuer.clone()).unwrap();
        let trust = group.trust.clone().with_issuers(&issuers);
        let issuer = ticket.issuer_key.public();
        let answer = Guide::default().beyond(version(1), Some(&issuer), &trust);
        assert_eq!(statement_in(&answer), Some(ticket.issuer));
        let stranger = crate::testing::key(9).public();
        let answer = Guide::default().beyond(version(1), Some(&stranger), &trust);
        assert_eq!(statement_in(&answer), None);
    }
}
